-- Deploy fitnudge:api_goals to pg
-- Reads of goals. Each function gives the finished answer, or NULL for 404; row-level security hides other people's rows.

BEGIN;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- GET /goals. A first page that is not full tells the total; otherwise the rows are counted.
CREATE FUNCTION api.goals_list(p_user uuid, p_is_active boolean, p_page integer, p_limit integer) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_goals  text;
    v_n      bigint;
BEGIN
    SELECT string_agg(s.goal, ','), count(*) INTO v_goals, v_n
      FROM (SELECT pool.goal_json(g) AS goal FROM public.goals g
             WHERE g.user_id = p_user AND (p_is_active IS NULL OR g.is_active = p_is_active)
             ORDER BY g.created_at DESC, g.id DESC
             LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit) s;

    IF p_page > 1 OR v_n = p_limit THEN
        SELECT count(*) INTO v_n FROM public.goals g
         WHERE g.user_id = p_user AND (p_is_active IS NULL OR g.is_active = p_is_active);
    END IF;

    RETURN '{"goals":[' || COALESCE(v_goals, '') || '],"pagination":{"page":' || p_page || ',"limit":' || p_limit
        || ',"total":' || v_n || '}}';
END
$$;

-- GET /goals/{id}
CREATE FUNCTION api.goals_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT pool.goal_json(g) FROM public.goals g WHERE g.id = p_id AND g.user_id = p_user);
END
$$;

-- GET /goals/{id}/stats. The rules are in docs/database.md; days are the user's.
CREATE FUNCTION api.goals_stats(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_frequency  integer;
    v_since      date;
    v_today      date;
    v_week       date;
    v_total      bigint;
    v_done       bigint;
    v_skipped    bigint;
    v_missed     bigint;
    v_first      date;
    v_checked    boolean;
    v_now        integer;
    v_current    bigint;
    v_longest    bigint;
    v_weekly     text;
BEGIN
    SELECT g.frequency, (g.created_at AT TIME ZONE u.timezone)::date, (now() AT TIME ZONE u.timezone)::date
      INTO v_frequency, v_since, v_today
      FROM public.goals g JOIN public.users u ON u.id = g.user_id
     WHERE g.id = p_id AND g.user_id = p_user;

    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    v_week := date_trunc('week', v_today::timestamp)::date;

    SELECT count(*), count(*) FILTER (WHERE c.status = 'done'), count(*) FILTER (WHERE c.status = 'skipped'),
           count(*) FILTER (WHERE c.status = 'missed'), min(c.date), COALESCE(bool_or(c.date = v_today), false)
      INTO v_total, v_done, v_skipped, v_missed, v_first, v_checked
      FROM public.checkins c WHERE c.goal_id = p_id AND c.user_id = p_user;

    v_since := LEAST(v_since, v_first, v_today);

    -- Units are numbered without gaps: days, or weeks from a Monday on. Neighbours in a run share number - rank.
    IF v_frequency = 7 THEN
        v_now := v_today - date '2000-01-03';
    ELSE
        v_now := (v_week - date '2000-01-03') / 7;
    END IF;

    WITH units AS (
        SELECT CASE WHEN v_frequency = 7 THEN c.date - date '2000-01-03'
                    ELSE (date_trunc('week', c.date::timestamp)::date - date '2000-01-03') / 7 END AS n
          FROM public.checkins c
         WHERE c.goal_id = p_id AND c.user_id = p_user AND c.status = 'done' AND c.date <= v_today
         GROUP BY 1
        HAVING v_frequency = 7 OR count(*) >= v_frequency
    ), runs AS (
        SELECT max(n) AS last, count(*) AS length FROM (SELECT n, n - row_number() OVER (ORDER BY n) AS run FROM units) u GROUP BY run
    )
    SELECT COALESCE(max(length), 0),
           -- what is not yet met may still be: a run that ended one unit ago lives, unless today has been given up
           COALESCE(max(length) FILTER (WHERE last = v_now OR (last = v_now - 1 AND NOT (v_frequency = 7 AND v_checked))), 0)
      INTO v_longest, v_current FROM runs;

    SELECT string_agg('{"week_start":"' || w.week || '","done":' || w.done || ',"target":' || v_frequency
                      || ',"rate":' || LEAST(round(w.done::numeric / v_frequency, 4), 1) || '}', ',' ORDER BY w.week)
      INTO v_weekly
      FROM (SELECT v_week - 7 * k AS week,
                   (SELECT count(*) FROM public.checkins c
                     WHERE c.goal_id = p_id AND c.user_id = p_user AND c.status = 'done'
                       AND c.date >= v_week - 7 * k AND c.date < v_week - 7 * k + 7) AS done
              FROM generate_series(0, 11) k) w;

    RETURN '{"goal_id":"' || p_id || '","current_streak":' || v_current || ',"longest_streak":' || v_longest
        || ',"streak_unit":"' || CASE WHEN v_frequency = 7 THEN 'days' ELSE 'weeks' END
        || '","total_checkins":' || v_total || ',"done":' || v_done || ',"skipped":' || v_skipped || ',"missed":' || v_missed
        || ',"completion_rate":'
        || LEAST(round(v_done / GREATEST((v_today - v_since + 1) * v_frequency / 7.0, 1), 4), 1)
        || ',"weekly":[' || v_weekly || ']}';
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;

COMMIT;
