-- Exactly once: how jobs enter the database, settle, and meet themselves again.
BEGIN;

CREATE TYPE pool.settled AS (status int, body text, headers text, tags text[], change_ids bigint[], follow text[]);

-- Begins a job's part of the transaction: for whom, and with nothing changed yet. Every job comes through here and through settle: there
-- functions are called by assigning what they return, as PERFORM starts the executor, which costs ten times as much.
CREATE FUNCTION pool.enter(p_user uuid) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    v text;
BEGIN
    v := set_config('request.user_id', coalesce(p_user::text, ''), true);
    v := set_config('fitnudge.changes', '', true);
    v := set_config('fitnudge.tags', '', true);
    v := set_config('fitnudge.follow', '', true);
    RETURN p_user;
END
$$;

CREATE FUNCTION pool.follow_json(o public.outbox) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN o.key IS NULL AND o.run_at IS NULL
    THEN json_build_object('id', o.id, 'job', o.job, 'user_id', o.user_id, 'request', o.request)
    ELSE json_build_object('id', o.id, 'job', o.job, 'user_id', o.user_id, 'request', o.request, 'key', o.key,
                           'run_at_ms', coalesce(floor(extract(epoch FROM o.run_at) * 1000), 0)::bigint) END::text;

-- A follow-up job, in the same transaction.
CREATE FUNCTION pool.follow(p_job text, p_user uuid, p_request jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.outbox (job, user_id, request) VALUES (p_job, p_user, p_request) RETURNING id INTO v_id;
    PERFORM set_config('fitnudge.follow', concat(current_setting('fitnudge.follow', true), v_id, ','), true);
END
$$;

-- What the transaction has changed and what follows from it, beside a reply. The row triggers left both in settings.
CREATE FUNCTION pool.collect(p_reply pool.reply) RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
    v_follow text := current_setting('fitnudge.follow', true);
BEGIN
    s.status := p_reply.status;
    s.body := p_reply.body;
    s.headers := p_reply.headers;
    s.change_ids := string_to_array(nullif(current_setting('fitnudge.changes', true), ''), ',')::bigint[];
    s.tags := string_to_array(nullif(current_setting('fitnudge.tags', true), ''), ',');

    -- a reply carries 32 tags (FN_WORK_TAGS): of more, the sweep tells once again, and of all
    IF cardinality(s.tags) > 32 THEN
        s.change_ids := NULL;
    END IF;

    IF v_follow <> '' THEN
        SELECT array_agg(pool.follow_json(o) ORDER BY o.id) INTO s.follow
        FROM public.outbox o WHERE o.id = ANY (string_to_array(rtrim(v_follow, ','), ',')::bigint[]);
    END IF;

    RETURN s;
END
$$;

-- The day a job belongs to now. Two tries of one can fall on two days around midnight: there they wait for each other.
CREATE FUNCTION pool.day_of(p_id uuid) RETURNS date
LANGUAGE plpgsql AS $$
DECLARE
    v_seconds float := extract(epoch FROM clock_timestamp())::bigint % 86400;
BEGIN
    IF v_seconds < 600 OR v_seconds > 86400 - 600 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_id::text, 0));
    END IF;
    RETURN (clock_timestamp() AT TIME ZONE 'UTC')::date;        -- after the lock: now() may be of the day before
END
$$;

-- True when an id of version 7, which begins with the milliseconds since 1970, was made on that day: yesterday cannot know it. The
-- day's first hour does not count, for clocks that differ.
CREATE FUNCTION pool.made_on(p_id uuid, p_day date) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN substr(p_id::text, 15, 1) = '7'
       AND replace(left(p_id::text, 13), '-', '') >= lpad(to_hex((extract(epoch FROM p_day)::bigint + 3600) * 1000), 12, '0');
END
$$;

-- What the transaction has done so far need not outlive a crash of the server: its commit waits for no disk. Somebody who settles
-- a job in the same transaction, before or after, makes it wait again.
CREATE FUNCTION pool.relax() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v text;
BEGIN
    IF coalesce(current_setting('fitnudge.settled', true), '') = '' AND coalesce(current_setting('fitnudge.commit', true), '') = '' THEN
        v := set_config('fitnudge.commit', current_setting('synchronous_commit'), true);
        v := set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN v;
END
$$;

-- Records the answer of a job, once: the second time the transaction fails on inbox_pkey and takes the effect back. A 503 is no
-- outcome: it is answered and not kept, so that the same request may come again.
CREATE FUNCTION pool.settle(p_id uuid, p_job text, p_user uuid, p_fingerprint text, p_reply pool.reply) RETURNS pool.settled
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v text;
    v_day date := pool.day_of(p_id);
    v_state text;
    v_settled text := CASE p_reply.status WHEN 503 THEN 'failed' ELSE 'done' END;
BEGIN
    v := set_config('fitnudge.settled', '1', true);
    IF current_setting('fitnudge.commit', true) <> '' THEN
        v := set_config('synchronous_commit', current_setting('fitnudge.commit', true), true);
        v := set_config('fitnudge.commit', '', true);
    END IF;

    IF NOT pool.made_on(p_id, v_day) THEN
        SELECT i.state INTO v_state FROM public.inbox i WHERE i.job_id = p_id AND i.day = v_day - 1;
        IF v_state = 'done' THEN
            RAISE unique_violation USING CONSTRAINT = 'inbox_pkey', MESSAGE = 'the job was settled yesterday';
        ELSIF v_state IS NOT NULL THEN
            v_day := v_day - 1;         -- it was opened before midnight
        END IF;
    END IF;

    -- no target: to name one means to look for the partition's index in the catalog, each time
    INSERT INTO public.inbox (job_id, day, job, user_id, fingerprint, state, status, body, headers)
    VALUES (p_id, v_day, p_job, p_user, p_fingerprint, v_settled, p_reply.status, p_reply.body, p_reply.headers)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE public.inbox i
        SET state = v_settled, status = p_reply.status, body = p_reply.body, headers = p_reply.headers
        WHERE i.job_id = p_id AND i.day = v_day AND i.state <> 'done' AND i.fingerprint = p_fingerprint;
    END IF;
    IF NOT FOUND THEN
        RAISE unique_violation USING CONSTRAINT = 'inbox_pkey', MESSAGE = 'the job was settled before';
    END IF;

    RETURN pool.collect(p_reply);
END
$$;

-- The stored answer of a job that meets itself again. No row: nothing is known of it.
CREATE FUNCTION pool.replay(p_id uuid, p_job text, p_user uuid, p_fingerprint text)
RETURNS TABLE (status int, body text, headers text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_day date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    i public.inbox;
    r pool.reply;
BEGIN
    SELECT * INTO i FROM public.inbox x
    WHERE x.job_id = p_id AND x.day BETWEEN v_day - 1 AND v_day + 1       -- bounded: the other partitions are not opened
    ORDER BY x.day DESC LIMIT 1;

    IF NOT FOUND OR i.state = 'failed' THEN
        RETURN;
    END IF;

    IF i.fingerprint <> p_fingerprint OR i.user_id IS DISTINCT FROM p_user THEN
        r := pool.error('{}', 422, 'IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used with another request.',
                        'Idempotency-Key', 'fingerprint');

    ELSIF i.state = 'running' THEN
        r := pool.error('{}', 409, 'CONFLICT', 'The first request with this Idempotency-Key is still running.',
                        'Idempotency-Key', 'running');
        r.headers := E'Retry-After: 1\n';

    ELSE
        -- a key of the client's choosing makes a version 5 id; any other job meets itself only by redelivery
        r := pool.ok(i.status, i.body,
                     nullif(concat(i.headers, CASE WHEN substr(p_id::text, 15, 1) = '5' THEN E'Idempotency-Replayed: true\n' END), ''));
    END IF;

    RETURN QUERY SELECT r.status, r.body, r.headers;
END
$$;

-- Opens a job of several steps. A reply other than status 0 settles it at once. An id of version 7 the edge has made for one request, that
-- nobody can send again: at its first delivery there is nothing to find, and no mark is needed by which others would know it.
CREATE FUNCTION pool.open(p_id uuid, p_job text, p_user uuid, p_fingerprint text, p_attempt int, p_reply pool.reply)
RETURNS pool.settled
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v text;
    v_day date;
    s pool.settled;
    i public.inbox;
BEGIN
    IF p_reply.status = 0 AND p_attempt = 0 AND substr(p_id::text, 15, 1) = '7' THEN
        s.status := 0;
        s.body := p_reply.body;
        RETURN s;
    END IF;

    v_day := pool.day_of(p_id);
    SELECT * INTO i FROM public.inbox x WHERE x.job_id = p_id AND x.day BETWEEN v_day - 1 AND v_day + 1
    ORDER BY x.day DESC LIMIT 1 FOR UPDATE;

    -- known already: the stored answer, unless this is the same delivery again, or the first has been forgotten
    IF FOUND AND i.state <> 'failed'
       AND NOT (i.state = 'running' AND i.fingerprint = p_fingerprint
                AND (p_attempt > 0 OR i.opened_at < now() - interval '60 seconds'))
    THEN
        SELECT r.status, r.body, r.headers INTO s.status, s.body, s.headers
        FROM pool.replay(p_id, p_job, p_user, p_fingerprint) r;
        RETURN s;
    END IF;

    IF p_reply.status <> 0 THEN
        RETURN pool.settle(p_id, p_job, p_user, p_fingerprint, p_reply);
    END IF;

    INSERT INTO public.inbox (job_id, day, job, user_id, fingerprint, state, opened_at)
    VALUES (p_id, coalesce(i.day, v_day), p_job, p_user, p_fingerprint, 'running', now())
    ON CONFLICT (job_id, day) DO UPDATE SET state = 'running', opened_at = now();

    -- without the mark the job is only opened again when it is delivered again
    v := pool.relax();

    s.status := 0;
    s.body := p_reply.body;
    RETURN s;
END
$$;

-- Change rows, and follow-ups (they share one sequence), that were published.
CREATE FUNCTION pool.published(p_ids bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_deleted int;
BEGIN
    DELETE FROM public.change_outbox WHERE id = ANY (p_ids);
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    IF v_deleted < cardinality(p_ids) THEN
        DELETE FROM public.outbox WHERE id = ANY (p_ids);
    END IF;

    -- rows that come back are published twice
    PERFORM pool.relax();
END
$$;

-- What a crash left unpublished for more than 5 s. It stays until pool.published() says that it was.
CREATE FUNCTION pool.sweep(p_limit int)
RETURNS TABLE (kind text, id bigint, tags text[], follow text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY
    SELECT 'change', c.id, c.tags, NULL::text FROM public.change_outbox c
    WHERE c.created_at < now() - interval '5 seconds' ORDER BY c.id LIMIT p_limit;

    RETURN QUERY
    SELECT 'job', o.id, NULL::text[], pool.follow_json(o) FROM public.outbox o
    WHERE o.created_at < now() - interval '5 seconds' ORDER BY o.id LIMIT p_limit;
END
$$;

-- A job went to the dead letters: whoever asks for it is told.
CREATE FUNCTION pool.fail(p_id uuid, p_job text, p_user uuid, p_fingerprint text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.inbox AS i (job_id, day, job, user_id, fingerprint, state)
    VALUES (p_id, (now() AT TIME ZONE 'UTC')::date, p_job, p_user, coalesce(p_fingerprint, ''), 'failed')
    ON CONFLICT (job_id, day) DO UPDATE SET state = 'failed' WHERE i.state = 'running';

    IF p_job LIKE 'clock.%' THEN
        PERFORM pool.cron_failed(p_fingerprint);
    END IF;
END
$$;

-- A new partition takes over what the default partition held of its range.
CREATE FUNCTION pool.add_partition(p_parent text, p_name text, p_from date, p_to date, p_column text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_default text := p_parent || '_default';
BEGIN
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', p_name, p_parent);
    EXECUTE format('ALTER TABLE public.%I NO FORCE ROW LEVEL SECURITY', v_default);
    EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *) '
                   'INSERT INTO public.%I SELECT * FROM moved', v_default, p_column, p_from, p_column, p_to, p_name);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', v_default);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_name);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', p_parent, p_name, p_from, p_to);
END
$$;

-- Partitions: check-ins by month from last year to three months ahead, the inbox from yesterday to three days ahead; inbox
-- days older than seven go.
CREATE FUNCTION pool.maintain() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_month date := date_trunc('month', v_today)::date;
    v_from date;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fitnudge.maintain'));

    FOR i IN -12 .. 3 LOOP
        v_from := (v_month + make_interval(months => i))::date;
        v_name := to_char(v_from, '"checkins_"YYYY_MM');
        IF to_regclass('public.' || v_name) IS NULL THEN
            PERFORM pool.add_partition('checkins', v_name, v_from, (v_from + interval '1 month')::date, 'date');
        END IF;
    END LOOP;

    FOR i IN -1 .. 3 LOOP
        v_name := to_char(v_today + i, '"inbox_"YYYYMMDD');
        IF to_regclass('public.' || v_name) IS NULL THEN
            PERFORM pool.add_partition('inbox', v_name, v_today + i, v_today + i + 1, 'day');
        END IF;
    END LOOP;

    FOR v_name IN SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                  WHERE h.inhparent = 'public.inbox'::regclass AND c.relname ~ '^inbox_[0-9]{8}$'
                    AND to_date(substr(c.relname, 7), 'YYYYMMDD') < v_today - 7 LOOP
        EXECUTE format('DROP TABLE public.%I', v_name);
    END LOOP;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;

GRANT CREATE ON SCHEMA pool TO fitnudge_queue, fitnudge_owner;
ALTER FUNCTION pool.maintain() OWNER TO fitnudge_owner;
ALTER FUNCTION pool.add_partition(text, text, date, date, text) OWNER TO fitnudge_owner;
ALTER FUNCTION pool.follow(text, uuid, jsonb) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.settle(uuid, text, uuid, text, pool.reply) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.replay(uuid, text, uuid, text) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.open(uuid, text, uuid, text, int, pool.reply) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.published(bigint[]) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.sweep(int) OWNER TO fitnudge_queue;
ALTER FUNCTION pool.fail(uuid, text, uuid, text) OWNER TO fitnudge_queue;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue;

GRANT EXECUTE ON FUNCTION pool.collect(pool.reply), pool.day_of(uuid), pool.made_on(uuid, date), pool.relax(), pool.follow_json(public.outbox) TO fitnudge_queue;
GRANT EXECUTE ON FUNCTION pool.follow(text, uuid, jsonb) TO fitnudge_api, fitnudge_auth;
GRANT EXECUTE ON FUNCTION
    pool.enter(uuid),
    pool.settle(uuid, text, uuid, text, pool.reply),
    pool.replay(uuid, text, uuid, text),
    pool.open(uuid, text, uuid, text, int, pool.reply),
    pool.published(bigint[]),
    pool.sweep(int),
    pool.fail(uuid, text, uuid, text),
    pool.maintain()
TO fitnudge_pool;

SELECT pool.maintain();

COMMIT;
