-- Deploy fitnudge:feed to pg
-- What is read of posts. No read takes longer because there are more posts, or because a person follows more others.
BEGIN;

CREATE TYPE pool.place AS (created_at timestamptz, id uuid);

-- Public posts before a place, newest first, and the user's own that are not public.
CREATE FUNCTION pool.feed_all(p_user uuid, p_before pool.place, p_limit int) RETURNS pool.place[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(
        SELECT ROW(x.created_at, x.id)::pool.place FROM (
            (SELECT p.created_at, p.id FROM public.posts p
             WHERE p.is_public AND p.removed_at IS NULL AND (p.created_at, p.id) < (p_before.created_at, p_before.id)
             ORDER BY p.created_at DESC, p.id DESC LIMIT p_limit)
            UNION ALL
            (SELECT p.created_at, p.id FROM public.posts p
             WHERE p.user_id = p_user AND NOT p.is_public AND (p.created_at, p.id) < (p_before.created_at, p_before.id)
             ORDER BY p.created_at DESC, p.id DESC LIMIT p_limit)) x
        ORDER BY x.created_at DESC, x.id DESC LIMIT p_limit);
END
$$;

-- Public posts of the people who are followed, and the user's own, by looking at each person's newest post before the place: a page can
-- only hold posts of the p_limit people who are first in that order, so nobody else's are looked at.
CREATE FUNCTION pool.feed_people(p_user uuid, p_before pool.place, p_limit int) RETURNS pool.place[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(
        SELECT ROW(x.created_at, x.id)::pool.place
        FROM (
            SELECT f.id AS person FROM (SELECT f.followee_id AS id FROM public.follows f WHERE f.follower_id = p_user UNION ALL SELECT p_user) f
            CROSS JOIN LATERAL (
                SELECT p.created_at, p.id FROM public.posts p
                WHERE p.user_id = f.id AND p.is_public AND p.removed_at IS NULL AND (p.created_at, p.id) < (p_before.created_at, p_before.id)
                ORDER BY p.created_at DESC, p.id DESC LIMIT 1) n
            ORDER BY n.created_at DESC, n.id DESC LIMIT p_limit) h
        CROSS JOIN LATERAL (
            SELECT p.created_at, p.id FROM public.posts p
            WHERE p.user_id = h.person AND p.is_public AND p.removed_at IS NULL AND (p.created_at, p.id) < (p_before.created_at, p_before.id)
            ORDER BY p.created_at DESC, p.id DESC LIMIT p_limit) x
        ORDER BY x.created_at DESC, x.id DESC LIMIT p_limit);
END
$$;

-- The same for somebody who follows very many: the other way round, walking p_window public posts and asking of each whether its author is
-- followed. Who follows so many finds a page in far fewer; else the page is short, and p_end says how far it got.
CREATE FUNCTION pool.feed_walk(p_user uuid, p_before pool.place, p_limit int, p_window int, OUT places pool.place[], OUT p_end pool.place)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    p record;
    v_walked int := 0;
BEGIN
    places := '{}';
    FOR p IN SELECT x.created_at, x.id,
                    x.user_id = p_user OR EXISTS (SELECT FROM public.follows f WHERE f.follower_id = p_user AND f.followee_id = x.user_id) AS shown
             FROM public.posts x
             WHERE x.is_public AND x.removed_at IS NULL AND (x.created_at, x.id) < (p_before.created_at, p_before.id)
             ORDER BY x.created_at DESC, x.id DESC LIMIT p_window LOOP
        v_walked := v_walked + 1;
        IF p.shown THEN
            places := places || ROW(p.created_at, p.id)::pool.place;
            EXIT WHEN cardinality(places) = p_limit;
        END IF;
        IF v_walked = p_window THEN
            p_end := ROW(p.created_at, p.id)::pool.place;
        END IF;
    END LOOP;
END
$$;

-- A cursor is "<created_at> <id>" of the last post looked at. What follows is older than all that was shown, and nothing is ever
-- published there (pool.next_place()): a page neither repeats nor skips what was added meanwhile.
CREATE FUNCTION api.feed(p_user uuid, p_scope text, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    c_people CONSTANT int := 1000;
    c_window CONSTANT int := 20000;
    v_list text := 'feed ' || p_scope;
    v_cursor text := pool.cursor_decode(v_list, p_cursor);
    v_before pool.place := ROW(coalesce(split_part(v_cursor, ' ', 1), 'infinity'),
                               coalesce(split_part(v_cursor, ' ', 2), 'ffffffff-ffff-ffff-ffff-ffffffffffff'));
    v_places pool.place[];
    v_end pool.place;
    w record;
BEGIN
    IF p_scope = 'all' THEN
        v_places := pool.feed_all(p_user, v_before, p_limit + 1);
    ELSIF NOT EXISTS (SELECT FROM public.follows f WHERE f.follower_id = p_user OFFSET c_people) THEN
        v_places := pool.feed_people(p_user, v_before, p_limit + 1);
    ELSE
        SELECT * INTO w FROM pool.feed_walk(p_user, v_before, p_limit + 1, c_window);
        v_places := w.places;
        v_end := w.p_end;
    END IF;

    IF cardinality(v_places) > p_limit THEN
        v_places := v_places[1:p_limit];
        v_end := v_places[p_limit];
    END IF;

    RETURN pool.feed_json('posts', pool.posts_json(p_user, ARRAY(SELECT q.id FROM unnest(v_places) WITH ORDINALITY AS q (created_at, id, n) ORDER BY q.n)),
        p_limit, pool.place_cursor(v_list, v_end));
END
$$;

CREATE FUNCTION pool.place_cursor(p_list text, p pool.place) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE WHEN p.id IS NOT NULL THEN
        pool.cursor_encode(p_list, to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' ' || p.id) END;
END
$$;

CREATE FUNCTION api.posts_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.posts_json(p_user, ARRAY[p_id]);
END
$$;

-- Newest first: what is added meanwhile is before all that was shown.
CREATE FUNCTION api.posts_comments(p_user uuid, p_post uuid, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_list text := 'comments ' || p_post;
    v_cursor text := pool.cursor_decode(v_list, p_cursor);
    v_at timestamptz := coalesce(split_part(v_cursor, ' ', 1), 'infinity')::timestamptz;
    v_id uuid := coalesce(split_part(v_cursor, ' ', 2), 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid;
    v_rows public.comments[];
    v_end pool.place;
BEGIN
    IF NOT EXISTS (SELECT FROM public.posts p JOIN public.profiles a ON a.id = p.user_id WHERE p.id = p_post) THEN
        RETURN NULL;
    END IF;

    v_rows := ARRAY(SELECT c FROM public.comments c WHERE c.post_id = p_post AND (c.created_at, c.id) < (v_at, v_id)
                    ORDER BY c.created_at DESC, c.id DESC LIMIT p_limit + 1);

    IF cardinality(v_rows) > p_limit THEN
        v_rows := v_rows[1:p_limit];
        v_end := ROW((v_rows[p_limit]).created_at, (v_rows[p_limit]).id);
    END IF;

    RETURN pool.feed_json('comments',
        (SELECT string_agg(pool.comment_json(c, row_to_json(a))::text, ',' ORDER BY c.created_at DESC, c.id DESC)
         FROM unnest(v_rows) c JOIN pool.authors(ARRAY(SELECT x.user_id FROM unnest(v_rows) x)) a ON a.id = c.user_id),
        p_limit, pool.place_cursor(v_list, v_end));
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, pool FROM PUBLIC;
GRANT CREATE ON SCHEMA api TO fitnudge_api;
ALTER FUNCTION api.feed(uuid, text, text, int) OWNER TO fitnudge_api;
ALTER FUNCTION api.posts_get(uuid, uuid) OWNER TO fitnudge_api;
ALTER FUNCTION api.posts_comments(uuid, uuid, text, int) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION api.feed(uuid, text, text, int), api.posts_get(uuid, uuid), api.posts_comments(uuid, uuid, text, int) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION pool.feed_all(uuid, pool.place, int), pool.feed_people(uuid, pool.place, int),
    pool.feed_walk(uuid, pool.place, int, int), pool.place_cursor(text, pool.place) TO fitnudge_api;

COMMIT;
