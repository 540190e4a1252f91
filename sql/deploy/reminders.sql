-- Deploy fitnudge:reminders to pg
-- Reminders: at a local time, on days of the week, in a time zone; each is sent once a local date.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.reminders (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id     uuid        NOT NULL,
    goal_id     uuid        NOT NULL,
    local_time  time(0)     NOT NULL CHECK (local_time < '24:00'),
    days        smallint    NOT NULL DEFAULT 127 CHECK (days BETWEEN 1 AND 127),
    tz          text        NOT NULL,
    follows     boolean     NOT NULL,
    is_active   boolean     NOT NULL DEFAULT true,
    next_at     timestamptz,
    next_date   date,
    last_date   date,
    version     integer     NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (is_active = (next_at IS NOT NULL) AND is_active = (next_date IS NOT NULL)),
    FOREIGN KEY (goal_id, user_id) REFERENCES public.goals (id, user_id) ON DELETE CASCADE
);

COMMENT ON COLUMN public.reminders.days IS 'bit n is day n, 0 is Sunday';
COMMENT ON COLUMN public.reminders.follows IS 'the time zone is the profile''s, and changes with it';
COMMENT ON COLUMN public.reminders.next_date IS 'local date of next_at';
COMMENT ON COLUMN public.reminders.last_date IS 'local date that was dealt with last: there is nothing more for it, whatever is changed';

CREATE INDEX idx_reminders_due ON public.reminders (next_at) WHERE is_active;
CREATE INDEX idx_reminders_user_id ON public.reminders (user_id, created_at, id);
CREATE INDEX idx_reminders_goal_id ON public.reminders (goal_id);

ALTER TABLE public.reminders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.reminders TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.reminders TO fitnudge_clock USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.reminders TO fitnudge_api;
GRANT SELECT, UPDATE ON public.reminders TO fitnudge_clock;

CREATE POLICY clock ON public.users TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.goals FOR SELECT TO fitnudge_clock USING (true);
GRANT SELECT (id, email, name, language, timezone, email_verified, created_at, deleted_at, is_visible) ON public.users TO fitnudge_clock;
GRANT SELECT ON public.goals TO fitnudge_clock;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.reminders
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('reminders');

RESET ROLE;

-- The first moment after p_after on an allowed local date after p_last, and that date. AT TIME ZONE gives each local time one
-- moment: in the hour that a clock skips the one as much later, of two equal ones the second. A whole day that a zone has skipped
-- (Samoa, 30 December 2011) is no date at all.
CREATE FUNCTION pool.reminder_next(p_time time, p_days int, p_tz text, p_after timestamptz, p_last date, OUT at timestamptz, OUT date date)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    date := greatest((p_after AT TIME ZONE p_tz)::date - 1, p_last + 1);

    FOR i IN 0 .. 21 LOOP
        IF (p_days >> extract(dow FROM date)::int) & 1 = 1
           AND ((date + time '12:00') AT TIME ZONE p_tz AT TIME ZONE p_tz)::date = date
        THEN
            at := (date + p_time) AT TIME ZONE p_tz;
            IF at > p_after THEN
                RETURN;
            END IF;
        END IF;
        date := date + 1;
    END LOOP;
END
$$;

CREATE FUNCTION pool.reminder_schedule() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.is_active THEN
        SELECT n.at, n.date INTO NEW.next_at, NEW.next_date
        FROM pool.reminder_next(NEW.local_time, NEW.days, NEW.tz, now(), NEW.last_date) n;
    ELSE
        NEW.next_at := NULL;
        NEW.next_date := NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER schedule BEFORE INSERT OR UPDATE OF local_time, days, tz, is_active ON public.reminders
    FOR EACH ROW EXECUTE FUNCTION pool.reminder_schedule();

CREATE FUNCTION pool.reminders_follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.reminders r SET tz = NEW.timezone, version = r.version + 1, updated_at = now()
    WHERE r.user_id = NEW.id AND r.follows AND r.tz <> NEW.timezone;
    RETURN NULL;
END
$$;

CREATE TRIGGER reminders_follow AFTER UPDATE OF timezone ON public.users
    FOR EACH ROW WHEN (OLD.timezone IS DISTINCT FROM NEW.timezone) EXECUTE FUNCTION pool.reminders_follow();

CREATE FUNCTION pool.days_list(p_days int) RETURNS json
LANGUAGE sql IMMUTABLE
RETURN (SELECT json_agg(d ORDER BY d) FROM generate_series(0, 6) d WHERE (p_days >> d) & 1 = 1);

CREATE FUNCTION pool.days_mask(p_days jsonb) RETURNS smallint
LANGUAGE sql IMMUTABLE
RETURN (SELECT bit_or(1 << e.d::int)::smallint FROM jsonb_array_elements_text(p_days) AS e (d));

CREATE FUNCTION pool.reminder_json(r public.reminders) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT row_to_json(x) FROM (SELECT r.id, r.goal_id, to_char(r.local_time, 'HH24:MI') AS time, pool.days_list(r.days) AS days,
        r.tz AS timezone, r.follows AS follows_profile, r.is_active, pool.rfc3339(r.next_at) AS next_at, r.version,
        pool.rfc3339(r.created_at) AS created_at, pool.rfc3339(r.updated_at) AS updated_at) x);
END
$$;

CREATE FUNCTION api.reminders_list(p_user uuid, p_page int, p_limit int) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN concat('{"reminders":[',
        (SELECT string_agg(row_to_json(y)::text, ',') FROM (
            SELECT x.id, x.goal_id, to_char(x.local_time, 'HH24:MI') AS time, pool.days_list(x.days) AS days, x.tz AS timezone,
                   x.follows AS follows_profile, x.is_active, pool.rfc3339(x.next_at) AS next_at, x.version,
                   pool.rfc3339(x.created_at) AS created_at, pool.rfc3339(x.updated_at) AS updated_at
            FROM public.reminders x WHERE x.user_id = p_user
            ORDER BY x.created_at, x.id LIMIT p_limit OFFSET (p_page - 1)::bigint * p_limit) y),
        '],"pagination":{"page":', p_page, ',"limit":', p_limit, ',"total":',
        (SELECT count(*) FROM public.reminders x WHERE x.user_id = p_user), '}}');
END
$$;

CREATE FUNCTION jobs.motivation_schedule(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_tz text;
    r public.reminders;
BEGIN
    -- the user's row is the lock that makes counting safe
    SELECT u.timezone INTO v_tz FROM public.users u WHERE u.id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT EXISTS (SELECT FROM public.goals WHERE id = (b ->> 'goal_id')::uuid AND user_id = p_user) THEN
        RETURN pool.not_found(p_req);
    ELSIF NOT pool.timezone_exists(coalesce(b ->> 'timezone', v_tz)) THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'timezone must be an IANA time zone like Europe/Berlin.', 'timezone', 'format');
    ELSIF (SELECT count(*) FROM public.reminders WHERE user_id = p_user) >= 50 THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'There can be 50 reminders.', 'goal_id', 'max_items');
    END IF;

    INSERT INTO public.reminders (user_id, goal_id, local_time, days, tz, follows)
    VALUES (p_user, (b ->> 'goal_id')::uuid, (b ->> 'time')::time, coalesce(pool.days_mask(b -> 'days'), 127),
            coalesce(b ->> 'timezone', v_tz), b ->> 'timezone' IS NULL)
    RETURNING * INTO r;

    RETURN pool.ok(201, pool.reminder_json(r)::text);
END
$$;

CREATE FUNCTION jobs.reminders_update(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_tz text;
    r public.reminders;
BEGIN
    -- the user's row first, as when the profile's time zone changes: one order of locks
    SELECT u.timezone INTO v_tz FROM public.users u WHERE u.id = p_user FOR NO KEY UPDATE;

    SELECT * INTO r FROM public.reminders WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, r.version) THEN
        RETURN pool.precondition_failed(p_req);
    ELSIF b ->> 'timezone' IS NOT NULL AND NOT pool.timezone_exists(b ->> 'timezone') THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'timezone must be an IANA time zone like Europe/Berlin.', 'timezone', 'format');
    END IF;

    IF b <> '{}' THEN
        UPDATE public.reminders SET
            local_time = CASE WHEN b ? 'time'      THEN (b ->> 'time')::time              ELSE local_time END,
            days       = CASE WHEN b ? 'days'      THEN pool.days_mask(b -> 'days')       ELSE days END,
            tz         = CASE WHEN b ? 'timezone'  THEN coalesce(b ->> 'timezone', v_tz)  ELSE tz END,
            follows    = CASE WHEN b ? 'timezone'  THEN b ->> 'timezone' IS NULL          ELSE follows END,
            is_active  = CASE WHEN b ? 'is_active' THEN (b ->> 'is_active')::boolean      ELSE is_active END,
            version    = version + 1,
            updated_at = now()
        WHERE id = r.id RETURNING * INTO r;
    END IF;

    RETURN pool.ok(200, pool.reminder_json(r)::text);
END
$$;

CREATE FUNCTION jobs.reminders_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    r public.reminders;
BEGIN
    SELECT * INTO r FROM public.reminders WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, r.version) THEN
        RETURN pool.precondition_failed(p_req);
    END IF;

    DELETE FROM public.reminders WHERE id = r.id;
    RETURN pool.ok(204, '');
END
$$;

-- What a reminder says.
CREATE FUNCTION pool.reminder_words(p_language text, p_goal text, OUT title text, OUT body text)
LANGUAGE sql IMMUTABLE
RETURN CASE p_language
    WHEN 'es' THEN ROW('Es hora de: ' || p_goal, 'Un pequeño paso basta. Toca y recibe un mensaje hecho para ti.'::text)
    WHEN 'fr' THEN ROW('C''est l''heure : ' || p_goal, 'Un petit pas suffit. Touche pour recevoir un message rien que pour toi.'::text)
    WHEN 'de' THEN ROW('Zeit für: ' || p_goal, 'Ein kleiner Schritt genügt. Tippe für eine Nachricht nur für dich.'::text)
    WHEN 'ar' THEN ROW('حان وقت: ' || p_goal, 'خطوة صغيرة واحدة تكفي. اضغط لتصلك رسالة من أجلك.'::text)
    WHEN 'he' THEN ROW('הגיע הזמן: ' || p_goal, 'צעד קטן אחד מספיק. לחיצה, ויש הודעה במיוחד בשבילך.'::text)
    ELSE ROW('Time for: ' || p_goal, 'One small step is enough. Tap for a message made for you.'::text) END;

-- Reminders that are due: one push a reminder and local date, somewhere in the minute by the user's id, so that not all of them
-- come at once. What is more than two hours late is left out.
-- A batch is 30 because a job publishes at most 32 tags.
CREATE FUNCTION pool.cron_reminders(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT int := 30;
    r public.reminders;
    w record;
    v_taken int := 0;
    v_sent int := 0;
    v_late int := 0;
    v_idle int := 0;
BEGIN
    FOR r IN SELECT x.* FROM public.reminders x WHERE x.is_active AND x.next_at <= p_now
             ORDER BY x.next_at LIMIT c_batch FOR UPDATE SKIP LOCKED LOOP
        v_taken := v_taken + 1;

        IF r.next_at < p_now - interval '2 hours' THEN
            v_late := v_late + 1;
        ELSE
            -- not for a goal that is not pursued, nor to somebody who has left
            SELECT t.title, t.body INTO w
            FROM public.goals g JOIN public.users u ON u.id = g.user_id, pool.reminder_words(u.language, g.title) t
            WHERE g.id = r.goal_id AND g.is_active AND u.is_visible;

            IF FOUND THEN
                v_sent := v_sent + 1;
                PERFORM pool.follow_once('push.send', r.user_id, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb,
                    'body', jsonb_build_object('title', w.title, 'body', w.body, 'sound', true,
                        'data', jsonb_build_object('goal_id', r.goal_id, 'reminder_id', r.id, 'action', 'generate'))),
                    'rem:' || r.id || ':' || r.next_date, p_now + make_interval(secs => hashtext(r.user_id::text) & 63) * 50 / 63);
            ELSE
                v_idle := v_idle + 1;
            END IF;
        END IF;

        UPDATE public.reminders x SET last_date = r.next_date, next_at = n.at, next_date = n.date
        FROM pool.reminder_next(r.local_time, r.days, r.tz, p_now - interval '2 hours', r.next_date) n
        WHERE x.id = r.id;
    END LOOP;

    IF v_late > 0 THEN
        RAISE LOG 'fitnudge: % reminders were more than two hours late and are left out', v_late;
    END IF;

    RETURN jsonb_build_object('more', v_taken = c_batch, 'count', jsonb_build_object('sent', v_sent, 'late', v_late, 'idle', v_idle));
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api, jobs TO fitnudge_api;
GRANT CREATE ON SCHEMA pool TO fitnudge_clock;
ALTER FUNCTION api.reminders_list(uuid, int, int) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.motivation_schedule(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.reminders_update(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.reminders_delete(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION pool.reminders_follow() OWNER TO fitnudge_clock;
REVOKE CREATE ON SCHEMA api, jobs FROM fitnudge_api;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_clock;

GRANT EXECUTE ON FUNCTION pool.reminder_next(time, int, text, timestamptz, date), pool.reminder_schedule() TO fitnudge_api, fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.days_list(int), pool.days_mask(jsonb), pool.reminder_json(public.reminders), pool.timezone_exists(text) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.reminder_words(text, text), pool.cron_reminders(timestamptz, jsonb) TO fitnudge_clock;
REVOKE EXECUTE ON FUNCTION pool.reminders_follow(), pool.reminder_schedule() FROM fitnudge_pool;
GRANT EXECUTE ON FUNCTION api.reminders_list(uuid, int, int) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.motivation_schedule(uuid, uuid, jsonb, jsonb), jobs.reminders_update(uuid, uuid, jsonb, jsonb),
    jobs.reminders_delete(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
