-- Revert fitnudge:motivations from pg

BEGIN;

DROP TABLE public.motivations;

COMMIT;
