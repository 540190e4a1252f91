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
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_checkins json;
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
        SELECT json_agg(json_build_object('date', c.date, 'status', c.status, 'reflection', c.reflection, 'mood', c.mood) ORDER BY c.date DESC)
        INTO v_checkins
        FROM (SELECT x.date, x.status, x.reflection, x.mood FROM public.checkins x
              WHERE x.goal_id = g.id AND x.user_id = p_user AND x.date BETWEEN CASE i WHEN 1 THEN v_today - 14 WHEN 2 THEN v_today - 62 ELSE '-infinity' END AND v_today + 1
              ORDER BY x.date DESC LIMIT 3) c;
        EXIT WHEN json_array_length(v_checkins) = 3;
    END LOOP;

    RETURN (SELECT pool.ok(0, json_build_object(
        'goal', json_build_object('id', g.id, 'title', g.title, 'description', g.description, 'frequency', g.frequency),
        'checkins', coalesce(v_checkins, '[]'),
        'name', g.name,
        'tone', g.tone,
        'language', g.language,
        'earlier', (SELECT coalesce(json_agg(m.text), '[]')
                    FROM (SELECT x.text FROM public.motivations x
                          WHERE x.goal_id = g.id AND x.user_id = p_user AND x.source <> 'fallback' AND x.language = g.language AND x.tone = g.tone
                          ORDER BY x.created_at DESC LIMIT 5) m),
        'spent_today', s.today,
        'spent_month', s.month)::text) FROM pool.ai_spent() s);
END
$$;

-- p_ctx: {"goal_id","text","tone","language","source","model","prompt_hash","prompt_tokens","completion_tokens","cost"}
-- What was spent counts whatever came of it.
CREATE FUNCTION jobs.motivation_commit(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    m public.motivations;
BEGIN
    -- no row when the goal was deleted while the message was made
    INSERT INTO public.motivations (goal_id, user_id, text, tone, language, source, model, prompt_hash)
    SELECT g.id, p_user, p_ctx ->> 'text', p_ctx ->> 'tone', p_ctx ->> 'language', p_ctx ->> 'source', p_ctx ->> 'model', p_ctx ->> 'prompt_hash'
    FROM public.goals g WHERE g.id = (p_ctx ->> 'goal_id')::uuid AND g.user_id = p_user FOR KEY SHARE
    RETURNING * INTO m;

    IF coalesce((p_ctx ->> 'cost')::bigint, 0) > 0 OR p_ctx ->> 'source' = 'ai' THEN
        INSERT INTO public.ai_usage AS a (user_id, model, prompt_tokens, completion_tokens, cost)
        VALUES (p_user, coalesce(p_ctx ->> 'model', 'unknown'), coalesce((p_ctx ->> 'prompt_tokens')::bigint, 0),
                coalesce((p_ctx ->> 'completion_tokens')::bigint, 0), coalesce((p_ctx ->> 'cost')::bigint, 0))
        ON CONFLICT (user_id, day, model) DO UPDATE SET
            prompt_tokens = a.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = a.completion_tokens + excluded.completion_tokens,
            cost = a.cost + excluded.cost;
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
