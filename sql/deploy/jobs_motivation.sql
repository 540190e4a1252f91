-- A message for a goal: what the prompt needs, and the message once it is there.
BEGIN;

-- Micro-dollars of today and of this month, both UTC.
CREATE FUNCTION pool.ai_spent() RETURNS TABLE (today bigint, month bigint)
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(sum(s.cost) FILTER (WHERE s.day = (now() AT TIME ZONE 'UTC')::date), 0)::bigint, coalesce(sum(s.cost), 0)::bigint
    FROM public.ai_spending s WHERE s.day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date
$$;

-- The same for an operator, and when the day and the month end.
CREATE FUNCTION pool.ai_budget() RETURNS TABLE (today bigint, month bigint, day_ends bigint, month_ends bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
    SELECT s.today, s.month, extract(epoch FROM (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC')::bigint,
           extract(epoch FROM (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC')::bigint
    FROM pool.ai_spent() s
$$;

CREATE FUNCTION jobs.motivation_prepare(p_id uuid, p_user uuid, p_req jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    g record;
    s record;
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_checkins text;
    v_earlier text;
    v_count int;
BEGIN
    SELECT x.id, x.title, x.description, x.frequency, u.name, coalesce(p_req #>> '{body,tone}', u.tone) AS tone, u.language
    INTO g
    FROM public.goals x JOIN public.users u ON u.id = x.user_id
    WHERE x.id = (p_req #>> '{body,goal_id}')::uuid AND x.user_id = p_user;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    END IF;

    -- nearly always the last weeks or months have them: then the other partitions need not be opened
    FOR i IN 1 .. 3 LOOP
        SELECT string_agg(concat('{"date":', to_json(c.date), ',"status":"', c.status, '","reflection":', coalesce(to_json(c.reflection), 'null'),
                                 ',"mood":', coalesce(c.mood::text, 'null'), '}'), ','), count(*)
        INTO v_checkins, v_count
        FROM (SELECT x.date, x.status, x.reflection, x.mood FROM public.checkins x
              WHERE x.goal_id = g.id AND x.user_id = p_user AND x.date BETWEEN CASE i WHEN 1 THEN v_today - 14 WHEN 2 THEN v_today - 62 ELSE '-infinity' END AND v_today + 1
              ORDER BY x.date DESC LIMIT 3) c;
        EXIT WHEN v_count = 3;
    END LOOP;

    SELECT string_agg(to_json(m.text)::text, ',') INTO v_earlier
    FROM (SELECT x.text FROM public.motivations x
          WHERE x.goal_id = g.id AND x.user_id = p_user AND x.source <> 'fallback' AND x.language = g.language AND x.tone = g.tone
          ORDER BY x.created_at DESC LIMIT 5) m;

    SELECT * INTO s FROM pool.ai_spent();

    RETURN pool.ok(0, concat('{"goal":{"id":"', g.id, '","title":', to_json(g.title), ',"description":', coalesce(to_json(g.description), 'null'),
                             ',"frequency":', g.frequency, '},"checkins":[', v_checkins, '],"name":', coalesce(to_json(g.name), 'null'),
                             ',"tone":"', g.tone, '","language":"', g.language, '","earlier":[', v_earlier,
                             '],"spent_today":', s.today, ',"spent_month":', s.month, '}'));
END
$$;

-- p_ctx: {"goal_id","text","tone","language","source","model","prompt_hash","prompt_tokens","completion_tokens","cost"}
-- What was spent counts whatever came of it.
CREATE FUNCTION jobs.motivation_commit(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    m public.motivations;
    v_model      text   := coalesce(p_ctx ->> 'model', 'unknown');
    v_prompt     bigint := coalesce((p_ctx ->> 'prompt_tokens')::bigint, 0);
    v_completion bigint := coalesce((p_ctx ->> 'completion_tokens')::bigint, 0);
    v_cost       bigint := coalesce((p_ctx ->> 'cost')::bigint, 0);
BEGIN
    -- no row when the goal was deleted while the message was made
    INSERT INTO public.motivations (goal_id, user_id, text, tone, language, source, model, prompt_hash)
    SELECT g.id, p_user, p_ctx ->> 'text', p_ctx ->> 'tone', p_ctx ->> 'language', p_ctx ->> 'source', p_ctx ->> 'model', p_ctx ->> 'prompt_hash'
    FROM public.goals g WHERE g.id = (p_ctx ->> 'goal_id')::uuid AND g.user_id = p_user FOR KEY SHARE
    RETURNING * INTO m;

    IF v_cost > 0 OR p_ctx ->> 'source' = 'ai' THEN
        -- nearly always the first of the day; DO UPDATE would be made ready each time
        INSERT INTO public.ai_usage (user_id, model, prompt_tokens, completion_tokens, cost)
        VALUES (p_user, v_model, v_prompt, v_completion, v_cost)
        ON CONFLICT (user_id, day, model) DO NOTHING;
        IF NOT FOUND THEN
            UPDATE public.ai_usage SET prompt_tokens = prompt_tokens + v_prompt, completion_tokens = completion_tokens + v_completion, cost = cost + v_cost
            WHERE user_id = p_user AND day = (now() AT TIME ZONE 'UTC')::date AND model = v_model;
        END IF;
    END IF;

    IF m.id IS NULL THEN
        RETURN pool.not_found(p_req);
    END IF;
    RETURN pool.ok(200, pool.motivation_json(m)::text);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;
GRANT CREATE ON SCHEMA pool TO fitnudge_api;
ALTER FUNCTION pool.ai_budget() OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.ai_spent() TO fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.ai_budget() TO fitnudge_pool;
ALTER FUNCTION jobs.motivation_prepare(uuid, uuid, jsonb) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.motivation_commit(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
GRANT EXECUTE ON FUNCTION jobs.motivation_prepare(uuid, uuid, jsonb), jobs.motivation_commit(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
