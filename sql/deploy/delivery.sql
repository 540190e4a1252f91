-- Deploy fitnudge:delivery to pg
-- Devices and mails, and the jobs that hand something to an outside service.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- Where notifications go. A token is a device's: when somebody else signs in on it, it is his.
CREATE TABLE public.devices (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    platform    text        NOT NULL CHECK (platform IN ('ios', 'android', 'web')),
    token       text        NOT NULL CHECK (length(token) BETWEEN 1 AND 2048),
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX idx_devices_token ON public.devices (md5(token));
CREATE INDEX idx_devices_user ON public.devices (user_id, seen_at DESC);

-- One row a mail; its id is the job's. "unknown": it was sent twice, and its server's reply was lost each time.
CREATE TABLE public.mails (
    id          uuid        NOT NULL PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    template    text        NOT NULL,
    language    text        NOT NULL,
    recipient   text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('sending', 'sent', 'unknown', 'failed', 'suppressed', 'off')),
    content     jsonb,      -- what is to be sent, until it has ended: it may hold a link or code for one person
    message_id  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);
CREATE INDEX idx_mails_user ON public.mails (user_id, created_at DESC);

-- Addresses that get fewer mails, or none: pool.mail_stopped() says which. Hashed, since they outlive the account.
CREATE TABLE public.mail_suppressions (
    address_hash  bytea       NOT NULL,
    reason        text        NOT NULL CHECK (reason IN ('bounce', 'blocked', 'spam_report', 'unsubscribe')),
    until         timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (address_hash, reason)
);

-- When operators were last told of something.
CREATE TABLE public.alerts (
    key      text        NOT NULL PRIMARY KEY,
    sent_at  timestamptz NOT NULL DEFAULT now(),
    job_id   uuid        NOT NULL
);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['devices', 'mails'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY own ON public.%I TO fitnudge_api '
                       'USING (user_id = NULLIF(current_setting(''request.user_id'', true), '''')::uuid)', t);
        EXECUTE format('CREATE POLICY identity ON public.%I TO fitnudge_auth USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO fitnudge_api, fitnudge_auth', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.mail_suppressions, public.alerts TO fitnudge_auth;

RESET ROLE;

-- Two phones, a tablet, a browser... the oldest of more than twenty is none that anybody looks at.
CREATE FUNCTION jobs.devices_add(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
BEGIN
    -- the user's row first: one order of locks
    PERFORM FROM public.users WHERE id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    END IF;

    INSERT INTO public.devices AS d (user_id, platform, token) VALUES (p_user, b ->> 'platform', b ->> 'token')
    ON CONFLICT (md5(token)) DO UPDATE SET user_id = p_user, platform = excluded.platform, token = excluded.token, seen_at = now();

    DELETE FROM public.devices WHERE id IN
        (SELECT d.id FROM public.devices d WHERE d.user_id = p_user ORDER BY d.seen_at DESC, d.id OFFSET 20);
    RETURN pool.ok(204, '');
END
$$;

CREATE FUNCTION jobs.devices_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.devices WHERE md5(token) = md5(p_req #>> '{body,token}') AND user_id = p_user;
    RETURN pool.ok(204, '');
END
$$;

-- {"title","body","data","sound"} to each of the user's devices, a job for each.
CREATE FUNCTION jobs.push_send(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_device uuid;
    n int := 0;
BEGIN
    FOR v_device IN SELECT d.id FROM public.devices d JOIN public.users u ON u.id = d.user_id
                    WHERE d.user_id = p_user AND u.is_visible ORDER BY d.seen_at DESC LOOP
        PERFORM pool.follow('push.device', p_user, jsonb_build_object('params', '{}'::jsonb,
                            'body', (p_req -> 'body') || jsonb_build_object('device_id', v_device), 'meta', '{}'::jsonb));
        n := n + 1;
    END LOOP;
    RETURN pool.ok(200, json_build_object('devices', n)::text);
END
$$;

CREATE FUNCTION jobs.push_device_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_token text;
BEGIN
    SELECT d.token INTO v_token FROM public.devices d WHERE d.id = (b ->> 'device_id')::uuid AND d.user_id = p_user;
    IF NOT FOUND THEN
        RETURN pool.ok(200, '{"status":"gone"}');
    END IF;

    RETURN pool.ok(0, (jsonb_build_object('token', v_token, 'title', b ->> 'title', 'body', coalesce(b ->> 'body', ''))
        || CASE WHEN jsonb_typeof(b -> 'data') = 'object' THEN jsonb_build_object('data', b -> 'data') ELSE '{}' END
        || CASE WHEN b -> 'sound' = 'false' THEN jsonb_build_object('sound', 'none') ELSE '{}' END)::text);
END
$$;

-- A device that will never take a message again is forgotten.
CREATE FUNCTION jobs.push_device(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF (p_ctx #>> '{result,delete_token}')::boolean THEN
        DELETE FROM public.devices WHERE id = (p_req #>> '{body,device_id}')::uuid AND user_id = p_user
            AND token = p_ctx #>> '{ctx,token}';
    END IF;
    RETURN pool.ok(200, json_build_object('status', CASE
        WHEN (p_ctx ->> 'off')::boolean THEN 'off'
        WHEN p_ctx #>> '{result,message_id}' IS NOT NULL THEN 'sent'
        ELSE 'failed' END)::text);
END
$$;

CREATE FUNCTION pool.address_hash(p_address text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT
RETURN pool.digest(convert_to(lower(btrim(p_address)), 'UTF8'), 'sha256');

-- {"template","to","name","language","vars","secret"}. pool.mail_stopped() says who gets which; who has left
-- gets one more. "secret" is what only the pool can put into the mail (worker/jobs/account.c).
CREATE FUNCTION jobs.mail_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_template text := coalesce(b ->> 'template', (SELECT x.template FROM public.mails x WHERE x.id = p_id));
    u record;
    v_stopped boolean;
    m public.mails;
BEGIN
    SELECT x.deleted_at, x.is_visible INTO u FROM public.users x WHERE x.id = p_user;
    IF NOT FOUND OR (u.deleted_at IS NOT NULL AND v_template IS DISTINCT FROM 'account_deleted') THEN
        RETURN pool.ok(200, '{"status":"gone"}');
    END IF;

    -- a mail that begins anew, from the dead letters, says no more than its id
    IF NOT b ? 'template' THEN
        SELECT * INTO m FROM public.mails x WHERE x.id = p_id AND x.user_id = p_user;
        IF NOT FOUND THEN
            RETURN pool.ok(200, '{"status":"lost"}');
        ELSIF (b ->> 'called')::boolean AND m.status = 'sending' THEN
            -- it died after its call: once more may be once too often
            UPDATE public.mails SET status = 'unknown', content = NULL, ended_at = now() WHERE id = p_id RETURNING * INTO m;
        END IF;
    ELSE
        v_stopped := pool.mail_stopped(p_user, b ->> 'template', b ->> 'to');

        INSERT INTO public.mails AS x (id, user_id, template, language, recipient, status, content, ended_at)
        VALUES (p_id, p_user, b ->> 'template', b ->> 'language', b ->> 'to', CASE WHEN v_stopped THEN 'suppressed' ELSE 'sending' END,
                CASE WHEN NOT v_stopped THEN b END, CASE WHEN v_stopped THEN now() END)
        ON CONFLICT (id) DO UPDATE SET id = excluded.id
        RETURNING * INTO m;
    END IF;

    IF m.status <> 'sending' THEN
        RETURN pool.ok(200, json_build_object('status', m.status)::text);
    END IF;

    b := m.content;
    RETURN pool.ok(0, jsonb_build_object('template', b ->> 'template', 'language', b ->> 'language', 'to', b ->> 'to', 'name', coalesce(b ->> 'name', ''),
                                         'user_id', p_user, 'vars', coalesce(b -> 'vars', '{}'), 'secret', b -> 'secret')::text);
END
$$;

CREATE FUNCTION jobs.mail_send(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    r jsonb := nullif(p_ctx -> 'result', 'null');
    v_refused boolean := coalesce((r ->> 'refused')::boolean, false);
    v_status text := CASE WHEN (p_ctx ->> 'off')::boolean THEN 'off'
                          WHEN r IS NOT NULL AND NOT v_refused THEN 'sent'
                          WHEN r IS NULL AND p_ctx #> '{ctx,unanswered}' IS NOT NULL THEN 'unknown'
                          ELSE 'failed' END;
    v_code int := (p_ctx #>> '{result,status}')::int;
BEGIN
    UPDATE public.mails SET status = v_status, message_id = r ->> 'message_id', content = NULL, ended_at = now() WHERE id = p_id;

    -- "there is no such address" is not said twice; but a server may mean something else by it, so it is asked again after a month
    IF v_refused AND v_code BETWEEN 500 AND 599 THEN
        INSERT INTO public.mail_suppressions AS s (address_hash, reason, until)
        VALUES (pool.address_hash(p_ctx #>> '{ctx,to}'), CASE WHEN v_code IN (550, 551, 553) THEN 'bounce' ELSE 'blocked' END,
                now() + CASE WHEN v_code IN (550, 551, 553) THEN interval '30 days' ELSE interval '1 day' END)
        ON CONFLICT (address_hash, reason) DO UPDATE SET until = greatest(s.until, excluded.until) WHERE s.until IS NOT NULL;
    END IF;
    RETURN pool.ok(200, json_build_object('status', v_status)::text);
END
$$;

-- {"text","key"}: the same is not said twice within ten minutes.
CREATE FUNCTION jobs.alert_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.alerts AS a (key, job_id) VALUES (left(p_req #>> '{body,key}', 200), p_id)
    ON CONFLICT (key) DO UPDATE SET sent_at = now(), job_id = p_id
    -- the job itself, delivered again, has not said it yet
    WHERE a.sent_at < now() - interval '10 minutes' OR a.job_id = p_id;
    IF NOT FOUND THEN
        RETURN pool.ok(200, '{"status":"repeated"}');
    END IF;
    RETURN pool.ok(0, json_build_object('text', p_req #>> '{body,text}')::text);
END
$$;

-- Where nothing has to be written down but that it was done.
CREATE FUNCTION jobs.delivered(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN pool.ok(200, json_build_object('status', CASE WHEN (p_ctx ->> 'off')::boolean THEN 'off'
                                                         WHEN p_ctx -> 'result' <> 'null' THEN 'sent' ELSE 'failed' END)::text);
END
$$;

GRANT EXECUTE ON FUNCTION pool.digest(bytea, text) TO fitnudge_auth;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pool.address_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pool.address_hash(text) TO fitnudge_auth;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'jobs'::regnamespace
             AND p.proname ~ '^(devices_|push_|mail_|alert_|delivered)' LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', f, CASE WHEN f::text ~ '^jobs\.push_send' THEN 'fitnudge_api' ELSE 'fitnudge_auth' END);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fitnudge_pool', f);
    END LOOP;
END
$$;

COMMIT;
