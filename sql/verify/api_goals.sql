-- Verify fitnudge:api_goals on pg

BEGIN;

SELECT 'api.goals_stats(uuid, uuid)'::regprocedure;
SELECT 'api.goals_get(uuid, uuid)'::regprocedure;
SELECT 'api.goals_list(uuid, boolean, integer, integer)'::regprocedure;

ROLLBACK;
