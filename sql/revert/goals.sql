-- Revert fitnudge:goals from pg

BEGIN;

DROP TABLE public.goals;

COMMIT;
