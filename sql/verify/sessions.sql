-- Verify fitnudge:sessions on pg

BEGIN;

SELECT id, user_id, user_agent, ip, created_at, last_used_at, expires_at, access_until FROM public.sessions WHERE false;
SELECT token_hash, session_id, created_at, rotated_at, expires_at FROM public.refresh_tokens WHERE false;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.sessions'::regclass;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.refresh_tokens'::regclass;

ROLLBACK;
