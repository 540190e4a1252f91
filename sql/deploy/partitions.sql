-- Deploy fitnudge:partitions to pg
-- Partitions are made ahead of time, and old days of the inbox are dropped.

BEGIN;

SET LOCAL ROLE fitnudge_owner;
RESET ROLE;
GRANT CREATE ON SCHEMA pool TO fitnudge_owner, fitnudge_auth, fitnudge_queue;
SET LOCAL ROLE fitnudge_owner;

-- Makes p_table's partition for [p_from, p_to), unless it is there. Rows of that range which the default partition has taken
-- meanwhile are moved; ATTACH, unlike CREATE ... PARTITION OF, leaves readers of the table alone. True when it was made.
CREATE FUNCTION pool.ensure_partition(p_table text, p_key text, p_name text, p_from date, p_to date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
BEGIN
    IF to_regclass(format('public.%I', p_name)) IS NOT NULL THEN
        RETURN false;
    END IF;

    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', p_name, p_table);

    -- The owner sees rows of a forced table for as long as the lock is held; what is moved has not changed.
    EXECUTE format('ALTER TABLE public.%I NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER', p_table || '_default');
    EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *)
                    INSERT INTO public.%I SELECT * FROM moved',
                   p_table || '_default', p_key, p_from, p_key, p_to, p_name);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER', p_table || '_default');

    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', p_table, p_name, p_from, p_to);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_name);

    RETURN true;
END
$$;

-- Months of check-ins: this one and p_months ahead. Returns how many were made.
CREATE FUNCTION pool.ensure_partitions(p_months integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_first  date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
    v_month  date;
    v_made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fitnudge partitions'));

    -- the month before as well: on the first of a month somewhere it is still the last
    FOR v_month IN SELECT (v_first + make_interval(months => m))::date FROM generate_series(-1, p_months) m LOOP
        v_made := v_made + pool.ensure_partition('checkins', 'date', to_char(v_month, '"checkins_"YYYY"_"MM'),
                                                 v_month, (v_month + interval '1 month')::date)::integer;
    END LOOP;

    RETURN v_made;
END
$$;

-- Days of the inbox: yesterday's, today's and p_days ahead; days older than p_keep are dropped. Returns how many were made.
CREATE FUNCTION pool.ensure_days(p_days integer DEFAULT 3, p_keep integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    v_today  date := (now() AT TIME ZONE 'UTC')::date;
    v_day    date;
    v_old    text;
    v_made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fitnudge partitions'));

    FOR v_day IN SELECT v_today + d FROM generate_series(-1, p_days) d LOOP
        v_made := v_made + pool.ensure_partition('inbox', 'day', to_char(v_day, '"inbox_"YYYY"_"MM"_"DD'),
                                                 v_day, v_day + 1)::integer;
    END LOOP;

    FOR v_old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'public.inbox'::regclass AND c.relname ~ '^inbox_\d{4}_\d\d_\d\d$'
           AND to_date(substr(c.relname, 7), 'YYYY_MM_DD') < v_today - p_keep
    LOOP
        EXECUTE format('DROP TABLE public.%I', v_old);
    END LOOP;

    RETURN v_made;
END
$$;

-- Sessions and refresh tokens that ended by themselves.
RESET ROLE;
SET LOCAL ROLE fitnudge_auth;

CREATE FUNCTION pool.forget_sessions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.sessions WHERE expires_at < now() - interval '1 day';
    DELETE FROM public.refresh_tokens WHERE expires_at < now();
END
$$;

-- Everything that has to be done now and then: at each deploy, and by the pool's leader every hour.
RESET ROLE;
SET LOCAL ROLE fitnudge_queue;

CREATE FUNCTION pool.maintain() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pool.ensure_partitions(3), pool.ensure_days(3, 7), pool.forget_sessions();

    INSERT INTO public.timezones
    SELECT name FROM pg_timezone_names WHERE name !~ '^(posix/|right/|Factory$|localtime$|posixrules$)'
    ON CONFLICT DO NOTHING;

    -- rows of days that never had a partition
    DELETE FROM public.inbox WHERE day < (now() AT TIME ZONE 'UTC')::date - 7;
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_owner, fitnudge_auth, fitnudge_queue;
GRANT CREATE ON SCHEMA pool TO fitnudge_owner;
GRANT EXECUTE ON FUNCTION pool.ensure_partitions(integer), pool.ensure_days(integer, integer), pool.forget_sessions()
   TO fitnudge_queue;
REVOKE EXECUTE ON FUNCTION pool.ensure_partition(text, text, text, date, date) FROM fitnudge_pool;

SELECT pool.maintain();

COMMIT;
