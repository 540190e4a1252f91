-- The JSON forms of rows, each in one place.
BEGIN;

-- Expressions, not queries: a query is made ready to run each time it is called, which takes longer than all else here.
CREATE FUNCTION pool.goal_json(g public.goals) RETURNS json
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN concat('{"id":"', g.id, '","title":', to_json(g.title), ',"description":', coalesce(to_json(g.description), 'null'),
                  ',"category":', coalesce(to_json(g.category), 'null'), ',"frequency":', g.frequency, ',"is_active":', to_json(g.is_active),
                  ',"version":', g.version, ',"created_at":"', pool.rfc3339(g.created_at), '","updated_at":"', pool.rfc3339(g.updated_at), '"}');
END
$$;

CREATE FUNCTION pool.checkin_json(c public.checkins) RETURNS json
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN concat('{"id":"', c.id, '","goal_id":"', c.goal_id, '","date":', to_json(c.date), ',"status":"', c.status,
                  '","reflection":', coalesce(to_json(c.reflection), 'null'), ',"mood":', coalesce(c.mood::text, 'null'), ',"version":', c.version,
                  ',"created_at":"', pool.rfc3339(c.created_at), '","updated_at":"', pool.rfc3339(c.updated_at), '"}');
END
$$;

CREATE FUNCTION pool.motivation_json(m public.motivations) RETURNS json
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN concat('{"id":"', m.id, '","goal_id":"', m.goal_id, '","text":', to_json(m.text), ',"tone":"', m.tone, '","language":"', m.language,
                  '","source":"', m.source, '","voice_url":', coalesce(to_json(m.voice_url), 'null'), ',"created_at":"', pool.rfc3339(m.created_at), '"}');
END
$$;

-- The profile as its owner sees it. Runs with the rights of the caller, who must see the user's rows.
CREATE FUNCTION pool.profile_json(p_user uuid) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT row_to_json(x) FROM (SELECT u.id, u.email, u.name, u.username, u.bio, u.avatar_url, u.language, u.timezone,
        u.country, u.birth_date, u.tone, u.plan, u.role, u.email_verified, u.version,
        pool.rfc3339(u.created_at) AS created_at, pool.rfc3339(u.updated_at) AS updated_at,
        (SELECT row_to_json(n) FROM (SELECT
            (SELECT count(*) FROM public.goals g WHERE g.user_id = u.id) AS goals,
            (SELECT count(*) FROM public.goals g WHERE g.user_id = u.id AND g.is_active) AS active_goals,
            (SELECT count(*) FROM public.checkins c WHERE c.user_id = u.id) AS checkins,
            (SELECT count(*) FROM public.motivations m WHERE m.user_id = u.id) AS motivations,
            coalesce(f.followers, 0) AS followers, coalesce(f.following, 0) AS following) n) AS counts
        FROM public.users u LEFT JOIN public.follow_counts f ON f.user_id = u.id WHERE u.id = p_user) x);
END
$$;

-- A page of a feed: the items as JSON texts, and the cursor of the next page or NULL.
CREATE FUNCTION pool.feed_json(p_name text, p_items text, p_limit int, p_cursor text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN concat('{"', p_name, '":[', p_items, '],"pagination":{"limit":', p_limit, ',"next_cursor":', coalesce('"' || p_cursor || '"', 'null'), '}}');

-- Signing in shows the profile too.
GRANT SELECT ON public.goals, public.checkins, public.motivations TO fitnudge_auth;
CREATE POLICY identity ON public.goals FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());
CREATE POLICY identity ON public.checkins FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());
CREATE POLICY identity ON public.motivations FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());

GRANT EXECUTE ON FUNCTION pool.goal_json(public.goals), pool.checkin_json(public.checkins),
    pool.motivation_json(public.motivations), pool.profile_json(uuid), pool.feed_json(text, text, int, text)
    TO fitnudge_api, fitnudge_auth;

-- Cursors: base64url of "<HMAC of user, list and text, 8 bytes><text>", so that a client can neither make nor change one, nor
-- use it for another list.
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA pool;

CREATE TABLE pool.cursor_key (
    key  bytea NOT NULL,
    one  boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO pool.cursor_key (key) VALUES (pool.gen_random_bytes(32));
ALTER TABLE pool.cursor_key OWNER TO fitnudge_owner;
GRANT SELECT ON pool.cursor_key TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.hmac(bytea, bytea, text) TO fitnudge_api;

CREATE FUNCTION pool.cursor_encode(p_list text, p_text text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_mac bytea;
BEGIN
    SELECT substr(pool.hmac(convert_to(concat_ws(' ', pool.uid(), p_list, p_text), 'UTF8'), k.key, 'sha256'), 1, 8) INTO v_mac FROM pool.cursor_key k;
    RETURN rtrim(translate(replace(encode(v_mac || convert_to(p_text, 'UTF8'), 'base64'), E'\n', ''), '+/', '-_'), '=');
END
$$;

-- The text of a cursor; raises FN400 for one that was not made here for this user.
CREATE FUNCTION pool.cursor_decode(p_list text, p_cursor text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_text text;
BEGIN
    IF p_cursor IS NULL THEN
        RETURN NULL;
    END IF;

    BEGIN
        v_text := convert_from(substr(decode(rpad(translate(p_cursor, '-_', '+/'), (length(p_cursor) + 3) / 4 * 4, '='), 'base64'), 9), 'UTF8');
    EXCEPTION WHEN OTHERS THEN
        v_text := NULL;
    END;

    IF v_text IS NULL OR pool.cursor_encode(p_list, v_text) <> p_cursor THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'cursor', DETAIL = 'format';
    END IF;
    RETURN v_text;
END
$$;

GRANT EXECUTE ON FUNCTION pool.cursor_encode(text, text), pool.cursor_decode(text, text) TO fitnudge_api;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;

COMMIT;
