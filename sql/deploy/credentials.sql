-- Deploy fitnudge:credentials to pg
-- Codes that verify an address, tokens that reset a password, and its change. Codes and tokens never come here: the pool makes them of a
-- row's id and a key that is not in the database (worker/jobs/secret.c), and here are their hashes.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- One a user: a new code takes the place of the last.
CREATE TABLE public.email_verifications (
    user_id     uuid        NOT NULL PRIMARY KEY REFERENCES public.users (id) ON DELETE CASCADE,
    id          uuid        NOT NULL UNIQUE,
    code_hash   text        NOT NULL,
    attempts    smallint    NOT NULL DEFAULT 0,
    sends       smallint    NOT NULL DEFAULT 1,
    since       timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

COMMENT ON COLUMN public.email_verifications.sends IS 'codes sent since the time in since';

CREATE TABLE public.password_resets (
    id          uuid        NOT NULL PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    token_hash  text        NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

CREATE INDEX idx_password_resets_user_id ON public.password_resets (user_id, created_at);
CREATE INDEX idx_password_resets_expires_at ON public.password_resets (expires_at);
CREATE INDEX idx_email_verifications_expires_at ON public.email_verifications (expires_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['email_verifications', 'password_resets'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY identity ON public.%I TO fitnudge_auth USING (true) WITH CHECK (true)', t);
        EXECUTE format('CREATE POLICY clock ON public.%I TO fitnudge_clock USING (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO fitnudge_auth', t);
        EXECUTE format('GRANT SELECT, DELETE ON public.%I TO fitnudge_clock', t);
    END LOOP;
END
$$;

RESET ROLE;

-- A day after the last code the count of codes is forgotten with its row; tokens of the last hour are counted, too.
INSERT INTO public.retention (name, place, relation, "column", keep) VALUES
    ('email_verifications', 23, 'email_verifications', 'expires_at', '1 day'),
    ('password_resets',     24, 'password_resets',     'expires_at', '1 day');

CREATE FUNCTION pool.mail_account(p_user uuid, p_template text, p_vars jsonb, p_secret jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pool.follow('mail.send', p_user, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb,
        'body', jsonb_build_object('template', p_template, 'to', u.email, 'name', u.name, 'language', u.language, 'vars', p_vars, 'secret', p_secret)))
    FROM public.users u WHERE u.id = p_user;
END
$$;

-- p_id is what the code was made of. It is good for 15 minutes.
CREATE FUNCTION pool.send_verification(p_user uuid, p_id uuid, p_code_hash text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.email_verifications AS v (user_id, id, code_hash, expires_at) VALUES (p_user, p_id, p_code_hash, now() + interval '15 minutes')
    ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, code_hash = excluded.code_hash, attempts = 0, sent_at = now(), expires_at = excluded.expires_at,
        sends = CASE WHEN v.since < now() - interval '1 day' THEN 1 ELSE v.sends + 1 END,
        since = CASE WHEN v.since < now() - interval '1 day' THEN now() ELSE v.since END;

    PERFORM pool.mail_account(p_user, 'verification', '{"expires_minutes":15}',
        jsonb_build_object('kind', 'verification_code', 'var', 'verification_code', 'id', p_id));
END
$$;

CREATE FUNCTION jobs.auth_verify_find(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.ok(0, json_build_object('id', (SELECT v.id FROM public.email_verifications v JOIN public.users u ON u.id = v.user_id
        WHERE lower(u.email) = lower(p_req #>> '{body,email}') AND u.deleted_at IS NULL))::text);
END
$$;

-- p_ctx: {"id","hash"}. A code takes five tries; nothing tells a wrong one from an old one, or from one that was never sent.
CREATE FUNCTION jobs.auth_verify_email(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_user uuid;
    v public.email_verifications;
BEGIN
    -- the user's row first: one order of locks
    SELECT x.user_id INTO v_user FROM public.email_verifications x WHERE x.id = (p_ctx ->> 'id')::uuid;
    PERFORM FROM public.users u WHERE u.id = v_user FOR NO KEY UPDATE;
    SELECT x.* INTO v FROM public.email_verifications x WHERE x.id = (p_ctx ->> 'id')::uuid FOR UPDATE;

    IF v.id IS NOT NULL AND v.expires_at > clock_timestamp() AND v.attempts < 5 THEN
        IF v.code_hash = p_ctx ->> 'hash' THEN
            UPDATE public.users SET email_verified = true, version = version + 1, updated_at = now() WHERE id = v_user;
            DELETE FROM public.email_verifications WHERE user_id = v_user;
            PERFORM pool.audit(p_req, 'email_verified', v_user);
            RETURN pool.ok(200, '{"message":"Email verified successfully"}');
        END IF;

        UPDATE public.email_verifications SET attempts = attempts + 1 WHERE user_id = v_user;
        PERFORM pool.audit(p_req, 'email_verification_failed', v_user);
    END IF;

    RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'The code is wrong or has expired.', 'verification_code', 'match');
END
$$;

-- p_ctx: {"code_hash"}. One a minute, five a day.
CREATE FUNCTION jobs.auth_verify_resend(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    u record;
    v public.email_verifications;
    v_next timestamptz;
    r pool.reply;
BEGIN
    SELECT x.email_verified INTO u FROM public.users x WHERE x.id = p_user AND x.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF u.email_verified THEN
        RETURN pool.error(p_req, 409, 'CONFLICT', 'The address has been verified already.', 'email', 'verified');
    END IF;

    SELECT x.* INTO v FROM public.email_verifications x WHERE x.user_id = p_user;
    v_next := greatest(v.sent_at + interval '1 minute', CASE WHEN v.sends >= 5 THEN v.since + interval '1 day' END);

    IF v_next > clock_timestamp() THEN
        r := pool.error(p_req, 429, 'RATE_LIMIT_ERROR', 'A code was sent already: wait before you ask for another one.');
        r.headers := format(E'Retry-After: %s\n', ceil(extract(epoch FROM v_next - clock_timestamp())));
        RETURN r;
    END IF;

    PERFORM pool.send_verification(p_user, p_id, p_ctx ->> 'code_hash');
    RETURN pool.ok(202, '{"message":"A new code is on its way."}');
END
$$;

-- Here nothing depends on whether the address has an account: the same is done and answered, and auth.password_mail looks later.
CREATE FUNCTION jobs.auth_password_forgot(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pool.follow('auth.password_mail', NULL, p_req);
    RETURN pool.ok(202, '{"message":"If the address has an account, a mail is on its way."}');
END
$$;

-- p_ctx: {"token_hash"}, of the token that is made of this job's id. Three mails an hour; nobody waits for this.
CREATE FUNCTION jobs.auth_password_mail(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_user uuid;
BEGIN
    SELECT u.id INTO v_user FROM public.users u WHERE lower(u.email) = lower(p_req #>> '{body,email}') AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND OR (SELECT count(*) FROM public.password_resets x WHERE x.user_id = v_user AND x.created_at > now() - interval '1 hour') >= 3 THEN
        RETURN pool.ok(200, '{}');
    END IF;

    INSERT INTO public.password_resets (id, user_id, token_hash, expires_at) VALUES (p_id, v_user, p_ctx ->> 'token_hash', now() + interval '1 hour');
    PERFORM pool.audit(p_req, 'password_reset_requested', v_user),
            pool.mail_account(v_user, 'password_reset', '{"expires_hours":1}', jsonb_build_object('kind', 'reset_token', 'var', 'reset_url', 'id', p_id,
                'prefix', pool.app_url() || '/reset-password?token='));
    RETURN pool.ok(200, '{}');
END
$$;

-- p_ctx: {"password_hash","token_hash"}. A token is good once; with it go all others, all sessions, and a lock of the sign-in.
CREATE FUNCTION jobs.auth_password_reset(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    u record;
    v_locked pool.reply;
BEGIN
    SELECT x.id, x.email INTO u FROM public.password_resets t JOIN public.users x ON x.id = t.user_id WHERE t.token_hash = p_ctx ->> 'token_hash';
    IF FOUND THEN
        v_locked := pool.signin_locked(p_req, u.email);
        PERFORM FROM public.users x WHERE x.id = u.id FOR NO KEY UPDATE;
        DELETE FROM public.password_resets t WHERE t.token_hash = p_ctx ->> 'token_hash' AND t.expires_at > clock_timestamp();
    END IF;
    IF NOT FOUND THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'The link is wrong, was used or has expired.', 'token', 'match');
    END IF;

    UPDATE public.users x SET password_hash = p_ctx ->> 'password_hash', version = x.version + 1, updated_at = now() WHERE x.id = u.id;
    DELETE FROM public.password_resets t WHERE t.user_id = u.id;

    -- first of all tokens, also those of somebody else's making, at once; not those of this second, as the user may be signing in already
    PERFORM pool.revoke(u.id, format('user:%s:%s', u.id, floor(extract(epoch FROM clock_timestamp()))::bigint), now() + interval '1 day'),
            pool.end_sessions(u.id, NULL), pool.signin_forget(u.email), pool.audit(p_req, 'password_reset', u.id);
    RETURN pool.ok(200, '{"message":"Password changed. Sign in with the new one."}');
END
$$;

-- For whoever has to give his password again: the hash it is compared with.
CREATE FUNCTION jobs.auth_password_find(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    u record;
    v_locked pool.reply;
BEGIN
    SELECT x.email, x.password_hash INTO u FROM public.users x WHERE x.id = p_user AND x.is_visible;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    END IF;

    v_locked := pool.signin_locked(p_req, u.email);
    IF v_locked.status IS NOT NULL THEN
        RETURN v_locked;
    END IF;
    RETURN pool.ok(0, json_build_object('hash', u.password_hash)::text);
END
$$;

-- p_ctx: {"ok","hash"}. The refusal of a wrong password, else NULL with the user's row locked. A wrong one counts as at sign-in.
CREATE FUNCTION pool.password_refused(p_req jsonb, p_user uuid, p_ctx jsonb, p_field text) RETURNS pool.reply
LANGUAGE plpgsql AS $$
DECLARE
    v_email text := (SELECT u.email FROM public.users u WHERE u.id = p_user);
    r pool.reply := pool.signin_locked(p_req, v_email);
BEGIN
    IF r.status IS NOT NULL THEN
        RETURN r;
    END IF;

    PERFORM FROM public.users u
    WHERE u.id = p_user AND u.is_visible AND u.password_hash = p_ctx ->> 'hash' AND (p_ctx ->> 'ok')::boolean FOR NO KEY UPDATE;
    IF FOUND THEN
        RETURN NULL;
    END IF;

    PERFORM pool.signin_failed(p_req, v_email, p_user);
    RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'The password is wrong.', p_field, 'match');
END
$$;

-- p_ctx: {"ok","hash","password_hash"}. Whoever else is signed in has to do so again.
CREATE FUNCTION jobs.auth_password_change(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_refused pool.reply := pool.password_refused(p_req, p_user, p_ctx, 'current_password');
BEGIN
    IF v_refused.status IS NOT NULL THEN
        RETURN v_refused;
    END IF;

    UPDATE public.users SET password_hash = p_ctx ->> 'password_hash', version = version + 1, updated_at = now() WHERE id = p_user;
    DELETE FROM public.password_resets WHERE user_id = p_user;
    DELETE FROM public.sessions WHERE user_id = p_user AND id IS DISTINCT FROM (p_req #>> '{meta,session_id}')::uuid;
    PERFORM pool.audit(p_req, 'password_changed', p_user);
    RETURN pool.ok(204, '');
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pool.app_url(), pool.mail_account(uuid, text, jsonb, jsonb), pool.send_verification(uuid, uuid, text),
    pool.password_refused(jsonb, uuid, jsonb, text) TO fitnudge_auth;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'jobs'::regnamespace AND p.proname ~ '^auth_(verify|password)_' LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO fitnudge_auth', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fitnudge_pool', f);
    END LOOP;
END
$$;

COMMIT;
