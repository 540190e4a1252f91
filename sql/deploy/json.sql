-- The JSON forms of rows, each in one place.
BEGIN;

CREATE FUNCTION pool.goal_json(g public.goals) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object('id', g.id, 'title', g.title, 'description', g.description, 'category', g.category,
    'frequency', g.frequency, 'is_active', g.is_active, 'version', g.version,
    'created_at', pool.rfc3339(g.created_at), 'updated_at', pool.rfc3339(g.updated_at));

CREATE FUNCTION pool.checkin_json(c public.checkins) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object('id', c.id, 'goal_id', c.goal_id, 'date', c.date, 'status', c.status, 'reflection', c.reflection,
    'mood', c.mood, 'version', c.version,
    'created_at', pool.rfc3339(c.created_at), 'updated_at', pool.rfc3339(c.updated_at));

CREATE FUNCTION pool.motivation_json(m public.motivations) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object('id', m.id, 'goal_id', m.goal_id, 'text', m.text, 'tone', m.tone, 'language', m.language,
    'source', m.source, 'voice_url', m.voice_url, 'created_at', pool.rfc3339(m.created_at));

-- The profile as its owner sees it. Runs with the rights of the caller, who must see the user's rows.
CREATE FUNCTION pool.profile_json(u public.users) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object('id', u.id, 'email', u.email, 'name', u.name, 'username', u.username, 'bio', u.bio,
    'avatar_url', u.avatar_url, 'language', u.language, 'timezone', u.timezone, 'country', u.country,
    'birth_date', u.birth_date, 'tone', u.tone, 'plan', u.plan, 'role', u.role, 'email_verified', u.email_verified,
    'version', u.version, 'created_at', pool.rfc3339(u.created_at), 'updated_at', pool.rfc3339(u.updated_at),
    'counts', json_build_object(
        'goals', (SELECT count(*) FROM public.goals g WHERE g.user_id = u.id),
        'active_goals', (SELECT count(*) FROM public.goals g WHERE g.user_id = u.id AND g.is_active),
        'checkins', (SELECT count(*) FROM public.checkins c WHERE c.user_id = u.id),
        'motivations', (SELECT count(*) FROM public.motivations m WHERE m.user_id = u.id)));

-- Signing in shows the profile too.
GRANT SELECT ON public.goals, public.checkins, public.motivations TO fitnudge_auth;
CREATE POLICY identity ON public.goals FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());
CREATE POLICY identity ON public.checkins FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());
CREATE POLICY identity ON public.motivations FOR SELECT TO fitnudge_auth USING (user_id = pool.uid());

GRANT EXECUTE ON FUNCTION pool.goal_json(public.goals), pool.checkin_json(public.checkins),
    pool.motivation_json(public.motivations), pool.profile_json(public.users) TO fitnudge_api, fitnudge_auth;

-- Cursors: base64url of "<user's HMAC, 8 bytes><text>", so that a client can neither make nor change one.
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA pool;

CREATE TABLE pool.cursor_key (
    key  bytea NOT NULL,
    one  boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO pool.cursor_key (key) VALUES (pool.gen_random_bytes(32));
ALTER TABLE pool.cursor_key OWNER TO fitnudge_owner;
GRANT SELECT ON pool.cursor_key TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.hmac(bytea, bytea, text) TO fitnudge_api;

CREATE FUNCTION pool.cursor_encode(p_text text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_mac bytea;
BEGIN
    SELECT substr(pool.hmac(convert_to(pool.uid() || p_text, 'UTF8'), k.key, 'sha256'), 1, 8) INTO v_mac FROM pool.cursor_key k;
    RETURN rtrim(translate(replace(encode(v_mac || convert_to(p_text, 'UTF8'), 'base64'), E'\n', ''), '+/', '-_'), '=');
END
$$;

-- The text of a cursor; raises FN400 for one that was not made here for this user.
CREATE FUNCTION pool.cursor_decode(p_cursor text) RETURNS text
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

    IF v_text IS NULL OR pool.cursor_encode(v_text) <> p_cursor THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'cursor', DETAIL = 'format';
    END IF;
    RETURN v_text;
END
$$;

GRANT EXECUTE ON FUNCTION pool.cursor_encode(text), pool.cursor_decode(text) TO fitnudge_api;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;

COMMIT;
