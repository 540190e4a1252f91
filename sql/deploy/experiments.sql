-- Deploy fitnudge:experiments to pg
-- Experiments: who has which variant, who has seen it, what they did then, and what that proves. Variants are assigned by the bucket of
-- flags; who has once seen one keeps it, whatever becomes of the weights. See docs/flags.md.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.experiments (
    key          text        NOT NULL PRIMARY KEY CHECK (key ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    description  text        NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    is_on        boolean     NOT NULL DEFAULT false,
    salt         text        NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '') CHECK (length(salt) BETWEEN 1 AND 64),
    seed         bigint,
    variants     jsonb       NOT NULL CHECK (jsonb_typeof(variants) = 'array' AND jsonb_array_length(variants) BETWEEN 2 AND 10),
    goal         text        NOT NULL DEFAULT 'conversion' CHECK (goal ~ '^[a-z0-9][a-z0-9_.:-]{0,63}$'),
    min_sample   int         NOT NULL DEFAULT 100 CHECK (min_sample BETWEEN 1 AND 10000000),
    version      int         NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN public.experiments.variants IS '[{"name","weight","payload"}], weights of 100,000; the first is what the others are measured against, and what all have while it is off';
COMMENT ON COLUMN public.experiments.goal IS 'the event that counts as success';
COMMENT ON COLUMN public.experiments.min_sample IS 'with fewer users in a variant a difference proves nothing';

-- The first time somebody saw their variant.
CREATE TABLE public.experiment_exposures (
    experiment_key  text        NOT NULL REFERENCES public.experiments (key) ON DELETE CASCADE,
    user_id         uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    variant         text        NOT NULL,
    exposed_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, experiment_key)
);
CREATE INDEX idx_experiment_exposures_key ON public.experiment_exposures (experiment_key, exposed_at);

-- What they did; the id is the job's.
CREATE TABLE public.experiment_events (
    id              uuid        NOT NULL PRIMARY KEY,
    experiment_key  text        NOT NULL,
    user_id         uuid        NOT NULL,
    event           text        NOT NULL CHECK (event ~ '^[a-z0-9][a-z0-9_.:-]{0,63}$'),
    created_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (user_id, experiment_key) REFERENCES public.experiment_exposures (user_id, experiment_key) ON DELETE CASCADE
);
CREATE INDEX idx_experiment_events_user ON public.experiment_events (user_id, experiment_key, event, created_at);
CREATE INDEX idx_experiment_events_created_at ON public.experiment_events (created_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['experiment_exposures', 'experiment_events'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY own ON public.%I TO fitnudge_api '
                       'USING (user_id = NULLIF(current_setting(''request.user_id'', true), '''')::uuid)', t);
        EXECUTE format('CREATE POLICY admin ON public.%I FOR SELECT TO fitnudge_admin USING (true)', t);
        EXECUTE format('GRANT SELECT, INSERT ON public.%I TO fitnudge_api', t);
        EXECUTE format('GRANT SELECT ON public.%I TO fitnudge_admin', t);
    END LOOP;
END
$$;

CREATE POLICY clock ON public.experiment_events TO fitnudge_clock USING (true);
GRANT SELECT, DELETE ON public.experiment_events TO fitnudge_clock;
INSERT INTO public.retention (name, place, relation, "column", keep)
VALUES ('experiment_events', 64, 'experiment_events', 'created_at', '2 years');
INSERT INTO public.personal_data (relation, bulk) VALUES ('experiment_exposures', false), ('experiment_events', true);

GRANT SELECT ON public.experiments TO fitnudge_api;
GRANT SELECT, INSERT, UPDATE ON public.experiments TO fitnudge_admin;

RESET ROLE;

-- --- assignment ----------------------------------------------------------------------------------

-- The variant that a user has, as an element of variants: the one they saw, else the one of their bucket, else (while it is off) the first.
CREATE FUNCTION pool.experiment_variant(e public.experiments, p_user uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_seen text;
    v_bucket real;
    v_sum real := 0;
    v jsonb;
BEGIN
    IF NOT e.is_on THEN
        RETURN e.variants -> 0;
    END IF;

    SELECT x.variant INTO v_seen FROM public.experiment_exposures x WHERE x.user_id = p_user AND x.experiment_key = e.key;
    SELECT x.value INTO v FROM jsonb_array_elements(e.variants) x WHERE x.value ->> 'name' = v_seen;
    IF FOUND THEN
        RETURN v;
    END IF;

    v_bucket := pool.flag_bucket(jsonb_build_object('key', p_user), 'key', e.key, e.salt, e.seed);
    FOR v IN SELECT x.value FROM jsonb_array_elements(e.variants) WITH ORDINALITY x ORDER BY x.ordinality LOOP
        v_sum := v_sum + (v ->> 'weight')::real / 100000::real;
        EXIT WHEN v_bucket < v_sum;
    END LOOP;
    RETURN v;
END
$$;

-- Remembers that somebody has seen their variant. Whether they have one: not if the experiment was off before they saw it.
CREATE FUNCTION pool.experiment_expose(e public.experiments, p_user uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF e.is_on THEN
        INSERT INTO public.experiment_exposures (experiment_key, user_id, variant)
        SELECT e.key, p_user, pool.experiment_variant(e, p_user) ->> 'name'
        ON CONFLICT (user_id, experiment_key) DO NOTHING;
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM public.experiment_exposures x WHERE x.user_id = p_user AND x.experiment_key = e.key);
END
$$;

-- How the app leads a new user in. That they have seen it is a job of its own (jobs.onboarding_flow), since a read changes nothing.
CREATE FUNCTION api.onboarding_flow(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    e public.experiments;
    v jsonb;
BEGIN
    SELECT * INTO e FROM public.experiments WHERE key = 'onboarding-flow';
    IF NOT FOUND OR NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user) THEN
        RETURN NULL;
    END IF;

    v := pool.experiment_variant(e, p_user);
    RETURN (SELECT row_to_json(x)::text FROM (SELECT e.key AS experiment, v ->> 'name' AS variant,
            v #>> '{payload,flow}' AS flow, (v #> '{payload,steps}')::json AS steps) x);
END
$$;

CREATE FUNCTION jobs.onboarding_flow(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pool.experiment_expose(e, p_user) FROM public.experiments e
    WHERE e.key = 'onboarding-flow' AND EXISTS (SELECT FROM public.users u WHERE u.id = p_user);
    RETURN pool.ok(204, '');
END
$$;

-- Something that matters for an experiment has happened. Who tells of it has seen their variant; what happens to people outside of the
-- experiment is taken and not kept.
CREATE FUNCTION jobs.experiments_event(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    e public.experiments;
    v_event text := p_req #>> '{body,event}';
BEGIN
    SELECT * INTO e FROM public.experiments WHERE key = p_req #>> '{params,key}';
    IF NOT FOUND OR NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user) THEN
        RETURN pool.not_found(p_req);
    ELSIF v_event !~ '^[a-z0-9][a-z0-9_.:-]{0,63}$' THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'event must be lower-case letters, digits, and _ . : or -.', 'event', 'format');
    END IF;

    IF pool.experiment_expose(e, p_user) THEN
        INSERT INTO public.experiment_events (id, experiment_key, user_id, event) VALUES (p_id, e.key, p_user, v_event);
    END IF;
    RETURN pool.ok(202, '');
END
$$;

-- --- results -------------------------------------------------------------------------------------

-- The standard normal distribution function, by W. J. Hart's rational approximations (1968, as in G. West, "Better approximations to
-- cumulative normal functions", 2005): absolute error below 1e-15, and the lower tail, however
-- small it is, has a relative error below 1e-8.
CREATE FUNCTION pool.normal_cdf(p_x double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    x double precision := abs(p_x);
    v_tail double precision := 0;
BEGIN
    IF x = 'NaN' THEN
        RETURN 'NaN';
    ELSIF x < 7.07106781186547 THEN
        v_tail := exp(-x * x / 2)
            * ((((((3.52624965998911e-2 * x + 0.700383064443688) * x + 6.37396220353165) * x + 33.912866078383) * x
                + 112.079291497871) * x + 221.213596169931) * x + 220.206867912376)
            / (((((((8.83883476483184e-2 * x + 1.75566716318264) * x + 16.064177579207) * x + 86.7807322029461) * x
                + 296.564248779674) * x + 637.333633378831) * x + 793.826512519948) * x + 440.413735824752);
    ELSIF x < 37 THEN
        v_tail := exp(-x * x / 2) / (x + 1 / (x + 2 / (x + 3 / (x + 4 / (x + 0.65))))) / 2.506628274631;
    END IF;
    RETURN CASE WHEN p_x > 0 THEN 1 - v_tail ELSE v_tail END;
END
$$;

-- Two proportions, x of n each: is the second another one than the first? Two-sided z test with the pooled variance; the interval of the
-- difference is of 95 % and without pooling, as that would assume that there is none. NULLs where nothing can be said.
CREATE FUNCTION pool.two_proportions(x1 bigint, n1 bigint, x2 bigint, n2 bigint,
    OUT difference double precision, OUT lift double precision, OUT z double precision, OUT p_value double precision,
    OUT low double precision, OUT high double precision)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    p1 double precision := x1 / nullif(n1, 0)::double precision;
    p2 double precision := x2 / nullif(n2, 0)::double precision;
    v_pooled double precision := (x1 + x2) / nullif(n1 + n2, 0)::double precision;
    v_error double precision;
BEGIN
    difference := p2 - p1;
    lift := difference / nullif(p1, 0);
    z := difference / nullif(sqrt(v_pooled * (1 - v_pooled) * (1 / nullif(n1, 0)::double precision + 1 / nullif(n2, 0)::double precision)), 0);
    p_value := 2 * pool.normal_cdf(-abs(z));
    v_error := 1.959963984540054 * sqrt(p1 * (1 - p1) / nullif(n1, 0) + p2 * (1 - p2) / nullif(n2, 0));
    low := difference - v_error;
    high := difference + v_error;
END
$$;

-- What an experiment shows of those who first saw it in the last p_days: users, conversions and rate of each variant, and each against the
-- first one. A conversion is a user who did what the goal says after that. NULL for an unknown experiment.
CREATE FUNCTION pool.experiment_results(p_key text, p_days int DEFAULT 30) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    e public.experiments;
    v_variants jsonb;
BEGIN
    SELECT * INTO e FROM public.experiments WHERE key = p_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH seen AS (
        SELECT x.variant, count(*) AS users, count(*) FILTER (WHERE EXISTS (SELECT FROM public.experiment_events v
               WHERE v.user_id = x.user_id AND v.experiment_key = x.experiment_key AND v.event = e.goal AND v.created_at >= x.exposed_at)) AS conversions
        FROM public.experiment_exposures x
        WHERE x.experiment_key = e.key AND x.exposed_at >= now() - make_interval(days => p_days)
        GROUP BY x.variant
    ), counted AS (
        SELECT v.ordinality AS place, v.value ->> 'name' AS variant, coalesce(s.users, 0) AS users, coalesce(s.conversions, 0) AS conversions
        FROM jsonb_array_elements(e.variants) WITH ORDINALITY v LEFT JOIN seen s ON s.variant = v.value ->> 'name'
    ), compared AS (
        SELECT c.*, b.users AS base_users, least(b.users, c.users) >= e.min_sample
                    AND least(b.conversions, c.conversions, b.users - b.conversions, c.users - c.conversions) >= 5 AS enough, t.*
        FROM counted c JOIN counted b ON b.place = 1, pool.two_proportions(b.conversions, b.users, c.conversions, c.users) t
    )
    SELECT jsonb_agg(jsonb_build_object('variant', k.variant, 'users', k.users, 'conversions', k.conversions,
               'rate', k.conversions::double precision / nullif(k.users, 0))
           || CASE WHEN k.place = 1 THEN '{}' ELSE jsonb_build_object('lift', k.lift, 'difference', k.difference, 'interval',
               CASE WHEN k.low IS NOT NULL THEN jsonb_build_array(k.low, k.high) END, 'z', k.z, 'p_value', k.p_value, 'enough', k.enough,
               'significant', k.enough AND coalesce(k.p_value < 0.05, false),
               'warning', CASE WHEN least(k.base_users, k.users) < e.min_sample THEN format('fewer than %s users in a variant', e.min_sample)
                               WHEN NOT k.enough THEN 'fewer than 5 users with or without a conversion in a variant' END) END
           ORDER BY k.place)
    INTO v_variants FROM compared k;

    RETURN jsonb_build_object('experiment', e.key, 'on', e.is_on, 'goal', e.goal, 'days', p_days, 'min_sample', e.min_sample, 'variants', v_variants);
END
$$;

-- --- what operators may do -----------------------------------------------------------------------

CREATE FUNCTION pool.experiment_json(e public.experiments) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object('key', e.key, 'description', e.description, 'on', e.is_on, 'salt', e.salt, 'seed', e.seed, 'variants', e.variants, 'goal', e.goal,
    'min_sample', e.min_sample, 'version', e.version, 'updated_at', pool.rfc3339(e.updated_at));

-- NULL, or what is wrong with the variants.
CREATE FUNCTION pool.experiment_problem(p_variants jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v jsonb;
    v_sum int := 0;
    v_names text[] := '{}';
BEGIN
    IF jsonb_typeof(p_variants) IS DISTINCT FROM 'array' OR jsonb_array_length(p_variants) NOT BETWEEN 2 AND 10 THEN
        RETURN 'an experiment has 2 to 10 variants';
    END IF;
    FOR v IN SELECT x.value FROM jsonb_array_elements(p_variants) x LOOP
        IF jsonb_typeof(v) <> 'object' OR NOT coalesce(v ->> 'name' ~ '^[a-z0-9][a-z0-9_-]{0,31}$', false) OR v ->> 'name' = ANY (v_names) THEN
            RETURN 'each variant has a name of its own';
        ELSIF NOT pool.flag_index(v -> 'weight', 100001) THEN
            RETURN 'a weight is from 0 to 100000';
        END IF;
        v_names := v_names || (v ->> 'name');
        v_sum := v_sum + (v ->> 'weight')::int;
    END LOOP;
    RETURN CASE WHEN v_sum <> 100000 THEN 'the weights of the variants add up to 100000' END;
END
$$;

-- As pool.flag_put(): {"on","description","seed","variants","goal","min_sample"}.
CREATE FUNCTION pool.experiment_put(p_actor text, p_key text, p_changes jsonb, p_reason text DEFAULT NULL, p_create boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    e public.experiments;
    v_before jsonb;
    v_unknown text;
    v_problem text;
    c jsonb := p_changes;
BEGIN
    SELECT k INTO v_unknown FROM jsonb_object_keys(c) k WHERE k <> ALL (ARRAY['on', 'description', 'seed', 'variants', 'goal', 'min_sample']) LIMIT 1;
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = format('"%s" is nothing that an experiment has', v_unknown);
    END IF;

    SELECT * INTO e FROM public.experiments WHERE key = p_key FOR UPDATE;
    IF FOUND THEN
        v_before := pool.experiment_json(e);
    ELSIF NOT p_create THEN
        RAISE EXCEPTION USING ERRCODE = 'FN404', MESSAGE = format('there is no experiment "%s"', p_key);
    END IF;

    v_problem := pool.experiment_problem(coalesce(c -> 'variants', e.variants));
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = v_problem;
    END IF;

    INSERT INTO public.experiments AS x (key, description, is_on, seed, variants, goal, min_sample)
    VALUES (p_key, coalesce(c ->> 'description', e.description, ''), coalesce((c ->> 'on')::boolean, e.is_on, false),
            CASE WHEN c ? 'seed' THEN (c ->> 'seed')::bigint ELSE e.seed END, coalesce(c -> 'variants', e.variants),
            coalesce(c ->> 'goal', e.goal, 'conversion'), coalesce((c ->> 'min_sample')::int, e.min_sample, 100))
    ON CONFLICT (key) DO UPDATE SET (description, is_on, seed, variants, goal, min_sample, version, updated_at)
        = (excluded.description, excluded.is_on, excluded.seed, excluded.variants, excluded.goal, excluded.min_sample, x.version + 1, now())
    RETURNING * INTO e;

    INSERT INTO public.flag_audit (done_by, action, key, reason, before, after)
    VALUES (p_actor, 'experiment', p_key, p_reason, v_before, pool.experiment_json(e));
    RETURN pool.experiment_json(e);
EXCEPTION
    WHEN check_violation OR invalid_text_representation OR numeric_value_out_of_range THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'a member has a value that it cannot have';
END
$$;

CREATE FUNCTION pool.experiment_list() RETURNS TABLE (key text, is_on boolean, users bigint, goal text, description text, experiment jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY SELECT e.key, e.is_on, (SELECT count(*) FROM public.experiment_exposures x WHERE x.experiment_key = e.key), e.goal, e.description,
        pool.experiment_json(e) FROM public.experiments e ORDER BY e.key;
END
$$;

INSERT INTO public.experiments (key, is_on, description, variants) VALUES
    ('onboarding-flow', true, 'How a new user is led in', '[
        {"name": "control",   "weight": 50000, "payload": {"flow": "original", "steps": ["welcome", "goal", "notification"]}},
        {"name": "treatment", "weight": 50000, "payload": {"flow": "simplified", "steps": ["goal", "done"]}}]');

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api, jobs TO fitnudge_api;
ALTER FUNCTION api.onboarding_flow(uuid) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.onboarding_flow(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.experiments_event(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA api, jobs FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION api.onboarding_flow(uuid) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.onboarding_flow(uuid, uuid, jsonb, jsonb), jobs.experiments_event(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;
GRANT EXECUTE ON FUNCTION pool.experiment_variant(public.experiments, uuid), pool.experiment_expose(public.experiments, uuid) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.normal_cdf(double precision), pool.two_proportions(bigint, bigint, bigint, bigint),
    pool.experiment_json(public.experiments), pool.experiment_problem(jsonb) TO fitnudge_admin;

GRANT CREATE ON SCHEMA pool TO fitnudge_admin;
ALTER FUNCTION pool.experiment_results(text, int) OWNER TO fitnudge_admin;
ALTER FUNCTION pool.experiment_put(text, text, jsonb, text, boolean) OWNER TO fitnudge_admin;
ALTER FUNCTION pool.experiment_list() OWNER TO fitnudge_admin;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_admin;
GRANT EXECUTE ON FUNCTION pool.experiment_results(text, int), pool.experiment_put(text, text, jsonb, text, boolean), pool.experiment_list()
    TO fitnudge_pool;

COMMIT;
