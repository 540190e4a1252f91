-- Deploy fitnudge:social to pg
-- Posts, likes, comments, flags: tables, who sees what, counters.
--
-- Locks are taken in one order: the user's own row, the post, then what belongs to the post. The first makes a user's own writes wait for
-- each other (the jobs of a transaction are sorted by user), the second is shared by all but the deletion of the post, which is a
-- transaction of its own and holds nothing when it asks for it. So nobody waits in a circle, whatever jobs share a transaction.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.posts (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    text        text        NOT NULL CHECK (length(text) BETWEEN 1 AND 2000),
    voice_url   text        CHECK (length(voice_url) <= 2048),
    media_ids   uuid[]      NOT NULL DEFAULT '{}' CHECK (cardinality(media_ids) <= 10),
    is_public   boolean     NOT NULL DEFAULT true,
    language    text        NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'es', 'fr', 'de')),
    version     integer     NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    removed_at  timestamptz
);

COMMENT ON COLUMN public.posts.language IS 'of the author when it was written: what it is searched by';
COMMENT ON COLUMN public.posts.created_at IS 'its place in the feed: of two public posts the one that was committed later is later';
COMMENT ON COLUMN public.posts.removed_at IS 'taken down by a moderator: nobody sees it any more';

CREATE INDEX idx_posts_created_at ON public.posts (created_at DESC, id DESC) WHERE is_public AND removed_at IS NULL;
CREATE INDEX idx_posts_user_id ON public.posts (user_id, is_public, created_at DESC, id DESC);

CREATE TABLE public.likes (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    post_id     uuid        NOT NULL REFERENCES public.posts (id) ON DELETE CASCADE,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (post_id, user_id)
);
CREATE INDEX idx_likes_user_id ON public.likes (user_id);

CREATE TABLE public.comments (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    post_id     uuid        NOT NULL REFERENCES public.posts (id) ON DELETE CASCADE,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    text        text        NOT NULL CHECK (length(text) BETWEEN 1 AND 500),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_comments_post_id ON public.comments (post_id, created_at DESC, id DESC);
CREATE INDEX idx_comments_user_id ON public.comments (user_id);

CREATE TABLE public.post_flags (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    post_id     uuid        NOT NULL REFERENCES public.posts (id) ON DELETE CASCADE,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    reason      text        NOT NULL CHECK (reason IN ('spam', 'abuse', 'other')),
    note        text        CHECK (length(note) <= 500),
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (post_id, user_id)
);
CREATE INDEX idx_post_flags_user_id ON public.post_flags (user_id);
CREATE INDEX idx_post_flags_created_at ON public.post_flags (created_at DESC, id DESC);

-- How many likes and comments a post has: the sum of its rows. Each database session adds to a row of its own, so that whoever likes what
-- everybody likes waits for nobody, and no two transactions can lock counters of two posts crosswise. A session's row is
-- its process id: two that live at the same time never share one. The clean-up adds what has come together to row 0.
CREATE TABLE public.post_counts (
    post_id   uuid NOT NULL REFERENCES public.posts (id) ON DELETE CASCADE,
    session   int  NOT NULL,
    likes     int  NOT NULL,
    comments  int  NOT NULL,
    PRIMARY KEY (post_id, session)
) WITH (fillfactor = 70);
CREATE INDEX idx_post_counts_session ON public.post_counts (post_id) WHERE session <> 0;

ALTER TABLE public.posts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.likes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.comments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.post_flags ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- Everybody sees public posts, the author all of their own; to change one takes being the author.
CREATE POLICY visible ON public.posts FOR SELECT TO fitnudge_api
    USING (removed_at IS NULL AND (is_public OR user_id = NULLIF(current_setting('request.user_id', true), '')::uuid));
CREATE POLICY own_insert ON public.posts FOR INSERT TO fitnudge_api
    WITH CHECK (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own_update ON public.posts FOR UPDATE TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own_delete ON public.posts FOR DELETE TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own ON public.likes TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own ON public.post_flags TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

-- A comment is seen by who sees its post, and taken away by its author or the post's.
CREATE POLICY visible ON public.comments FOR SELECT TO fitnudge_api USING (EXISTS (SELECT FROM public.posts p WHERE p.id = post_id));
CREATE POLICY own_insert ON public.comments FOR INSERT TO fitnudge_api
    WITH CHECK (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own_delete ON public.comments FOR DELETE TO fitnudge_api
    USING (NULLIF(current_setting('request.user_id', true), '')::uuid
           IN (user_id, (SELECT p.user_id FROM public.posts p WHERE p.id = post_id)));

GRANT SELECT, INSERT, UPDATE, DELETE ON public.posts TO fitnudge_api;
GRANT SELECT, INSERT, DELETE ON public.likes, public.comments TO fitnudge_api;
GRANT SELECT, INSERT ON public.post_flags TO fitnudge_api;
GRANT SELECT ON public.post_counts TO fitnudge_api;

-- What is public of people, whoever asks.
CREATE POLICY social ON public.users FOR SELECT TO fitnudge_social USING (true);
CREATE POLICY social ON public.posts TO fitnudge_social USING (true);
CREATE POLICY social ON public.follow_counts FOR SELECT TO fitnudge_social USING (true);
GRANT SELECT (id, name, username, created_at, is_visible) ON public.users TO fitnudge_social;
GRANT SELECT, UPDATE (removed_at) ON public.posts TO fitnudge_social;       -- to lock a row takes the right to update
GRANT SELECT ON public.follow_counts TO fitnudge_social;
CREATE POLICY social ON public.media FOR SELECT TO fitnudge_social USING (state = 'ready');
GRANT SELECT (id, kind, content_type, key, state) ON public.media TO fitnudge_social;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.post_counts TO fitnudge_social;

INSERT INTO public.retention (name, place, routine) VALUES ('post_counts', 45, 'fold_post_counts');

INSERT INTO public.personal_data (relation, place, user_columns, withheld, reason, bulk) VALUES
    ('posts',       40, '{user_id}', '{}',  NULL,                                 true),
    ('likes',       41, '{user_id}', '{}',  NULL,                                 true),
    ('comments',    41, '{user_id}', '{}',  NULL,                                 true),
    ('post_flags',  50, '{user_id}', '{}',  NULL,                                 false),
    ('post_counts', 50, '{}',        '{*}', 'sums of what everybody has done',    false);
CREATE POLICY clock ON public.posts TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.likes TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.comments TO fitnudge_clock USING (true);
GRANT SELECT, DELETE ON public.posts, public.likes, public.comments TO fitnudge_clock;

RESET ROLE;
GRANT SELECT ON public.profiles TO fitnudge_social;

-- Of a row of likes or comments. Who deletes a post deletes what belongs to it afterwards: then there is nothing to count for.
CREATE FUNCTION pool.note_count() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_post uuid;
    v_n int := 1;
BEGIN
    IF TG_OP = 'DELETE' THEN
        v_post := OLD.post_id;
        v_n := -1;
        IF NOT EXISTS (SELECT FROM public.posts p WHERE p.id = v_post) THEN
            RETURN NULL;
        END IF;
    ELSE
        v_post := NEW.post_id;
    END IF;

    INSERT INTO public.post_counts AS c (post_id, session, likes, comments)
    VALUES (v_post, pg_backend_pid(), CASE TG_ARGV[0] WHEN 'likes' THEN v_n ELSE 0 END, CASE TG_ARGV[0] WHEN 'comments' THEN v_n ELSE 0 END)
    ON CONFLICT (post_id, session) DO UPDATE SET likes = c.likes + EXCLUDED.likes, comments = c.comments + EXCLUDED.comments;
    RETURN NULL;
END
$$;

-- Adds the rows of sessions to row 0 of their post. It waits for nobody: what a session is just adding to is left for the next time.
CREATE FUNCTION pool.fold_post_counts(p_now timestamptz, p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_count int;
BEGIN
    WITH taken AS MATERIALIZED (
        SELECT c.post_id, c.session FROM public.post_counts c JOIN public.posts p ON p.id = c.post_id
        WHERE c.session <> 0 ORDER BY c.post_id LIMIT p_limit FOR UPDATE OF c SKIP LOCKED FOR KEY SHARE OF p SKIP LOCKED
    ), gone AS (
        DELETE FROM public.post_counts c USING taken t WHERE c.post_id = t.post_id AND c.session = t.session
        RETURNING c.post_id, c.likes, c.comments
    ), added AS (
        INSERT INTO public.post_counts AS c (post_id, session, likes, comments)
        SELECT g.post_id, 0, sum(g.likes), sum(g.comments) FROM gone g GROUP BY g.post_id ORDER BY g.post_id
        ON CONFLICT (post_id, session) DO UPDATE SET likes = c.likes + EXCLUDED.likes, comments = c.comments + EXCLUDED.comments
    )
    SELECT count(*) INTO v_count FROM gone;
    RETURN v_count;
END
$$;

CREATE TRIGGER note_count AFTER INSERT OR DELETE ON public.likes FOR EACH ROW EXECUTE FUNCTION pool.note_count('likes');
CREATE TRIGGER note_count AFTER INSERT OR DELETE ON public.comments FOR EACH ROW EXECUTE FUNCTION pool.note_count('comments');

-- Tags: social:<user> for what the user has done, which they see at once; feed and post:<id> for what others may see a little later. What
-- goes with a post, or with its author, is no news of its own.
CREATE TRIGGER note_change AFTER INSERT OR UPDATE ON public.posts
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('posts', 'social:{user_id}', 'feed', 'post:{id}');
CREATE TRIGGER note_end AFTER DELETE ON public.posts FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION pool.note_change('posts', 'social:{user_id}', 'feed', 'post:{id}');
CREATE TRIGGER note_change AFTER INSERT ON public.likes
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('likes', 'social:{user_id}', 'feed', 'post:{post_id}');
CREATE TRIGGER note_end AFTER DELETE ON public.likes FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION pool.note_change('likes', 'social:{user_id}', 'feed', 'post:{post_id}');
CREATE TRIGGER note_change AFTER INSERT ON public.comments
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('comments', 'social:{user_id}', 'feed', 'post:{post_id}');
CREATE TRIGGER note_end AFTER DELETE ON public.comments FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION pool.note_change('comments', 'social:{user_id}', 'feed', 'post:{post_id}');

-- Whether the user sees the post; if so it stays until the end of the transaction.
CREATE FUNCTION pool.hold_post(p_user uuid, p_post uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM FROM public.posts p JOIN public.profiles a ON a.id = p.user_id
    WHERE p.id = p_post AND p.removed_at IS NULL AND (p.is_public OR p.user_id = p_user) FOR KEY SHARE OF p;
    RETURN FOUND;
END
$$;

-- The people behind posts. Who has left or is suspended is nobody.
CREATE FUNCTION pool.authors(p_ids uuid[]) RETURNS TABLE (id uuid, name text, username text, avatar_url text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public ROWS 20 AS $$
BEGIN
    RETURN QUERY SELECT a.id, a.name, a.username, a.avatar_url FROM public.profiles a WHERE a.id = ANY (p_ids);
END
$$;

-- What a post shows, in the order of its ids; what was deleted since is not there. Whoever hands the answer out puts signed addresses in
-- place of "r2:<key>" (libfitnudge/fn_r2.h).
CREATE FUNCTION pool.post_media(p_ids uuid[]) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN coalesce((SELECT json_agg(row_to_json(x) ORDER BY o.n) FROM unnest(p_ids) WITH ORDINALITY AS o (id, n)
        JOIN public.media m ON m.id = o.id AND m.state = 'ready',
        LATERAL (SELECT m.id, m.kind, m.content_type, 'r2:' || m.key AS url) x), '[]');
END
$$;

-- Posts as JSON, in the order of their ids; without those that the user does not see.
CREATE FUNCTION pool.posts_json(p_user uuid, p_ids uuid[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_authors uuid[] := ARRAY(SELECT p.user_id FROM public.posts p WHERE p.id = ANY (p_ids));
BEGIN
    RETURN (SELECT string_agg(x.json, ',' ORDER BY x.n) FROM (
        SELECT o.n, row_to_json(j)::text AS json
        FROM unnest(p_ids) WITH ORDINALITY AS o (id, n)
        JOIN public.posts p ON p.id = o.id
        JOIN pool.authors(v_authors) a ON a.id = p.user_id,
        LATERAL (SELECT coalesce(sum(c.likes), 0) AS likes, coalesce(sum(c.comments), 0) AS comments
                 FROM public.post_counts c WHERE c.post_id = p.id) n,
        LATERAL (SELECT p.id, a AS author, p.text, p.voice_url, p.media_ids,
                        CASE WHEN p.media_ids = '{}' THEN '[]' ELSE pool.post_media(p.media_ids) END AS media, p.is_public, n.likes AS likes_count, n.comments AS comments_count,
                        EXISTS (SELECT FROM public.likes l WHERE l.post_id = p.id AND l.user_id = p_user) AS liked_by_me, p.version,
                        pool.rfc3339(p.created_at) AS created_at, pool.rfc3339(p.updated_at) AS updated_at) j) x);
END
$$;

CREATE FUNCTION pool.comment_json(c public.comments, p_author json) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT row_to_json(x) FROM (SELECT c.id, c.post_id, p_author AS author, c.text, pool.rfc3339(c.created_at) AS created_at) x);
END
$$;

CREATE FUNCTION pool.author_json(p_user uuid) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT row_to_json(a) FROM pool.authors(ARRAY[p_user]) a);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;
GRANT CREATE ON SCHEMA pool TO fitnudge_social;
ALTER FUNCTION pool.note_count() OWNER TO fitnudge_social;
ALTER FUNCTION pool.fold_post_counts(timestamptz, int) OWNER TO fitnudge_social;
ALTER FUNCTION pool.hold_post(uuid, uuid) OWNER TO fitnudge_social;
ALTER FUNCTION pool.authors(uuid[]) OWNER TO fitnudge_social;
ALTER FUNCTION pool.post_media(uuid[]) OWNER TO fitnudge_social;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_social;

GRANT EXECUTE ON FUNCTION pool.rfc3339(timestamptz), pool.uid() TO fitnudge_social;
GRANT EXECUTE ON FUNCTION pool.note_count() TO fitnudge_owner;
GRANT EXECUTE ON FUNCTION pool.hold_post(uuid, uuid), pool.authors(uuid[]), pool.post_media(uuid[]), pool.posts_json(uuid, uuid[]),
    pool.comment_json(public.comments, json), pool.author_json(uuid) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.fold_post_counts(timestamptz, int) TO fitnudge_clock;

COMMIT;
