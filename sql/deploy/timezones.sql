-- Deploy fitnudge:timezones to pg
-- Names of time zones. Asking the server takes it some 30 ms each time, and `AT TIME ZONE` takes more than names.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.timezones (
    name  text PRIMARY KEY
);

GRANT SELECT ON public.timezones TO fitnudge_api, fitnudge_auth;
GRANT SELECT, INSERT ON public.timezones TO fitnudge_queue;

INSERT INTO public.timezones
SELECT name FROM pg_catalog.pg_timezone_names WHERE name !~ '^(posix/|right/|Factory$|localtime$|posixrules$)';

COMMIT;
