-- Deploy fitnudge:weekly to pg
-- What a person has done: streaks, totals, weeks; and the summary of each week. Weeks are ISO weeks of the user's time zone.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- Which weeks were summed up for whom: each once.
CREATE TABLE public.weekly_summaries (
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    week        date        NOT NULL CHECK (extract(isodow FROM week) = 1),
    sent        boolean     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, week)
);

COMMENT ON COLUMN public.weekly_summaries.sent IS 'false: there was nothing to tell';

CREATE INDEX idx_weekly_summaries_week ON public.weekly_summaries USING brin (week);
CREATE INDEX idx_users_timezone ON public.users (timezone, id);

ALTER TABLE public.weekly_summaries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.weekly_summaries FOR SELECT TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.weekly_summaries TO fitnudge_clock USING (true) WITH CHECK (true);
GRANT SELECT ON public.weekly_summaries TO fitnudge_api;
GRANT SELECT, INSERT, DELETE ON public.weekly_summaries TO fitnudge_clock;
GRANT SELECT ON public.timezones TO fitnudge_clock;

INSERT INTO public.retention (name, place, relation, "column", keep) VALUES ('weekly_summaries', 62, 'weekly_summaries', 'week', '2 years');

RESET ROLE;

-- Days in a row with something done: the run that reaches p_until (or the day before, while p_until is not over), and the longest.
CREATE FUNCTION pool.day_streaks(p_user uuid, p_until date, p_over boolean, OUT current int, OUT longest int)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    WITH runs AS (
        SELECT max(d.date) AS last, count(*)::int AS length
        FROM (SELECT c.date, c.date - (row_number() OVER (ORDER BY c.date))::int AS run
              FROM (SELECT DISTINCT x.date FROM public.checkins x
                    WHERE x.user_id = p_user AND x.status = 'done' AND x.date <= p_until) c) d
        GROUP BY d.run
    )
    SELECT coalesce(max(r.length) FILTER (WHERE r.last >= p_until - CASE WHEN p_over THEN 0 ELSE 1 END), 0), coalesce(max(r.length), 0)
    INTO current, longest FROM runs r;
END
$$;

-- One week of one person. The goals are those that were pursued or checked in for in it.
CREATE FUNCTION pool.week_json(p_user uuid, p_start date, p_today date) RETURNS json
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_end date := p_start + 6;
    v_until date := least(p_start + 6, p_today);
    v_tz text := (SELECT u.timezone FROM public.users u WHERE u.id = p_user);
    v_goals json;
    v_rate numeric;
    t record;
BEGIN
    SELECT count(*) AS checkins, count(*) FILTER (WHERE c.status = 'done') AS done, count(*) FILTER (WHERE c.status = 'skipped') AS skipped,
           count(*) FILTER (WHERE c.status = 'missed') AS missed, count(DISTINCT c.date) FILTER (WHERE c.status = 'done') AS active_days
    INTO t FROM public.checkins c WHERE c.user_id = p_user AND c.date BETWEEN p_start AND v_end;

    SELECT json_agg(row_to_json(x) ORDER BY x.title, x.goal_id), round(sum(least(x.done, x.target))::numeric / nullif(sum(x.target), 0), 4)
    INTO v_goals, v_rate
    FROM (SELECT g.id AS goal_id, g.title, n.done, g.frequency AS target, least(1, round(n.done::numeric / g.frequency, 4)) AS rate
          FROM public.goals g,
               LATERAL (SELECT count(*) AS checkins, count(*) FILTER (WHERE c.status = 'done') AS done FROM public.checkins c
                        WHERE c.goal_id = g.id AND c.user_id = p_user AND c.date BETWEEN p_start AND v_end) n
          WHERE g.user_id = p_user
            AND (n.checkins > 0 OR (g.is_active AND (g.created_at AT TIME ZONE v_tz)::date <= v_end))) x;

    RETURN (SELECT row_to_json(y) FROM (SELECT to_char(p_start, 'IYYY-"W"IW') AS week, p_start AS week_start, v_end AS week_end,
        t.checkins, t.done, t.skipped, t.missed, t.active_days,
        (SELECT s.current FROM pool.day_streaks(p_user, v_until, v_until < p_today) s) AS streak,
        coalesce(v_rate, 0) AS completion_rate,
        (SELECT json_agg(row_to_json(d) ORDER BY d.date)
         FROM (SELECT p_start + i AS date, count(c.id) AS done
               FROM generate_series(0, 6) i
               LEFT JOIN public.checkins c ON c.user_id = p_user AND c.status = 'done' AND c.date = p_start + i
                                          AND c.date BETWEEN p_start AND v_end
               GROUP BY i) d) AS days,
        coalesce(v_goals, '[]') AS goals) y);
END
$$;

CREATE FUNCTION api.stats_me(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_tz text;
    v_today date;
    c record;
BEGIN
    SELECT u.timezone, (now() AT TIME ZONE u.timezone)::date INTO v_tz, v_today FROM public.users u WHERE u.id = p_user;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    SELECT count(*) AS n, count(*) FILTER (WHERE x.status = 'done') AS done, count(*) FILTER (WHERE x.status = 'skipped') AS skipped,
           count(*) FILTER (WHERE x.status = 'missed') AS missed, count(DISTINCT x.date) FILTER (WHERE x.status = 'done') AS days,
           count(DISTINCT x.date) FILTER (WHERE x.status = 'done' AND x.date > v_today - 7) AS days_7,
           count(DISTINCT x.date) FILTER (WHERE x.status = 'done' AND x.date > v_today - 30) AS days_30, max(x.date) AS last
    INTO c FROM public.checkins x WHERE x.user_id = p_user AND x.date <= v_today;

    RETURN (SELECT row_to_json(y)::text FROM (SELECT v_tz AS timezone, v_today AS date,
        (SELECT row_to_json(s) FROM pool.day_streaks(p_user, v_today, false) s) AS streak,
        (SELECT row_to_json(z) FROM (SELECT
            (SELECT count(*) FROM public.goals g WHERE g.user_id = p_user) AS goals,
            (SELECT count(*) FROM public.goals g WHERE g.user_id = p_user AND g.is_active) AS active_goals,
            c.n AS checkins, c.done, c.skipped, c.missed, c.days AS active_days,
            (SELECT count(*) FROM public.motivations m WHERE m.user_id = p_user) AS motivations) z) AS totals,
        (SELECT row_to_json(z) FROM (SELECT c.days_7 AS active_days_7, c.days_30 AS active_days_30, round(c.days_30 / 30.0, 4) AS rate_30,
            (SELECT count(*) FROM public.motivations m WHERE m.user_id = p_user AND m.created_at > now() - interval '30 days') AS motivations_30,
            c.last AS last_checkin) z) AS engagement) y);
END
$$;

CREATE FUNCTION api.stats_weekly(p_user uuid, p_week text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_today date;
    v_start date;
BEGIN
    SELECT (now() AT TIME ZONE u.timezone)::date INTO v_today FROM public.users u WHERE u.id = p_user;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    v_start := coalesce(to_date(p_week, 'IYYY-"W"IW'), date_trunc('week', v_today)::date);
    IF to_char(v_start, 'IYYY-"W"IW') <> p_week THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'week', DETAIL = 'format';
    ELSIF v_start > v_today THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'week', DETAIL = 'max';
    END IF;

    RETURN pool.week_json(p_user, v_start, v_today)::text;
END
$$;

-- A number and its noun; all four of them say one of 1, French of 0 too.
CREATE FUNCTION pool.counted(p_language text, n bigint, p_one text, p_many text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN n || ' ' || CASE WHEN n = 1 OR (n = 0 AND p_language = 'fr') THEN p_one ELSE p_many END;

CREATE FUNCTION pool.weekly_words(p_language text, p_done bigint, p_streak bigint, OUT title text, OUT body text)
LANGUAGE sql IMMUTABLE
RETURN CASE p_language
    WHEN 'es' THEN ROW('Tu semana'::text, pool.counted('es', p_done, 'registro', 'registros') || ', racha: ' || pool.counted('es', p_streak, 'día', 'días'))
    WHEN 'fr' THEN ROW('Ta semaine'::text, pool.counted('fr', p_done, 'point', 'points') || ', série : ' || pool.counted('fr', p_streak, 'jour', 'jours'))
    WHEN 'de' THEN ROW('Deine Woche'::text, pool.counted('de', p_done, 'Check-in', 'Check-ins') || ', Serie: ' || pool.counted('de', p_streak, 'Tag', 'Tage'))
    -- a colon spares them their many plurals
    WHEN 'ar' THEN ROW('أسبوعك'::text, 'التسجيلات: ' || p_done || '، السلسلة بالأيام: ' || p_streak)
    WHEN 'he' THEN ROW('השבוע שלך'::text, 'דיווחים: ' || p_done || ', רצף בימים: ' || p_streak)
    ELSE ROW('Your week'::text, pool.counted('en', p_done, 'check-in', 'check-ins') || ', streak: ' || pool.counted('en', p_streak, 'day', 'days')) END;

-- Where links of mails lead: ALTER DATABASE ... SET fitnudge.app_url.
CREATE FUNCTION pool.app_url() RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('fitnudge.app_url', true), ''), 'https://fitnudge.app');

-- Summaries of the week that is over: wherever it is Monday between 8 and 20 o'clock, for everybody who has none yet. Somebody who has
-- not checked in for four weeks is left in peace. Mails go to addresses that are known to be theirs.
CREATE FUNCTION pool.cron_weekly(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT int := 20;
    v_zones text[] := ARRAY(SELECT t.name FROM public.timezones t
                            WHERE extract(isodow FROM p_now AT TIME ZONE t.name) = 1
                              AND extract(hour FROM p_now AT TIME ZONE t.name) BETWEEN 8 AND 19);
    v_after uuid := coalesce(p_state ->> 'after', '00000000-0000-0000-0000-000000000000')::uuid;
    v_taken int := 0;
    v_sent int := 0;
    v_mails int := 0;
    v_told boolean;
    u record;
    j json;
    w record;
BEGIN
    FOR u IN SELECT x.id, x.email, x.name, x.language, x.email_verified, (p_now AT TIME ZONE x.timezone)::date - 7 AS week
             FROM public.users x
             WHERE x.timezone = ANY (v_zones) AND x.id > v_after AND x.is_visible
               AND x.created_at < (p_now AT TIME ZONE x.timezone)::date::timestamp AT TIME ZONE x.timezone
               AND NOT EXISTS (SELECT FROM public.weekly_summaries s
                               WHERE s.user_id = x.id AND s.week = (p_now AT TIME ZONE x.timezone)::date - 7)
             ORDER BY x.id LIMIT c_batch LOOP
        v_taken := v_taken + 1;
        v_after := u.id;
        v_told := EXISTS (SELECT FROM public.checkins c WHERE c.user_id = u.id AND c.date BETWEEN u.week - 21 AND u.week + 6);

        -- whoever comes second waits for the first here, and finds the row
        INSERT INTO public.weekly_summaries (user_id, week, sent) VALUES (u.id, u.week, v_told) ON CONFLICT DO NOTHING;
        CONTINUE WHEN NOT FOUND OR NOT v_told;

        v_sent := v_sent + 1;
        j := pool.week_json(u.id, u.week, u.week + 7);
        SELECT t.title, t.body INTO w FROM pool.weekly_words(u.language, (j ->> 'done')::bigint, (j ->> 'streak')::bigint) t;

        PERFORM pool.follow_once('push.send', u.id, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb,
            'body', jsonb_build_object('title', w.title, 'body', w.body, 'sound', false,
                'data', jsonb_build_object('action', 'weekly', 'week', j ->> 'week'))), 'week:' || u.id || ':' || u.week || ':push');

        IF u.email_verified THEN
            v_mails := v_mails + 1;
            PERFORM pool.follow_once('mail.send', u.id, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb,
                'body', jsonb_build_object('template', 'weekly_summary', 'to', u.email, 'name', u.name, 'language', u.language,
                    'vars', jsonb_build_object('week_start', u.week, 'week_end', u.week + 6, 'checkins', (j ->> 'done')::int,
                        'streak', (j ->> 'streak')::int, 'completion_rate', round((j ->> 'completion_rate')::numeric * 100)::int,
                        'app_url', pool.app_url()))), 'week:' || u.id || ':' || u.week || ':mail');
        END IF;
    END LOOP;

    RETURN jsonb_build_object('more', v_taken = c_batch, 'state', jsonb_build_object('after', v_after),
        'count', jsonb_build_object('users', v_taken, 'sent', v_sent, 'mails', v_mails));
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
ALTER FUNCTION api.stats_me(uuid) OWNER TO fitnudge_api;
ALTER FUNCTION api.stats_weekly(uuid, text) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;

GRANT EXECUTE ON FUNCTION pool.day_streaks(uuid, date, boolean), pool.week_json(uuid, date, date) TO fitnudge_api, fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.counted(text, bigint, text, text), pool.weekly_words(text, bigint, bigint), pool.app_url(),
    pool.cron_weekly(timestamptz, jsonb) TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION api.stats_me(uuid), api.stats_weekly(uuid, text) TO fitnudge_edge;

COMMIT;
