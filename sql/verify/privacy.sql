BEGIN;
SELECT relation, place, user_columns, withheld, reason, object_key, bulk, outlives FROM public.personal_data WHERE false;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.users_data(uuid)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.users_delete(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_clock', 'pool.purge_users(timestamptz, int)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_auth', 'pool.anonymous_user(uuid)', 'EXECUTE')::int;
ROLLBACK;
