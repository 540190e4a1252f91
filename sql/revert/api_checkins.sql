-- Revert fitnudge:api_checkins from pg

BEGIN;

DROP FUNCTION api.checkins_list(uuid, date, date, text, integer);
DROP FUNCTION api.goals_checkins(uuid, uuid, date, date, text, integer);

COMMIT;
