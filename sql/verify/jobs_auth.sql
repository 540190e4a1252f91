BEGIN;
SELECT 1 / (has_function_privilege('fitnudge_pool', 'jobs.auth_signup(uuid, uuid, jsonb, jsonb)', 'EXECUTE')
            AND has_function_privilege('fitnudge_pool', 'jobs.users_update(uuid, uuid, jsonb, jsonb)', 'EXECUTE'))::int;
SELECT 1 / (NOT has_function_privilege('fitnudge_edge', 'jobs.auth_login_find(uuid, uuid, jsonb)', 'EXECUTE'))::int;
ROLLBACK;
