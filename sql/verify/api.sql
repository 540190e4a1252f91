BEGIN;
SET ROLE fitnudge_edge;
SELECT 1 / (api.ping() = 'pong')::int;
SELECT 1 / (api.users_me('00000000-0000-4000-8000-000000000000') IS NULL)::int;
SELECT 1 / (api.goals_list('00000000-0000-4000-8000-000000000000', NULL, 1, 20) LIKE '{"goals":[]%')::int;
SELECT api.sessions_list('00000000-0000-4000-8000-000000000000'), api.goals_get('00000000-0000-4000-8000-000000000000', gen_random_uuid()),
       api.goals_stats('00000000-0000-4000-8000-000000000000', gen_random_uuid()),
       api.goals_checkins('00000000-0000-4000-8000-000000000000', gen_random_uuid(), NULL, NULL, NULL, 20),
       api.checkins_list('00000000-0000-4000-8000-000000000000', NULL, NULL, NULL, 20),
       api.motivations_list('00000000-0000-4000-8000-000000000000', NULL, NULL, 20),
       api.motivations_get('00000000-0000-4000-8000-000000000000', gen_random_uuid()),
       api.job_get('00000000-0000-4000-8000-000000000000', gen_random_uuid());
ROLLBACK;
