-- Deploy fitnudge:api_checkins to pg
-- Reads of check-ins, newest first. One row more than asked for tells whether there is another page.

BEGIN;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- GET /goals/{id}/checkins. NULL when there is no such goal.
CREATE FUNCTION api.goals_checkins(p_user uuid, p_id uuid, p_from date, p_to date, p_cursor text, p_limit integer) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_list   text := 'goals_checkins ' || p_id;
    v_date   date := 'infinity';
    v_last   uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_items  text[];
    v_dates  date[];
    v_ids    uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM public.goals g WHERE g.id = p_id AND g.user_id = p_user) THEN
        RETURN NULL;
    END IF;

    IF p_cursor IS NOT NULL THEN
        SELECT date '2000-01-01' + c.key::integer, c.id INTO v_date, v_last FROM pool.cursor_read(v_list, p_user, p_cursor) c;
    END IF;

    -- a goal has one row a date, so the date alone is the order
    SELECT array_agg(s.item), array_agg(s.date), array_agg(s.id) INTO v_items, v_dates, v_ids
      FROM (SELECT pool.checkin_json(c) AS item, c.date, c.id FROM public.checkins c
             WHERE c.goal_id = p_id AND c.user_id = p_user AND c.date < v_date
               AND c.date BETWEEN COALESCE(p_from, '-infinity') AND COALESCE(p_to, 'infinity')
             ORDER BY c.date DESC LIMIT p_limit + 1) s;

    RETURN '{"checkins":[' || COALESCE(array_to_string(v_items[:p_limit], ','), '') || '],"pagination":{"limit":' || p_limit
        || ',"next_cursor":' || CASE WHEN cardinality(v_items) > p_limit
               THEN '"' || pool.cursor(v_list, p_user, v_dates[p_limit] - date '2000-01-01', v_ids[p_limit]) || '"}}'
               ELSE 'null}}' END;
END
$$;

-- GET /checkins
CREATE FUNCTION api.checkins_list(p_user uuid, p_from date, p_to date, p_cursor text, p_limit integer) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_date   date := 'infinity';
    v_last   uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_items  text[];
    v_dates  date[];
    v_ids    uuid[];
BEGIN
    IF p_cursor IS NOT NULL THEN
        SELECT date '2000-01-01' + c.key::integer, c.id INTO v_date, v_last
          FROM pool.cursor_read('checkins_list', p_user, p_cursor) c;
    END IF;

    SELECT array_agg(s.item), array_agg(s.date), array_agg(s.id) INTO v_items, v_dates, v_ids
      FROM (SELECT pool.checkin_json(c) AS item, c.date, c.id FROM public.checkins c
             WHERE c.user_id = p_user AND (c.date, c.id) < (v_date, v_last)
               AND c.date BETWEEN COALESCE(p_from, '-infinity') AND LEAST(COALESCE(p_to, 'infinity'), v_date)
             ORDER BY c.date DESC, c.id DESC LIMIT p_limit + 1) s;

    RETURN '{"checkins":[' || COALESCE(array_to_string(v_items[:p_limit], ','), '') || '],"pagination":{"limit":' || p_limit
        || ',"next_cursor":' || CASE WHEN cardinality(v_items) > p_limit
               THEN '"' || pool.cursor('checkins_list', p_user, v_dates[p_limit] - date '2000-01-01', v_ids[p_limit]) || '"}}'
               ELSE 'null}}' END;
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;

COMMIT;
