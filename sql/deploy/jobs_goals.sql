-- Writes to goals and check-ins.
BEGIN;

-- The free plan pursues one goal at a time, unless the flag multiple-goals says otherwise. The user's row is the lock that makes counting safe.
CREATE FUNCTION pool.goal_limit_reached(p_user uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_plan text;
BEGIN
    SELECT u.plan INTO v_plan FROM public.users u WHERE u.id = p_user FOR NO KEY UPDATE;
    RETURN v_plan = 'free' AND EXISTS (SELECT FROM public.goals WHERE user_id = p_user AND is_active)
           AND NOT pool.flag_on(p_user, 'multiple-goals');
END
$$;

CREATE FUNCTION pool.goal_limit_error(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'The free plan has one active goal.', 'is_active', 'plan_goal_limit');

CREATE FUNCTION jobs.goals_create(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    g public.goals;
BEGIN
    IF NOT EXISTS (SELECT FROM public.users WHERE id = p_user) THEN
        RETURN pool.not_found(p_req);
    END IF;
    IF pool.goal_limit_reached(p_user) THEN
        RETURN pool.goal_limit_error(p_req);
    END IF;

    INSERT INTO public.goals (user_id, title, description, category, frequency)
    VALUES (p_user, b ->> 'title', b ->> 'description', b ->> 'category', (b ->> 'frequency')::smallint)
    RETURNING * INTO g;

    RETURN pool.ok(201, pool.goal_json(g)::text, format(E'Location: /api/v1/goals/%s\n', g.id));
END
$$;

CREATE FUNCTION jobs.goals_update(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    g public.goals;
BEGIN
    -- the user's row first, as when a goal is made: one order of locks
    IF (b ->> 'is_active')::boolean THEN
        PERFORM FROM public.users WHERE id = p_user FOR NO KEY UPDATE;
    END IF;

    SELECT * INTO g FROM public.goals WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, g.version) THEN
        RETURN pool.precondition_failed(p_req);
    ELSIF (b ->> 'is_active')::boolean AND NOT g.is_active AND pool.goal_limit_reached(p_user) THEN
        RETURN pool.goal_limit_error(p_req);
    END IF;

    IF b <> '{}' THEN
        UPDATE public.goals SET
            title       = CASE WHEN b ? 'title'       THEN b ->> 'title'                  ELSE title END,
            description = CASE WHEN b ? 'description' THEN b ->> 'description'            ELSE description END,
            category    = CASE WHEN b ? 'category'    THEN b ->> 'category'               ELSE category END,
            frequency   = CASE WHEN b ? 'frequency'   THEN (b ->> 'frequency')::smallint  ELSE frequency END,
            is_active   = CASE WHEN b ? 'is_active'   THEN (b ->> 'is_active')::boolean   ELSE is_active END,
            version     = version + 1,
            updated_at  = now()
        WHERE id = g.id RETURNING * INTO g;
    END IF;

    RETURN pool.ok(200, pool.goal_json(g)::text);
END
$$;

CREATE FUNCTION jobs.goals_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    g public.goals;
BEGIN
    SELECT * INTO g FROM public.goals WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, g.version) THEN
        RETURN pool.precondition_failed(p_req);
    END IF;

    DELETE FROM public.goals WHERE id = g.id;
    RETURN pool.ok(204, '');
END
$$;

CREATE FUNCTION jobs.checkins_create(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_goal uuid := (p_req #>> '{params,id}')::uuid;
    v_today date;
    c public.checkins;
BEGIN
    SELECT (now() AT TIME ZONE u.timezone)::date INTO v_today
    FROM public.goals g JOIN public.users u ON u.id = g.user_id
    WHERE g.id = v_goal AND g.user_id = p_user;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    END IF;

    c.date := coalesce((b ->> 'date')::date, v_today);
    IF c.date > v_today THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'date must not be in the future.', 'date', 'max');
    END IF;

    INSERT INTO public.checkins (goal_id, user_id, date, status, reflection, mood)
    VALUES (v_goal, p_user, c.date, b ->> 'status', b ->> 'reflection', (b ->> 'mood')::smallint)
    ON CONFLICT DO NOTHING          -- no target, as in pool.settle()
    RETURNING * INTO c;
    IF NOT FOUND THEN
        RETURN pool.error(p_req, 409, 'CONFLICT', 'There is a check-in for this date.', 'date', 'unique');
    END IF;

    RETURN pool.ok(201, pool.checkin_json(c)::text);
END
$$;

CREATE FUNCTION jobs.checkins_update(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    c public.checkins;
BEGIN
    SELECT * INTO c FROM public.checkins WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, c.version) THEN
        RETURN pool.precondition_failed(p_req);
    END IF;

    IF b <> '{}' THEN
        UPDATE public.checkins SET
            status     = CASE WHEN b ? 'status'     THEN b ->> 'status'            ELSE status END,
            reflection = CASE WHEN b ? 'reflection' THEN b ->> 'reflection'        ELSE reflection END,
            mood       = CASE WHEN b ? 'mood'       THEN (b ->> 'mood')::smallint  ELSE mood END,
            version    = version + 1,
            updated_at = now()
        WHERE id = c.id AND date = c.date RETURNING * INTO c;
    END IF;

    RETURN pool.ok(200, pool.checkin_json(c)::text);
END
$$;

CREATE FUNCTION jobs.checkins_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    c public.checkins;
BEGIN
    SELECT * INTO c FROM public.checkins WHERE id = (p_req #>> '{params,id}')::uuid AND user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    ELSIF pool.outdated(p_req, c.version) THEN
        RETURN pool.precondition_failed(p_req);
    END IF;

    DELETE FROM public.checkins WHERE id = c.id AND date = c.date;
    RETURN pool.ok(204, '');
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = 'jobs'::regnamespace AND p.proname ~ '^(goals|checkins)_' LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO fitnudge_api', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fitnudge_pool', f);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION pool.goal_limit_reached(uuid), pool.goal_limit_error(jsonb) TO fitnudge_api;

COMMIT;
