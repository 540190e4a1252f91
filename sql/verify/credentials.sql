BEGIN;
SELECT user_id, id, code_hash, attempts, sends, since, sent_at, expires_at FROM public.email_verifications WHERE false;
SELECT id, user_id, token_hash, created_at, expires_at FROM public.password_resets WHERE false;
SELECT 1 / (count(*) = 8)::int FROM pg_proc p WHERE p.pronamespace = 'jobs'::regnamespace AND p.proname ~ '^auth_(verify|password)_'
    AND has_function_privilege('fitnudge_pool', p.oid, 'EXECUTE') AND NOT has_function_privilege('fitnudge_edge', p.oid, 'EXECUTE');
ROLLBACK;
