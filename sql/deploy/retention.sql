-- Deploy fitnudge:retention to pg
-- What is kept for how long. One row a table, or a function for what is not a plain delete; the daily clean-up walks them in order, in
-- batches. A part that keeps something for a time adds its row.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.retention (
    name      text     NOT NULL PRIMARY KEY CHECK (name ~ '^[a-z_]{1,40}$'),
    place     int      NOT NULL DEFAULT 50,
    relation  text,
    "column"  text,
    keep      interval,
    routine   text,
    CHECK (num_nonnulls(relation, routine) = 1 AND num_nonnulls("column", keep) IN (0, 2) AND (relation IS NULL) = (keep IS NULL))
);

COMMENT ON COLUMN public.retention.place IS 'the smaller, the earlier';
COMMENT ON COLUMN public.retention.relation IS 'plain table in public, from which rows go whose column is older than keep; fitnudge_clock may select and delete';
COMMENT ON COLUMN public.retention.routine IS 'or function in pool, (p_now timestamptz, p_limit int) returns int: how many it dealt with, less than p_limit at the end';

GRANT SELECT ON public.retention TO fitnudge_clock;

CREATE INDEX idx_users_deleted_at ON public.users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX idx_sessions_expires_at ON public.sessions (expires_at);
CREATE INDEX idx_refresh_tokens_expires_at ON public.refresh_tokens (expires_at);

CREATE POLICY clock ON public.sessions TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.refresh_tokens TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.checkins TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.motivations TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.ai_usage TO fitnudge_clock USING (true);
CREATE POLICY clock ON public.change_outbox TO fitnudge_clock USING (true);
GRANT DELETE, UPDATE (deleted_at) ON public.users TO fitnudge_clock;     -- to lock a row takes the right to update
GRANT SELECT, DELETE ON public.sessions, public.refresh_tokens, public.checkins, public.motivations, public.ai_usage, public.ai_spending,
    public.change_outbox TO fitnudge_clock;

-- A session that has expired by itself is nobody's news: its last access token has, too.
DROP TRIGGER note_change ON public.sessions;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE ON public.sessions
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('sessions');
CREATE TRIGGER note_end AFTER DELETE ON public.sessions
    FOR EACH ROW WHEN (OLD.expires_at > now() OR OLD.access_until > now()) EXECUTE FUNCTION pool.note_change('sessions');

INSERT INTO public.retention (name, place, relation, "column", keep, routine) VALUES
    ('accounts',       10, NULL,             NULL,         NULL,       'purge_users'),
    ('sessions',       20, 'sessions',       'expires_at', '1 day',    NULL),
    ('refresh_tokens', 21, 'refresh_tokens', 'expires_at', '1 day',    NULL),
    ('changes',        30, 'change_outbox',  'created_at', '7 days',   NULL),
    ('cron_runs',      40, 'cron_run',       'started_at', '30 days',  NULL),
    ('ai_usage',       60, 'ai_usage',       'day',        '2 years',  NULL),
    ('ai_spending',    61, 'ai_spending',    'day',        '2 years',  NULL);

RESET ROLE;

-- The daily clean-up. A batch ends when it has taken a second. p_state: {"at":place and name of the row to go on with}.
CREATE FUNCTION pool.cron_cleanup(p_now timestamptz, p_state jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    c_limit CONSTANT int := 500;
    v_at text := coalesce(p_state ->> 'at', '');
    v_end timestamptz := clock_timestamp() + interval '1 second';
    v_count int;
    v_counts jsonb := '{}';
    r record;
BEGIN
    FOR r IN SELECT x.*, to_char(x.place, 'FM0000000000 ') || x.name AS key FROM public.retention x
             WHERE to_char(x.place, 'FM0000000000 ') || x.name >= v_at ORDER BY key LOOP
        LOOP
            IF clock_timestamp() > v_end AND r.key > v_at THEN
                RETURN jsonb_build_object('more', true, 'state', jsonb_build_object('at', r.key), 'count', v_counts);
            END IF;

            IF r.routine IS NOT NULL THEN
                EXECUTE format('SELECT pool.%I($1, $2)', r.routine) INTO v_count USING p_now, c_limit;
            ELSE
                EXECUTE format('DELETE FROM public.%1$I WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM public.%1$I t WHERE t.%2$I < $1 LIMIT $2))',
                               r.relation, r."column") USING p_now - r.keep, c_limit;
                GET DIAGNOSTICS v_count = ROW_COUNT;
            END IF;

            IF v_count > 0 THEN
                v_counts := pool.cron_sum(v_counts, jsonb_build_object(r.name, v_count));
            END IF;
            EXIT WHEN v_count < c_limit;

            IF r.routine IS NOT NULL OR clock_timestamp() > v_end THEN
                RETURN jsonb_build_object('more', true, 'state', jsonb_build_object('at', r.key), 'count', v_counts);
            END IF;
        END LOOP;
    END LOOP;

    RETURN jsonb_build_object('more', false, 'count', v_counts);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pool.cron_cleanup(timestamptz, jsonb) TO fitnudge_clock;

COMMIT;
