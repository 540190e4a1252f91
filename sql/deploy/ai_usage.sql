-- Deploy fitnudge:ai_usage to pg
-- What AI calls have cost, in micro-dollars and tokens: by user, and for the budget in total. Days are UTC.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.ai_usage (
    user_id            uuid            NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    day                date            NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    model              text            NOT NULL,
    prompt_tokens      public.counted  NOT NULL DEFAULT 0,
    completion_tokens  public.counted  NOT NULL DEFAULT 0,
    cost               public.counted  NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, day, model)
);

-- The sum of a day, in 16 rows. A database session has one of them: transactions that commit several messages at once
-- neither wait for each other nor lock rows in different orders.
CREATE TABLE public.ai_spending (
    day    date      NOT NULL,
    shard  smallint  NOT NULL,
    cost   bigint    NOT NULL,
    PRIMARY KEY (day, shard)
) WITH (fillfactor = 20);       -- what an update leaves behind is cleared away every few of them, not when the page is full

ALTER TABLE public.ai_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.ai_usage TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE ON public.ai_usage TO fitnudge_api;
GRANT SELECT ON public.ai_spending TO fitnudge_api;

CREATE FUNCTION pool.note_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row   public.ai_usage := COALESCE(NEW, OLD);
    v_cost  bigint := COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0);
    v_shard smallint := pg_backend_pid() & 15;
BEGIN
    -- A user who leaves takes the row along (the delete comes from a foreign key's trigger), but the money is spent. Asked here, as a
    -- trigger's WHEN is parsed by each statement.
    IF v_cost <> 0 AND pg_trigger_depth() = 1 THEN
        UPDATE public.ai_spending SET cost = cost + v_cost WHERE day = v_row.day AND shard = v_shard;
        IF NOT FOUND THEN
            INSERT INTO public.ai_spending AS s (day, shard, cost) VALUES (v_row.day, v_shard, v_cost)
            ON CONFLICT (day, shard) DO UPDATE SET cost = s.cost + EXCLUDED.cost;
        END IF;
    END IF;

    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION pool.note_spending() FROM fitnudge_pool;

CREATE TRIGGER note_spending AFTER INSERT OR UPDATE OR DELETE ON public.ai_usage
    FOR EACH ROW EXECUTE FUNCTION pool.note_spending();

COMMIT;
