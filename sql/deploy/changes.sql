-- Deploy fitnudge:changes to pg
-- What has to be told to others after a commit: changes of rows, and follow-up jobs. Both stay until they are published, and
-- take their ids from one sequence, so that one list of ids forgets either.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE SEQUENCE public.outbox_id AS bigint CACHE 1;

-- Changes of users' rows, and the tags by which caches know them.
CREATE TABLE public.change_outbox (
    id          bigint             NOT NULL DEFAULT nextval('public.outbox_id') PRIMARY KEY,
    "table"     text               NOT NULL,
    op          public.row_change  NOT NULL,
    user_id     uuid               NOT NULL,
    row_id      uuid               NOT NULL,
    tags        text[]             NOT NULL,
    created_at  timestamptz        NOT NULL DEFAULT now()
);

-- Follow-up jobs: envelopes as JSON.
CREATE TABLE public.outbox (
    id          bigint      NOT NULL DEFAULT nextval('public.outbox_id') PRIMARY KEY,
    job         text        NOT NULL,
    user_id     uuid,
    request     jsonb       NOT NULL,
    key         text,
    run_at      timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN public.outbox.key IS 'the job''s id is made from it instead of from the row''s: one key is one job, however often it is asked for';
COMMENT ON COLUMN public.outbox.run_at IS 'not before';
CREATE UNIQUE INDEX idx_outbox_key ON public.outbox (key) WHERE key IS NOT NULL;

-- Small queues that are always nearly empty: dead rows are to go soon.
ALTER TABLE public.change_outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, fillfactor = 100);
ALTER TABLE public.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

ALTER TABLE public.change_outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY queue ON public.change_outbox TO fitnudge_queue USING (true) WITH CHECK (true);
CREATE POLICY queue ON public.outbox TO fitnudge_queue USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.change_outbox, public.outbox TO fitnudge_queue;
GRANT USAGE ON SEQUENCE public.outbox_id TO fitnudge_queue;

RESET ROLE;
GRANT CREATE ON SCHEMA pool TO fitnudge_queue;
SET LOCAL ROLE fitnudge_queue;

-- Row trigger of every table that users' caches are made from. Arguments: the table's name (a partition has another one),
-- and further tags, in which "{column}" stands for a column of the row. Besides the row it keeps the transaction's ids and tags in
-- settings, each tag once, where pool.settle finds them without a query.
CREATE FUNCTION pool.note_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_table text := TG_ARGV[0];
    v_id    bigint := nextval('public.outbox_id');
    v_user  uuid;
    v_row   record;
    v_column text;
    v_tag   text;
    v_tags  text[];
    v_old   text := current_setting('fitnudge.changes', true);
BEGIN
    IF TG_OP = 'DELETE' THEN
        v_row := OLD;
    ELSE
        v_row := NEW;
    END IF;

    IF v_table = 'users' THEN
        v_user := v_row.id;
    ELSE
        v_user := v_row.user_id;
    END IF;

    v_tags := ARRAY[v_table || ':' || v_user];

    IF TG_NARGS > 1 THEN
        FOR i IN 1 .. TG_NARGS - 1 LOOP
            v_column := substring(TG_ARGV[i] FROM '\{(\w+)\}');
            v_tags := v_tags || coalesce(replace(TG_ARGV[i], '{' || v_column || '}', to_jsonb(v_row) ->> v_column), TG_ARGV[i]);
        END LOOP;
    END IF;

    -- An ended session is remembered until its last access token has expired.
    IF v_table = 'sessions' AND TG_OP = 'DELETE' THEN
        v_tags := v_tags || ('revoked:' || v_row.id || ':' || ceil(extract(epoch FROM v_row.access_until))::bigint);
    END IF;

    INSERT INTO public.change_outbox (id, "table", op, user_id, row_id, tags) VALUES (v_id, v_table, TG_OP, v_user, v_row.id, v_tags);

    IF v_old <> '' THEN
        v_old := set_config('fitnudge.changes', v_old || ',' || v_id, true);
        v_old := current_setting('fitnudge.tags', true);

        FOREACH v_tag IN ARRAY v_tags LOOP
            IF strpos(',' || v_old || ',', ',' || v_tag || ',') = 0 THEN
                v_old := v_old || ',' || v_tag;
            END IF;
        END LOOP;
        v_old := set_config('fitnudge.tags', v_old, true);

    ELSE
        v_old := set_config('fitnudge.changes', v_id::text, true);
        v_old := set_config('fitnudge.tags', array_to_string(v_tags, ','), true);
    END IF;

    RETURN NULL;
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_queue;
GRANT EXECUTE ON FUNCTION pool.note_change() TO fitnudge_owner;
REVOKE EXECUTE ON FUNCTION pool.note_change() FROM fitnudge_pool;

COMMIT;
