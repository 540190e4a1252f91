-- Verify fitnudge:flags on pg
BEGIN;
SELECT key, description, is_on, stage, salt, variations, off_variation, fallthrough, targets, rules, prerequisites, version, created_at, updated_at
    FROM public.flags WHERE false;
SELECT key, description, salt, rules, created_at FROM public.segments WHERE false;
SELECT segment_key, user_id, included FROM public.segment_members WHERE false;
SELECT id, at, done_by, action, key, reason, before, after FROM public.flag_audit WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.segment_members'::regclass;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.flags(uuid, text, text)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'pool.flag_kill(text, text, text)', 'EXECUTE')::int;
SELECT 1 / (NOT has_function_privilege('fitnudge_pool', 'pool.flag_evaluate(public.flags, jsonb, int)', 'EXECUTE'))::int;
ROLLBACK;
