-- Signing up, in and out.  Passwords and tokens never come here: only their hashes do.
BEGIN;

CREATE FUNCTION pool.timezone_exists(p_name text) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM public.timezones t WHERE t.name = p_name);

-- When an access token made now has expired everywhere, with a minute for clocks that differ.
CREATE FUNCTION pool.access_until(p_ctx jsonb) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN now() + make_interval(secs => coalesce((p_ctx ->> 'access_ttl_s')::int, 900) + 60);

-- A new session with its first refresh token, and the answer the pool completes with tokens.
CREATE FUNCTION pool.start_session(p_user uuid, p_req jsonb, p_ctx jsonb, p_status int) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_expires timestamptz := now() + make_interval(secs => coalesce((p_ctx ->> 'refresh_ttl_s')::int, 604800));
    v_session uuid;
BEGIN
    INSERT INTO public.sessions (user_id, user_agent, ip, expires_at, access_until)
    VALUES (p_user, left(coalesce(p_req #>> '{meta,user_agent}', ''), 200), coalesce(p_req #>> '{meta,ip}', ''), v_expires,
            pool.access_until(p_ctx))
    RETURNING id INTO v_session;

    INSERT INTO public.refresh_tokens (token_hash, session_id, expires_at)
    VALUES (p_ctx ->> 'token_hash', v_session, v_expires);

    RETURN pool.session_reply(p_user, v_session, p_status);
END
$$;

CREATE FUNCTION pool.session_reply(p_user uuid, p_session uuid, p_status int) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    u record;
BEGIN
    PERFORM set_config('request.user_id', p_user::text, true);
    SELECT x.role, x.plan INTO u FROM public.users x WHERE x.id = p_user;

    RETURN pool.ok(p_status, json_build_object('user', pool.profile_json(p_user),
        'session', json_build_object('id', p_session, 'role', u.role, 'plan', u.plan))::text);
END
$$;

CREATE FUNCTION pool.unauthenticated(p_req jsonb, p_message text) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 401, 'AUTHENTICATION_ERROR', p_message);

-- p_ctx: {"password_hash","token_hash","code_hash"}
CREATE FUNCTION jobs.auth_signup(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_user uuid;
BEGIN
    IF NOT pool.timezone_exists(coalesce(b ->> 'timezone', 'UTC')) THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'timezone must be an IANA time zone like Europe/Berlin.', 'timezone', 'format');
    END IF;

    INSERT INTO public.users (email, password_hash, name, language, timezone)
    VALUES (lower(b ->> 'email'), p_ctx ->> 'password_hash', b ->> 'name', coalesce(b ->> 'language', p_req #>> '{meta,language}', 'en'), coalesce(b ->> 'timezone', 'UTC'))
    ON CONFLICT DO NOTHING
    RETURNING id INTO v_user;

    IF v_user IS NULL THEN
        RETURN pool.error(p_req, 409, 'CONFLICT', 'This e-mail address cannot be used.', 'email', 'unique');
    END IF;

    PERFORM pool.send_verification(v_user, p_id, p_ctx ->> 'code_hash');
    RETURN pool.start_session(v_user, p_req, p_ctx, 201);
END
$$;

CREATE FUNCTION jobs.auth_login_find(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_locked pool.reply := pool.signin_locked(p_req, p_req #>> '{body,email}');
    u record;
BEGIN
    IF v_locked.status IS NOT NULL THEN
        RETURN v_locked;
    END IF;

    SELECT id, password_hash INTO u FROM public.users WHERE lower(email) = lower(p_req #>> '{body,email}') AND deleted_at IS NULL;
    RETURN pool.ok(0, json_build_object('user_id', u.id, 'hash', u.password_hash)::text);
END
$$;

-- p_ctx: {"ok","user_id","hash","token_hash","rehash"}. A password that was changed after it had been compared is wrong. Only who
-- has the right one learns that the account is suspended.
CREATE FUNCTION jobs.auth_login(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_user uuid := (p_ctx ->> 'user_id')::uuid;
    v_email text := p_req #>> '{body,email}';
    v_locked pool.reply := pool.signin_locked(p_req, v_email);
    v_suspended boolean;
BEGIN
    IF v_locked.status IS NOT NULL THEN
        RETURN v_locked;
    END IF;

    IF (p_ctx ->> 'ok')::boolean THEN
        SELECT u.suspended_at IS NOT NULL INTO v_suspended FROM public.users u
        WHERE u.id = v_user AND u.deleted_at IS NULL AND u.password_hash = p_ctx ->> 'hash' FOR NO KEY UPDATE;
    END IF;

    IF v_suspended IS NULL THEN
        PERFORM pool.signin_failed(p_req, v_email, v_user);
        RETURN pool.unauthenticated(p_req, 'E-mail address or password is wrong.');
    ELSIF v_suspended THEN
        PERFORM pool.audit(p_req, 'signin_refused', v_user, NULL);
        RETURN pool.suspended(p_req);
    END IF;

    PERFORM pool.signin_forget(v_email);
    IF p_ctx ->> 'rehash' IS NOT NULL THEN
        UPDATE public.users SET password_hash = p_ctx ->> 'rehash' WHERE id = v_user;
    END IF;

    RETURN pool.start_session(v_user, p_req, p_ctx, 200);
END
$$;

-- p_ctx: {"presented_hash","token_hash"}.  A token is good once; within 10 s a second time, for an answer that was lost.
-- Later it is a copy in other hands: the session ends.
CREATE FUNCTION jobs.auth_refresh(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    t public.refresh_tokens;
    s public.sessions;
    v_user uuid;
    v_suspended boolean;
    v_expires timestamptz := now() + make_interval(secs => coalesce((p_ctx ->> 'refresh_ttl_s')::int, 604800));
BEGIN
    SELECT x.user_id INTO v_user FROM public.refresh_tokens r JOIN public.sessions x ON x.id = r.session_id
    WHERE r.token_hash = p_ctx ->> 'presented_hash';
    IF NOT FOUND THEN
        RETURN pool.unauthenticated(p_req, 'The refresh token is not valid.');
    END IF;

    -- user, session, token: as whoever ends a session takes them
    SELECT u.suspended_at IS NOT NULL INTO v_suspended FROM public.users u WHERE u.id = v_user FOR SHARE;
    SELECT x.* INTO s FROM public.sessions x
    WHERE x.id = (SELECT r.session_id FROM public.refresh_tokens r WHERE r.token_hash = p_ctx ->> 'presented_hash') FOR UPDATE;
    SELECT * INTO t FROM public.refresh_tokens WHERE token_hash = p_ctx ->> 'presented_hash' FOR UPDATE;

    IF s.id IS NULL OR t.token_hash IS NULL OR t.expires_at <= now() THEN
        RETURN pool.unauthenticated(p_req, 'The session has ended: sign in again.');
    ELSIF v_suspended THEN
        RETURN pool.suspended(p_req);
    END IF;

    IF t.rotated_at < now() - interval '10 seconds' THEN
        DELETE FROM public.sessions WHERE id = s.id;
        RETURN pool.unauthenticated(p_req, 'The session has ended: sign in again.');
    END IF;

    UPDATE public.refresh_tokens SET rotated_at = now() WHERE token_hash = t.token_hash AND rotated_at IS NULL;
    INSERT INTO public.refresh_tokens (token_hash, session_id, expires_at)
    VALUES (p_ctx ->> 'token_hash', s.id, v_expires)
    ON CONFLICT DO NOTHING;
    UPDATE public.sessions SET last_used_at = now(), expires_at = v_expires, access_until = pool.access_until(p_ctx)
    WHERE id = s.id;

    RETURN pool.session_reply(s.user_id, s.id, 200);
END
$$;

-- A session that has ended is deleted, its refresh tokens with it; the row trigger tells every edge.
CREATE FUNCTION pool.end_sessions(p_user uuid, p_session uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.sessions WHERE user_id = p_user AND (p_session IS NULL OR id = p_session);
    RETURN FOUND;
END
$$;

-- Header lines that take the tokens away from who has them as cookies.
CREATE FUNCTION pool.clear_cookies(p_req jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN (p_req #>> '{meta,cookie}')::boolean THEN
    format(E'Set-Cookie: access_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict%1$s\n'
           'Set-Cookie: refresh_token=; Path=/api/v1/auth; Max-Age=0; HttpOnly; SameSite=Strict%1$s\n',
           CASE WHEN (p_req #>> '{meta,tls}')::boolean THEN '; Secure' ELSE '' END) END;

CREATE FUNCTION jobs.auth_logout(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_session uuid := (p_req #>> '{meta,session_id}')::uuid;
    v_everywhere boolean := coalesce((p_req #>> '{body,everywhere}')::boolean, false);
    v_ours boolean := v_session IS NULL OR pool.end_sessions(p_user, v_session);
BEGIN
    IF v_everywhere THEN
        PERFORM pool.end_sessions(p_user, NULL);
    END IF;

    -- A session of somebody else, whose tokens are accepted: only these can be ended here.
    IF NOT v_ours AND v_everywhere THEN
        PERFORM pool.revoke_user(p_user);
    ELSIF NOT v_ours THEN
        PERFORM pool.revoke(p_user, v_session::text, now() + interval '1 day');
    END IF;

    RETURN pool.ok(204, '', pool.clear_cookies(p_req));
END
$$;

CREATE FUNCTION jobs.sessions_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF pool.end_sessions(p_user, (p_req #>> '{params,id}')::uuid) THEN
        RETURN pool.ok(204, '');
    END IF;
    RETURN pool.not_found(p_req);
END
$$;

CREATE FUNCTION jobs.users_update(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    u public.users;
BEGIN
    SELECT * INTO u FROM public.users WHERE id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, u.version) THEN
        RETURN pool.precondition_failed(p_req);
    ELSIF b ->> 'username' !~ '^[A-Za-z0-9_.]{3,30}$' THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'username may hold letters, digits, _ and dot.', 'username', 'format');
    ELSIF b ->> 'country' !~ '^[A-Z]{2}$' THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'country must be two capital letters, ISO 3166-1.', 'country', 'format');
    ELSIF b ? 'timezone' AND NOT pool.timezone_exists(b ->> 'timezone') THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'timezone must be an IANA time zone like Europe/Berlin.', 'timezone', 'format');
    ELSIF (b ->> 'birth_date')::date >= current_date THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'birth_date must be in the past.', 'birth_date', 'max');
    END IF;

    IF b <> '{}' THEN
        BEGIN
            UPDATE public.users SET
                name       = CASE WHEN b ? 'name'       THEN b ->> 'name'               ELSE name END,
                username   = CASE WHEN b ? 'username'   THEN b ->> 'username'           ELSE username END,
                bio        = CASE WHEN b ? 'bio'        THEN b ->> 'bio'                ELSE bio END,
                avatar_url = CASE WHEN b ? 'avatar_url' THEN b ->> 'avatar_url'         ELSE avatar_url END,
                language   = CASE WHEN b ? 'language'   THEN b ->> 'language'           ELSE language END,
                timezone   = CASE WHEN b ? 'timezone'   THEN b ->> 'timezone'           ELSE timezone END,
                country    = CASE WHEN b ? 'country'    THEN b ->> 'country'            ELSE country END,
                birth_date = CASE WHEN b ? 'birth_date' THEN (b ->> 'birth_date')::date ELSE birth_date END,
                tone       = CASE WHEN b ? 'tone'       THEN b ->> 'tone'               ELSE tone END,
                version    = version + 1,
                updated_at = now()
            WHERE id = p_user RETURNING * INTO u;
        EXCEPTION WHEN unique_violation THEN
            RETURN pool.error(p_req, 409, 'CONFLICT', 'This username is taken.', 'username', 'unique');
        END;
    END IF;

    RETURN pool.ok(200, pool.profile_json(p_user)::text);
END
$$;

ALTER FUNCTION pool.start_session(uuid, jsonb, jsonb, int) OWNER TO fitnudge_auth;
ALTER FUNCTION pool.session_reply(uuid, uuid, int) OWNER TO fitnudge_auth;
ALTER FUNCTION pool.end_sessions(uuid, uuid) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.auth_signup(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.auth_login_find(uuid, uuid, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.auth_login(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.auth_refresh(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.auth_logout(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.sessions_delete(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.users_update(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pool.unauthenticated(jsonb, text), pool.timezone_exists(text), pool.access_until(jsonb),
    pool.clear_cookies(jsonb) TO fitnudge_auth;
GRANT EXECUTE ON FUNCTION
    jobs.auth_signup(uuid, uuid, jsonb, jsonb), jobs.auth_login_find(uuid, uuid, jsonb), jobs.auth_login(uuid, uuid, jsonb, jsonb),
    jobs.auth_refresh(uuid, uuid, jsonb, jsonb), jobs.auth_logout(uuid, uuid, jsonb, jsonb),
    jobs.sessions_delete(uuid, uuid, jsonb, jsonb), jobs.users_update(uuid, uuid, jsonb, jsonb)
TO fitnudge_pool;

COMMIT;
