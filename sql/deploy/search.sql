-- Deploy fitnudge:search to pg
-- Search, suggestions, and what was searched for.
--
-- A text is indexed by the rules of the language it was written in. A query is read by the rules of each language, so that it finds a text
-- by those of the text; what is only stop words in the language of who asks finds nothing.
-- What is ranked are the c_ranked newest hits: with millions of posts a common word has more hits than anybody can rank while one waits.
BEGIN;

CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA pool;

SET LOCAL ROLE fitnudge_owner;

CREATE TEXT SEARCH CONFIGURATION public.english_search (COPY = pg_catalog.english);
CREATE TEXT SEARCH CONFIGURATION public.spanish_search (COPY = pg_catalog.spanish);
CREATE TEXT SEARCH CONFIGURATION public.french_search (COPY = pg_catalog.french);
CREATE TEXT SEARCH CONFIGURATION public.german_search (COPY = pg_catalog.german);

-- What was searched for, and what was chosen of it.
CREATE TABLE public.search_analytics (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id        uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    scope          text        NOT NULL CHECK (scope IN ('posts', 'goals', 'users')),
    query          text        NOT NULL CHECK (length(query) BETWEEN 1 AND 100),
    results_count  int         NOT NULL CHECK (results_count >= 0),
    searched_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_search_analytics_searched_at ON public.search_analytics (searched_at);
CREATE INDEX idx_search_analytics_user_id ON public.search_analytics (user_id);

CREATE TABLE public.search_clicks (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    query       text        NOT NULL CHECK (length(query) BETWEEN 1 AND 100),
    result_id   uuid        NOT NULL,
    position    int         NOT NULL CHECK (position >= 1),
    clicked_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_search_clicks_clicked_at ON public.search_clicks (clicked_at);
CREATE INDEX idx_search_clicks_user_id ON public.search_clicks (user_id);

ALTER TABLE public.search_analytics ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.search_clicks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.search_analytics TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY own ON public.search_clicks TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.search_analytics TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.search_clicks TO fitnudge_clock USING (true);
GRANT SELECT, INSERT ON public.search_analytics, public.search_clicks TO fitnudge_api;
GRANT SELECT, DELETE ON public.search_analytics, public.search_clicks TO fitnudge_clock;
INSERT INTO public.retention (name, place, relation, "column", keep) VALUES
    ('search_analytics', 63, 'search_analytics', 'searched_at', '90 days'),
    ('search_clicks',    64, 'search_clicks',    'clicked_at',  '90 days');

INSERT INTO public.personal_data (relation, bulk) VALUES ('search_analytics', true), ('search_clicks', true);

-- What many search for, and many pursue: what fewer than three people have written is theirs, and suggested to nobody else. The clock refreshes
-- both (entry `views`), with the rights of their owner.
CREATE POLICY views ON public.search_analytics FOR SELECT TO fitnudge_owner USING (true);
CREATE POLICY views ON public.goals FOR SELECT TO fitnudge_owner USING (true);

CREATE MATERIALIZED VIEW public.search_terms AS
    SELECT s.query COLLATE "C" AS term, count(*) AS search_count FROM public.search_analytics s
    WHERE s.scope <> 'goals' AND s.results_count > 0 GROUP BY 1 HAVING count(DISTINCT s.user_id) >= 3;
CREATE UNIQUE INDEX idx_search_terms_term ON public.search_terms (term);

CREATE MATERIALIZED VIEW public.goal_categories AS
    SELECT lower(g.category) COLLATE "C" AS category, count(*) AS goals FROM public.goals g
    WHERE g.category IS NOT NULL GROUP BY 1 HAVING count(DISTINCT g.user_id) >= 3;
CREATE UNIQUE INDEX idx_goal_categories_category ON public.goal_categories (category);

GRANT SELECT ON public.search_terms, public.goal_categories TO fitnudge_social;

RESET ROLE;

CREATE FUNCTION pool.search_config(p_language text) RETURNS regconfig
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN CASE p_language
        WHEN 'es' THEN 'public.spanish_search'::regconfig
        WHEN 'fr' THEN 'public.french_search'::regconfig
        WHEN 'de' THEN 'public.german_search'::regconfig
        ELSE 'public.english_search'::regconfig END;
END
$$;

CREATE FUNCTION pool.search_vector(p_language text, p_text text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN to_tsvector(pool.search_config(p_language), p_text);
END
$$;

-- Names are no words of a language.
CREATE FUNCTION pool.person_vector(p_name text, p_username text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN to_tsvector('pg_catalog.simple', p_name || ' ' || translate(coalesce(p_username, ''), '._', '  '));
END
$$;

GRANT EXECUTE ON FUNCTION pool.search_config(text), pool.search_vector(text, text), pool.person_vector(text, text)
    TO fitnudge_owner, fitnudge_api, fitnudge_auth, fitnudge_clock, fitnudge_social;

SET LOCAL ROLE fitnudge_owner;
ALTER TABLE public.posts ADD COLUMN tsv tsvector GENERATED ALWAYS AS (pool.search_vector(language, text)) STORED;
ALTER TABLE public.posts ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY;
COMMENT ON COLUMN public.posts.seq IS 'as created_at, counted: what is looked through one piece after the other';
UPDATE public.personal_data SET withheld = '{tsv,seq}', reason = 'internal' WHERE relation = 'posts';
-- Words within pieces of 8,192 and of 262,144 posts (pool.search_hits). Each probe would look through a list of pending entries: there is none.
CREATE INDEX idx_posts_search ON public.posts USING gin (tsv, (seq >> 13), (seq >> 18)) WITH (fastupdate = off);
CREATE INDEX idx_users_search ON public.users USING gin (pool.person_vector(name, username));
RESET ROLE;

-- NULL for what finds nothing. Any text is a query: websearch_to_tsquery() raises no error.
CREATE FUNCTION pool.search_query(p_language text, p_q text) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_query tsquery := websearch_to_tsquery(pool.search_config(p_language), p_q);
BEGIN
    IF numnode(v_query) = 0 THEN
        RETURN NULL;
    END IF;
    -- each once: most words are the same in several
    RETURN (SELECT string_agg('(' || x.q || ')', ' | ')::tsquery FROM (
        SELECT DISTINCT websearch_to_tsquery(c, p_q)::text AS q
        FROM unnest('{public.english_search,public.spanish_search,public.french_search,public.german_search}'::regconfig[]) c) x
        WHERE x.q <> '');
END
$$;

-- People whose names have words that begin with each of these.
CREATE FUNCTION pool.person_query(p_q text) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (SELECT string_agg('''' || replace(replace(l, '\', '\\'), '''', '''''') || ''':*', ' & ')::tsquery
            FROM unnest(tsvector_to_array(to_tsvector('pg_catalog.simple', translate(p_q, '._', '  ')))) l);
END
$$;

-- How relevant a result is: how well the text matches, whether its title has the very words, how many follow its author, how new it
-- is (30 days fade it), and how much it was liked and commented on.
CREATE FUNCTION pool.search_score(p_rank real, p_q text, p_title text, p_followers bigint, p_created timestamptz, p_engagement bigint) RETURNS float
LANGUAGE sql STABLE
RETURN p_rank * 0.4
     + CASE WHEN strpos(lower(p_title), lower(p_q)) > 0 THEN 3.0 ELSE 0 END
     + p_followers * 0.5
     + greatest(0, 1 - floor(extract(epoch FROM now() - p_created) / 86400) / 30.0) * 0.3
     + p_engagement / 100.0 * 0.2;

CREATE FUNCTION pool.followers(p_user uuid) RETURNS bigint
LANGUAGE sql STABLE
RETURN coalesce((SELECT c.followers FROM public.follow_counts c WHERE c.user_id = p_user), 0);

-- The newest public posts that match, up to so many. The index of words knows no order, and neither of the usual ways serves every word: all hits
-- of a frequent one are too many to fetch and sort, and of the newest posts too few have it. So pieces are asked, the newest first, until there
-- are enough: small ones, and when those have brought little, large ones. What it costs depends on p_limit and hardly on how many posts there are.
CREATE FUNCTION pool.search_hits(p_query tsquery, p_from timestamptz, p_to timestamptz, p_limit int)
RETURNS TABLE (id uuid, user_id uuid, title text, created_at timestamptz, tsv tsvector)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c_small  CONSTANT int := 13;        -- bits
    c_large  CONSTANT int := 18;
    c_first  CONSTANT int := 16;        -- small ones that are asked in any case
    v_newest bigint;
    v_oldest bigint := 0;
    v_bits   int := c_small;
    v_piece  bigint;
    v_count  int;
    v_left   int := p_limit;
BEGIN
    SELECT p.seq INTO v_newest FROM public.posts p
    WHERE p.is_public AND p.removed_at IS NULL AND p.created_at < coalesce(p_to, 'infinity') ORDER BY p.created_at DESC, p.id DESC LIMIT 1;
    IF p_from IS NOT NULL THEN
        SELECT p.seq INTO v_oldest FROM public.posts p
        WHERE p.is_public AND p.removed_at IS NULL AND p.created_at >= p_from ORDER BY p.created_at, p.id LIMIT 1;
    END IF;

    -- Each size has its own column of the index. Times are compared afterwards, or their index would be asked as well.
    v_piece := v_newest >> v_bits;
    WHILE v_left > 0 AND v_piece >= v_oldest >> v_bits LOOP
        RETURN QUERY
        WITH hits AS MATERIALIZED (
            SELECT p.id, p.user_id, p.text, p.created_at, p.tsv FROM public.posts p
            WHERE v_bits = c_small AND p.tsv @@ p_query AND (p.seq >> 13) = v_piece AND p.is_public AND p.removed_at IS NULL
            UNION ALL
            SELECT p.id, p.user_id, p.text, p.created_at, p.tsv FROM public.posts p
            WHERE v_bits = c_large AND p.tsv @@ p_query AND (p.seq >> 18) = v_piece AND p.is_public AND p.removed_at IS NULL)
        SELECT h.id, h.user_id, split_part(h.text, E'\n', 1), h.created_at, h.tsv FROM hits h
        WHERE h.created_at >= coalesce(p_from, '-infinity') AND h.created_at < coalesce(p_to, 'infinity')
        ORDER BY h.created_at DESC, h.id DESC LIMIT v_left;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_left := v_left - v_count;
        v_piece := v_piece - 1;

        -- at the border of a large one
        IF v_bits = c_small AND (v_newest >> c_small) - v_piece >= c_first AND (v_piece + 1) & ((1 << (c_large - c_small)) - 1) = 0 THEN
            v_bits := c_large;
            v_piece := v_piece >> (c_large - c_small);
        END IF;
    END LOOP;
END
$$;

-- Hits among posts that the user sees: one page of ids, the most relevant first, and how many there are. A post's title is its first line.
-- Planned anew for each query: whether an author's posts are looked through or the index of words is asked depends on both.
CREATE FUNCTION pool.search_posts(p_user uuid, p_q text, p_query tsquery, p_from timestamptz, p_to timestamptz, p_author uuid,
                                  p_page int, p_limit int, OUT ids uuid[], OUT total bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    c_ranked CONSTANT int := 500;
BEGIN
    WITH hits AS MATERIALIZED (
        SELECT * FROM pool.search_hits(p_query, p_from, p_to, c_ranked) WHERE p_author IS NULL
        UNION ALL
        (SELECT p.id, p.user_id, split_part(p.text, E'\n', 1), p.created_at, p.tsv FROM public.posts p
         WHERE p.user_id = p_author AND p.tsv @@ p_query AND p.removed_at IS NULL AND (p.is_public OR p_author = p_user)
           AND (p_from IS NULL OR p.created_at >= p_from) AND (p_to IS NULL OR p.created_at < p_to)
         ORDER BY p.created_at DESC, p.id DESC LIMIT c_ranked)
    ), people AS MATERIALIZED (
        SELECT u.id, coalesce(c.followers, 0) AS followers FROM (SELECT DISTINCT h.user_id FROM hits h) a
        CROSS JOIN LATERAL (SELECT x.id FROM public.users x WHERE x.id = a.user_id AND x.is_visible LIMIT 1) u
        LEFT JOIN LATERAL (SELECT x.followers FROM public.follow_counts x WHERE x.user_id = a.user_id LIMIT 1) c ON true
    ), scored AS MATERIALIZED (
        SELECT h.id, h.created_at, pool.search_score(ts_rank(h.tsv, p_query), p_q, h.title, a.followers, h.created_at,
            (SELECT coalesce(sum(c.likes + c.comments), 0)::bigint FROM public.post_counts c WHERE c.post_id = h.id)) AS score
        FROM hits h JOIN people a ON a.id = h.user_id
    )
    SELECT (SELECT count(*) FROM scored),
           ARRAY(SELECT s.id FROM scored s ORDER BY s.score DESC, s.created_at DESC, s.id LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit)
    INTO total, ids;
END
$$;

CREATE FUNCTION pool.search_people(p_q text, p_from timestamptz, p_to timestamptz, p_page int, p_limit int, OUT ids uuid[], OUT total bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    c_ranked CONSTANT int := 500;
    v_query tsquery := pool.person_query(p_q);
BEGIN
    WITH hits AS MATERIALIZED (
        SELECT u.id, u.name, u.username, u.created_at FROM public.users u
        WHERE pool.person_vector(u.name, u.username) @@ v_query AND u.is_visible
          AND (p_from IS NULL OR u.created_at >= p_from) AND (p_to IS NULL OR u.created_at < p_to)
        LIMIT c_ranked
    ), scored AS MATERIALIZED (
        SELECT h.id, h.created_at, pool.search_score(ts_rank(pool.person_vector(h.name, h.username), v_query), p_q, h.name || ' ' || coalesce(h.username, ''),
            pool.followers(h.id), h.created_at, 0) AS score
        FROM hits h
    )
    SELECT (SELECT count(*) FROM scored),
           ARRAY(SELECT s.id FROM scored s ORDER BY s.score DESC, s.created_at DESC, s.id LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit)
    INTO total, ids;
END
$$;

CREATE FUNCTION pool.results_json(p_results text, p_page int, p_limit int, p_total bigint) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN concat('{"results":[', p_results, '],"pagination":{"page":', p_page, ',"limit":', p_limit, ',"total":', p_total, '}}');

-- The user's language, and the dates of a request as moments of the user's time zone.
CREATE FUNCTION pool.search_frame(p_user uuid, p_from date, p_to date, OUT language text, OUT since timestamptz, OUT until timestamptz)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT u.language, p_from::timestamp AT TIME ZONE u.timezone, (p_to + 1)::timestamp AT TIME ZONE u.timezone
    INTO language, since, until FROM public.users u WHERE u.id = p_user;
END
$$;

CREATE FUNCTION api.search_posts(p_user uuid, p_q text, p_from date, p_to date, p_author uuid, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    f record;
    s record;
BEGIN
    SELECT * INTO f FROM pool.search_frame(p_user, p_from, p_to);
    SELECT * INTO s FROM pool.search_posts(p_user, p_q, pool.search_query(f.language, p_q), f.since, f.until, p_author, p_page, p_limit);
    RETURN pool.results_json(pool.posts_json(p_user, s.ids), p_page, p_limit, s.total);
END
$$;

CREATE FUNCTION api.search_users(p_user uuid, p_q text, p_from date, p_to date, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    f record;
    s record;
BEGIN
    SELECT * INTO f FROM pool.search_frame(p_user, p_from, p_to);
    SELECT * INTO s FROM pool.search_people(p_q, f.since, f.until, p_page, p_limit);
    RETURN pool.results_json((SELECT string_agg(row_to_json(a)::text, ',' ORDER BY o.n)
                              FROM unnest(s.ids) WITH ORDINALITY AS o (id, n) JOIN pool.authors(s.ids) a USING (id)), p_page, p_limit, s.total);
END
$$;

-- The user's own goals: the index of the user's goals finds them, an index of everybody's words would find others' first.
CREATE FUNCTION api.search_goals(p_user uuid, p_q text, p_from date, p_to date, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    f record;
    v_query tsquery;
    v_total bigint;
    v_goals text;
BEGIN
    SELECT * INTO f FROM pool.search_frame(p_user, p_from, p_to);
    v_query := pool.search_query(f.language, p_q);

    WITH scored AS MATERIALIZED (
        SELECT g AS goal, g.id, g.created_at, pool.search_score(ts_rank(d.vector, v_query), p_q, g.title, 0, g.created_at, 0) AS score
        FROM public.goals g, LATERAL (SELECT pool.search_vector(f.language, concat_ws(' ', g.title, g.description, g.category)) AS vector) d
        WHERE g.user_id = p_user AND d.vector @@ v_query
          AND (f.since IS NULL OR g.created_at >= f.since) AND (f.until IS NULL OR g.created_at < f.until)
    )
    SELECT (SELECT count(*) FROM scored),
           (SELECT string_agg(pool.goal_json(p.goal)::text, ',' ORDER BY p.score DESC, p.created_at DESC, p.id) FROM (
                SELECT * FROM scored s ORDER BY s.score DESC, s.created_at DESC, s.id LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit) p)
    INTO v_total, v_goals;

    RETURN pool.results_json(v_goals, p_page, p_limit, v_total);
END
$$;

-- Two popular terms, two people, a category of goals; the same shares of another limit.
CREATE FUNCTION api.search_suggestions(p_user uuid, p_q text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_q text COLLATE "C" := lower(p_q);
    v_end text COLLATE "C" := lower(p_q) || chr(1114111);
    v_share int := ceil(p_limit * 2 / 5.0);
BEGIN
    RETURN (SELECT concat('{"suggestions":[', string_agg(json_strip_nulls(row_to_json(x))::text, ','), ']}') FROM (
        SELECT * FROM (
            (SELECT 'term' AS type, t.term::text AS text, NULL::uuid AS user_id FROM public.search_terms t
             WHERE t.term >= v_q AND t.term < v_end ORDER BY t.search_count DESC, t.term LIMIT v_share)
            UNION ALL
            (SELECT 'user', p.name, p.id FROM pool.suggest_people(p_q, v_share) p)
            UNION ALL
            (SELECT 'category', c.category::text, NULL FROM public.goal_categories c
             WHERE c.category >= v_q AND c.category < v_end ORDER BY c.goals DESC, c.category LIMIT ceil(p_limit / 5.0))) s
        LIMIT p_limit) x);
END
$$;

CREATE FUNCTION pool.suggest_people(p_q text, p_limit int) RETURNS TABLE (id uuid, name text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_query tsquery := pool.person_query(p_q);
BEGIN
    RETURN QUERY
    SELECT h.id, h.name FROM (
        SELECT u.id, u.name FROM public.users u
        WHERE pool.person_vector(u.name, u.username) @@ v_query AND u.is_visible LIMIT 50) h
    ORDER BY pool.followers(h.id) DESC, h.name, h.id LIMIT p_limit;
END
$$;

-- As it is counted: case and blanks make no other search.
CREATE FUNCTION pool.search_normal(p_q text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN lower(btrim(regexp_replace(p_q, '\s+', ' ', 'g')));

-- A search that was answered. The edge sends it after the answer: nobody waits for it.
CREATE FUNCTION jobs.search_record(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
BEGIN
    IF NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user) THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.search_analytics (user_id, scope, query, results_count)
    VALUES (p_user, replace(b ->> 'search', 'search_', ''), pool.search_normal(p_req #>> '{params,q}'), (b ->> 'results')::int);
    RETURN pool.ok(200, '{}');
END
$$;

CREATE FUNCTION jobs.search_click(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
BEGIN
    IF NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user) THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.search_clicks (user_id, query, result_id, position)
    VALUES (p_user, pool.search_normal(b ->> 'query'), (b ->> 'result_id')::uuid, (b ->> 'position')::int);
    RETURN pool.ok(202, '{"status":"received"}');
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api, jobs TO fitnudge_api;
GRANT CREATE ON SCHEMA api, pool TO fitnudge_social;
ALTER FUNCTION pool.search_posts(uuid, text, tsquery, timestamptz, timestamptz, uuid, int, int) OWNER TO fitnudge_social;
ALTER FUNCTION pool.search_people(text, timestamptz, timestamptz, int, int) OWNER TO fitnudge_social;
ALTER FUNCTION api.search_posts(uuid, text, date, date, uuid, int, int) OWNER TO fitnudge_api;
ALTER FUNCTION api.search_users(uuid, text, date, date, int, int) OWNER TO fitnudge_api;
ALTER FUNCTION api.search_goals(uuid, text, date, date, int, int) OWNER TO fitnudge_api;
ALTER FUNCTION api.search_suggestions(uuid, text, int) OWNER TO fitnudge_social;
ALTER FUNCTION jobs.search_record(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.search_click(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA api, jobs FROM fitnudge_api;
REVOKE CREATE ON SCHEMA api, pool FROM fitnudge_social;

GRANT EXECUTE ON FUNCTION pool.person_query(text), pool.search_score(real, text, text, bigint, timestamptz, bigint), pool.followers(uuid),
    pool.suggest_people(text, int), pool.search_hits(tsquery, timestamptz, timestamptz, int) TO fitnudge_social;
GRANT EXECUTE ON FUNCTION pool.search_query(text, text), pool.search_score(real, text, text, bigint, timestamptz, bigint),
    pool.search_posts(uuid, text, tsquery, timestamptz, timestamptz, uuid, int, int), pool.search_people(text, timestamptz, timestamptz, int, int),
    pool.results_json(text, int, int, bigint), pool.search_frame(uuid, date, date), pool.search_normal(text) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION api.search_posts(uuid, text, date, date, uuid, int, int), api.search_users(uuid, text, date, date, int, int),
    api.search_goals(uuid, text, date, date, int, int), api.search_suggestions(uuid, text, int) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.search_record(uuid, uuid, jsonb, jsonb), jobs.search_click(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
