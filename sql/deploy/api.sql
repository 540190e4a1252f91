-- What the edge reads: finished JSON for the user of the transaction, NULL for what is not theirs.
BEGIN;

CREATE FUNCTION api.ping() RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN 'pong';
END
$$;

CREATE FUNCTION api.users_me(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    -- all but the password's hash, which this role may not read
    RETURN (SELECT pool.profile_json(ROW(u.id, u.email, NULL, u.name, u.username, u.bio, u.avatar_url, u.language, u.timezone,
                   u.country, u.birth_date, u.tone, u.plan, u.role, u.email_verified, u.version, u.created_at,
                   u.updated_at)::public.users)::text
            FROM public.users u WHERE u.id = p_user);
END
$$;

CREATE FUNCTION api.sessions_list(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT json_build_object('sessions', coalesce(json_agg(json_build_object(
                'id', s.id, 'user_agent', s.user_agent, 'ip', s.ip,
                'created_at', pool.rfc3339(s.created_at), 'last_used_at', pool.rfc3339(s.last_used_at),
                'expires_at', pool.rfc3339(s.expires_at)) ORDER BY s.last_used_at DESC, s.id), '[]'))::text
            FROM public.sessions s
            WHERE s.user_id = p_user AND s.expires_at > now());
END
$$;

-- The list is put together as text: no JSON value is built and printed twice.
CREATE FUNCTION api.goals_list(p_user uuid, p_is_active boolean, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_goals text;
    v_total bigint;
BEGIN
    SELECT string_agg(json_build_object('id', g.id, 'title', g.title, 'description', g.description, 'category', g.category,
               'frequency', g.frequency, 'is_active', g.is_active, 'version', g.version,
               'created_at', pool.rfc3339(g.created_at), 'updated_at', pool.rfc3339(g.updated_at))::text, ','),
           max(g.total)
    INTO v_goals, v_total
    FROM (SELECT x.*, count(*) OVER () AS total FROM public.goals x
          WHERE x.user_id = p_user AND (p_is_active IS NULL OR x.is_active = p_is_active)
          ORDER BY x.created_at DESC, x.id DESC
          LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit) g;

    IF v_total IS NULL THEN     -- an empty page tells nothing of the total
        SELECT count(*) INTO v_total FROM public.goals x
        WHERE x.user_id = p_user AND (p_is_active IS NULL OR x.is_active = p_is_active);
    END IF;

    RETURN concat('{"goals":[', v_goals, '],"pagination":{"page":', p_page, ',"limit":', p_limit, ',"total":', v_total, '}}');
END
$$;

CREATE FUNCTION api.goals_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT pool.goal_json(g)::text FROM public.goals g WHERE g.id = p_id AND g.user_id = p_user);
END
$$;

-- One page of check-ins; p_goal NULL: of all goals. A cursor is "<date> <id>" of the last row before.
CREATE FUNCTION pool.checkins_page(p_user uuid, p_goal uuid, p_from date, p_to date, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_cursor text := pool.cursor_decode(p_cursor);
    v_date date := coalesce(split_part(v_cursor, ' ', 1), '9999-12-31')::date;
    v_id uuid := coalesce(split_part(v_cursor, ' ', 2), 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid;
    v_rows public.checkins[];
    v_more boolean;
BEGIN
    IF p_goal IS NULL THEN
        v_rows := ARRAY(SELECT c FROM public.checkins c
                        WHERE c.user_id = p_user AND (c.date, c.id) < (v_date, v_id)
                          AND (p_from IS NULL OR c.date >= p_from) AND (p_to IS NULL OR c.date <= p_to)
                        ORDER BY c.date DESC, c.id DESC LIMIT p_limit + 1);
    ELSE
        v_rows := ARRAY(SELECT c FROM public.checkins c
                        WHERE c.goal_id = p_goal AND c.user_id = p_user AND (c.date, c.id) < (v_date, v_id)
                          AND (p_from IS NULL OR c.date >= p_from) AND (p_to IS NULL OR c.date <= p_to)
                        ORDER BY c.date DESC, c.id DESC LIMIT p_limit + 1);
    END IF;

    v_more := coalesce(array_length(v_rows, 1), 0) > p_limit;
    v_rows := v_rows[1:p_limit];

    RETURN json_build_object(
        'checkins', coalesce((SELECT json_agg(pool.checkin_json(c)) FROM unnest(v_rows) AS c), '[]'),
        'pagination', json_build_object('limit', p_limit, 'next_cursor',
            CASE WHEN v_more THEN pool.cursor_encode((v_rows[p_limit]).date || ' ' || (v_rows[p_limit]).id) END))::text;
END
$$;

CREATE FUNCTION api.goals_checkins(p_user uuid, p_goal uuid, p_from date, p_to date, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.goals g WHERE g.id = p_goal AND g.user_id = p_user) THEN
        RETURN NULL;
    END IF;
    RETURN pool.checkins_page(p_user, p_goal, p_from, p_to, p_cursor, p_limit);
END
$$;

CREATE FUNCTION api.checkins_list(p_user uuid, p_from date, p_to date, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.checkins_page(p_user, NULL, p_from, p_to, p_cursor, p_limit);
END
$$;

-- A cursor is "<created_at> <id>", the time by the microsecond.
CREATE FUNCTION api.motivations_list(p_user uuid, p_goal uuid, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_cursor text := pool.cursor_decode(p_cursor);
    v_at timestamptz := coalesce(split_part(v_cursor, ' ', 1), 'infinity')::timestamptz;
    v_id uuid := coalesce(split_part(v_cursor, ' ', 2), 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid;
    v_rows public.motivations[];
    v_more boolean;
BEGIN
    IF p_goal IS NULL THEN
        v_rows := ARRAY(SELECT m FROM public.motivations m
                        WHERE m.user_id = p_user AND (m.created_at, m.id) < (v_at, v_id)
                        ORDER BY m.created_at DESC, m.id DESC LIMIT p_limit + 1);
    ELSE
        v_rows := ARRAY(SELECT m FROM public.motivations m
                        WHERE m.goal_id = p_goal AND m.user_id = p_user AND (m.created_at, m.id) < (v_at, v_id)
                        ORDER BY m.created_at DESC, m.id DESC LIMIT p_limit + 1);
    END IF;

    v_more := coalesce(array_length(v_rows, 1), 0) > p_limit;
    v_rows := v_rows[1:p_limit];

    RETURN json_build_object(
        'motivations', coalesce((SELECT json_agg(pool.motivation_json(m)) FROM unnest(v_rows) AS m), '[]'),
        'pagination', json_build_object('limit', p_limit, 'next_cursor',
            CASE WHEN v_more THEN pool.cursor_encode(
                to_char((v_rows[p_limit]).created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' ' || (v_rows[p_limit]).id) END))::text;
END
$$;

CREATE FUNCTION api.motivations_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT pool.motivation_json(m)::text FROM public.motivations m WHERE m.id = p_id AND m.user_id = p_user);
END
$$;

-- Streaks, totals and the last twelve ISO weeks of the user's time zone.
-- With a frequency of 7 a streak counts days, otherwise weeks in which the goal was met; the running day or week does
-- not break it while it may still be met.
CREATE FUNCTION api.goals_stats(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    g public.goals;
    v_today date;
    v_start date;
    v_unit text;
    v_step int;
    v_now date;
    v_current int;
    v_longest int;
    v_total bigint;
    v_done bigint;
    v_skipped bigint;
    v_missed bigint;
    v_expected numeric;
    v_weekly json;
BEGIN
    SELECT x.* INTO g FROM public.goals x WHERE x.id = p_id AND x.user_id = p_user;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    SELECT (now() AT TIME ZONE u.timezone)::date, (g.created_at AT TIME ZONE u.timezone)::date
    INTO v_today, v_start FROM public.users u WHERE u.id = p_user;

    SELECT count(*), count(*) FILTER (WHERE status = 'done'), count(*) FILTER (WHERE status = 'skipped'),
           count(*) FILTER (WHERE status = 'missed'), least(v_start, min(date))
    INTO v_total, v_done, v_skipped, v_missed, v_start
    FROM public.checkins c WHERE c.goal_id = p_id AND c.user_id = p_user;

    v_unit := CASE WHEN g.frequency = 7 THEN 'days' ELSE 'weeks' END;
    v_step := CASE WHEN g.frequency = 7 THEN 1 ELSE 7 END;
    v_now := CASE WHEN g.frequency = 7 THEN v_today ELSE date_trunc('week', v_today)::date END;

    WITH met AS (       -- first days of the periods in which the goal was met
        SELECT CASE WHEN g.frequency = 7 THEN c.date ELSE date_trunc('week', c.date)::date END AS period
        FROM public.checkins c
        WHERE c.goal_id = p_id AND c.user_id = p_user AND c.status = 'done' AND c.date <= v_today
        GROUP BY 1
        HAVING count(*) >= CASE WHEN g.frequency = 7 THEN 1 ELSE g.frequency END
    ), runs AS (        -- consecutive ones share period - rank
        SELECT max(period) AS last, count(*)::int AS length
        FROM (SELECT period, period - v_step * (row_number() OVER (ORDER BY period))::int AS run FROM met) m
        GROUP BY run
    )
    SELECT coalesce(max(length) FILTER (WHERE last >= v_now - v_step), 0), coalesce(max(length), 0)
    INTO v_current, v_longest FROM runs;

    v_expected := greatest(1, round((v_today - v_start + 1) * g.frequency / 7.0));

    SELECT json_agg(json_build_object('week_start', w.start, 'done', w.done, 'target', g.frequency,
                    'rate', least(1, round(w.done::numeric / g.frequency, 4))) ORDER BY w.start)
    INTO v_weekly
    FROM (SELECT s::date AS start, count(c.id) AS done
          FROM generate_series(date_trunc('week', v_today) - interval '11 weeks', date_trunc('week', v_today), interval '1 week') s
          LEFT JOIN public.checkins c ON c.goal_id = p_id AND c.user_id = p_user AND c.status = 'done'
                                     AND c.date >= s::date AND c.date < s::date + 7
          GROUP BY s) w;

    RETURN json_build_object('goal_id', p_id, 'streak_unit', v_unit, 'current_streak', v_current, 'longest_streak', v_longest,
        'total_checkins', v_total, 'done', v_done, 'skipped', v_skipped, 'missed', v_missed,
        'completion_rate', least(1, round(v_done / v_expected, 4)), 'weekly', v_weekly)::text;
END
$$;

-- The state of a write by its job id; NULL when the inbox does not know it (yet).
CREATE FUNCTION api.job_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    i public.inbox;
BEGIN
    SELECT x.* INTO i FROM public.inbox x WHERE x.job_id = p_id AND x.user_id = p_user ORDER BY x.day DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF i.state <> 'done' THEN
        RETURN json_build_object('job', json_build_object('id', i.job_id, 'status', i.state,
            'created_at', pool.rfc3339(i.created_at)))::text;
    END IF;

    RETURN json_build_object('job', json_build_object('id', i.job_id, 'status', 'done', 'status_code', i.status,
        'response', CASE WHEN i.job NOT LIKE 'auth.%' THEN nullif(i.body, '')::json END,
        'created_at', pool.rfc3339(i.created_at)))::text;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, pool FROM PUBLIC;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'api'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', f, CASE WHEN f::text LIKE 'api.job_get%' THEN 'fitnudge_queue' ELSE 'fitnudge_api' END);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fitnudge_edge', f);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION pool.checkins_page(uuid, uuid, date, date, text, int) TO fitnudge_api;

COMMIT;
