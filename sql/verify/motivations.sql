-- Verify fitnudge:motivations on pg

BEGIN;

SELECT id, user_id, goal_id, text, tone, language, source, model, prompt_hash, voice_url, created_at FROM public.motivations WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.motivations'::regclass;

ROLLBACK;
