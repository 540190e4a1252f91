-- Verify fitnudge:translations on pg
BEGIN;
SELECT lang, key, text, source_text, state, model, reviewed_by, updated_at FROM public.translations WHERE false;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.translation_fill(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_clock', 'pool.cron_translations(timestamptz, jsonb)', 'EXECUTE')::int;
ROLLBACK;
