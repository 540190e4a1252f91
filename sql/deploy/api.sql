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
    RETURN pool.profile_json(p_user)::text;
END
$$;

CREATE FUNCTION api.sessions_list(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT concat('{"sessions":[', string_agg(row_to_json(x)::text, ',' ORDER BY x.last_used_at DESC, x.id), ']}')
            FROM (SELECT s.id, s.user_agent, s.ip, pool.rfc3339(s.created_at) AS created_at,
                         pool.rfc3339(s.last_used_at) AS last_used_at, pool.rfc3339(s.expires_at) AS expires_at
                  FROM public.sessions s WHERE s.user_id = p_user AND s.expires_at > now()) x);
END
$$;

-- The hottest read: the columns of pool.goal_json are written out, since a call a row would take a third of its time.
CREATE FUNCTION api.goals_list(p_user uuid, p_is_active boolean, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_goals text;
    v_total bigint;
BEGIN
    SELECT string_agg(row_to_json(g)::text, ','), count(*)
    INTO v_goals, v_total
    FROM (SELECT x.id, x.title, x.description, x.category, x.frequency, x.is_active, x.version,
                 pool.rfc3339(x.created_at) AS created_at, pool.rfc3339(x.updated_at) AS updated_at
          FROM public.goals x
          WHERE x.user_id = p_user AND (p_is_active IS NULL OR x.is_active = p_is_active)
          ORDER BY x.created_at DESC, x.id DESC
          LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit) g;

    -- a first page that is not full is the total
    IF p_page > 1 OR v_total = p_limit THEN
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
    v_list text := coalesce('checkins ' || p_goal, 'checkins');
    v_cursor text := pool.cursor_decode(v_list, p_cursor);
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

    RETURN pool.feed_json('checkins', (SELECT string_agg(pool.checkin_json(c)::text, ',') FROM unnest(v_rows) AS c), p_limit,
        CASE WHEN v_more THEN pool.cursor_encode(v_list, (v_rows[p_limit]).date || ' ' || (v_rows[p_limit]).id) END);
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
    v_list text := concat('motivations ', p_goal);
    v_cursor text := pool.cursor_decode(v_list, p_cursor);
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

    RETURN pool.feed_json('motivations', (SELECT string_agg(pool.motivation_json(m)::text, ',') FROM unnest(v_rows) AS m), p_limit,
        CASE WHEN v_more THEN pool.cursor_encode(v_list,
            to_char((v_rows[p_limit]).created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' ' || (v_rows[p_limit]).id) END);
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

    SELECT json_agg(x ORDER BY x.week_start) INTO v_weekly
    FROM (SELECT w.start AS week_start, w.done, g.frequency AS target, least(1, round(w.done::numeric / g.frequency, 4)) AS rate
    FROM (SELECT s::date AS start, count(c.id) AS done
          FROM generate_series(date_trunc('week', v_today) - interval '11 weeks', date_trunc('week', v_today), interval '1 week') s
          LEFT JOIN public.checkins c ON c.goal_id = p_id AND c.user_id = p_user AND c.status = 'done'
                                     AND c.date >= s::date AND c.date < s::date + 7
          GROUP BY s) w) x;

    RETURN (SELECT row_to_json(x)::text FROM (SELECT p_id AS goal_id, v_unit AS streak_unit, v_current AS current_streak,
        v_longest AS longest_streak, v_total AS total_checkins, v_done AS done, v_skipped AS skipped, v_missed AS missed,
        least(1, round(v_done / v_expected, 4)) AS completion_rate, v_weekly AS weekly) x);
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
        RETURN (SELECT json_build_object('job', row_to_json(x))::text
                FROM (SELECT i.job_id AS id, i.state AS status, pool.rfc3339(i.created_at) AS created_at) x);
    END IF;

    RETURN (SELECT json_build_object('job', row_to_json(x))::text
            FROM (SELECT i.job_id AS id, 'done' AS status, i.status AS status_code,
                         CASE WHEN i.job NOT LIKE 'auth.%' THEN nullif(i.body, '')::json END AS response,
                         pool.rfc3339(i.created_at) AS created_at) x);
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
