-- Deploy fitnudge:privacy to pg
-- What is held on a person: given out on request, deleted with the account, and made anonymous for statistics. public.personal_data says
-- for each table how; sql/test/privacy.sql walks the schema and fails when one is missing.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- One row a table that has something of a person. Whoever adds a table adds its row, in the change that makes the table:
--
--     INSERT INTO public.personal_data (relation) VALUES ('posts');
--
-- is enough when it has a column user_id, fitnudge_api sees the user's own rows, and it goes with the user by its foreign key.
CREATE TABLE public.personal_data (
    relation      text    NOT NULL PRIMARY KEY,
    place         int     NOT NULL DEFAULT 50,
    user_columns  text[]  NOT NULL DEFAULT '{user_id}',
    withheld      text[]  NOT NULL DEFAULT '{}',
    reason        text,
    object_key    text,
    bulk          boolean NOT NULL DEFAULT false,
    outlives      text,
    CHECK ((withheld = '{}') = (reason IS NULL)),
    CHECK (user_columns <> '{}' OR '*' = ANY (withheld))
);

COMMENT ON COLUMN public.personal_data.place IS 'the smaller, the earlier in the export and the later in the purge';
COMMENT ON COLUMN public.personal_data.user_columns IS 'a row is somebody''s who is named in one of them';
COMMENT ON COLUMN public.personal_data.withheld IS 'columns that are not given out, such as hashes; {*}: none is. The reason is given out';
COMMENT ON COLUMN public.personal_data.object_key IS 'column with the key of an object in the storage, which the table''s own trigger deletes: so few rows go at a time';
COMMENT ON COLUMN public.personal_data.bulk IS 'one person may have many: purged in batches. This and object_key take SELECT, DELETE and a policy of fitnudge_clock';
COMMENT ON COLUMN public.personal_data.outlives IS 'why, and for how long, rows are there when the account is not';

GRANT SELECT ON public.personal_data TO fitnudge_api, fitnudge_clock;

INSERT INTO public.personal_data (relation, place, user_columns, withheld, reason, object_key, bulk, outlives) VALUES
    ('users',               10, '{id}',                      '{password_hash}', 'secret',                                         NULL,  false, NULL),
    ('sessions',            20, '{user_id}',                 '{access_until}',  'internal',                                       NULL,  false, NULL),
    ('refresh_tokens',      20, '{}',                        '{*}',             'hashes of secrets',                              NULL,  false, NULL),
    ('email_verifications', 20, '{user_id}',                 '{*}',             'hashes of secrets',                              NULL,  false, NULL),
    ('password_resets',     20, '{user_id}',                 '{*}',             'hashes of secrets',                              NULL,  false, NULL),
    ('goals',               30, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('checkins',            40, '{user_id}',                 '{}',              NULL,                                             NULL,  true,  NULL),
    ('motivations',         40, '{user_id}',                 '{prompt_hash}',   'internal',                                       NULL,  true,  NULL),
    ('reminders',           40, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('weekly_summaries',    50, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('ai_usage',            50, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('devices',             50, '{user_id}',                 '{token}',         'secret',                                         NULL,  false, NULL),
    ('mails',               50, '{user_id}',                 '{content}',       'may hold a secret until it is sent',             NULL,  false, NULL),
    ('follows',             50, '{follower_id,followee_id}', '{}',              NULL,                                             NULL,  false, NULL),
    ('follow_counts',       50, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('user_consents',       50, '{user_id}',                 '{}',              NULL,                                             NULL,  false, NULL),
    ('audit_log',           90, '{user_id}',                 '{actor_id}',      'somebody else''s',                               NULL,  false, 'security log: 90 days'),
    ('inbox',               90, '{user_id}',                 '{*}',             'copies of answers, for seven days',              NULL,  false, 'answers to repeated requests: 7 days'),
    ('outbox',              90, '{user_id}',                 '{*}',             'work on its way, for seconds',                   NULL,  false, 'work on its way: seconds'),
    ('change_outbox',       90, '{user_id}',                 '{*}',             'notes that caches are stale, for seconds',       NULL,  false, 'notes to caches: seconds, at most 7 days');

RESET ROLE;

-- SQL is put together below from names in the table above and the catalog, never from anything in a request.

-- "(t.user_id = $1)", with p_value '$1' or 'ANY ($1)'
CREATE FUNCTION pool.personal_where(p public.personal_data, p_value text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN (SELECT '(' || string_agg(format('t.%I = %s', c, p_value), ' OR ') || ')' FROM unnest(p.user_columns) c);

-- What is given out of a table: the query of one JSON array of rows, oldest first where they know their age.
CREATE FUNCTION pool.personal_query(p public.personal_data) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT format('SELECT concat(''['', string_agg(row_to_json(x)::text, '',''), '']'') FROM (SELECT %s FROM public.%I t WHERE %s%s) x',
    string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum), p.relation, pool.personal_where(p, '$1'),
    CASE WHEN bool_or(a.attname = 'created_at') THEN ' ORDER BY t.created_at' ELSE '' END)
    FROM pg_attribute a
    WHERE a.attrelid = ('public.' || quote_ident(p.relation))::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (p.withheld));

-- Everything. The profile is one row.
CREATE FUNCTION api.users_data(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    p public.personal_data;
    v_rows text;
    v_out text := concat('{"exported_at":"', pool.rfc3339(now()), '"');
BEGIN
    IF NOT EXISTS (SELECT FROM public.users u WHERE u.id = p_user AND u.deleted_at IS NULL) THEN
        RETURN NULL;
    END IF;

    FOR p IN SELECT x.* FROM public.personal_data x WHERE NOT '*' = ANY (x.withheld) ORDER BY x.place, x.relation LOOP
        EXECUTE pool.personal_query(p) INTO v_rows USING p_user;
        v_out := concat(v_out, ',', CASE WHEN p.relation = 'users' THEN '"profile":' || substr(v_rows, 2, length(v_rows) - 2)
                                         ELSE to_json(p.relation) || ':' || v_rows END);
    END LOOP;

    RETURN concat(v_out, ',"withheld":[', (SELECT string_agg(row_to_json(x)::text, ',')
        FROM (SELECT d.relation, d.withheld AS columns, d.reason FROM public.personal_data d WHERE d.withheld <> '{}'
              ORDER BY d.place, d.relation) x), ']}');
END
$$;

-- That somebody was given everything. The edge tells of each such answer.
CREATE FUNCTION jobs.users_data(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pool.audit(p_req, 'data_export', p_user);
    RETURN pool.ok(200, '{}');
END
$$;

-- p_ctx: {"ok","hash"}. Closes the account: all tokens are dead, nobody sees the person any more, nothing is sent. After 30 days it is
-- purged; until then it can be brought back by hand, but for its followers and devices.
CREATE FUNCTION jobs.users_delete(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_refused pool.reply := pool.password_refused(p_req, p_user, p_ctx, 'password');
BEGIN
    IF v_refused.status IS NOT NULL THEN
        RETURN v_refused;
    END IF;

    -- before anything else that is told of: a reply carries no more than 32 tags
    PERFORM pool.revoke_user(p_user);
    UPDATE public.users SET deleted_at = now(), version = version + 1, updated_at = now() WHERE id = p_user;
    PERFORM pool.end_sessions(p_user, NULL);

    DELETE FROM public.follows WHERE follower_id = p_user OR followee_id = p_user;
    DELETE FROM public.devices WHERE user_id = p_user;
    DELETE FROM public.email_verifications WHERE user_id = p_user;
    DELETE FROM public.password_resets WHERE user_id = p_user;
    PERFORM pool.audit(p_req, 'account_deletion', p_user, p_user, '{"reason":"the user asked for it"}'),
            pool.mail_account(p_user, 'account_deleted', '{}', NULL);

    RETURN pool.ok(200, '{"message":"Account and data deleted successfully"}', pool.clear_cookies(p_req));
END
$$;

-- Up to p_limit rows of these users. In a table of partitions a ctid is one of each: the condition on the user makes the others
-- nobody else's.
CREATE FUNCTION pool.purge_rows(p public.personal_data, p_users uuid[], p_limit int) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    v_where text := pool.personal_where(p, 'ANY ($1)');
    v_count int;
BEGIN
    EXECUTE format('DELETE FROM public.%1$I t WHERE t.ctid = ANY (ARRAY(SELECT t.ctid FROM public.%1$I t WHERE %2$s LIMIT $2)) AND %2$s', p.relation, v_where)
        USING p_users, p_limit;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

-- Accounts that were closed more than 30 days ago, for good. What a person has much of, or in the storage, goes first, in pieces:
-- deleting the account deletes all that is left in one statement.
CREATE FUNCTION pool.purge_users(p_now timestamptz, p_limit int DEFAULT 500) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    c_jobs CONSTANT int := 50;      -- that one batch may leave behind
    v_users uuid[];
    v_limit int;
    p public.personal_data;
BEGIN
    v_users := ARRAY(SELECT u.id FROM public.users u WHERE u.deleted_at < p_now - interval '30 days' ORDER BY u.deleted_at LIMIT 5
                     FOR UPDATE SKIP LOCKED);
    IF v_users = '{}' THEN
        RETURN 0;
    END IF;

    FOR p IN SELECT x.* FROM public.personal_data x WHERE x.bulk OR x.object_key IS NOT NULL ORDER BY x.place DESC, x.relation LOOP
        v_limit := CASE WHEN p.object_key IS NULL THEN p_limit ELSE least(p_limit, c_jobs) END;
        IF pool.purge_rows(p, v_users, v_limit) >= v_limit THEN
            RETURN p_limit;
        END IF;
    END LOOP;

    PERFORM pool.audit('{}', 'account_purged', u) FROM unnest(v_users) u;
    DELETE FROM public.users u WHERE u.id = ANY (v_users);

    -- there may be more accounts
    RETURN CASE WHEN cardinality(v_users) = 5 THEN p_limit ELSE 1 END;
END
$$;

-- Statistics know people by a hash with a salt that never leaves the database.
CREATE TABLE pool.analytics_salt (
    salt  bytea NOT NULL,
    one   boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO pool.analytics_salt (salt) VALUES (pool.gen_random_bytes(32));
ALTER TABLE pool.analytics_salt OWNER TO fitnudge_owner;
GRANT SELECT ON pool.analytics_salt TO fitnudge_clock;

CREATE INDEX idx_goals_category ON public.goals (lower(category), user_id) WHERE category IS NOT NULL;
GRANT SELECT (birth_date) ON public.users TO fitnudge_clock;

-- Eight hex digits, the same for the same person.
CREATE FUNCTION pool.anonymous_id(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN left(encode(pool.hmac(convert_to(p_user::text, 'UTF8'), (SELECT s.salt FROM pool.analytics_salt s), 'sha256'), 'hex'), 8);
END
$$;

CREATE FUNCTION pool.age_range(p_birth date) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT CASE WHEN a < 18 THEN '<18' WHEN a < 25 THEN '18-24' WHEN a < 35 THEN '25-34' WHEN a < 45 THEN '35-44' WHEN a < 55 THEN '45-54'
                    WHEN a < 65 THEN '55-64' WHEN a >= 65 THEN '65+' END
        FROM (SELECT extract(year FROM age((now() AT TIME ZONE 'UTC')::date, p_birth)) AS a) x);

-- {"user_id_hash","age_range","goal_category","success_rate"}: what statistics may know of a person; NULL without consent to it. The
-- category is that of the newest active goal, if four others have it too: words of one's own would tell who it is. The rate is rounded.
CREATE FUNCTION pool.anonymous_user(p_user uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_birth date;
    v_category text;
    v_rate numeric;
BEGIN
    SELECT u.birth_date INTO v_birth FROM public.users u WHERE u.id = p_user AND u.is_visible;
    IF NOT FOUND OR NOT pool.has_consent(p_user, 'analytics') THEN
        RETURN NULL;
    END IF;

    SELECT lower(g.category) INTO v_category FROM public.goals g
    WHERE g.user_id = p_user AND g.is_active AND g.category IS NOT NULL ORDER BY g.created_at DESC LIMIT 1;
    IF (SELECT count(*) FROM (SELECT DISTINCT g.user_id FROM public.goals g WHERE lower(g.category) = v_category LIMIT 5) x) < 5 THEN
        v_category := CASE WHEN v_category IS NOT NULL THEN 'other' END;
    END IF;

    SELECT round(count(*) FILTER (WHERE c.status = 'done')::numeric / nullif(count(*), 0), 1) INTO v_rate
    FROM public.checkins c WHERE c.user_id = p_user;

    RETURN jsonb_build_object('user_id_hash', pool.anonymous_id(p_user), 'age_range', pool.age_range(v_birth),
                              'goal_category', v_category, 'success_rate', v_rate);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;
ALTER FUNCTION api.users_data(uuid) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.users_data(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.users_delete(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION pool.purge_users(timestamptz, int) OWNER TO fitnudge_clock;
ALTER FUNCTION pool.anonymous_id(uuid) OWNER TO fitnudge_clock;
ALTER FUNCTION pool.anonymous_user(uuid) OWNER TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.personal_where(public.personal_data, text) TO fitnudge_api, fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.personal_query(public.personal_data) TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.purge_rows(public.personal_data, uuid[], int), pool.age_range(date), pool.hmac(bytea, bytea, text) TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.anonymous_id(uuid), pool.anonymous_user(uuid) TO fitnudge_api, fitnudge_auth;
GRANT EXECUTE ON FUNCTION api.users_data(uuid) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.users_data(uuid, uuid, jsonb, jsonb), jobs.users_delete(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
