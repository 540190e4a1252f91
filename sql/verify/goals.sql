-- Verify fitnudge:goals on pg

BEGIN;

SELECT id, user_id, title, description, category, frequency, is_active, version, created_at, updated_at FROM public.goals WHERE false;
SELECT 1 / (to_regclass('public.idx_active_goals') IS NOT NULL)::int;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.goals'::regclass;

ROLLBACK;
