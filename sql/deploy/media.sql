-- Deploy fitnudge:media to pg
-- What people upload, and what is spoken for them. A row is an object in the storage, and they go together: the end of a row,
-- whatever its reason, queues the deletion of its object.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.media (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id        uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    motivation_id  uuid        REFERENCES public.motivations (id) ON DELETE CASCADE,
    kind           text        NOT NULL CHECK (kind IN ('image', 'voice')),
    content_type   text        NOT NULL CHECK (length(content_type) BETWEEN 3 AND 100),
    bytes          bigint      NOT NULL CHECK (bytes BETWEEN 1 AND 10485760),
    key            text        NOT NULL UNIQUE CHECK (key ~ '^[a-z0-9/._-]{1,200}$'),
    state          text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'ready')),
    upload_until   timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    completed_at   timestamptz CHECK ((completed_at IS NOT NULL) = (state = 'ready'))
);

COMMENT ON COLUMN public.media.motivation_id IS 'the message that is spoken; goes with it';
COMMENT ON COLUMN public.media.key IS 'of the object; plain characters, so that it needs no escapes in JSON';
COMMENT ON COLUMN public.media.state IS 'pending: an upload was allowed, and counts already; ready: the object was seen';
COMMENT ON COLUMN public.media.upload_until IS 'as long as the address for the upload is good';

CREATE INDEX idx_media_user ON public.media (user_id, created_at DESC, id DESC) WHERE state = 'ready';
CREATE INDEX idx_media_quota ON public.media (user_id) INCLUDE (bytes);
CREATE INDEX idx_media_pending ON public.media (created_at) WHERE state = 'pending';
CREATE INDEX idx_media_motivation ON public.media (motivation_id) WHERE motivation_id IS NOT NULL;

-- The last day on which somebody was here. A table of its own, so that it takes no lock on the user's row. Check-ins, the most frequent
-- write, are not noted here: whoever wants to know looks at them.
CREATE TABLE public.user_activity (
    user_id    uuid  NOT NULL PRIMARY KEY REFERENCES public.users (id) ON DELETE CASCADE,
    active_on  date  NOT NULL
);

ALTER TABLE public.media ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.media TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.media TO fitnudge_clock USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.media TO fitnudge_api;
GRANT SELECT, DELETE, UPDATE (state) ON public.media TO fitnudge_clock;     -- to lock a row takes the right to update
GRANT UPDATE (voice_url) ON public.motivations TO fitnudge_api, fitnudge_clock;

ALTER TABLE public.user_activity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.user_activity FOR SELECT TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.user_activity TO fitnudge_clock USING (true) WITH CHECK (true);
GRANT SELECT ON public.user_activity TO fitnudge_api;
GRANT SELECT, INSERT, UPDATE ON public.user_activity TO fitnudge_clock;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.media
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('media');

INSERT INTO public.personal_data (relation, place, object_key, bulk) VALUES ('media', 60, 'key', true);
INSERT INTO public.personal_data (relation) VALUES ('user_activity');
INSERT INTO public.retention (name, place, routine) VALUES ('media', 55, 'purge_media');

RESET ROLE;

INSERT INTO public.user_activity (user_id, active_on) SELECT u.id, (now() AT TIME ZONE 'UTC')::date FROM public.users u;

CREATE FUNCTION pool.note_activity() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    -- looked at first, since ON CONFLICT locks the row in any case
    IF NOT EXISTS (SELECT FROM public.user_activity a WHERE a.user_id = NEW.user_id AND a.active_on >= v_today) THEN
        INSERT INTO public.user_activity AS a (user_id, active_on) VALUES (NEW.user_id, v_today)
        ON CONFLICT (user_id) DO UPDATE SET active_on = greatest(a.active_on, v_today);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_activity AFTER INSERT OR UPDATE OF last_used_at ON public.sessions FOR EACH ROW EXECUTE FUNCTION pool.note_activity();
CREATE TRIGGER note_activity AFTER INSERT ON public.media FOR EACH ROW EXECUTE FUNCTION pool.note_activity();

-- While the address for the upload is good, somebody may still put an object there: so it is deleted once more, afterwards.
CREATE FUNCTION pool.media_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_request jsonb := jsonb_build_object('params', '{}'::jsonb, 'body', jsonb_build_object('key', OLD.key), 'meta', '{}'::jsonb);
BEGIN
    PERFORM pool.follow('media.delete', OLD.user_id, v_request);
    IF OLD.upload_until > now() THEN
        PERFORM pool.follow_once('media.delete', OLD.user_id, v_request, 'media:' || OLD.id, OLD.upload_until + interval '1 minute');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER gone AFTER DELETE ON public.media FOR EACH ROW EXECUTE FUNCTION pool.media_gone();

-- A message whose speech is gone has none.
CREATE FUNCTION pool.media_unspoken() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.motivations SET voice_url = NULL WHERE id = OLD.motivation_id AND voice_url = 'r2:' || OLD.key;
    RETURN NULL;
END
$$;

CREATE TRIGGER unspoken AFTER DELETE ON public.media FOR EACH ROW WHEN (OLD.motivation_id IS NOT NULL) EXECUTE FUNCTION pool.media_unspoken();

CREATE FUNCTION pool.media_json(m public.media) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- whoever hands the answer out puts a signed address in place of "r2:<key>" (libfitnudge/fn_r2.h)
    RETURN (SELECT row_to_json(x) FROM (SELECT m.id, m.kind, m.content_type, m.bytes, 'r2:' || m.key AS url, m.motivation_id,
        pool.rfc3339(m.created_at) AS created_at) x);
END
$$;

CREATE FUNCTION pool.media_limit(p_plan text) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN CASE p_plan WHEN 'free' THEN 100 ELSE 1024 END * 1048576::bigint;

CREATE FUNCTION pool.media_used(p_user uuid) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(sum(m.bytes), 0) FROM public.media m WHERE m.user_id = p_user);
END
$$;

-- Whether there is room for so much more. The user's row, locked, is what makes the sum exact. NULL: there is no such user.
CREATE FUNCTION pool.media_fits(p_user uuid, p_bytes bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_plan text;
BEGIN
    SELECT u.plan INTO v_plan FROM public.users u WHERE u.id = p_user FOR NO KEY UPDATE;
    RETURN CASE WHEN FOUND THEN pool.media_used(p_user) + p_bytes <= pool.media_limit(v_plan) END;
END
$$;

CREATE FUNCTION pool.media_full(p_req jsonb, p_field text) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'The plan''s storage is full: delete something, or upgrade.', p_field, 'plan_storage_limit');

CREATE FUNCTION pool.media_off(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 503, 'SERVICE_UNAVAILABLE', 'The storage cannot be reached; try again later.');

-- The ending of each type that a kind may have; NULL: it may not.
CREATE FUNCTION pool.media_ending(p_kind text, p_type text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE p_kind || ' ' || p_type
    WHEN 'image image/jpeg' THEN 'jpg' WHEN 'image image/png' THEN 'png' WHEN 'image image/webp' THEN 'webp'
    WHEN 'image image/avif' THEN 'avif' WHEN 'image image/heic' THEN 'heic' WHEN 'image image/gif' THEN 'gif'
    WHEN 'voice audio/mpeg' THEN 'mp3' WHEN 'voice audio/mp4' THEN 'm4a' WHEN 'voice audio/aac' THEN 'aac'
    WHEN 'voice audio/ogg' THEN 'ogg' WHEN 'voice audio/webm' THEN 'weba' WHEN 'voice audio/wav' THEN 'wav' END;

-- What a post may hold: whether all of them are completed uploads of this user. They stay until the transaction ends.
CREATE FUNCTION jobs.check_media(p_user uuid, p_media uuid[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_found int;
BEGIN
    PERFORM FROM public.media m WHERE m.user_id = p_user AND m.id = ANY (p_media) AND m.state = 'ready' ORDER BY m.id FOR KEY SHARE;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    RETURN v_found = (SELECT count(DISTINCT i) FROM unnest(p_media) AS i);
END
$$;

-- A cursor is "<created_at> <id>", the time by the microsecond.
CREATE FUNCTION api.media_list(p_user uuid, p_kind text, p_cursor text, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_list text := concat('media ', p_kind);
    v_cursor text := pool.cursor_decode(v_list, p_cursor);
    v_at timestamptz := coalesce(split_part(v_cursor, ' ', 1), 'infinity')::timestamptz;
    v_id uuid := coalesce(split_part(v_cursor, ' ', 2), 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid;
    v_rows public.media[];
    v_next text;
BEGIN
    v_rows := ARRAY(SELECT m FROM public.media m
                    WHERE m.user_id = p_user AND m.state = 'ready' AND (p_kind IS NULL OR m.kind = p_kind) AND (m.created_at, m.id) < (v_at, v_id)
                    ORDER BY m.created_at DESC, m.id DESC LIMIT p_limit + 1);
    IF cardinality(v_rows) > p_limit THEN
        v_next := pool.cursor_encode(v_list, to_char((v_rows[p_limit]).created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                                             || ' ' || (v_rows[p_limit]).id);
    END IF;

    RETURN concat('{"media":[', (SELECT string_agg(pool.media_json(m)::text, ',') FROM unnest(v_rows[1:p_limit]) AS m),
        '],"storage":{"used":', pool.media_used(p_user), ',"limit":', (SELECT pool.media_limit(u.plan) FROM public.users u WHERE u.id = p_user),
        '},"pagination":{"limit":', p_limit, ',"next_cursor":', coalesce('"' || v_next || '"', 'null'), '}}');
END
$$;

-- p_ctx: {"ttl_s": how long the address for the upload is good, or null without a storage}
CREATE FUNCTION jobs.media_upload(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_ending text := pool.media_ending(b ->> 'kind', b ->> 'content_type');
    v_id uuid := gen_random_uuid();
    v_fits boolean;
    m public.media;
BEGIN
    IF p_ctx ->> 'ttl_s' IS NULL THEN
        RETURN pool.media_off(p_req);
    ELSIF v_ending IS NULL THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'content_type does not go with kind.', 'content_type', 'enum');
    END IF;

    v_fits := pool.media_fits(p_user, (b ->> 'bytes')::bigint);
    IF v_fits IS NULL THEN
        RETURN pool.not_found(p_req);
    ELSIF NOT v_fits THEN
        RETURN pool.media_full(p_req, 'bytes');
    END IF;

    INSERT INTO public.media (id, user_id, kind, content_type, bytes, key, upload_until)
    VALUES (v_id, p_user, b ->> 'kind', b ->> 'content_type', (b ->> 'bytes')::bigint,
            format('private/%s/%s/%s.%s', p_user, b ->> 'kind', v_id, v_ending), now() + make_interval(secs => (p_ctx ->> 'ttl_s')::int))
    RETURNING * INTO m;

    RETURN pool.ok(201, (SELECT row_to_json(x)::text FROM (SELECT m.id AS media_id, m.key, m.content_type, m.bytes,
        concat_ws(':', 'r2:put', floor(extract(epoch FROM m.upload_until)), m.bytes, m.content_type, m.key) AS upload_url,
        pool.rfc3339(m.upload_until) AS upload_until) x));
END
$$;

CREATE FUNCTION jobs.media_complete_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    m public.media;
BEGIN
    SELECT * INTO m FROM public.media x WHERE x.id = (p_req #>> '{params,id}')::uuid AND x.user_id = p_user;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF m.state = 'ready' THEN
        RETURN pool.ok(200, pool.media_json(m)::text);
    END IF;
    RETURN pool.ok(0, json_build_object('key', m.key)::text);
END
$$;

-- p_ctx: {"result":{"exists","bytes","content_type"}, or null when the storage did not say}
CREATE FUNCTION jobs.media_complete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_found jsonb := p_ctx -> 'result';
    v_wrong text;
    m public.media;
BEGIN
    SELECT * INTO m FROM public.media x WHERE x.id = (p_req #>> '{params,id}')::uuid AND x.user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF m.state = 'ready' THEN
        RETURN pool.ok(200, pool.media_json(m)::text);
    ELSIF v_found IS NULL OR v_found = 'null' THEN
        RETURN pool.media_off(p_req);
    ELSIF NOT (v_found ->> 'exists')::boolean THEN
        RETURN pool.error(p_req, 409, 'CONFLICT', 'Nothing has been uploaded yet.', 'id', 'uploaded');
    END IF;

    v_wrong := CASE WHEN (v_found ->> 'bytes')::bigint <> m.bytes THEN 'bytes'
                    WHEN lower(split_part(v_found ->> 'content_type', ';', 1)) <> m.content_type THEN 'content_type' END;
    IF v_wrong IS NOT NULL THEN
        DELETE FROM public.media WHERE id = m.id;
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'What was uploaded is not what was announced, and is deleted.',
                          v_wrong, 'mismatch');
    END IF;

    UPDATE public.media SET state = 'ready', completed_at = now() WHERE id = m.id RETURNING * INTO m;
    RETURN pool.ok(200, pool.media_json(m)::text);
END
$$;

CREATE FUNCTION jobs.media_remove(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.media WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user;
    RETURN CASE WHEN FOUND THEN pool.ok(204, '') ELSE pool.not_found(p_req) END;
END
$$;

-- Speech: {"motivation_id"} or {"text"}, and {"voice"}. It is media of the user like what he uploads, and takes its room.
CREATE FUNCTION jobs.voice_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    u record;
    v_text text := b ->> 'text';
    v_tone text := b ->> 'voice';
    v_language text;
BEGIN
    SELECT x.language, x.tone, x.plan INTO u FROM public.users x WHERE x.id = p_user;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF u.plan = 'free' THEN
        -- the token may be older than the plan
        RETURN pool.error(p_req, 403, 'AUTHORIZATION_ERROR', 'This is part of the plans Pro and Elite.', NULL, 'plan');
    ELSIF (b ? 'text') = (b ? 'motivation_id') THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'Either text or motivation_id is needed.', 'text', 'required');
    ELSIF pool.media_used(p_user) >= pool.media_limit(u.plan) THEN
        -- before anything is spoken and paid for; voice_create() is exact
        RETURN pool.media_full(p_req, NULL);
    END IF;

    IF b ? 'motivation_id' THEN
        SELECT left(m.text, 500), coalesce(v_tone, m.tone), m.language INTO v_text, v_tone, v_language
        FROM public.motivations m WHERE m.id = (b ->> 'motivation_id')::uuid AND m.user_id = p_user;
        IF NOT FOUND THEN
            RETURN pool.not_found(p_req);
        END IF;
    END IF;

    RETURN pool.ok(0, json_build_object('text', v_text, 'tone', coalesce(v_tone, u.tone), 'language', coalesce(v_language, u.language),
                                        'key', format('private/%s/voice/%s.mp3', p_user, p_id), 'content_type', 'audio/mpeg')::text);
END
$$;

CREATE FUNCTION jobs.voice_create(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_key text := p_ctx #>> '{result,key}';
    v_bytes bigint := (p_ctx #>> '{result,bytes}')::bigint;
    v_motivation uuid;
BEGIN
    IF v_key IS NULL THEN
        RETURN pool.ok(200, '{"voice_url":null}');
    ELSIF pool.media_fits(p_user, v_bytes) IS NOT TRUE THEN
        PERFORM pool.follow('media.delete', p_user, jsonb_build_object('params', '{}'::jsonb, 'body', jsonb_build_object('key', v_key), 'meta', '{}'::jsonb));
        RETURN pool.media_full(p_req, NULL);
    END IF;

    -- no row when the message was deleted while it was spoken
    UPDATE public.motivations SET voice_url = 'r2:' || v_key WHERE id = (p_req #>> '{body,motivation_id}')::uuid AND user_id = p_user
    RETURNING id INTO v_motivation;
    INSERT INTO public.media (id, user_id, motivation_id, kind, content_type, bytes, key, state, completed_at)
    VALUES (p_id, p_user, v_motivation, 'voice', 'audio/mpeg', v_bytes, v_key, 'ready', now());
    RETURN pool.ok(200, format('{"voice_url":"r2:%s"}', v_key));
END
$$;

-- Uploads that were allowed and never completed: after a day there will be none.
CREATE FUNCTION pool.cron_media(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT int := 50;
    v_count int;
BEGIN
    DELETE FROM public.media WHERE id IN (
        SELECT m.id FROM public.media m
        WHERE m.state = 'pending' AND m.created_at < p_now - interval '24 hours' AND coalesce(m.upload_until < p_now, true)
        ORDER BY m.created_at LIMIT c_batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN jsonb_build_object('more', v_count = c_batch, 'count', jsonb_build_object('orphans', v_count));
END
$$;

-- Media of people who have done nothing for 90 days. Each is a job that follows, so there are few at a time.
CREATE FUNCTION pool.purge_media(p_now timestamptz, p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    c_batch CONSTANT int := 50;
    v_since CONSTANT date := (p_now AT TIME ZONE 'UTC')::date - 90;
    v_count int;
BEGIN
    DELETE FROM public.media WHERE id IN (
        SELECT m.id FROM public.media m JOIN public.users u ON u.id = m.user_id LEFT JOIN public.user_activity a ON a.user_id = m.user_id
        WHERE greatest(a.active_on, (u.created_at AT TIME ZONE 'UTC')::date) < v_since
          AND coalesce((SELECT max(c.created_at) AT TIME ZONE 'UTC' FROM public.checkins c WHERE c.user_id = m.user_id) < v_since, true)
        LIMIT c_batch FOR UPDATE OF m SKIP LOCKED);
    GET DIAGNOSTICS v_count = ROW_COUNT;

    -- there may be more
    RETURN CASE v_count WHEN c_batch THEN p_limit ELSE v_count END;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api, jobs TO fitnudge_api;
GRANT CREATE ON SCHEMA pool TO fitnudge_queue, fitnudge_clock;
ALTER FUNCTION api.media_list(uuid, text, text, int) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.check_media(uuid, uuid[]) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.media_upload(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.media_complete_prepare(uuid, uuid, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.media_complete(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.media_remove(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.voice_prepare(uuid, uuid, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.voice_create(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION pool.media_gone() OWNER TO fitnudge_queue;
ALTER FUNCTION pool.note_activity() OWNER TO fitnudge_clock;
ALTER FUNCTION pool.media_unspoken() OWNER TO fitnudge_clock;
ALTER FUNCTION pool.purge_media(timestamptz, int) OWNER TO fitnudge_clock;
REVOKE CREATE ON SCHEMA api, jobs FROM fitnudge_api;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue, fitnudge_clock;

GRANT EXECUTE ON FUNCTION pool.media_json(public.media), pool.media_limit(text), pool.media_used(uuid), pool.media_fits(uuid, bigint),
    pool.media_full(jsonb, text), pool.media_off(jsonb), pool.media_ending(text, text) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.cron_media(timestamptz, jsonb) TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION api.media_list(uuid, text, text, int) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.media_upload(uuid, uuid, jsonb, jsonb), jobs.media_complete_prepare(uuid, uuid, jsonb), jobs.media_complete(uuid, uuid, jsonb, jsonb),
    jobs.media_remove(uuid, uuid, jsonb, jsonb), jobs.voice_prepare(uuid, uuid, jsonb), jobs.voice_create(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;
REVOKE EXECUTE ON FUNCTION jobs.check_media(uuid, uuid[]), pool.media_gone(), pool.media_unspoken(), pool.note_activity() FROM fitnudge_pool;

COMMIT;
