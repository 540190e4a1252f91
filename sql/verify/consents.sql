BEGIN;
SELECT id, user_id, consent_type, granted, ip, user_agent, created_at FROM public.user_consents WHERE false;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.consents_list(uuid)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.consents_set(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_auth', 'pool.has_consent(uuid, text)', 'EXECUTE')::int;
ROLLBACK;
