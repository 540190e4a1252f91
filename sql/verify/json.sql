BEGIN;
SELECT pool.goal_json(NULL::public.goals), pool.checkin_json(NULL::public.checkins), pool.motivation_json(NULL::public.motivations);
SELECT set_config('request.user_id', '00000000-0000-4000-8000-000000000001', true);
SELECT 1 / (pool.cursor_decode('a', pool.cursor_encode('a', '2026-01-01 x')) = '2026-01-01 x')::int;
ROLLBACK;
