BEGIN;
DROP FUNCTION jobs.consents_set(uuid, uuid, jsonb, jsonb);
DROP FUNCTION api.consents_list(uuid);
DROP FUNCTION pool.consent_json(uuid, text);
DROP FUNCTION pool.has_consent(uuid, text);
DROP TABLE public.user_consents;
COMMIT;
