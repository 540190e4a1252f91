BEGIN;
DROP FUNCTION jobs.motivation_commit(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.motivation_prepare(uuid, uuid, jsonb);
DROP FUNCTION pool.ai_budget();
DROP FUNCTION pool.ai_spent();
COMMIT;
