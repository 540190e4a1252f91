-- Deploy fitnudge:signin to pg
-- Who may not sign in: an address after too many failures, an account that is suspended.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- By address, whether or not it has an account: the answers do not tell. Hashed, as it may be anybody's.
CREATE TABLE public.signin_failures (
    address_hash  bytea         NOT NULL PRIMARY KEY,
    failed_at     timestamptz[] NOT NULL,
    locked_until  timestamptz,
    changed_at    timestamptz   NOT NULL
);

CREATE INDEX idx_signin_failures_changed_at ON public.signin_failures (changed_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.signin_failures TO fitnudge_auth;
GRANT SELECT, DELETE ON public.signin_failures TO fitnudge_clock;

RESET ROLE;

-- The refusal while the address is locked, else NULL. It keeps the address's row until the end of the transaction; whoever locks the
-- user's row as well locks this one first.
CREATE FUNCTION pool.signin_locked(p_req jsonb, p_email text) RETURNS pool.reply
LANGUAGE plpgsql AS $$
DECLARE
    v_left int;
    r pool.reply;
BEGIN
    SELECT ceil(extract(epoch FROM f.locked_until - clock_timestamp())) INTO v_left
    FROM public.signin_failures f WHERE f.address_hash = pool.address_hash(p_email) FOR UPDATE;

    IF v_left > 0 THEN
        r := pool.error(p_req, 429, 'RATE_LIMIT_ERROR', 'Too many failures: sign-in with this address is locked for some minutes.', 'email', 'locked');
        r.headers := format(E'Retry-After: %s\n', v_left);
    END IF;
    RETURN r;
END
$$;

-- A wrong password. More than five within ten minutes lock the address for fifteen; p_user NULL: it is nobody's.
CREATE FUNCTION pool.signin_failed(p_req jsonb, p_email text, p_user uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    c_failures CONSTANT int := 5;
    v_now timestamptz := clock_timestamp();
    v_hash bytea := pool.address_hash(p_email);
    v_failed timestamptz[];
BEGIN
    INSERT INTO public.signin_failures AS f (address_hash, failed_at, changed_at) VALUES (v_hash, ARRAY[v_now], v_now)
    ON CONFLICT (address_hash) DO UPDATE
        SET failed_at = ARRAY(SELECT t FROM unnest(f.failed_at) t WHERE t > v_now - interval '10 minutes') || v_now, changed_at = v_now
    RETURNING f.failed_at INTO v_failed;
    PERFORM pool.audit(p_req, 'signin_failed', p_user);

    IF cardinality(v_failed) > c_failures THEN
        UPDATE public.signin_failures f SET failed_at = '{}', locked_until = v_now + interval '15 minutes' WHERE f.address_hash = v_hash;
        PERFORM pool.audit(p_req, 'signin_locked', p_user);

        -- the address itself stays here; those that nobody has are one alert, however many are tried
        PERFORM pool.follow('alert.send', NULL, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb, 'body', jsonb_build_object(
            'key', concat('signin_locked:', coalesce(p_user::text, 'unknown')),
            'text', format('Sign-in locked for 15 minutes after more than %s failures in 10 minutes: %s.', c_failures,
                           coalesce('account ' || p_user, 'an address without an account')))));
    END IF;
END
$$;

CREATE FUNCTION pool.signin_forget(p_email text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.signin_failures f WHERE f.address_hash = pool.address_hash(p_email);
END
$$;

CREATE FUNCTION pool.suspended(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 403, 'AUTHORIZATION_ERROR', 'This account is suspended.', NULL, 'suspended');

-- Suspends: every token that is out is dead on every edge and no new one opens anything, whoever gives it (the trigger note_barred);
-- none is given here, and others see nothing of the person (users.is_visible).
-- The sessions stay: after pool.unsuspend_user() the devices go on. False: there is no such user, or it was so already. Who does it is
-- the user of the transaction; whoever calls this has seen that he may.
CREATE FUNCTION pool.suspend_user(p_req jsonb, p_user uuid, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.users u SET suspended_at = now(), suspension_reason = p_reason, version = u.version + 1, updated_at = now()
    WHERE u.id = p_user AND u.deleted_at IS NULL AND u.suspended_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    PERFORM pool.revoke_user(p_user), pool.audit(p_req, 'user_suspended', p_user, pool.uid(), jsonb_build_object('reason', p_reason));
    RETURN true;
END
$$;

CREATE FUNCTION pool.unsuspend_user(p_req jsonb, p_user uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.users u SET suspended_at = NULL, suspension_reason = NULL, version = u.version + 1, updated_at = now()
    WHERE u.id = p_user AND u.deleted_at IS NULL AND u.suspended_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    PERFORM pool.audit(p_req, 'user_unsuspended', p_user);
    RETURN true;
END
$$;

CREATE INDEX idx_users_barred ON public.users (id) WHERE NOT is_visible;
GRANT SELECT (version) ON public.users TO fitnudge_clock;

-- Tells again of everybody who is barred: edges and Redis remember it for a time only, and Redis may have lost it. A batch has more tags
-- than a reply carries: the sweep tells of those (pool.collect), and nobody waits for it.
CREATE FUNCTION pool.cron_barred(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT int := 200;
    v_users uuid[];
BEGIN
    WITH barred AS MATERIALIZED (
        SELECT u.id, u.version FROM public.users u
        WHERE NOT u.is_visible AND u.id > coalesce(p_state ->> 'after', '00000000-0000-0000-0000-000000000000')::uuid ORDER BY u.id LIMIT c_batch)
    SELECT array_agg(b.id ORDER BY b.id) INTO v_users
    FROM barred b CROSS JOIN LATERAL (SELECT pool.tell_barred(b.id, b.version, true)) told;

    RETURN jsonb_build_object('more', coalesce(cardinality(v_users) = c_batch, false), 'state', jsonb_build_object('after', v_users[c_batch]),
                              'count', jsonb_build_object('told', coalesce(cardinality(v_users), 0)));
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;
ALTER FUNCTION pool.suspend_user(jsonb, uuid, text) OWNER TO fitnudge_auth;
ALTER FUNCTION pool.unsuspend_user(jsonb, uuid) OWNER TO fitnudge_auth;
GRANT EXECUTE ON FUNCTION pool.signin_locked(jsonb, text), pool.signin_failed(jsonb, text, uuid), pool.signin_forget(text),
    pool.suspended(jsonb) TO fitnudge_auth;
GRANT EXECUTE ON FUNCTION pool.cron_barred(timestamptz, jsonb), pool.tell_barred(uuid, int, boolean) TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.suspend_user(jsonb, uuid, text), pool.unsuspend_user(jsonb, uuid) TO fitnudge_api;

INSERT INTO public.retention (name, place, relation, "column", keep) VALUES ('signin_failures', 22, 'signin_failures', 'changed_at', '1 day');

COMMIT;
