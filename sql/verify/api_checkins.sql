-- Verify fitnudge:api_checkins on pg

BEGIN;

SELECT 'api.checkins_list(uuid, date, date, text, integer)'::regprocedure;
SELECT 'api.goals_checkins(uuid, uuid, date, date, text, integer)'::regprocedure;

ROLLBACK;
