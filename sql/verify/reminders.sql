BEGIN;
SELECT id, user_id, goal_id, local_time, days, tz, follows, is_active, next_at, next_date, last_date, version, created_at, updated_at FROM public.reminders WHERE false;
SELECT deleted_at FROM public.users WHERE false;
SELECT 1 / (to_regclass('public.idx_reminders_due') IS NOT NULL)::int;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.reminders'::regclass;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.reminders_list(uuid, int, int)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.motivation_schedule(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
ROLLBACK;
