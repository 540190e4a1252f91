-- Revert fitnudge:translations from pg
BEGIN;
DROP FUNCTION pool.translations_export(text);
DROP FUNCTION pool.translation_review(text, text, text, text);
DROP FUNCTION pool.translations_list(text);
DROP FUNCTION jobs.translation_fill(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.translation_prepare(uuid, uuid, jsonb);
DROP FUNCTION pool.cron_translations(timestamptz, jsonb);
DROP FUNCTION pool.translations_missing();
DROP FUNCTION pool.translations_sync(text, jsonb);
DROP FUNCTION pool.translation_problem(text, text);
DROP FUNCTION pool.message_arguments(text);
DROP TABLE public.translations;
REVOKE SELECT, INSERT, UPDATE ON public.ai_spending FROM fitnudge_admin;
REVOKE EXECUTE ON FUNCTION pool.ok(int, text, text) FROM fitnudge_admin;
COMMIT;
