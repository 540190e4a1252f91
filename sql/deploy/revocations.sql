-- Deploy fitnudge:revocations to pg
-- Access tokens that are to be dead before their time, besides those of sessions that have ended.

BEGIN;

GRANT CREATE ON SCHEMA pool TO fitnudge_queue;
SET LOCAL ROLE fitnudge_queue;

-- p_what: a session's id, "jti:<jti>", "user:<user>:<issued before, unix s>" or "barred:<user>:<number>"; p_until: when the last token concerned has expired. In a job it
-- travels with the reply; elsewhere it is published some seconds later.
CREATE FUNCTION pool.revoke(p_user uuid, p_what text, p_until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_tag   text := 'revoked:' || p_what || ':' || ceil(extract(epoch FROM p_until))::bigint;
    v_id    bigint;
    v_old   text := current_setting('fitnudge.changes', true);
BEGIN
    -- tags are separated by commas here, and by blanks on their way
    IF p_what IS NULL OR p_user IS NULL OR p_until IS NULL
       OR p_what !~ '^(jti:[A-Za-z0-9._~:-]{1,64}|(user|barred):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
    THEN
        RAISE EXCEPTION 'not a revocation: %', p_what USING ERRCODE = 'invalid_parameter_value';
    END IF;

    INSERT INTO public.change_outbox ("table", op, user_id, row_id, tags)
    VALUES ('users', 'UPDATE', p_user, p_user, ARRAY[v_tag])
    RETURNING id INTO v_id;

    -- as pool.note_change() does it
    IF v_old <> '' THEN
        PERFORM set_config('fitnudge.changes', v_old || ',' || v_id, true),
                set_config('fitnudge.tags', current_setting('fitnudge.tags', true) || ',' || v_tag, true);
    ELSE
        PERFORM set_config('fitnudge.changes', v_id::text, true), set_config('fitnudge.tags', v_tag, true);
    END IF;
END
$$;

-- All tokens of a user that were issued until now, whoever has signed them. p_life: the longest that one may live. A token knows
-- the second it was issued in, no more: one that is made later in this second is dead as well.
CREATE FUNCTION pool.revoke_user(p_user uuid, p_life interval DEFAULT interval '1 day') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pool.revoke(p_user, format('user:%s:%s', p_user, floor(extract(epoch FROM clock_timestamp()))::bigint + 1),
                        clock_timestamp() + p_life);
END
$$;

-- Whether a user is barred, whoever has signed his tokens: odd, he is. The greatest number that an edge has heard counts, and the
-- version of the row makes them grow. Remembered for 30 days; who stays barred longer is told of again (pool.cron_barred).
CREATE FUNCTION pool.tell_barred(p_user uuid, p_version int, p_barred boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pool.revoke(p_user, format('barred:%s:%s', p_user, p_version::bigint * 2 + p_barred::int), clock_timestamp() + interval '30 days');
END
$$;

-- Who is suspended or has closed the account, and who comes back.
CREATE FUNCTION pool.note_barred() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pool.tell_barred(NEW.id, NEW.version, NOT NEW.is_visible);
    RETURN NULL;
END
$$;

-- Also where somebody changes the row by hand.
CREATE FUNCTION pool.grow_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := greatest(NEW.version, OLD.version + 1);
    RETURN NEW;
END
$$;
GRANT EXECUTE ON FUNCTION pool.note_barred(), pool.grow_version() TO fitnudge_owner;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue;
REVOKE EXECUTE ON FUNCTION pool.revoke(uuid, text, timestamptz), pool.revoke_user(uuid, interval) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pool.tell_barred(uuid, int, boolean), pool.note_barred(), pool.grow_version() FROM PUBLIC, fitnudge_pool;
GRANT EXECUTE ON FUNCTION pool.revoke(uuid, text, timestamptz), pool.revoke_user(uuid, interval) TO fitnudge_api, fitnudge_auth;

SET LOCAL ROLE fitnudge_owner;
CREATE TRIGGER grow_version BEFORE UPDATE OF deleted_at, suspended_at ON public.users
    FOR EACH ROW EXECUTE FUNCTION pool.grow_version();
CREATE TRIGGER note_barred AFTER UPDATE ON public.users
    FOR EACH ROW WHEN (OLD.is_visible <> NEW.is_visible) EXECUTE FUNCTION pool.note_barred();
RESET ROLE;

COMMIT;
