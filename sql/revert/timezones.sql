-- Revert fitnudge:timezones from pg

BEGIN;

DROP TABLE public.timezones;

COMMIT;
