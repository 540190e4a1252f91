-- Verify fitnudge:users on pg

BEGIN;

SELECT id, email, password_hash, name, username, bio, avatar_url, language, timezone, country, birth_date, tone, plan, role,
       email_verified, version, created_at, updated_at, deleted_at, suspended_at, suspension_reason, is_visible FROM public.users WHERE false;
SELECT id, name, username, bio, avatar_url, created_at FROM public.profiles WHERE false;
SELECT 1 / (NOT has_column_privilege('fitnudge_api', 'public.users', 'password_hash', 'SELECT'))::int;
SELECT 1 / (relrowsecurity AND relforcerowsecurity)::int FROM pg_catalog.pg_class WHERE oid = 'public.users'::regclass;

ROLLBACK;
