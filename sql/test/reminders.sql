-- Reminders: a year of every zone's oddities, with the clock as a parameter.
BEGIN;
SELECT plan(33);

INSERT INTO public.users (email, name, timezone) VALUES ('r@x.example', 'R', 'Europe/Berlin');
INSERT INTO public.goals (user_id, title, frequency) SELECT id, 'Run', 3 FROM public.users WHERE email = 'r@x.example';
CREATE TEMP TABLE g AS SELECT g.id AS goal, g.user_id AS u FROM public.goals g JOIN public.users u ON u.id = g.user_id WHERE u.email = 'r@x.example';
GRANT SELECT ON g TO PUBLIC;

-- what a run of the clock does at p_now
CREATE FUNCTION pg_temp.tick(p_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE r jsonb;
BEGIN
    PERFORM pool.enter(NULL);
    SET LOCAL ROLE fitnudge_clock;
    r := pool.cron_reminders(p_now, '{}');
    RESET ROLE;
    RETURN r -> 'count';
END
$$;

CREATE FUNCTION pg_temp.next(p_time time, p_zone text, p_after timestamptz, p_days int DEFAULT 127, p_last date DEFAULT NULL) RETURNS text LANGUAGE sql
RETURN (SELECT pool.rfc3339(n.at) || ' ' || n.date FROM pool.reminder_next(p_time, p_days, p_zone, p_after, p_last) n);

SELECT is(pg_temp.next('08:00', 'Europe/Berlin', '2026-01-15T06:00:00Z'), '2026-01-15T07:00:00Z 2026-01-15', 'later today');
SELECT is(pg_temp.next('08:00', 'Europe/Berlin', '2026-01-15T07:00:00Z'), '2026-01-16T07:00:00Z 2026-01-16', 'not now, tomorrow');
SELECT is(pg_temp.next('08:00', 'Europe/Berlin', '2026-01-15T06:00:00Z', 127, '2026-01-15'), '2026-01-16T07:00:00Z 2026-01-16', 'today is over');
SELECT is(pg_temp.next('08:00', 'Europe/Berlin', '2026-01-15T06:00:00Z', 1), '2026-01-18T07:00:00Z 2026-01-18', 'on Sunday');
SELECT is(pg_temp.next('02:30', 'Europe/Berlin', '2026-03-28T12:00:00Z'), '2026-03-29T01:30:00Z 2026-03-29', 'a time that is skipped is an hour later');
SELECT is(pg_temp.next('02:30', 'Europe/Berlin', '2026-10-24T12:00:00Z'), '2026-10-25T01:30:00Z 2026-10-25', 'one that comes twice comes once');
SELECT is(pg_temp.next('02:30', 'Europe/Berlin', '2026-10-25T00:45:00Z', 127, '2026-10-25'), '2026-10-26T01:30:00Z 2026-10-26', 'and not again');
SELECT is(pg_temp.next('08:00', 'Pacific/Apia', '2011-12-29T18:00:00Z'), '2011-12-30T18:00:00Z 2011-12-31', 'a day that Samoa has skipped is none');
SELECT is(pg_temp.next('08:00', 'Pacific/Apia', '2011-12-01T18:00:00Z', 1 << 5, '2011-12-23'), '2012-01-05T18:00:00Z 2012-01-06', 'not even a Friday');
SELECT is(pg_temp.next('12:00', 'Pacific/Kiritimati', '1994-12-30T22:00:00Z'), '1994-12-31T22:00:00Z 1995-01-01', 'nor one of Kiribati');
SELECT is(pg_temp.next('02:15', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z'), '2026-10-03T15:45:00Z 2026-10-04', 'half an hour is skipped, too');

-- a year of it
CREATE TEMP TABLE zones AS SELECT unnest(ARRAY['Australia/Lord_Howe', 'Pacific/Apia', 'Pacific/Kiritimati', 'Africa/Casablanca', 'America/St_Johns', 'Europe/Berlin',
    'America/New_York', 'America/Santiago', 'Asia/Tehran', 'Asia/Kathmandu', 'America/Havana', 'Pacific/Chatham']) AS tz;
INSERT INTO public.reminders (user_id, goal_id, local_time, days, tz, follows)
SELECT u, goal, t::time, CASE t WHEN '02:15' THEN 2 + 8 + 32 ELSE 127 END, z.tz, false FROM g, zones z, unnest(ARRAY['00:00', '02:15', '23:40']) t;
UPDATE public.reminders r SET (next_at, next_date) = (SELECT n.at, n.date FROM pool.reminder_next(r.local_time, r.days, r.tz, '2011-01-01T12:00:00Z', NULL) n);

ALTER TABLE public.reminders DISABLE TRIGGER note_change;
CREATE FUNCTION pg_temp.year() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := '2011-01-01T12:00:00Z';
    v_due timestamptz;
    v_sent bigint := 0;
BEGIN
    PERFORM setseed(0.25);
    LOOP
        SELECT min(next_at) INTO v_due FROM public.reminders;
        v_now := greatest(v_now, v_due) + random() * interval '85 minutes';
        EXIT WHEN v_now > '2012-01-08T12:00:00Z';
        v_sent := v_sent + (pg_temp.tick(v_now) ->> 'sent')::int;
    END LOOP;
    RETURN v_sent;
END
$$;
CREATE TEMP TABLE n AS SELECT pg_temp.year() AS n;
CREATE TEMP TABLE sent AS SELECT split_part(key, ':', 2)::uuid AS id, split_part(key, ':', 3)::date AS date, run_at AS at FROM public.outbox WHERE key LIKE 'rem:%';
ALTER TABLE public.reminders ENABLE TRIGGER note_change;

CREATE TEMP TABLE expected AS
SELECT r.id, d.date FROM public.reminders r, LATERAL (
    -- local dates of every half hour of the year are the dates that were
    SELECT DISTINCT (t AT TIME ZONE r.tz)::date AS date FROM generate_series('2011-01-03T00:00:00Z'::timestamptz, '2012-01-05T00:00:00Z', interval '30 minutes') t) d
WHERE d.date BETWEEN '2011-01-05' AND '2012-01-03' AND (r.days >> extract(dow FROM d.date)::int) & 1 = 1;

SELECT cmp_ok((SELECT count(*) FROM sent), '>', 9000::bigint, 'thousands were sent');
SELECT is((SELECT n FROM n), (SELECT count(*) FROM sent), 'none twice on a local date');
SELECT is_empty($$ SELECT r.tz, r.local_time, e.date FROM expected e JOIN public.reminders r USING (id) EXCEPT SELECT r.tz, r.local_time, s.date FROM sent s JOIN public.reminders r USING (id) $$, 'none missing');
SELECT is_empty($$ SELECT r.tz, r.local_time, s.date FROM sent s JOIN public.reminders r USING (id) WHERE s.date BETWEEN '2011-01-05' AND '2012-01-03'
    EXCEPT SELECT r.tz, r.local_time, e.date FROM expected e JOIN public.reminders r USING (id) $$, 'none on a day that was not, or was not asked for');
SELECT is_empty($$ SELECT r.tz, r.local_time, s.date FROM sent s JOIN public.reminders r USING (id)
    WHERE s.at NOT BETWEEN ((s.date + r.local_time) AT TIME ZONE r.tz) AND ((s.date + r.local_time) AT TIME ZONE r.tz) + interval '2 hours 1 minute' $$, 'all at their local time');

-- late ones, idle ones
DELETE FROM public.reminders;
INSERT INTO public.reminders (user_id, goal_id, local_time, tz, follows) SELECT u, goal, '08:00', 'UTC', false FROM g;
CREATE FUNCTION pg_temp.due(p_at timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE public.reminders SET next_at = p_at, next_date = (p_at AT TIME ZONE tz)::date $$;
SELECT pg_temp.due('2026-01-15T08:00:00Z');
SELECT is(pg_temp.tick('2026-01-15T07:59:59Z'), '{"sent":0,"late":0,"idle":0}', 'not before its time');
SELECT is(pg_temp.tick('2026-01-15T10:00:01Z'), '{"sent":0,"late":1,"idle":0}', 'more than two hours late: left out');
SELECT is((SELECT pool.rfc3339(next_at) FROM public.reminders), '2026-01-16T08:00:00Z', 'until the next day');
SELECT is(pg_temp.tick('2026-01-16T10:00:00Z'), '{"sent":1,"late":0,"idle":0}', 'two hours late: sent');
SELECT is(pg_temp.tick('2026-01-16T10:00:00Z'), '{"sent":0,"late":0,"idle":0}', 'once');
SELECT pg_temp.due('2026-01-16T08:00:00Z');
SELECT is(pg_temp.tick('2026-01-16T10:00:00Z') ->> 'sent', '1', 'if somebody turned the row back');
SELECT is((SELECT count(*) FROM public.outbox WHERE key LIKE 'rem:%:2026-01-16'), 1::bigint, 'its key would still be one job');
SELECT pg_temp.due('2026-01-12T08:00:00Z');
SELECT is(pg_temp.tick('2026-01-17T09:00:00Z'), '{"sent":0,"late":1,"idle":0}', 'days without a clock');
SELECT is(pg_temp.tick('2026-01-17T09:00:00Z'), '{"sent":1,"late":0,"idle":0}', 'are one reminder, of today');
SELECT ok((SELECT run_at BETWEEN '2026-01-17T09:00:00Z' AND '2026-01-17T09:00:50Z' FROM public.outbox WHERE key LIKE 'rem:%:2026-01-17'), 'within the minute');
SELECT is((SELECT request -> 'body' FROM public.outbox WHERE key LIKE 'rem:%:2026-01-17'),
    (SELECT jsonb_build_object('title', 'Time for: Run', 'body', 'One small step is enough. Tap for a message made for you.', 'sound', true,
        'data', jsonb_build_object('goal_id', goal, 'reminder_id', r.id, 'action', 'generate')) FROM g, public.reminders r), 'what it says');
SELECT is((SELECT count(DISTINCT t.title) FROM unnest(ARRAY['en', 'es', 'fr', 'de', 'ar', 'he']) l, pool.reminder_words(l, 'x') t), 6::bigint, 'in six languages');
UPDATE public.goals SET is_active = false WHERE id = (SELECT goal FROM g);
SELECT is(pg_temp.tick('2026-01-18T09:00:00Z'), '{"sent":0,"late":0,"idle":1}', 'not for a goal of the past');

-- the profile's time zone
UPDATE public.reminders SET follows = true, tz = 'Europe/Berlin', last_date = NULL;
UPDATE public.users SET timezone = 'America/New_York' WHERE id = (SELECT u FROM g);
SELECT is((SELECT tz || ' ' || version FROM public.reminders), 'America/New_York 2', 'is followed');
SELECT is((SELECT (next_at AT TIME ZONE tz)::time FROM public.reminders), '08:00', 'at the same hour there');
UPDATE public.reminders SET follows = false;
UPDATE public.users SET timezone = 'Asia/Tokyo' WHERE id = (SELECT u FROM g);
SELECT is((SELECT tz FROM public.reminders), 'America/New_York', 'unless it was given');
UPDATE public.reminders SET is_active = false;
SELECT is((SELECT next_at FROM public.reminders), NULL, 'an inactive one is never due');

SELECT * FROM finish();
ROLLBACK;
