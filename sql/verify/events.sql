BEGIN;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.events_track(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
ROLLBACK;
