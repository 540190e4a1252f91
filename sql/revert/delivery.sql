-- Revert fitnudge:delivery from pg

BEGIN;

DROP FUNCTION jobs.delivered(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.alert_prepare(uuid, uuid, jsonb);
DROP FUNCTION jobs.mail_send(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.mail_prepare(uuid, uuid, jsonb);
DROP FUNCTION pool.address_hash(text);
DROP FUNCTION jobs.push_device(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.push_device_prepare(uuid, uuid, jsonb);
DROP FUNCTION jobs.push_send(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.devices_delete(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.devices_add(uuid, uuid, jsonb, jsonb);
REVOKE EXECUTE ON FUNCTION pool.digest(bytea, text) FROM fitnudge_auth;
DROP TABLE public.alerts, public.mail_suppressions, public.mails, public.devices;

COMMIT;
