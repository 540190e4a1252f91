-- Verify fitnudge:api_system on pg

BEGIN;

SELECT 'api.ping()'::regprocedure;
SELECT 'api.job_get(uuid, uuid)'::regprocedure;

ROLLBACK;
