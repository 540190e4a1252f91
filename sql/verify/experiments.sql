-- Verify fitnudge:experiments on pg
BEGIN;
SELECT key, description, is_on, salt, seed, variants, goal, min_sample, version, created_at, updated_at FROM public.experiments WHERE false;
SELECT experiment_key, user_id, variant, exposed_at FROM public.experiment_exposures WHERE false;
SELECT id, experiment_key, user_id, event, created_at FROM public.experiment_events WHERE false;
SELECT 1 / (count(*) = 2)::int FROM pg_catalog.pg_class WHERE relname IN ('experiment_exposures', 'experiment_events') AND relrowsecurity AND relforcerowsecurity;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.onboarding_flow(uuid)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.experiments_event(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'pool.experiment_results(text, int)', 'EXECUTE')::int;
ROLLBACK;
