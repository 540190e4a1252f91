-- Verify fitnudge:ai_usage on pg

BEGIN;

SELECT user_id, day, model, prompt_tokens, completion_tokens, cost FROM public.ai_usage WHERE false;
SELECT day, shard, cost FROM public.ai_spending WHERE false;
SELECT 1 / (to_regprocedure('pool.note_spending()') IS NOT NULL)::int;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.ai_usage'::regclass;

ROLLBACK;
