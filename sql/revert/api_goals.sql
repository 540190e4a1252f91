-- Revert fitnudge:api_goals from pg

BEGIN;

DROP FUNCTION api.goals_stats(uuid, uuid);
DROP FUNCTION api.goals_get(uuid, uuid);
DROP FUNCTION api.goals_list(uuid, boolean, integer, integer);

COMMIT;
