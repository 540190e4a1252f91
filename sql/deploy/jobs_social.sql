-- Deploy fitnudge:jobs_social to pg
-- Writes to posts, likes, comments and flags. sql/deploy/social.sql says in which order they lock.
BEGIN;

-- Whether all of these are finished uploads of the user, which a post may show. There are no uploads yet.
CREATE FUNCTION jobs.check_media(p_user uuid, p_media uuid[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN cardinality(p_media) = 0;
END
$$;

CREATE FUNCTION pool.media_of(b jsonb) RETURNS uuid[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY(SELECT e::uuid FROM jsonb_array_elements_text(CASE jsonb_typeof(b -> 'media_ids') WHEN 'array' THEN b -> 'media_ids' ELSE '[]' END) e);

CREATE FUNCTION pool.media_error(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'media_ids must name finished uploads of the user.', 'media_ids', 'unknown');

-- The next place in the feed. Times are not in the order of commits: a post with an earlier time could turn up behind a reader who has
-- passed that place, and be skipped. So public posts are published one after another: the lock is held from here to the end of a short
-- transaction that does nothing else. Nobody may ask for another lock after this one.
CREATE FUNCTION pool.next_place() RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    v_last timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fitnudge.posts'));

    -- a clock that was set back a little
    SELECT max(p.created_at) INTO v_last FROM public.posts p
    WHERE p.is_public AND p.removed_at IS NULL AND p.created_at < clock_timestamp() + interval '5 seconds';
    RETURN greatest(clock_timestamp(), v_last + interval '1 microsecond');
END
$$;

CREATE FUNCTION jobs.posts_create(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_public boolean := coalesce((b ->> 'is_public')::boolean, true);
    v_language text;
    v_id uuid;
BEGIN
    SELECT u.language INTO v_language FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF NOT jobs.check_media(p_user, pool.media_of(b)) THEN
        RETURN pool.media_error(p_req);
    END IF;

    INSERT INTO public.posts (user_id, text, voice_url, media_ids, is_public, language, created_at)
    VALUES (p_user, b ->> 'text', b ->> 'voice_url', pool.media_of(b), v_public, v_language,
            CASE WHEN v_public THEN pool.next_place() ELSE clock_timestamp() END)
    RETURNING id INTO v_id;

    RETURN pool.ok(201, pool.posts_json(p_user, ARRAY[v_id]), format(E'Location: /api/v1/posts/%s\n', v_id));
END
$$;

CREATE FUNCTION jobs.posts_update(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_id uuid := (p_req #>> '{params,id}')::uuid;
    v_version int;
BEGIN
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;

    SELECT p.version INTO v_version FROM public.posts p WHERE p.id = v_id AND p.user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, v_version) THEN
        RETURN pool.precondition_failed(p_req);
    ELSIF NOT jobs.check_media(p_user, pool.media_of(b)) THEN
        RETURN pool.media_error(p_req);
    END IF;

    IF b <> '{}' THEN
        UPDATE public.posts SET
            text       = CASE WHEN b ? 'text'      THEN b ->> 'text'                    ELSE text END,
            voice_url  = CASE WHEN b ? 'voice_url' THEN b ->> 'voice_url'               ELSE voice_url END,
            media_ids  = CASE WHEN b ? 'media_ids' THEN pool.media_of(b)                ELSE media_ids END,
            is_public  = CASE WHEN b ? 'is_public' THEN (b ->> 'is_public')::boolean    ELSE is_public END,
            version    = version + 1,
            updated_at = now()
        WHERE id = v_id;
    END IF;

    RETURN pool.ok(200, pool.posts_json(p_user, ARRAY[v_id]));
END
$$;

CREATE FUNCTION jobs.posts_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_id uuid := (p_req #>> '{params,id}')::uuid;
    v_version int;
BEGIN
    SELECT p.version INTO v_version FROM public.posts p WHERE p.id = v_id AND p.user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, v_version) THEN
        RETURN pool.precondition_failed(p_req);
    END IF;

    DELETE FROM public.posts WHERE id = v_id;
    RETURN pool.ok(204, '');
END
$$;

-- To like (or no longer like) a post; once or many times, it is liked once.
CREATE FUNCTION pool.like_post(p_user uuid, p_req jsonb, p_like boolean) RETURNS pool.reply
LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := (p_req #>> '{params,id}')::uuid;
BEGIN
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT pool.hold_post(p_user, v_id) THEN
        RETURN pool.not_found(p_req);
    END IF;

    IF p_like THEN
        INSERT INTO public.likes (post_id, user_id) VALUES (v_id, p_user) ON CONFLICT (post_id, user_id) DO NOTHING;
    ELSE
        DELETE FROM public.likes WHERE post_id = v_id AND user_id = p_user;
    END IF;

    RETURN pool.ok(200, (SELECT row_to_json(x)::text FROM (
        SELECT coalesce(sum(c.likes), 0) AS likes_count FROM public.post_counts c WHERE c.post_id = v_id) x));
END
$$;

CREATE FUNCTION jobs.posts_like(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.like_post(p_user, p_req, true);
END
$$;

CREATE FUNCTION jobs.posts_unlike(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.like_post(p_user, p_req, false);
END
$$;

CREATE FUNCTION jobs.comments_create(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_post uuid := (p_req #>> '{params,id}')::uuid;
    c public.comments;
BEGIN
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT pool.hold_post(p_user, v_post) THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.comments (post_id, user_id, text) VALUES (v_post, p_user, p_req #>> '{body,text}') RETURNING * INTO c;
    RETURN pool.ok(201, pool.comment_json(c, pool.author_json(p_user))::text);
END
$$;

-- By its author, or by the author of the post.
CREATE FUNCTION jobs.comments_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_id uuid := (p_req #>> '{params,id}')::uuid;
    v_post uuid;
BEGIN
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    SELECT c.post_id INTO v_post FROM public.comments c WHERE c.id = v_id;
    IF NOT FOUND OR NOT pool.hold_post(p_user, v_post) THEN
        RETURN pool.not_found(p_req);
    END IF;

    DELETE FROM public.comments WHERE id = v_id;
    RETURN CASE WHEN FOUND THEN pool.ok(204, '') ELSE pool.not_found(p_req) END;
END
$$;

CREATE FUNCTION jobs.posts_flag(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_post uuid := (p_req #>> '{params,id}')::uuid;
BEGIN
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT pool.hold_post(p_user, v_post) THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.post_flags (post_id, user_id, reason, note)
    VALUES (v_post, p_user, p_req #>> '{body,reason}', p_req #>> '{body,note}')
    ON CONFLICT (post_id, user_id) DO NOTHING;
    RETURN pool.ok(202, '{"status":"received"}');
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;

DO $$
DECLARE
    f regprocedure;
BEGIN
    GRANT CREATE ON SCHEMA jobs TO fitnudge_api;
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = 'jobs'::regnamespace AND p.proname ~ '^(posts|comments)_' LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO fitnudge_api', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fitnudge_pool', f);
    END LOOP;
    ALTER FUNCTION jobs.check_media(uuid, uuid[]) OWNER TO fitnudge_api;
    REVOKE CREATE ON SCHEMA jobs FROM fitnudge_api;
END
$$;
GRANT EXECUTE ON FUNCTION pool.media_of(jsonb), pool.media_error(jsonb), pool.next_place(), pool.like_post(uuid, jsonb, boolean) TO fitnudge_api;

COMMIT;
