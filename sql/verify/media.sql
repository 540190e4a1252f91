BEGIN;
SELECT id, user_id, motivation_id, kind, content_type, bytes, key, state, upload_until, created_at, completed_at FROM public.media WHERE false;
SELECT user_id, active_on FROM public.user_activity WHERE false;
SELECT 1 / (count(*) = 2)::int FROM pg_catalog.pg_class
    WHERE oid IN ('public.media'::regclass, 'public.user_activity'::regclass) AND relrowsecurity AND relforcerowsecurity;
SELECT 1 / (routine = 'purge_media')::int FROM public.retention WHERE name = 'media';
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.media_list(uuid, text, text, int)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.media_complete(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_api', 'jobs.check_media(uuid, uuid[])', 'EXECUTE')::int;
ROLLBACK;
