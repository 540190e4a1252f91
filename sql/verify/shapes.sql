-- Verify fitnudge:shapes on pg

BEGIN;

SELECT 'pool.json_text(text)'::regprocedure;
SELECT 'pool.json_time(timestamptz)'::regprocedure;
SELECT 'pool.json_bool(boolean)'::regprocedure;
SELECT 'pool.goal_json(public.goals)'::regprocedure;
SELECT 'pool.checkin_json(public.checkins)'::regprocedure;
SELECT 'pool.motivation_json(public.motivations)'::regprocedure;
SELECT 'pool.profile_json(uuid)'::regprocedure;

ROLLBACK;
