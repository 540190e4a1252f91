-- Deploy fitnudge:clock to pg
-- What happens by the clock. The leader says what is due (worker/cron.c); here a run is written down once, with its first job, in one
-- transaction. A run is a chain of jobs, each a batch: clock_run calls pool.cron_<name>(now, state), which answers
-- {"more":bool,"state":{...},"count":{"what":number,...}}.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- The greatest epoch that a leader has acted with: who comes with a smaller one leads no more.
CREATE TABLE public.cron_epoch (
    epoch  bigint NOT NULL,
    one    boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO public.cron_epoch (epoch) VALUES (0);

CREATE TABLE public.cron_run (
    name         text        NOT NULL CHECK (name ~ '^[a-z_]{1,30}$'),
    due_at       timestamptz NOT NULL,
    manual       boolean     NOT NULL DEFAULT false,
    epoch        bigint,
    state        text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    batches      integer     NOT NULL DEFAULT 0,
    result       jsonb       NOT NULL DEFAULT '{}',
    PRIMARY KEY (name, due_at)
);

CREATE INDEX idx_cron_run_started_at ON public.cron_run (started_at);

GRANT SELECT, UPDATE ON public.cron_epoch TO fitnudge_queue;
GRANT SELECT, INSERT, UPDATE ON public.cron_run TO fitnudge_queue;
GRANT SELECT, UPDATE, DELETE ON public.cron_run TO fitnudge_clock;

RESET ROLE;

-- A follow-up that is asked for under a key: one job, and not before p_run_at. A second request while the first waits in the outbox
-- is dropped here; later, the job's id being made from the key, the inbox knows it (for a day at least).
CREATE FUNCTION pool.follow_once(p_job text, p_user uuid, p_request jsonb, p_key text, p_run_at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.outbox (job, user_id, request, key, run_at) VALUES (p_job, p_user, p_request, p_key, p_run_at)
    ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING
    RETURNING id INTO v_id;

    IF FOUND THEN
        PERFORM set_config('fitnudge.follow', concat(current_setting('fitnudge.follow', true), v_id, ','), true);
    END IF;
END
$$;

CREATE FUNCTION pool.cron_time(t timestamptz) RETURNS text
LANGUAGE sql STABLE STRICT
RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- The request of a run's n-th batch. Its fingerprint is how pool.fail finds the run.
CREATE FUNCTION pool.cron_request(p_name text, p_job text, p_due timestamptz, p_batch int, p_state jsonb) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object('params', '{}'::jsonb,
    'body', jsonb_build_object('name', p_name, 'job', p_job, 'due_at', pool.cron_time(p_due), 'batch', p_batch, 'state', p_state),
    'meta', jsonb_build_object('fp', p_name || ' ' || pool.cron_time(p_due)));

CREATE FUNCTION pool.cron_key(p_name text, p_due timestamptz, p_batch int) RETURNS text
LANGUAGE sql STABLE
RETURN concat_ws(':', 'cron', p_name, pool.cron_time(p_due), p_batch);

-- Begins runs: p_runs is [{"name","job","due_at":unix s}], without due_at now. With p_epoch NULL somebody runs them by hand.
-- The first row says which epoch counts; if it is not the caller's, somebody else leads and nothing was done. Each further row is
-- a job to push, and then to forget with pool.published().
CREATE FUNCTION pool.cron_due(p_epoch bigint, p_runs jsonb) RETURNS TABLE (epoch bigint, id bigint, follow text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_epoch bigint;
    v_due timestamptz;
    r record;
    o public.outbox;
BEGIN
    IF p_epoch IS NOT NULL THEN
        UPDATE public.cron_epoch e SET epoch = greatest(e.epoch, p_epoch) RETURNING e.epoch INTO v_epoch;
    END IF;

    RETURN QUERY SELECT v_epoch, NULL::bigint, NULL::text;
    IF v_epoch > p_epoch THEN
        RETURN;
    END IF;

    FOR r IN SELECT x.name, x.job, x.due_at FROM jsonb_to_recordset(p_runs) AS x (name text, job text, due_at bigint) LOOP
        v_due := coalesce(to_timestamp(r.due_at), clock_timestamp());

        INSERT INTO public.cron_run AS c (name, due_at, manual, epoch) VALUES (r.name, v_due, p_epoch IS NULL, p_epoch)
        ON CONFLICT DO NOTHING;
        CONTINUE WHEN NOT FOUND;

        INSERT INTO public.outbox AS x (job, request, key)
        VALUES (r.job, pool.cron_request(r.name, r.job, v_due, 0, '{}'), pool.cron_key(r.name, v_due, 0))
        ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING
        RETURNING x.* INTO o;
        IF FOUND THEN
            RETURN QUERY SELECT v_epoch, o.id, pool.follow_json(o);
        END IF;
    END LOOP;
END
$$;

-- What ran last: the newest time of each entry that came by the clock (unix s, NULL: only by hand), and its newest run.
CREATE FUNCTION pool.cron_list() RETURNS TABLE (name text, due_at bigint, ran_at text, manual boolean, state text, ms bigint, batches int, result text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (c.name) c.name, (SELECT floor(extract(epoch FROM max(d.due_at)))::bigint FROM public.cron_run d WHERE d.name = c.name AND NOT d.manual),
           pool.rfc3339(c.started_at), c.manual, c.state,
           floor(extract(epoch FROM c.finished_at - c.started_at) * 1000)::bigint, c.batches, c.result::text
    FROM public.cron_run c
    ORDER BY c.name, c.started_at DESC, c.due_at DESC;
END
$$;

CREATE FUNCTION pool.cron_failed(p_fingerprint text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.cron_run c SET state = 'failed', finished_at = clock_timestamp()
    WHERE c.name = split_part(p_fingerprint, ' ', 1) AND c.due_at = split_part(p_fingerprint, ' ', 2)::timestamptz;
END
$$;

CREATE FUNCTION pool.cron_sum(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN (SELECT coalesce(jsonb_object_agg(k, n), '{}') FROM (
    SELECT e.key AS k, sum(e.value::numeric) AS n FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) e GROUP BY e.key) s);

-- One batch of a run.
CREATE FUNCTION jobs.clock_run(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    b jsonb := p_req -> 'body';
    v_name text := b ->> 'name';
    v_job text := b ->> 'job';
    v_due timestamptz := (b ->> 'due_at')::timestamptz;
    v_batch int := (b ->> 'batch')::int;
    v_more boolean;
    v_out jsonb;
BEGIN
    IF v_name IS NULL OR v_name !~ '^[a-z_]{1,30}$' OR to_regprocedure(format('pool.%I(timestamptz, jsonb)', 'cron_' || v_name)) IS NULL THEN
        RETURN pool.error(p_req, 400, 'VALIDATION_ERROR', 'There is no such entry.', 'name', 'enum');
    END IF;

    EXECUTE format('SELECT pool.%I($1, $2)', 'cron_' || v_name) INTO v_out USING now(), b -> 'state';
    v_more := coalesce((v_out ->> 'more')::boolean, false);

    UPDATE public.cron_run c SET
        batches = c.batches + 1,
        result = pool.cron_sum(c.result, coalesce(v_out -> 'count', '{}')),
        state = CASE WHEN v_more THEN c.state ELSE 'done' END,
        finished_at = CASE WHEN NOT v_more THEN clock_timestamp() END
    WHERE c.name = v_name AND c.due_at = v_due;

    IF v_more THEN
        PERFORM pool.follow_once(v_job, NULL, pool.cron_request(v_name, v_job, v_due, v_batch + 1, coalesce(v_out -> 'state', '{}')),
                                 pool.cron_key(v_name, v_due, v_batch + 1));
    END IF;

    RETURN pool.ok(200, (v_out - 'state')::text);
END
$$;

-- Months of check-ins and days of the inbox, ahead and behind.
CREATE FUNCTION pool.cron_partitions(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pool.maintain();
    RETURN '{}';
END
$$;

-- Every materialized view that can be refreshed without stopping its readers.
CREATE FUNCTION pool.cron_views(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v regclass;
    v_count int := 0;
BEGIN
    FOR v IN SELECT c.oid::regclass FROM pg_class c
             WHERE c.relkind = 'm' AND c.relnamespace = 'public'::regnamespace AND c.relispopulated
               AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL)
             ORDER BY c.relname LOOP
        EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY %s', v);
        v_count := v_count + 1;
    END LOOP;

    RETURN jsonb_build_object('count', jsonb_build_object('views', v_count));
END
$$;

-- REFRESH ... CONCURRENTLY makes a temporary table.
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO fitnudge_owner', current_database());
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA pool TO fitnudge_queue, fitnudge_owner;
GRANT CREATE ON SCHEMA jobs TO fitnudge_clock;
ALTER FUNCTION pool.follow_once(text, uuid, jsonb, text, timestamptz) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.cron_due(bigint, jsonb) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.cron_list() OWNER TO fitnudge_queue;
ALTER FUNCTION pool.cron_failed(text) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.cron_views(timestamptz, jsonb) OWNER TO fitnudge_owner;
ALTER FUNCTION jobs.clock_run(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_clock;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue;
REVOKE CREATE ON SCHEMA jobs FROM fitnudge_clock;

GRANT EXECUTE ON FUNCTION pool.uid(), pool.rfc3339(timestamptz), pool.ok(int, text, text), pool.error(jsonb, int, text, text, text, text),
    pool.not_found(jsonb), pool.cron_sum(jsonb, jsonb), pool.cron_time(timestamptz),
    pool.cron_request(text, text, timestamptz, int, jsonb), pool.cron_key(text, timestamptz, int),
    pool.cron_partitions(timestamptz, jsonb), pool.cron_views(timestamptz, jsonb), pool.maintain(),
    pool.follow(text, uuid, jsonb), pool.follow_once(text, uuid, jsonb, text, timestamptz) TO fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.cron_time(timestamptz), pool.cron_request(text, text, timestamptz, int, jsonb),
    pool.cron_key(text, timestamptz, int) TO fitnudge_queue;
GRANT EXECUTE ON FUNCTION pool.follow_once(text, uuid, jsonb, text, timestamptz) TO fitnudge_api, fitnudge_auth;
GRANT EXECUTE ON FUNCTION pool.cron_due(bigint, jsonb), pool.cron_list() TO fitnudge_pool;
GRANT EXECUTE ON FUNCTION jobs.clock_run(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
