-- Verify fitnudge:checkins on pg

BEGIN;

SELECT id, user_id, goal_id, date, status, reflection, mood, version, created_at, updated_at FROM public.checkins WHERE false;
SELECT 1 / (to_regclass('public.idx_checkins_user_date') IS NOT NULL AND to_regclass('public.idx_checkins_date') IS NOT NULL)::int;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.checkins'::regclass;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.checkins_default'::regclass;

ROLLBACK;
