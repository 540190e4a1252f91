BEGIN;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.posts_create(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.comments_delete(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
ROLLBACK;
