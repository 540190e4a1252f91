-- Deploy fitnudge:follows to pg
-- Who follows whom, and how many do.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.follows (
    follower_id  uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    followee_id  uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower_id, followee_id),
    CHECK (follower_id <> followee_id)
);

CREATE INDEX idx_follows_followee_id ON public.follows (followee_id, created_at DESC);

-- Kept by a trigger: somebody with a million followers is not counted at each look. No row: nobody.
CREATE TABLE public.follow_counts (
    user_id    uuid   NOT NULL PRIMARY KEY REFERENCES public.users (id) ON DELETE CASCADE,
    followers  bigint NOT NULL DEFAULT 0 CHECK (followers >= 0),
    following  bigint NOT NULL DEFAULT 0 CHECK (following >= 0)
) WITH (fillfactor = 50);

ALTER TABLE public.follows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.follow_counts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.follows FOR SELECT TO fitnudge_api
    USING (NULLIF(current_setting('request.user_id', true), '')::uuid IN (follower_id, followee_id));
CREATE POLICY identity ON public.follows TO fitnudge_auth USING (true) WITH CHECK (true);
CREATE POLICY identity ON public.follow_counts TO fitnudge_auth USING (true) WITH CHECK (true);
CREATE POLICY everybody ON public.follow_counts FOR SELECT TO fitnudge_api USING (true);
GRANT SELECT ON public.follows, public.follow_counts TO fitnudge_api;
GRANT SELECT, INSERT, DELETE ON public.follows TO fitnudge_auth;
GRANT SELECT, INSERT, UPDATE ON public.follow_counts TO fitnudge_auth;

RESET ROLE;

-- Counts what one statement has changed, a row for each person in one order: two statements never wait for each other in a circle.
CREATE FUNCTION pool.follows_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.follow_counts AS c (user_id, followers, following)
    SELECT x.id, sum(x.followers), sum(x.following)
    FROM (SELECT followee_id AS id, 1 AS followers, 0 AS following FROM changed UNION ALL SELECT follower_id, 0, 1 FROM changed) x
    GROUP BY x.id ORDER BY x.id
    ON CONFLICT (user_id) DO UPDATE SET followers = c.followers + excluded.followers, following = c.following + excluded.following;
    RETURN NULL;
END
$$;

-- Who is being deleted has no row any more.
CREATE FUNCTION pool.follows_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM public.follow_counts c
    WHERE c.user_id IN (SELECT followee_id FROM changed UNION SELECT follower_id FROM changed) ORDER BY c.user_id FOR UPDATE;

    UPDATE public.follow_counts c SET followers = c.followers - y.followers, following = c.following - y.following
    FROM (SELECT x.id, sum(x.followers) AS followers, sum(x.following) AS following
          FROM (SELECT followee_id AS id, 1 AS followers, 0 AS following FROM changed UNION ALL SELECT follower_id, 0, 1 FROM changed) x
          GROUP BY x.id) y
    WHERE c.user_id = y.id;
    RETURN NULL;
END
$$;

-- Both people's profiles have changed, and what the follower is shown. One change travels with the reply; of many, those of an
-- account that is closed, the sweep tells within seconds: a reply carries no thousand tags.
CREATE FUNCTION pool.note_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_one boolean := (SELECT count(*) FROM (SELECT FROM changed LIMIT 2) x) = 1;
    v_id bigint;
    v_tags text[];
    v_old text := current_setting('fitnudge.changes', true);
BEGIN
    FOR v_id, v_tags IN
        INSERT INTO public.change_outbox ("table", op, user_id, row_id, tags)
        SELECT 'follows', TG_OP, c.follower_id, c.followee_id,
               ARRAY['follows:' || c.follower_id, 'users:' || c.follower_id, 'users:' || c.followee_id]
        FROM changed c
        RETURNING id, tags
    LOOP
        IF v_one THEN           -- as pool.note_change() does it
            PERFORM set_config('fitnudge.changes', concat_ws(',', nullif(v_old, ''), v_id), true),
                    set_config('fitnudge.tags', concat_ws(',', CASE WHEN v_old <> '' THEN current_setting('fitnudge.tags', true) END,
                                                          array_to_string(v_tags, ',')), true);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER count_added AFTER INSERT ON public.follows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pool.follows_added();
CREATE TRIGGER count_removed AFTER DELETE ON public.follows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pool.follows_removed();
CREATE TRIGGER note_added AFTER INSERT ON public.follows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pool.note_follows();
CREATE TRIGGER note_removed AFTER DELETE ON public.follows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pool.note_follows();

CREATE FUNCTION jobs.users_follow(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_whom uuid := (p_req #>> '{params,id}')::uuid;
BEGIN
    IF v_whom = p_user THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'Nobody follows himself.', 'id', 'self');
    END IF;

    -- neither may leave meanwhile; both are locked before anything is counted, and in one order
    PERFORM FROM public.users u WHERE u.id IN (p_user, v_whom) ORDER BY u.id FOR SHARE;
    IF (SELECT count(*) FROM public.users u WHERE u.id IN (p_user, v_whom) AND u.is_visible) < 2 THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.follows (follower_id, followee_id) VALUES (p_user, v_whom) ON CONFLICT DO NOTHING;
    RETURN pool.ok(204, '');
END
$$;

-- Whoever is not followed, or not there, is not followed afterwards.
CREATE FUNCTION jobs.users_unfollow(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.follows WHERE follower_id = p_user AND followee_id = (p_req #>> '{params,id}')::uuid;
    RETURN pool.ok(204, '');
END
$$;

-- What anybody who is signed in may know of somebody.
CREATE FUNCTION api.users_get(p_user uuid, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT row_to_json(x)::text FROM (SELECT p.id, p.name, p.username, p.bio, p.avatar_url, pool.rfc3339(p.created_at) AS created_at,
        (SELECT row_to_json(n) FROM (SELECT coalesce(c.followers, 0) AS followers, coalesce(c.following, 0) AS following) n) AS counts,
        EXISTS (SELECT FROM public.follows f WHERE f.follower_id = p_user AND f.followee_id = p.id) AS followed_by_me
        FROM public.profiles p LEFT JOIN public.follow_counts c ON c.user_id = p.id WHERE p.id = p_id) x);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;
ALTER FUNCTION pool.follows_added() OWNER TO fitnudge_auth;
ALTER FUNCTION pool.follows_removed() OWNER TO fitnudge_auth;
ALTER FUNCTION pool.note_follows() OWNER TO fitnudge_queue;
ALTER FUNCTION jobs.users_follow(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.users_unfollow(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION api.users_get(uuid, uuid) OWNER TO fitnudge_api;
GRANT EXECUTE ON FUNCTION jobs.users_follow(uuid, uuid, jsonb, jsonb), jobs.users_unfollow(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;
GRANT EXECUTE ON FUNCTION api.users_get(uuid, uuid) TO fitnudge_edge;

COMMIT;
