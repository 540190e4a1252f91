-- Revert fitnudge:ai_usage from pg

BEGIN;

DROP TABLE public.ai_usage;
DROP TABLE public.ai_spending;
DROP FUNCTION pool.note_spending();

COMMIT;
