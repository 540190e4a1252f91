-- Revert fitnudge:sessions from pg

BEGIN;

DROP TABLE public.refresh_tokens;
DROP TABLE public.sessions;

COMMIT;
