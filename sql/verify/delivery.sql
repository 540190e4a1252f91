-- Verify fitnudge:delivery on pg

BEGIN;

SELECT id, user_id, platform, token, created_at, seen_at FROM public.devices WHERE false;
SELECT id, user_id, template, language, recipient, status, content, message_id, created_at, ended_at FROM public.mails WHERE false;
SELECT address_hash, reason, until, created_at FROM public.mail_suppressions WHERE false;
SELECT key, sent_at FROM public.alerts WHERE false;
SELECT 1 / (count(*) = 9)::int FROM pg_proc p WHERE p.pronamespace = 'jobs'::regnamespace
    AND p.proname ~ '^(devices_|push_|mail_(prepare|send)$|alert_|delivered)'
    AND has_function_privilege('fitnudge_pool', p.oid, 'EXECUTE') AND NOT has_function_privilege('fitnudge_edge', p.oid, 'EXECUTE');

ROLLBACK;
