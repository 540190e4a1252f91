BEGIN;
SELECT user_id, week, sent, created_at FROM public.weekly_summaries WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.weekly_summaries'::regclass;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.stats_me(uuid)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.stats_weekly(uuid, text)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_clock', 'pool.cron_weekly(timestamptz, jsonb)', 'EXECUTE')::int;
ROLLBACK;
