-- Revert fitnudge:api_system from pg

BEGIN;

DROP FUNCTION api.ping();
DROP FUNCTION api.job_get(uuid, uuid);

COMMIT;
