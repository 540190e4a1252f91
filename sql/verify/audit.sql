BEGIN;
SELECT id, at, operation, user_id, actor_id, ip, user_agent, request_id, details FROM public.audit_log WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.audit_log'::regclass;
SELECT 1 / (NOT has_table_privilege('fitnudge_queue', 'public.audit_log', 'UPDATE, DELETE'))::int;
SELECT 1 / has_function_privilege('fitnudge_auth', 'pool.audit(jsonb, text, uuid, uuid, jsonb)', 'EXECUTE')::int;
ROLLBACK;
