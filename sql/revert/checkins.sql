-- Revert fitnudge:checkins from pg

BEGIN;

DROP TABLE public.checkins;

COMMIT;
