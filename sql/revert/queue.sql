-- Revert fitnudge:queue from pg

BEGIN;

DROP TABLE public.inbox;

COMMIT;
