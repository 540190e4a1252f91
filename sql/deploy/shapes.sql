-- Deploy fitnudge:shapes to pg
-- How things look as JSON: one function a shape, members in the order of the contract. Each is a single expression that the
-- planner puts in the place of the call; concatenation is several times as fast as json_build_object.

BEGIN;

GRANT CREATE ON SCHEMA pool TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- "text", or null
CREATE FUNCTION pool.json_text(p text) RETURNS text
LANGUAGE sql STABLE RETURN COALESCE(to_json(p)::text, 'null');

-- "2026-01-15T10:30:00Z", or null
CREATE FUNCTION pool.json_time(p timestamptz) RETURNS text
LANGUAGE sql STABLE RETURN COALESCE(to_char(p AT TIME ZONE 'UTC', '"\""YYYY-MM-DD"T"HH24:MI:SS"Z\""'), 'null');

CREATE FUNCTION pool.json_bool(p boolean) RETURNS text
LANGUAGE sql IMMUTABLE RETURN CASE WHEN p THEN 'true' ELSE 'false' END;

CREATE FUNCTION pool.goal_json(g public.goals) RETURNS text
LANGUAGE sql STABLE RETURN
       '{"id":"' || (g).id::text || '","title":' || to_json((g).title)::text
    || ',"description":' || COALESCE(to_json((g).description)::text, 'null')
    || ',"category":' || COALESCE(to_json((g).category)::text, 'null')
    || ',"frequency":' || (g).frequency::text
    || CASE WHEN (g).is_active THEN ',"is_active":true,"version":' ELSE ',"is_active":false,"version":' END || (g).version::text
    || to_char((g).created_at AT TIME ZONE 'UTC', '",\"created_at\":\""YYYY-MM-DD"T"HH24:MI:SS')
    || to_char((g).updated_at AT TIME ZONE 'UTC', '"Z\",\"updated_at\":\""YYYY-MM-DD"T"HH24:MI:SS"Z\"}"');

CREATE FUNCTION pool.checkin_json(c public.checkins) RETURNS text
LANGUAGE sql STABLE RETURN
       '{"id":"' || (c).id::text || '","goal_id":"' || (c).goal_id::text
    || '","date":"' || (c).date::text || '","status":"' || (c).status
    || '","reflection":' || COALESCE(to_json((c).reflection)::text, 'null')
    || ',"mood":' || COALESCE((c).mood::text, 'null') || ',"version":' || (c).version::text
    || to_char((c).created_at AT TIME ZONE 'UTC', '",\"created_at\":\""YYYY-MM-DD"T"HH24:MI:SS')
    || to_char((c).updated_at AT TIME ZONE 'UTC', '"Z\",\"updated_at\":\""YYYY-MM-DD"T"HH24:MI:SS"Z\"}"');

CREATE FUNCTION pool.motivation_json(m public.motivations) RETURNS text
LANGUAGE sql STABLE RETURN
       '{"id":"' || (m).id::text || '","goal_id":"' || (m).goal_id::text
    || '","text":' || to_json((m).text)::text || ',"tone":"' || (m).tone || '","language":"' || (m).language
    || '","source":"' || (m).source || '","voice_url":' || COALESCE(to_json((m).voice_url)::text, 'null')
    || to_char((m).created_at AT TIME ZONE 'UTC', '",\"created_at\":\""YYYY-MM-DD"T"HH24:MI:SS"Z\"}"');

-- Needs request.user_id to be the user: identity functions set it first.
CREATE FUNCTION pool.profile_json(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT '{"id":"' || u.id::text || '","email":' || to_json(u.email)::text || ',"name":' || to_json(u.name)::text
            || ',"username":' || pool.json_text(u.username) || ',"bio":' || pool.json_text(u.bio)
            || ',"avatar_url":' || pool.json_text(u.avatar_url)
            || ',"language":"' || u.language || '","timezone":' || to_json(u.timezone)::text
            || ',"country":' || pool.json_text(u.country) || ',"birth_date":' || pool.json_text(u.birth_date::text)
            || ',"tone":"' || u.tone || '","plan":"' || u.plan || '","role":"' || u.role
            || '","email_verified":' || pool.json_bool(u.email_verified) || ',"version":' || u.version::text
            || ',"created_at":' || pool.json_time(u.created_at) || ',"updated_at":' || pool.json_time(u.updated_at)
            || ',"counts":{"goals":' || g.total::text || ',"active_goals":' || g.active::text
            || ',"checkins":' || (SELECT count(*) FROM public.checkins c WHERE c.user_id = u.id)::text
            || ',"motivations":' || (SELECT count(*) FROM public.motivations m WHERE m.user_id = u.id)::text || '}}'
          FROM public.users u,
               LATERAL (SELECT count(*) AS total, count(*) FILTER (WHERE is_active) AS active
                          FROM public.goals WHERE user_id = u.id) g
         WHERE u.id = p_user);
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION pool.json_text(text), pool.json_time(timestamptz), pool.json_bool(boolean), pool.profile_json(uuid)
   TO fitnudge_auth, fitnudge_queue;

COMMIT;
