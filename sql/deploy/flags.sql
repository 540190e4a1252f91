-- Deploy fitnudge:flags to pg
-- Feature flags. What one evaluates to is decided here and nowhere else, as LaunchDarkly does it (its rules as JSON, its hash, its order):
-- off, prerequisites, individual targets, rules, and what is left to all others. See docs/flags.md.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.flags (
    key            text        NOT NULL PRIMARY KEY CHECK (key ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    description    text        NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    is_on          boolean     NOT NULL DEFAULT false,
    stage          text        NOT NULL DEFAULT 'development' CHECK (stage IN ('development', 'staging', 'production')),
    salt           text        NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '') CHECK (length(salt) BETWEEN 1 AND 64),
    variations     jsonb       NOT NULL DEFAULT '[true, false]',
    off_variation  int         DEFAULT 1,
    fallthrough    jsonb       NOT NULL DEFAULT '{"variation": 0}',
    targets        jsonb       NOT NULL DEFAULT '[]',
    rules          jsonb       NOT NULL DEFAULT '[]',
    prerequisites  jsonb       NOT NULL DEFAULT '[]',
    version        int         NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN public.flags.stage IS 'how far it has come: an installation serves flags of its own stage (fitnudge.stage) and later ones';
COMMENT ON COLUMN public.flags.off_variation IS 'index in variations; NULL: null';
COMMENT ON COLUMN public.flags.fallthrough IS '{"variation":n} or {"rollout":{"variations":[{"variation","weight"}],"bucketBy","seed","kind"}}, weights of 100,000';
COMMENT ON COLUMN public.flags.targets IS '[{"variation":n,"values":["<user id>"]}]';
COMMENT ON COLUMN public.flags.rules IS '[{"clauses":[{"attribute","op","values","negate"}],"variation" or "rollout"}]; clauses are joined by AND';
COMMENT ON COLUMN public.flags.prerequisites IS '[{"key":"<flag>","variation":n}]';

-- Sets of users, by name or by rule.
CREATE TABLE public.segments (
    key         text        NOT NULL PRIMARY KEY CHECK (key ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    description text        NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    salt        text        NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '') CHECK (length(salt) BETWEEN 1 AND 64),
    rules       jsonb       NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN public.segments.rules IS '[{"clauses":[...],"weight":n,"bucketBy"}]; without a weight all whom the clauses match';

CREATE TABLE public.segment_members (
    segment_key  text    NOT NULL REFERENCES public.segments (key) ON DELETE CASCADE,
    user_id      uuid    NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    included     boolean NOT NULL DEFAULT true,
    PRIMARY KEY (user_id, segment_key)
);
CREATE INDEX idx_segment_members_segment ON public.segment_members (segment_key);

-- Who changed what, and what it was before.
CREATE TABLE public.flag_audit (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    done_by text        NOT NULL CHECK (length(done_by) BETWEEN 1 AND 200),
    action  text        NOT NULL,
    key     text        NOT NULL,
    reason  text        CHECK (length(reason) <= 500),
    before  jsonb,
    after   jsonb
);
CREATE INDEX idx_flag_audit_key ON public.flag_audit (key, id DESC);
CREATE INDEX idx_flag_audit_at ON public.flag_audit (at);

ALTER TABLE public.segment_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.segment_members FOR SELECT TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY admin ON public.segment_members TO fitnudge_admin USING (true) WITH CHECK (true);
CREATE POLICY admin ON public.users FOR SELECT TO fitnudge_admin USING (true);

GRANT SELECT ON public.flags, public.segments, public.segment_members TO fitnudge_api;
GRANT SELECT, INSERT, UPDATE ON public.flags, public.segments TO fitnudge_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.segment_members TO fitnudge_admin;
GRANT SELECT, INSERT ON public.flag_audit TO fitnudge_admin;
GRANT SELECT (id) ON public.users TO fitnudge_admin;
GRANT SELECT, DELETE ON public.flag_audit TO fitnudge_clock;
INSERT INTO public.retention (name, place, relation, "column", keep) VALUES ('flag_audit', 63, 'flag_audit', 'at', '2 years');
INSERT INTO public.personal_data (relation) VALUES ('segment_members');

RESET ROLE;

-- Row trigger of what is nobody's own: the tag (its argument) bumps what everybody has cached of it. The change belongs to nobody.
GRANT CREATE ON SCHEMA pool TO fitnudge_queue;
SET LOCAL ROLE fitnudge_queue;

CREATE FUNCTION pool.note_shared_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c_nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    v_changes text := current_setting('fitnudge.changes', true);
    v_tags text := current_setting('fitnudge.tags', true);
    v_id bigint;
BEGIN
    INSERT INTO public.change_outbox ("table", op, user_id, row_id, tags)
    VALUES (TG_TABLE_NAME, TG_OP, c_nobody, c_nobody, ARRAY[TG_ARGV[0]])
    RETURNING id INTO v_id;

    PERFORM set_config('fitnudge.changes', concat_ws(',', nullif(v_changes, ''), v_id), true);
    IF TG_ARGV[0] = ANY (string_to_array(v_tags, ',')) IS NOT TRUE THEN
        PERFORM set_config('fitnudge.tags', concat_ws(',', nullif(v_tags, ''), TG_ARGV[0]), true);
    END IF;
    RETURN NULL;
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue;
REVOKE EXECUTE ON FUNCTION pool.note_shared_change() FROM PUBLIC, fitnudge_pool;
GRANT EXECUTE ON FUNCTION pool.note_shared_change() TO fitnudge_owner;

SET LOCAL ROLE fitnudge_owner;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.flags
    FOR EACH ROW EXECUTE FUNCTION pool.note_shared_change('flags');
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.segments
    FOR EACH ROW EXECUTE FUNCTION pool.note_shared_change('flags');
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.segment_members
    FOR EACH ROW EXECUTE FUNCTION pool.note_shared_change('flags');
RESET ROLE;

-- --- evaluation ----------------------------------------------------------------------------------

-- What rules can ask of a user, as one flat object; what the profile does not say is missing. engagement is the part of the last 30 days
-- with something done. Platform and version are the app's own word.
CREATE FUNCTION pool.flag_context(p_user uuid, p_platform text, p_app_version text) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT jsonb_strip_nulls(jsonb_build_object('kind', 'user', 'key', u.id, 'plan', u.plan, 'country', u.country,
        'language', u.language, 'timezone', u.timezone, 'tone', u.tone, 'role', u.role, 'email_verified', u.email_verified,
        'created_at', pool.rfc3339(u.created_at), 'platform', p_platform, 'app_version', p_app_version,
        'engagement', (SELECT round(count(DISTINCT c.date) / 30.0, 4) FROM public.checkins c
                       WHERE c.user_id = u.id AND c.status = 'done'
                         AND c.date > (now() AT TIME ZONE u.timezone)::date - 30 AND c.date <= (now() AT TIME ZONE u.timezone)::date)))
        FROM public.users u WHERE u.id = p_user);
END
$$;

-- Where in [0, 1] a context falls: the first 60 bits of a SHA-1, as single precision, which is what LaunchDarkly's own programs do.
-- 0 for an attribute that is missing, or neither a text nor an integer.
CREATE FUNCTION pool.flag_bucket(p_context jsonb, p_by text, p_key text, p_salt text, p_seed bigint) RETURNS real
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v jsonb := p_context -> p_by;
    v_text text;
BEGIN
    IF jsonb_typeof(v) = 'string' THEN
        v_text := v #>> '{}';
    ELSIF jsonb_typeof(v) = 'number' AND v::numeric = trunc(v::numeric) THEN
        v_text := trunc(v::numeric)::text;
    ELSE
        RETURN 0;
    END IF;

    RETURN ('x0' || substr(encode(pool.digest(convert_to(concat_ws('.', coalesce(p_seed::text, p_key || '.' || p_salt), v_text), 'UTF8'), 'sha1'),
                                  'hex'), 1, 15))::bit(64)::bigint::real / 1152921504606846975::real;
END
$$;

-- The variation of {"variation"} or {"rollout"}. Experiments are bucketed by the key, whatever bucketBy says.
CREATE FUNCTION pool.flag_choose(p_choice jsonb, p_context jsonb, p_key text, p_salt text) RETURNS int
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    r jsonb := p_choice -> 'rollout';
    v_bucket real := 0;
    v_sum real := 0;
    w jsonb;
BEGIN
    IF r IS NULL THEN
        RETURN (p_choice ->> 'variation')::int;
    END IF;

    -- all contexts are of the kind user; for another one nothing is known
    IF coalesce(r ->> 'contextKind', 'user') = 'user' THEN
        v_bucket := pool.flag_bucket(p_context, CASE WHEN r ->> 'kind' = 'experiment' THEN 'key' ELSE coalesce(r ->> 'bucketBy', 'key') END,
                                     p_key, p_salt, (r ->> 'seed')::bigint);
    END IF;

    FOR w IN SELECT x.value FROM jsonb_array_elements(r -> 'variations') WITH ORDINALITY x ORDER BY x.ordinality LOOP
        v_sum := v_sum + (w ->> 'weight')::real / 100000::real;
        EXIT WHEN v_bucket < v_sum;
    END LOOP;
    RETURN (w ->> 'variation')::int;        -- past the end by rounding: the last one
END
$$;

-- "1.2.3-rc.1" as an array that compares as the version does (semver.org, section 11): numbers, then what comes before a release. Parts
-- that are left out are 0. NULL for what is no version.
CREATE FUNCTION pool.semver(p text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    m text[] := regexp_match(p, '^(0|[1-9][0-9]{0,8})(?:\.(0|[1-9][0-9]{0,8}))?(?:\.(0|[1-9][0-9]{0,8}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$');
    v text[];
    i text;
BEGIN
    IF m IS NULL OR length(p) > 100 THEN
        RETURN NULL;
    END IF;

    v := ARRAY[lpad(m[1], 9, '0'), lpad(coalesce(m[2], '0'), 9, '0'), lpad(coalesce(m[3], '0'), 9, '0')];
    IF m[4] IS NULL THEN
        RETURN array_append(v, '~');                    -- a release comes after all that leads to it
    END IF;

    FOREACH i IN ARRAY string_to_array(m[4], '.') LOOP
        IF i ~ '^[0-9]+$' THEN
            v := array_append(v, '0' || lpad(ltrim(i, '0'), 100, '0'));
        ELSE
            v := array_append(v, '1' || i);
        END IF;
    END LOOP;
    RETURN v;
END
$$;

-- A time given as RFC 3339 or as milliseconds; NULL for anything else.
CREATE FUNCTION pool.flag_time(p jsonb) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF jsonb_typeof(p) = 'number' THEN
        RETURN to_timestamp(p::numeric / 1000);
    ELSIF jsonb_typeof(p) = 'string' AND p #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$' THEN
        RETURN (p #>> '{}')::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

-- Whether a pattern may be used: short, and without what makes matching slow (back-references, look-around, counted repetition).
CREATE FUNCTION pool.flag_pattern(p text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN length(p) BETWEEN 1 AND 100 AND p !~ '\\[1-9]|\(\?[=!<]|\{|^\*\*\*' AND '' ~ p IS NOT NULL;
EXCEPTION WHEN invalid_regular_expression THEN
    RETURN false;
END
$$;

-- One value of the context against one of the clause. Types must be what the operator compares; otherwise it is no match.
CREATE FUNCTION pool.flag_compare(p_op text, a jsonb, b jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    s text := CASE jsonb_typeof(a) WHEN 'string' THEN a #>> '{}' END;
    t text := CASE jsonb_typeof(b) WHEN 'string' THEN b #>> '{}' END;
    x numeric := CASE jsonb_typeof(a) WHEN 'number' THEN a::numeric END;
    y numeric := CASE jsonb_typeof(b) WHEN 'number' THEN b::numeric END;
BEGIN
    RETURN coalesce(CASE p_op
        WHEN 'in' THEN a = b
        WHEN 'startsWith' THEN starts_with(s, t)
        WHEN 'endsWith' THEN right(s, length(t)) = t
        WHEN 'contains' THEN strpos(s, t) > 0
        WHEN 'matches' THEN length(s) <= 1000 AND pool.flag_pattern(t) AND s ~ t
        WHEN 'lessThan' THEN x < y
        WHEN 'lessThanOrEqual' THEN x <= y
        WHEN 'greaterThan' THEN x > y
        WHEN 'greaterThanOrEqual' THEN x >= y
        WHEN 'before' THEN pool.flag_time(a) < pool.flag_time(b)
        WHEN 'after' THEN pool.flag_time(a) > pool.flag_time(b)
        WHEN 'semVerEqual' THEN pool.semver(s) = pool.semver(t)
        WHEN 'semVerLessThan' THEN pool.semver(s) COLLATE "C" < pool.semver(t) COLLATE "C"
        WHEN 'semVerGreaterThan' THEN pool.semver(s) COLLATE "C" > pool.semver(t) COLLATE "C"
    END, false);
END
$$;

-- Whether all clauses hold. A missing attribute fails its clause, negated or not.
CREATE FUNCTION pool.flag_clauses(p_clauses jsonb, p_context jsonb, p_depth int) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    c jsonb;
    v jsonb;
    v_match boolean;
BEGIN
    FOR c IN SELECT x.value FROM jsonb_array_elements(p_clauses) x LOOP
        IF c ->> 'op' = 'segmentMatch' THEN
            v_match := EXISTS (SELECT FROM jsonb_array_elements_text(c -> 'values') s WHERE pool.in_segment(s.value, p_context, p_depth + 1));
        ELSE
            v := p_context -> (c ->> 'attribute');
            IF v IS NULL THEN
                RETURN false;
            END IF;
            v_match := EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(v) WHEN 'array' THEN v ELSE jsonb_build_array(v) END) a,
                                           jsonb_array_elements(c -> 'values') b
                               WHERE pool.flag_compare(c ->> 'op', a.value, b.value));
        END IF;

        IF v_match = coalesce((c ->> 'negate')::boolean, false) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- Excluded by name, included by name, or by a rule. Segments in segments end at the fifth.
CREATE FUNCTION pool.in_segment(p_key text, p_context jsonb, p_depth int DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    s public.segments;
    r jsonb;
    v_included boolean;
BEGIN
    SELECT * INTO s FROM public.segments WHERE key = p_key;
    IF NOT FOUND OR p_depth > 5 THEN
        RETURN false;
    END IF;

    SELECT m.included INTO v_included FROM public.segment_members m WHERE m.user_id = (p_context ->> 'key')::uuid AND m.segment_key = s.key;
    IF FOUND THEN
        RETURN v_included;
    END IF;

    FOR r IN SELECT x.value FROM jsonb_array_elements(s.rules) WITH ORDINALITY x ORDER BY x.ordinality LOOP
        IF pool.flag_clauses(r -> 'clauses', p_context, p_depth) THEN
            RETURN NOT r ? 'weight' OR pool.flag_bucket(p_context, coalesce(r ->> 'bucketBy', 'key'), s.key, s.salt, NULL)
                                       < (r ->> 'weight')::real / 100000::real;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

CREATE FUNCTION pool.flag_stage(p_stage text) RETURNS int
LANGUAGE sql IMMUTABLE
RETURN array_position(ARRAY['development', 'staging', 'production'], p_stage);

-- Whether a flag is on here: ALTER DATABASE ... SET fitnudge.stage says which stage this installation is.
CREATE FUNCTION pool.flag_is_on(f public.flags) RETURNS boolean
LANGUAGE sql STABLE
RETURN f.is_on AND pool.flag_stage(f.stage) >= coalesce(pool.flag_stage(current_setting('fitnudge.stage', true)), 3);

-- Which variation a flag has for a context, NULL for none, and why.
CREATE FUNCTION pool.flag_evaluate(f public.flags, p_context jsonb, p_depth int, OUT variation int, OUT reason text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    r jsonb;
    p public.flags;
    e record;
BEGIN
    variation := f.off_variation;
    IF NOT pool.flag_is_on(f) THEN
        reason := 'OFF';
        RETURN;
    END IF;

    FOR r IN SELECT x.value FROM jsonb_array_elements(f.prerequisites) WITH ORDINALITY x ORDER BY x.ordinality LOOP
        SELECT * INTO p FROM public.flags x WHERE x.key = r ->> 'key';
        IF FOUND AND p_depth < 10 AND pool.flag_is_on(p) THEN
            SELECT * INTO e FROM pool.flag_evaluate(p, p_context, p_depth + 1);
            CONTINUE WHEN e.variation = (r ->> 'variation')::int;
        END IF;
        reason := 'PREREQUISITE_FAILED';
        RETURN;
    END LOOP;

    FOR r IN SELECT x.value FROM jsonb_array_elements(f.targets) WITH ORDINALITY x ORDER BY x.ordinality LOOP
        IF r -> 'values' ? (p_context ->> 'key') THEN
            variation := (r ->> 'variation')::int;
            reason := 'TARGET_MATCH';
            RETURN;
        END IF;
    END LOOP;

    FOR r IN SELECT x.value FROM jsonb_array_elements(f.rules) WITH ORDINALITY x ORDER BY x.ordinality LOOP
        IF pool.flag_clauses(r -> 'clauses', p_context, 0) THEN
            variation := pool.flag_choose(r, p_context, f.key, f.salt);
            reason := 'RULE_MATCH';
            RETURN;
        END IF;
    END LOOP;

    variation := pool.flag_choose(f.fallthrough, p_context, f.key, f.salt);
    reason := 'FALLTHROUGH';
END
$$;

-- What a flag that is a yes or no says for a user, for functions of the database; false when there is no such flag.
CREATE FUNCTION pool.flag_on(p_user uuid, p_key text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    f public.flags;
BEGIN
    SELECT * INTO f FROM public.flags WHERE key = p_key;
    IF NOT FOUND OR NOT pool.flag_is_on(f) AND f.variations -> f.off_variation = 'false' THEN
        RETURN false;
    END IF;
    RETURN coalesce(f.variations -> (SELECT e.variation FROM pool.flag_evaluate(f, pool.flag_context(p_user, NULL, NULL), 0) e) = 'true', false);
END
$$;

-- Every flag's value for the user.
CREATE FUNCTION api.flags(p_user uuid, p_platform text, p_app_version text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_context jsonb := pool.flag_context(p_user, p_platform, p_app_version);
BEGIN
    IF v_context IS NULL THEN
        RETURN NULL;
    END IF;

    RETURN (SELECT concat('{"flags":{', string_agg(concat('"', f.key, '":', coalesce((f.variations -> e.variation)::text, 'null')), ',' ORDER BY f.key), '}}')
            FROM public.flags f, pool.flag_evaluate(f, v_context, 0) e);
END
$$;

-- --- what operators may do -----------------------------------------------------------------------

-- NULL, or what is wrong with a flag's or a segment's JSON. Variations: how many there are.
CREATE FUNCTION pool.flag_choice_problem(p jsonb, p_variations int) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    r jsonb := p -> 'rollout';
    w jsonb;
    v_sum numeric := 0;
BEGIN
    IF jsonb_typeof(p) IS DISTINCT FROM 'object' OR (p ? 'variation') = (p ? 'rollout') THEN
        RETURN 'either "variation" or "rollout" is needed';
    ELSIF r IS NULL THEN
        RETURN CASE WHEN pool.flag_index(p -> 'variation', p_variations) THEN NULL ELSE 'there is no such variation' END;
    ELSIF jsonb_typeof(r) <> 'object' OR jsonb_typeof(r -> 'variations') IS DISTINCT FROM 'array' OR jsonb_array_length(r -> 'variations') = 0 THEN
        RETURN 'a rollout has "variations"';
    ELSIF r ? 'seed' AND NOT coalesce(r ->> 'seed' ~ '^-?[0-9]{1,15}$' AND jsonb_typeof(r -> 'seed') = 'number', false) THEN
        RETURN 'a seed is an integer';
    ELSIF NOT coalesce(r ->> 'kind', 'rollout') = ANY (ARRAY['rollout', 'experiment']) THEN
        RETURN 'the kind of a rollout is "rollout" or "experiment"';
    END IF;

    FOR w IN SELECT x.value FROM jsonb_array_elements(r -> 'variations') x LOOP
        IF jsonb_typeof(w) <> 'object' OR NOT pool.flag_index(w -> 'variation', p_variations) THEN
            RETURN 'there is no such variation';
        ELSIF NOT pool.flag_index(w -> 'weight', 100001) THEN
            RETURN 'a weight is from 0 to 100000';
        END IF;
        v_sum := v_sum + (w ->> 'weight')::numeric;
    END LOOP;
    RETURN CASE WHEN v_sum <> 100000 THEN 'the weights of a rollout add up to 100000' END;
END
$$;

-- Whether it is an integer from 0 to below p_end.
CREATE FUNCTION pool.flag_index(p jsonb, p_end int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce(CASE WHEN jsonb_typeof(p) = 'number' AND p #>> '{}' ~ '^[0-9]{1,6}$' THEN (p #>> '{}')::int < p_end END, false);

CREATE FUNCTION pool.flag_clauses_problem(p jsonb) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    c jsonb;
BEGIN
    IF jsonb_typeof(p) IS DISTINCT FROM 'array' OR jsonb_array_length(p) NOT BETWEEN 1 AND 20 THEN
        RETURN 'a rule has 1 to 20 clauses';
    END IF;

    FOR c IN SELECT x.value FROM jsonb_array_elements(p) x LOOP
        IF jsonb_typeof(c) <> 'object' OR NOT coalesce(c ->> 'op' = ANY (ARRAY['in', 'startsWith', 'endsWith', 'contains', 'matches', 'lessThan', 'lessThanOrEqual',
                'greaterThan', 'greaterThanOrEqual', 'before', 'after', 'semVerEqual', 'semVerLessThan', 'semVerGreaterThan', 'segmentMatch']), false) THEN
            RETURN 'there is no such "op"';
        ELSIF c ->> 'op' <> 'segmentMatch' AND NOT coalesce(c ->> 'attribute' ~ '^[a-z_]{1,64}$', false) THEN
            RETURN 'a clause has an "attribute"';
        ELSIF jsonb_typeof(c -> 'values') IS DISTINCT FROM 'array' OR jsonb_array_length(c -> 'values') NOT BETWEEN 1 AND 1000 THEN
            RETURN 'a clause has 1 to 1000 "values"';
        ELSIF c ? 'negate' AND jsonb_typeof(c -> 'negate') <> 'boolean' THEN
            RETURN '"negate" is true or false';
        ELSIF c ->> 'op' = 'matches' AND EXISTS (SELECT FROM jsonb_array_elements(c -> 'values') v
                WHERE jsonb_typeof(v.value) <> 'string' OR NOT pool.flag_pattern(v.value #>> '{}')) THEN
            RETURN 'a pattern has at most 100 characters, no back-references, look-around or counted repetition';
        ELSIF c ->> 'op' = 'segmentMatch' AND EXISTS (SELECT FROM jsonb_array_elements(c -> 'values') v
                WHERE NOT EXISTS (SELECT FROM public.segments s WHERE to_jsonb(s.key) = v.value)) THEN
            RETURN 'there is no such segment';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION pool.flag_problem(f public.flags) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    n int;
    x jsonb;
    v_problem text;
BEGIN
    IF jsonb_typeof(f.variations) <> 'array' OR jsonb_array_length(f.variations) NOT BETWEEN 1 AND 20 THEN
        RETURN 'a flag has 1 to 20 variations';
    ELSIF length(f.variations::text) + length(f.targets::text) + length(f.rules::text) + length(f.prerequisites::text) > 65536 THEN
        RETURN 'a flag has at most 64 KB';
    ELSIF jsonb_typeof(f.targets) <> 'array' OR jsonb_typeof(f.rules) <> 'array' OR jsonb_typeof(f.prerequisites) <> 'array' THEN
        RETURN 'targets, rules and prerequisites are lists';
    END IF;

    n := jsonb_array_length(f.variations);
    IF f.off_variation NOT BETWEEN 0 AND n - 1 THEN
        RETURN 'offVariation: there is no such variation';
    END IF;

    FOR x IN SELECT t.value FROM jsonb_array_elements(f.targets) t LOOP
        IF jsonb_typeof(x) <> 'object' OR NOT pool.flag_index(x -> 'variation', n) OR jsonb_typeof(x -> 'values') IS DISTINCT FROM 'array' THEN
            RETURN 'targets: each has a variation that there is, and values';
        END IF;
    END LOOP;

    FOR x IN SELECT t.value FROM jsonb_array_elements(f.rules) t LOOP
        v_problem := coalesce(pool.flag_choice_problem(x, n), pool.flag_clauses_problem(x -> 'clauses'));
        IF v_problem IS NOT NULL THEN
            RETURN 'rules: ' || v_problem;
        END IF;
    END LOOP;

    FOR x IN SELECT t.value FROM jsonb_array_elements(f.prerequisites) t LOOP
        IF jsonb_typeof(x) <> 'object' OR NOT EXISTS (SELECT FROM public.flags p WHERE p.key = x ->> 'key'
                AND pool.flag_index(x -> 'variation', jsonb_array_length(p.variations))) THEN
            RETURN 'prerequisites: each has the key of a flag, and a variation of it';
        END IF;
    END LOOP;

    IF EXISTS (WITH RECURSIVE needs (key, depth) AS (
                   SELECT p.value ->> 'key', 1 FROM jsonb_array_elements(f.prerequisites) p
                   UNION SELECT p.value ->> 'key', n2.depth + 1 FROM needs n2 JOIN public.flags g ON g.key = n2.key,
                          jsonb_array_elements(g.prerequisites) p WHERE n2.depth < 11)
               SELECT FROM needs WHERE needs.key = f.key OR needs.depth > 10) THEN
        RETURN 'prerequisites: a flag cannot need itself';
    END IF;

    v_problem := pool.flag_choice_problem(f.fallthrough, n);
    RETURN 'fallthrough: ' || v_problem;
END
$$;

-- A flag as operators see and write it; the names are LaunchDarkly's.
CREATE FUNCTION pool.flag_json(f public.flags) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object('key', f.key, 'description', f.description, 'on', f.is_on, 'stage', f.stage, 'salt', f.salt, 'variations', f.variations,
    'offVariation', f.off_variation, 'fallthrough', f.fallthrough, 'targets', f.targets, 'rules', f.rules, 'prerequisites', f.prerequisites,
    'version', f.version, 'updated_at', pool.rfc3339(f.updated_at));

-- Makes a flag, or changes what p_changes names of it: {"on","description","stage","variations",...}. SQLSTATE FN400 says what is wrong,
-- FN404 that there is no such flag, FN412 that p_version is not its version.
CREATE FUNCTION pool.flag_put(p_actor text, p_action text, p_key text, p_changes jsonb, p_reason text DEFAULT NULL,
                              p_version int DEFAULT NULL, p_create boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    f public.flags;
    v_before jsonb;
    v_unknown text;
    v_problem text;
    c jsonb := p_changes;
BEGIN
    SELECT k INTO v_unknown FROM jsonb_object_keys(c) k WHERE k <> ALL (ARRAY['on', 'description', 'stage', 'salt', 'variations', 'offVariation',
        'fallthrough', 'targets', 'rules', 'prerequisites']) LIMIT 1;
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = format('"%s" is nothing that a flag has', v_unknown);
    END IF;

    SELECT * INTO f FROM public.flags WHERE key = p_key FOR UPDATE;
    IF FOUND THEN
        v_before := pool.flag_json(f);
    ELSIF NOT p_create THEN
        RAISE EXCEPTION USING ERRCODE = 'FN404', MESSAGE = format('there is no flag "%s"', p_key);
    ELSE
        INSERT INTO public.flags (key) VALUES (p_key) RETURNING * INTO f;
    END IF;
    IF p_version <> f.version THEN
        RAISE EXCEPTION USING ERRCODE = 'FN412', MESSAGE = format('somebody else was first: the flag has version %s', f.version);
    END IF;

    f.is_on := coalesce((c ->> 'on')::boolean, f.is_on);
    f.description := coalesce(c ->> 'description', f.description);
    f.stage := coalesce(c ->> 'stage', f.stage);
    f.salt := coalesce(c ->> 'salt', f.salt);
    f.variations := coalesce(c -> 'variations', f.variations);
    f.off_variation := CASE WHEN c ? 'offVariation' THEN (c ->> 'offVariation')::int ELSE f.off_variation END;
    f.fallthrough := coalesce(c -> 'fallthrough', f.fallthrough);
    f.targets := coalesce(c -> 'targets', f.targets);
    f.rules := coalesce(c -> 'rules', f.rules);
    f.prerequisites := coalesce(c -> 'prerequisites', f.prerequisites);

    v_problem := pool.flag_problem(f);
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = v_problem;
    END IF;

    UPDATE public.flags SET (is_on, description, stage, salt, variations, off_variation, fallthrough, targets, rules, prerequisites, version, updated_at)
        = (f.is_on, f.description, f.stage, f.salt, f.variations, f.off_variation, f.fallthrough, f.targets, f.rules, f.prerequisites,
           f.version + CASE WHEN v_before IS NULL THEN 0 ELSE 1 END, now())
    WHERE key = p_key RETURNING * INTO f;

    INSERT INTO public.flag_audit (done_by, action, key, reason, before, after) VALUES (p_actor, p_action, p_key, p_reason, v_before, pool.flag_json(f));
    RETURN pool.flag_json(f);
EXCEPTION
    WHEN check_violation OR invalid_text_representation OR numeric_value_out_of_range THEN
        RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'a member has a value that it cannot have';
END
$$;

-- Off for everybody, whatever its rules say, and the team is told.
CREATE FUNCTION pool.flag_kill(p_actor text, p_key text, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_flag jsonb := pool.flag_put(p_actor, 'kill', p_key, '{"on": false}', p_reason);
BEGIN
    PERFORM pool.follow('alert.send', NULL, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb, 'body', jsonb_build_object(
        'key', format('flag.kill %s %s', p_key, v_flag ->> 'version'),
        'text', concat_ws(': ', format('Feature flag %s was switched off for everybody by %s', p_key, p_actor), p_reason))));
    RETURN v_flag;
END
$$;

CREATE FUNCTION pool.flag_list() RETURNS TABLE (key text, is_on boolean, stage text, version int, changed_at text, changed_by text, description text, flag jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY SELECT f.key, f.is_on, f.stage, f.version, pool.rfc3339(f.updated_at),
        (SELECT a.done_by FROM public.flag_audit a WHERE a.key = f.key ORDER BY a.id DESC LIMIT 1), f.description, pool.flag_json(f)
        FROM public.flags f ORDER BY f.key;
END
$$;

-- Puts somebody into a segment (true), keeps them out of it (false), or leaves it to the segment's rules (NULL).
CREATE FUNCTION pool.segment_put(p_actor text, p_segment text, p_user uuid, p_included boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.segments s WHERE s.key = p_segment) THEN
        RAISE EXCEPTION USING ERRCODE = 'FN404', MESSAGE = format('there is no segment "%s"', p_segment);
    ELSIF NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'FN404', MESSAGE = 'there is no such user';
    END IF;

    IF p_included IS NULL THEN
        DELETE FROM public.segment_members WHERE user_id = p_user AND segment_key = p_segment;
    ELSE
        INSERT INTO public.segment_members (segment_key, user_id, included) VALUES (p_segment, p_user, p_included)
        ON CONFLICT (user_id, segment_key) DO UPDATE SET included = excluded.included;
    END IF;
    INSERT INTO public.flag_audit (done_by, action, key, after)
    VALUES (p_actor, 'segment', p_segment, jsonb_build_object('user_id', p_user, 'included', p_included));
END
$$;

-- --- the product's flags -------------------------------------------------------------------------

INSERT INTO public.segments (key, description) VALUES ('beta', 'People who try things out before others do');

INSERT INTO public.flags (key, is_on, stage, description, fallthrough, rules) VALUES
    ('multiple-goals', false, 'production', 'More than one active goal on the free plan', '{"variation": 0}', '[]'),
    ('ai-voice-messages', true, 'production', 'Spoken messages', '{"variation": 1}',
     '[{"clauses": [{"attribute": "plan", "op": "in", "values": ["pro", "elite"]}], "variation": 0}]'),
    ('experimental-ui', true, 'production', 'What is not finished yet', '{"variation": 1}',
     '[{"clauses": [{"op": "segmentMatch", "values": ["beta"]}], "variation": 0}]'),
    ('new-ui-design', true, 'production', 'The new design, for a quarter of all users',
     '{"rollout": {"variations": [{"variation": 0, "weight": 25000}, {"variation": 1, "weight": 75000}]}}', '[]'),
    ('advanced-analytics', true, 'production', 'More statistics', '{"variation": 1}',
     '[{"clauses": [{"attribute": "plan", "op": "in", "values": ["pro", "elite"]}], "variation": 0}]'),
    ('local-gym-integration', true, 'production', 'Gyms nearby', '{"variation": 1}',
     '[{"clauses": [{"attribute": "country", "op": "in", "values": ["US", "CA", "GB"]}], "variation": 0}]'),
    ('social-features', true, 'production', 'The social wall, for those who are active', '{"variation": 1}',
     '[{"clauses": [{"attribute": "engagement", "op": "greaterThan", "values": [0.7]}], "variation": 0}]');
DELETE FROM public.change_outbox WHERE "table" IN ('flags', 'segments');

-- --- who may -------------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
ALTER FUNCTION api.flags(uuid, text, text) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION api.flags(uuid, text, text) TO fitnudge_edge;

GRANT EXECUTE ON FUNCTION pool.digest(bytea, text), pool.flag_context(uuid, text, text), pool.flag_bucket(jsonb, text, text, text, bigint),
    pool.flag_choose(jsonb, jsonb, text, text), pool.semver(text), pool.flag_time(jsonb), pool.flag_pattern(text), pool.flag_compare(text, jsonb, jsonb),
    pool.flag_clauses(jsonb, jsonb, int), pool.in_segment(text, jsonb, int), pool.flag_stage(text), pool.flag_is_on(public.flags),
    pool.flag_evaluate(public.flags, jsonb, int), pool.flag_on(uuid, text) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.rfc3339(timestamptz), pool.flag_pattern(text), pool.flag_index(jsonb, int), pool.flag_choice_problem(jsonb, int),
    pool.flag_clauses_problem(jsonb), pool.flag_problem(public.flags), pool.flag_json(public.flags), pool.follow(text, uuid, jsonb) TO fitnudge_admin;

GRANT CREATE ON SCHEMA pool TO fitnudge_admin;
ALTER FUNCTION pool.flag_put(text, text, text, jsonb, text, int, boolean) OWNER TO fitnudge_admin;
ALTER FUNCTION pool.flag_kill(text, text, text) OWNER TO fitnudge_admin;
ALTER FUNCTION pool.flag_list() OWNER TO fitnudge_admin;
ALTER FUNCTION pool.segment_put(text, text, uuid, boolean) OWNER TO fitnudge_admin;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_admin;
GRANT EXECUTE ON FUNCTION pool.flag_put(text, text, text, jsonb, text, int, boolean), pool.flag_kill(text, text, text), pool.flag_list(),
    pool.segment_put(text, text, uuid, boolean) TO fitnudge_pool;

COMMIT;
