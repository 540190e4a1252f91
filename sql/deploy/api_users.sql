-- Deploy fitnudge:api_users to pg
-- Reads of the user's own account.

BEGIN;

GRANT CREATE ON SCHEMA api TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- GET /users/me
CREATE FUNCTION api.users_me(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN pool.profile_json(p_user);
END
$$;

-- GET /auth/sessions. The one that asks is known when the edge sets request.session_id.
CREATE FUNCTION api.sessions_list(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_current  text := current_setting('request.session_id', true);
BEGIN
    RETURN '{"sessions":[' || COALESCE((
        SELECT string_agg('{"id":"' || s.id || '","current":' || pool.json_bool(s.id::text = v_current)
                   || ',"user_agent":' || pool.json_text(s.user_agent) || ',"ip":' || pool.json_text(s.ip)
                   || ',"created_at":' || pool.json_time(s.created_at) || ',"last_used_at":' || pool.json_time(s.last_used_at)
                   || ',"expires_at":' || pool.json_time(s.expires_at) || '}', ',' ORDER BY s.last_used_at DESC, s.id)
          FROM public.sessions s WHERE s.user_id = p_user AND s.expires_at > now()), '') || ']}';
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA api FROM fitnudge_api;

COMMIT;
