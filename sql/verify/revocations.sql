-- Verify fitnudge:revocations on pg

BEGIN;

SELECT has_function_privilege('fitnudge_auth', 'pool.revoke(uuid, text, timestamptz)', 'EXECUTE');
SELECT has_function_privilege('fitnudge_auth', 'pool.revoke_user(uuid, interval)', 'EXECUTE');
SELECT 1 / count(*) FROM pg_trigger WHERE tgrelid = 'public.users'::regclass AND tgname = 'note_barred';

ROLLBACK;
