-- What happens by the clock: runs, the leader's epoch, clean-up, weekly summaries.
BEGIN;
SELECT plan(66);

-- what the executor sends
CREATE FUNCTION pg_temp.run(p_job text, p_user uuid, p_req jsonb, p_commit text DEFAULT NULL) RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
BEGIN
    EXECUTE format('SELECT * FROM pool.settle($1, $2, pool.enter($3), $4, jobs.%I($1, $3, $5, NULL))',
                   coalesce(p_commit, replace(p_job, '.', '_'))) INTO s USING gen_random_uuid(), p_job, p_user, '', p_req;
    RETURN s;
END
$$;

-- a run by hand to its end; the follow-ups of the last batch
CREATE FUNCTION pg_temp.cron(p_name text) RETURNS pool.settled LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
    v_request jsonb;
BEGIN
    SELECT (follow::jsonb) -> 'request' INTO v_request FROM pool.cron_due(NULL, jsonb_build_array(jsonb_build_object('name', p_name, 'job', 'clock.run'))) WHERE follow IS NOT NULL;
    LOOP
        s := pg_temp.run('clock.run', NULL, v_request);
        EXIT WHEN NOT (s.body::json ->> 'more')::boolean IS TRUE;
        v_request := (SELECT f::jsonb -> 'request' FROM unnest(s.follow) f WHERE f::json ->> 'job' = 'clock.run');
    END LOOP;
    RETURN s;
END
$$;

CREATE FUNCTION pg_temp.user(p_email text, p_zone text DEFAULT 'UTC', p_language text DEFAULT 'en') RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO public.users (email, name, timezone, language, created_at) VALUES (p_email, 'N', p_zone, p_language, now() - interval '1 year') RETURNING id
$$;
CREATE FUNCTION pg_temp.goal(p_user uuid, p_frequency int DEFAULT 3) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO public.goals (user_id, title, frequency, created_at) VALUES (p_user, 'Gym', p_frequency, now() - interval '1 year') RETURNING id
$$;

-- runs
DELETE FROM public.cron_run;
UPDATE public.cron_epoch SET epoch = 0;
CREATE TEMP TABLE d AS SELECT * FROM pool.cron_due(7, '[{"name":"partitions","job":"clock.run","due_at":1700000000},{"name":"views","job":"clock.tidy","due_at":1700000000}]');
SELECT is((SELECT count(follow) FROM d), 2::bigint, 'two runs begin');
SELECT is((SELECT min(epoch) FROM d), 7::bigint, 'with the leader''s epoch');
SELECT is((SELECT count(*) FROM public.outbox WHERE key LIKE 'cron:%'), 2::bigint, 'their jobs are in the outbox');
SELECT is((SELECT follow::json ->> 'key' FROM d WHERE follow::json ->> 'job' = 'clock.tidy'), 'cron:views:2023-11-14T22:13:20.000000Z:0', 'under a key');
SELECT is((SELECT count(follow) FROM pool.cron_due(7, '[{"name":"partitions","job":"clock.run","due_at":1700000000}]')), 0::bigint, 'a second time nothing begins');
SELECT is((SELECT count(follow) FROM pool.cron_due(8, '[{"name":"partitions","job":"clock.run","due_at":1700000000}]')), 0::bigint, 'nor for the next leader');
SELECT is((SELECT epoch FROM pool.cron_due(7, '[{"name":"partitions","job":"clock.run","due_at":1700003600}]')), 8::bigint, 'a stale leader hears so');
SELECT is((SELECT count(*) FROM public.cron_run WHERE due_at = to_timestamp(1700003600)), 0::bigint, 'and cannot act');
SELECT is((SELECT count(follow) FROM pool.cron_due(8, '[{"name":"partitions","job":"clock.run","due_at":1700003600}]')), 1::bigint, 'the next time is another run');
SELECT is((SELECT due_at FROM pool.cron_list() WHERE name = 'partitions'), 1700003600::bigint, 'the list knows the last time');

SELECT is((pg_temp.run('clock.run', NULL, (SELECT follow::jsonb -> 'request' FROM d WHERE follow::json ->> 'job' = 'clock.tidy'))).status, 200, 'a run');
SELECT is((SELECT state FROM public.cron_run WHERE name = 'views'), 'done', 'is done');
SELECT is((SELECT batches FROM public.cron_run WHERE name = 'views'), 1, 'in one batch');
SELECT is((pg_temp.cron('partitions')).status, 200, 'partitions are made by the clock''s role');
SELECT is((SELECT manual FROM pool.cron_list() WHERE name = 'partitions'), true, 'a run by hand is one');
SELECT is((SELECT due_at FROM pool.cron_list() WHERE name = 'partitions'), 1700003600::bigint, 'and is nothing to the schedule');
SELECT is((pg_temp.run('clock.run', NULL, '{"body":{"name":"nosuch","due_at":"2026-01-01","batch":0}}')).status, 400, 'an unknown entry');
SELECT is((pg_temp.run('clock.run', NULL, '{"body":{"name":"x; DROP","due_at":"2026-01-01","batch":0}}')).status, 400, 'no entry at all');
SELECT lives_ok($$ SELECT pool.fail(gen_random_uuid(), 'clock.run', NULL, 'partitions ' || pool.cron_time(to_timestamp(1700003600))) $$, 'a job of a run dies');
SELECT is((SELECT state FROM public.cron_run WHERE due_at = to_timestamp(1700003600)), 'failed', 'so the run has failed');

-- follow-ups under a key
SELECT pool.enter(NULL);
SELECT lives_ok($$ SELECT pool.follow_once('push.send', NULL, '{}', 'k1', '2026-01-01T00:00:00Z') FROM generate_series(1, 2) $$, 'one key');
SELECT is((SELECT count(*) FROM public.outbox WHERE key = 'k1'), 1::bigint, 'is one row');
SELECT is((SELECT pool.follow_json(o)::json ->> 'run_at_ms' FROM public.outbox o WHERE key = 'k1'), '1767225600000', 'with its time');
SELECT is((SELECT pool.follow_json(o)::json ->> 'key' FROM public.outbox o WHERE job = 'x'), NULL, 'others are as they were');

-- clean-up
CREATE TEMP TABLE gone AS SELECT pg_temp.user('gone' || n || '@x.example') AS id FROM generate_series(1, 12) n;
CREATE TEMP TABLE kept AS SELECT pg_temp.user('kept' || n || '@x.example') AS id FROM generate_series(1, 2) n;
UPDATE public.users SET deleted_at = now() - interval '31 days' WHERE id IN (SELECT id FROM gone);
UPDATE public.users SET deleted_at = now() - interval '29 days' WHERE id = (SELECT id FROM kept LIMIT 1);
CREATE TEMP TABLE gg AS SELECT pg_temp.goal(id) AS goal, id FROM (SELECT id FROM gone LIMIT 1) x;
INSERT INTO public.checkins (user_id, goal_id, date, status) SELECT id, goal, date '2020-01-01' + n, 'done' FROM gg, generate_series(1, 700) n;
INSERT INTO public.motivations (user_id, goal_id, text, tone, language, source) SELECT id, goal, 't', 'calm', 'en', 'ai' FROM gg, generate_series(1, 600);
INSERT INTO public.sessions (user_id, expires_at, access_until) SELECT id, now() - interval '2 days', now() - interval '8 days' FROM kept;
INSERT INTO public.sessions (user_id, expires_at, access_until) SELECT id, now() + interval '2 days', now() FROM kept;
INSERT INTO public.refresh_tokens (token_hash, session_id, expires_at)
    SELECT encode(sha256(s.id::text::bytea), 'hex'), s.id, s.expires_at FROM public.sessions s WHERE s.user_id IN (SELECT id FROM kept);
INSERT INTO public.refresh_tokens (token_hash, session_id, expires_at)
    SELECT encode(sha256(n::text::bytea), 'hex'), s.id, now() - interval '2 days' FROM public.sessions s, generate_series(1, 600) n WHERE s.user_id = (SELECT id FROM kept LIMIT 1) AND s.expires_at > now();
INSERT INTO public.ai_usage (user_id, day, model) SELECT id, d, 'm' FROM kept, unnest(ARRAY[current_date - 800, current_date - 700]) d;
INSERT INTO public.change_outbox ("table", op, user_id, row_id, tags, created_at) SELECT 'goals', 'INSERT', id, id, '{}', now() - interval '8 days' FROM kept;
INSERT INTO public.cron_run (name, due_at, started_at, state) VALUES ('views', '2020-01-01', now() - interval '31 days', 'done'), ('views', '2020-01-02', now() - interval '29 days', 'done');
DELETE FROM public.change_outbox WHERE created_at = now();
SELECT is((pg_temp.cron('cleanup')).status, 200, 'the clean-up');
SELECT is((SELECT count(*) FROM public.users WHERE id IN (SELECT id FROM gone)), 0::bigint, 'accounts go after 30 days');
SELECT is((SELECT count(*) FROM public.checkins WHERE user_id IN (SELECT id FROM gone)), 0::bigint, 'with what they hold');
SELECT is((SELECT count(*) FROM public.users WHERE id IN (SELECT id FROM kept)), 2::bigint, 'not before');
SELECT is((SELECT count(*) FROM public.sessions WHERE user_id IN (SELECT id FROM kept)), 2::bigint, 'sessions that have expired');
SELECT is((SELECT count(*) FROM public.refresh_tokens), 2::bigint, 'and tokens');
SELECT is((SELECT count(*) FROM public.change_outbox WHERE "table" = 'sessions'), 0::bigint, 'which is nobody''s news');
SELECT is((SELECT count(*) FROM public.ai_usage WHERE user_id IN (SELECT id FROM kept)), 2::bigint, 'costs older than two years');
SELECT is((SELECT count(*) FROM public.change_outbox WHERE created_at < now() - interval '7 days'), 0::bigint, 'old change rows');
SELECT is((SELECT array_agg(due_at) FROM public.cron_run WHERE name = 'views' AND due_at < '2021-01-01'), ARRAY['2020-01-02'::timestamptz], 'old runs');
SELECT cmp_ok((SELECT batches FROM public.cron_run WHERE name = 'cleanup'), '>=', 5, 'in batches');
SELECT is((SELECT state FROM public.cron_run WHERE name = 'cleanup'), 'done', 'to the end');
SELECT is((SELECT (result ->> 'refresh_tokens')::int FROM public.cron_run WHERE name = 'cleanup'), 600, 'and counts');
DELETE FROM public.sessions WHERE expires_at > now();
SELECT is((SELECT count(*) FROM public.change_outbox WHERE "table" = 'sessions'), 2::bigint, 'a session that is ended before its time is news');
SELECT is((SELECT count(*) FROM public.retention r WHERE r.relation IS NOT NULL AND NOT (has_table_privilege('fitnudge_clock', 'public.' || r.relation, 'SELECT')
    AND has_table_privilege('fitnudge_clock', 'public.' || r.relation, 'DELETE'))), 0::bigint, 'the clock may delete from every table it has to');

-- materialized views
CREATE MATERIALIZED VIEW public.test_view AS SELECT count(*) AS n, 1 AS one FROM public.users;
ALTER MATERIALIZED VIEW public.test_view OWNER TO fitnudge_owner;
GRANT SELECT ON public.users TO fitnudge_owner;
CREATE UNIQUE INDEX ON public.test_view (one);
SELECT is((pg_temp.cron('views')).body::json #>> '{count,views}', (SELECT count(*)::text FROM pg_matviews WHERE schemaname = 'public'), 'all views are refreshed');

-- weeks. 2026-01-12 is a Monday
CREATE TEMP TABLE w (who text, id uuid, goal uuid);
INSERT INTO w SELECT 'a', pg_temp.user('wa@x.example', 'Europe/Berlin', 'de');
INSERT INTO w SELECT 'b', pg_temp.user('wb@x.example', 'America/New_York', 'en');
INSERT INTO w SELECT 'c', pg_temp.user('wc@x.example', 'Europe/Berlin', 'fr');
UPDATE w SET goal = pg_temp.goal(id);
UPDATE public.users SET email_verified = true, created_at = '2025-06-01' WHERE id IN (SELECT id FROM w);
UPDATE public.goals SET created_at = '2025-06-01' WHERE id IN (SELECT goal FROM w);
INSERT INTO public.checkins (user_id, goal_id, date, status) SELECT id, goal, d::date, 'done' FROM w, unnest(ARRAY['2026-01-05', '2026-01-07', '2026-01-10', '2026-01-11']) d WHERE who IN ('a', 'b');
INSERT INTO public.checkins (user_id, goal_id, date, status) SELECT id, goal, '2026-01-08', 'missed' FROM w WHERE who IN ('a', 'b');
INSERT INTO public.checkins (user_id, goal_id, date, status) SELECT id, goal, '2026-01-04', 'done' FROM w WHERE who = 'a';

CREATE TEMP TABLE j AS SELECT pool.week_json(id, '2026-01-05', '2026-01-12')::jsonb AS j FROM w WHERE who = 'a';
SELECT is((SELECT j ->> 'week' FROM j), '2026-W02', 'a week');
SELECT is((SELECT array[j ->> 'checkins', j ->> 'done', j ->> 'missed', j ->> 'active_days', j ->> 'streak', j ->> 'completion_rate'] FROM j), '{5,4,1,4,2,1.0000}', 'adds up');
SELECT is((SELECT j #>> '{goals,0,rate}' FROM j), '1', 'a goal is met at most');
SELECT is((SELECT jsonb_array_length(j -> 'days') FROM j), 7, 'has seven days');
SELECT is((SELECT j #>> '{days,0,date}' FROM j), '2026-01-05', 'from Monday');
SELECT is((SELECT current FROM pool.day_streaks((SELECT id FROM w WHERE who = 'a'), '2026-01-12', false)), 2, 'a day that is not over breaks no streak');
SELECT is((SELECT current FROM pool.day_streaks((SELECT id FROM w WHERE who = 'a'), '2026-01-12', true)), 0, 'one that is does');
SELECT is((SELECT longest FROM pool.day_streaks((SELECT id FROM w WHERE who = 'a'), '2026-01-05', false)), 2, 'the longest');
SELECT is((SELECT current FROM pool.day_streaks((SELECT id FROM w WHERE who = 'c'), '2026-01-05', false)), 0, 'none');

CREATE FUNCTION pg_temp.weekly(p_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE r jsonb;
BEGIN
    PERFORM pool.enter(NULL);
    SET LOCAL ROLE fitnudge_clock;
    r := pool.cron_weekly(p_now, '{}');
    RESET ROLE;
    RETURN r -> 'count';
END
$$;
SELECT is(pg_temp.weekly('2026-01-11T22:59:00Z'), '{"users":0,"sent":0,"mails":0}', 'not on Sunday');
SELECT is(pg_temp.weekly('2026-01-12T06:59:00Z') ->> 'sent', '0', 'nor before eight');
SELECT is(pg_temp.weekly('2026-01-12T07:00:00Z') - 'users', '{"sent":1,"mails":1}', 'on Monday at eight in Berlin');
SELECT is((SELECT sent FROM public.weekly_summaries WHERE user_id = (SELECT id FROM w WHERE who = 'c')), false, 'not to whom there is nothing to tell');
SELECT is(pg_temp.weekly('2026-01-12T08:00:00Z') ->> 'sent', '0', 'once');
SELECT is(pg_temp.weekly('2026-01-12T13:00:00Z') ->> 'sent', '1', 'on Monday at eight in New York');
SELECT is((SELECT request #>> '{body,title}' FROM public.outbox WHERE key LIKE 'week:%:push' AND user_id = (SELECT id FROM w WHERE who = 'a')), 'Deine Woche', 'in the language of the user');
SELECT is((SELECT request #>> '{body,body}' FROM public.outbox WHERE key LIKE 'week:%:push' AND user_id = (SELECT id FROM w WHERE who = 'b')), '4 check-ins, streak: 2 days', 'with figures');
SELECT is((SELECT request #> '{body,vars}' FROM public.outbox WHERE key LIKE 'week:%:mail' AND user_id = (SELECT id FROM w WHERE who = 'a')),
    '{"week_start":"2026-01-05","week_end":"2026-01-11","checkins":4,"streak":2,"completion_rate":100,"app_url":"https://fitnudge.app"}', 'and a mail');
SELECT is((SELECT (body).body FROM (SELECT pool.weekly_words('en', 1, 1) AS body) x), '1 check-in, streak: 1 day', 'one is one');
SELECT is((SELECT (body).body FROM (SELECT pool.weekly_words('fr', 0, 0) AS body) x), '0 point, série : 0 jour', 'none is one in French');

SELECT set_config('request.user_id', (SELECT id::text FROM w WHERE who = 'a'), true);
SELECT is((api.stats_weekly((SELECT id FROM w WHERE who = 'a'), '2026-W02'))::json ->> 'done', '4', 'the week as a read');
SELECT is((api.stats_me((SELECT id FROM w WHERE who = 'a')))::json #>> '{totals,done}', '5', 'and all of it');
SELECT is((api.stats_me((SELECT id FROM w WHERE who = 'a')))::json #>> '{streak,longest}', '2', 'with streaks');
SELECT is((api.stats_me((SELECT id FROM w WHERE who = 'b'))), NULL, 'nobody else''s');
SELECT throws_ok($$ SELECT api.stats_weekly((SELECT id FROM w WHERE who = 'a'), '2025-W53') $$, 'FN400', 'week', 'a week that the year has not');
SELECT throws_ok($$ SELECT api.stats_weekly((SELECT id FROM w WHERE who = 'a'), '9999-W01') $$, 'FN400', 'week', 'a week to come');

SELECT * FROM finish();
ROLLBACK;
