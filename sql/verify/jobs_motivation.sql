BEGIN;
SELECT 1 / (has_function_privilege('fitnudge_pool', 'jobs.motivation_prepare(uuid, uuid, jsonb)', 'EXECUTE')
            AND has_function_privilege('fitnudge_pool', 'jobs.motivation_commit(uuid, uuid, jsonb, jsonb)', 'EXECUTE'))::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'pool.ai_budget()', 'EXECUTE')::int;
ROLLBACK;
