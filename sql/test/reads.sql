-- Reads, with the rights of the edge.
BEGIN;
SELECT plan(14);

INSERT INTO public.users (id, email, name, timezone) VALUES
    ('00000000-0000-4000-8000-00000000000a', 'ra@x.example', 'A', 'Pacific/Auckland'), ('00000000-0000-4000-8000-00000000000b', 'rb@x.example', 'B', 'UTC');
INSERT INTO public.goals (id, user_id, title, frequency, created_at) VALUES
    ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-00000000000a', 'Daily', 7, now() - interval '60 days'),
    ('00000000-0000-4000-8000-0000000000a2', '00000000-0000-4000-8000-00000000000a', 'Weekly', 2, now() - interval '60 days');

-- five days in a row up to yesterday, a gap, seven days before; local days, across whatever the clocks do
INSERT INTO public.checkins (goal_id, user_id, date, status)
SELECT '00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-00000000000a', (now() AT TIME ZONE 'Pacific/Auckland')::date - n, 'done'
FROM generate_series(1, 13) n WHERE n <> 6;
-- two days in each of the three weeks before this one
INSERT INTO public.checkins (goal_id, user_id, date, status)
SELECT '00000000-0000-4000-8000-0000000000a2', '00000000-0000-4000-8000-00000000000a',
       date_trunc('week', (now() AT TIME ZONE 'Pacific/Auckland')::date)::date - 7 * w + d, 'done'
FROM generate_series(1, 3) w, generate_series(0, 1) d;

GRANT USAGE ON SCHEMA public TO fitnudge_edge;      -- pgTAP lives there
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO fitnudge_edge;
SELECT set_config('request.user_id', '00000000-0000-4000-8000-00000000000a', true);
-- a walk through pages meets everything once
CREATE FUNCTION pg_temp.walk() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_page json;
    v_cursor text;
    v_ids text[] := '{}';
BEGIN
    LOOP
        v_page := api.checkins_list('00000000-0000-4000-8000-00000000000a', NULL, NULL, v_cursor, 4)::json;
        v_ids := v_ids || ARRAY(SELECT c ->> 'id' FROM json_array_elements(v_page -> 'checkins') c);
        v_cursor := v_page #>> '{pagination,next_cursor}';
        EXIT WHEN v_cursor IS NULL;
    END LOOP;
    RETURN (SELECT count(DISTINCT x) FROM unnest(v_ids) x) * 1000 + cardinality(v_ids);
END
$$;
SELECT is(pg_temp.walk(), 18018::bigint, 'a walk by cursors meets each check-in once');

SET LOCAL ROLE fitnudge_edge;

SELECT is(api.goals_list('00000000-0000-4000-8000-00000000000a', NULL, 1, 20)::json #>> '{pagination,total}', '2', 'goals');
SELECT is(api.goals_list('00000000-0000-4000-8000-00000000000a', NULL, 2, 1)::json #>> '{pagination,total}', '2', 'the total is the same on each page');
SELECT is(json_array_length(api.goals_list('00000000-0000-4000-8000-00000000000a', NULL, 5, 20)::json -> 'goals'), 0, 'a page past the end is empty');
SELECT is(api.goals_stats('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a1')::json ->> 'current_streak', '5', 'days in a row, today open');
SELECT is(api.goals_stats('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a1')::json ->> 'longest_streak', '7', 'the longest');
SELECT is(api.goals_stats('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a2')::json ->> 'current_streak', '3', 'weeks in a row, this one open');
SELECT is(json_array_length(api.goals_stats('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a2')::json -> 'weekly'), 12, 'twelve weeks');

SELECT throws_ok($$ SELECT api.checkins_list('00000000-0000-4000-8000-00000000000a', NULL, NULL, 'AAAAAAAAAAAAAAAA', 4) $$, 'FN400', 'cursor', 'a made-up cursor is refused');

SELECT set_config('request.user_id', '00000000-0000-4000-8000-00000000000b', true);
SELECT is(api.goals_get('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-0000000000a1'), NULL, 'another user''s goal is not there');
SELECT is(api.goals_get('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a1'), NULL, 'even when the caller lies about who asks');
SELECT is(api.goals_checkins('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-0000000000a1', NULL, NULL, NULL, 20), NULL, 'nor its check-ins');
SELECT throws_ok('SELECT * FROM public.users', '42501', NULL, 'the edge reads no table');
SELECT throws_ok($$ SELECT jobs.goals_delete(NULL, NULL, '{}', NULL) $$, '42501', NULL, 'and runs no job');

RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
