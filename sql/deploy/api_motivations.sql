-- Deploy fitnudge:api_motivations to pg
-- Reads of messages, newest first.

BEGIN;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- GET /motivations. Somebody else's goal has no messages here.
CREATE FUNCTION api.motivations_list(p_user uuid, p_goal_id uuid, p_cursor text, p_limit integer) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_list   text := 'motivations_list ' || COALESCE(p_goal_id::text, '');
    v_time   timestamptz := 'infinity';
    v_last   uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    v_items  text[];
    v_times  timestamptz[];
    v_ids    uuid[];
BEGIN
    IF p_cursor IS NOT NULL THEN
        SELECT timestamptz '2000-01-01 00:00:00+00' + c.key * interval '1 microsecond', c.id INTO v_time, v_last
          FROM pool.cursor_read(v_list, p_user, p_cursor) c;
    END IF;

    -- two statements, so that each has the one index it needs
    IF p_goal_id IS NULL THEN
        SELECT array_agg(s.item), array_agg(s.created_at), array_agg(s.id) INTO v_items, v_times, v_ids
          FROM (SELECT pool.motivation_json(m) AS item, m.created_at, m.id FROM public.motivations m
                 WHERE m.user_id = p_user AND (m.created_at, m.id) < (v_time, v_last)
                 ORDER BY m.created_at DESC, m.id DESC LIMIT p_limit + 1) s;
    ELSE
        SELECT array_agg(s.item), array_agg(s.created_at), array_agg(s.id) INTO v_items, v_times, v_ids
          FROM (SELECT pool.motivation_json(m) AS item, m.created_at, m.id FROM public.motivations m
                 WHERE m.goal_id = p_goal_id AND m.user_id = p_user AND (m.created_at, m.id) < (v_time, v_last)
                 ORDER BY m.created_at DESC, m.id DESC LIMIT p_limit + 1) s;
    END IF;

    RETURN '{"motivations":[' || COALESCE(array_to_string(v_items[:p_limit], ','), '') || '],"pagination":{"limit":' || p_limit
        || ',"next_cursor":' || CASE WHEN cardinality(v_items) > p_limit
               THEN '"' || pool.cursor(v_list, p_user, (extract(epoch FROM v_times[p_limit]
                                       - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint, v_ids[p_limit]) || '"}}'
               ELSE 'null}}' END;
END
$$;

-- GET /motivations/{id}
CREATE FUNCTION api.motivations_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT pool.motivation_json(m) FROM public.motivations m WHERE m.id = p_id AND m.user_id = p_user);
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;

COMMIT;
