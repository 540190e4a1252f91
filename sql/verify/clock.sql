BEGIN;
SELECT name, due_at, manual, epoch, state, started_at, finished_at, batches, result FROM public.cron_run WHERE false;
SELECT 1 / (count(*) = 1)::int FROM public.cron_epoch;
SELECT 1 / has_function_privilege('fitnudge_pool', 'pool.cron_due(bigint, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.clock_run(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / (NOT has_function_privilege('fitnudge_edge', 'pool.cron_due(bigint, jsonb)', 'EXECUTE'))::int;
ROLLBACK;
