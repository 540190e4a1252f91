-- Revert fitnudge:experiments from pg
BEGIN;
DELETE FROM public.personal_data WHERE relation LIKE 'experiment\_%';
DELETE FROM public.retention WHERE name = 'experiment_events';
DROP FUNCTION pool.experiment_list();
DROP FUNCTION pool.experiment_put(text, text, jsonb, text, boolean);
DROP FUNCTION pool.experiment_problem(jsonb);
DROP FUNCTION pool.experiment_json(public.experiments);
DROP FUNCTION pool.experiment_results(text, int);
DROP FUNCTION pool.two_proportions(bigint, bigint, bigint, bigint);
DROP FUNCTION pool.normal_cdf(double precision);
DROP FUNCTION jobs.experiments_event(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.onboarding_flow(uuid, uuid, jsonb, jsonb);
DROP FUNCTION api.onboarding_flow(uuid);
DROP FUNCTION pool.experiment_expose(public.experiments, uuid);
DROP FUNCTION pool.experiment_variant(public.experiments, uuid);
DROP TABLE public.experiment_events, public.experiment_exposures, public.experiments;
COMMIT;
