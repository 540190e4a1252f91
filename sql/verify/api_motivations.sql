-- Verify fitnudge:api_motivations on pg

BEGIN;

SELECT 'api.motivations_get(uuid, uuid)'::regprocedure;
SELECT 'api.motivations_list(uuid, uuid, text, integer)'::regprocedure;

ROLLBACK;
