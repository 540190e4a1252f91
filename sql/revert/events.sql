BEGIN;
DROP FUNCTION jobs.events_track(uuid, uuid, jsonb, jsonb);
DROP FUNCTION pool.anonymous_id(uuid);
DROP FUNCTION public.has_consent(uuid, text);
REVOKE EXECUTE ON FUNCTION pool.digest(bytea, text) FROM fitnudge_api;
COMMIT;
