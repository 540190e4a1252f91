BEGIN;
SELECT address_hash, failed_at, locked_until, changed_at FROM public.signin_failures WHERE false;
SELECT 1 / has_function_privilege('fitnudge_auth', 'pool.signin_locked(jsonb, text)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_api', 'pool.suspend_user(jsonb, uuid, text)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_clock', 'pool.cron_barred(timestamptz, jsonb)', 'EXECUTE')::int;
ROLLBACK;
