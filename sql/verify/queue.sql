-- Verify fitnudge:queue on pg

BEGIN;

SELECT job_id, day, job, user_id, fingerprint, state, status, body, headers, created_at, opened_at FROM public.inbox WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.inbox'::regclass;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.inbox_default'::regclass;

ROLLBACK;
