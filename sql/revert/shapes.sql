-- Revert fitnudge:shapes from pg

BEGIN;

DROP FUNCTION pool.profile_json(uuid);
DROP FUNCTION pool.motivation_json(public.motivations);
DROP FUNCTION pool.checkin_json(public.checkins);
DROP FUNCTION pool.goal_json(public.goals);
DROP FUNCTION pool.json_bool(boolean);
DROP FUNCTION pool.json_time(timestamptz);
DROP FUNCTION pool.json_text(text);

COMMIT;
