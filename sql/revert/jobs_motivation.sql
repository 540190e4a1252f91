BEGIN;
DROP FUNCTION jobs.motivation_commit(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.motivation_prepare(uuid, uuid, jsonb);
COMMIT;
