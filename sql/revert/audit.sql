BEGIN;
DELETE FROM public.retention WHERE name = 'audit_log';
DROP FUNCTION pool.audit(jsonb, text, uuid, uuid, jsonb);
DROP TABLE public.audit_log;
DROP FUNCTION pool.audit_only_grows();
COMMIT;
