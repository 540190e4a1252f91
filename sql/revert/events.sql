BEGIN;
DROP FUNCTION jobs.events_track(uuid, uuid, jsonb, jsonb);
COMMIT;
