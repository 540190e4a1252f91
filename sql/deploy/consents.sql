-- Deploy fitnudge:consents to pg
-- What people have agreed to, and taken back. Rows are only added: the newest of a kind counts, and without one there is no consent.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.user_consents (
    id            uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    consent_type  text        NOT NULL CHECK (consent_type IN ('data_processing', 'analytics', 'marketing')),
    granted       boolean     NOT NULL,
    ip            text,
    user_agent    text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX idx_user_consents_user_id ON public.user_consents (user_id, consent_type, created_at DESC);

ALTER TABLE public.user_consents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.user_consents TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY identity ON public.user_consents FOR SELECT TO fitnudge_auth USING (true);
CREATE POLICY clock ON public.user_consents FOR SELECT TO fitnudge_clock USING (true);
GRANT SELECT, INSERT ON public.user_consents TO fitnudge_api;
GRANT SELECT ON public.user_consents TO fitnudge_auth, fitnudge_clock;

CREATE TRIGGER note_change AFTER INSERT ON public.user_consents
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('consents');

RESET ROLE;

-- Whether the user agrees to it now. Runs with the rights of the caller, who must see the user's rows.
CREATE FUNCTION pool.has_consent(p_user uuid, p_type text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT c.granted FROM public.user_consents c WHERE c.user_id = p_user AND c.consent_type = p_type
                     ORDER BY c.created_at DESC LIMIT 1), false);
END
$$;

CREATE FUNCTION pool.consent_json(p_user uuid, p_type text) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT row_to_json(x) FROM (SELECT p_type AS consent_type, pool.has_consent(p_user, p_type) AS granted,
        (SELECT pool.rfc3339(max(c.created_at)) FROM public.user_consents c WHERE c.user_id = p_user AND c.consent_type = p_type) AS updated_at) x);
END
$$;

-- All kinds, and the last 100 changes.
CREATE FUNCTION api.consents_list(p_user uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN concat('{"consents":[',
        (SELECT string_agg(pool.consent_json(p_user, t.name)::text, ',' ORDER BY t.n)
         FROM unnest(ARRAY['data_processing', 'analytics', 'marketing']) WITH ORDINALITY AS t (name, n)),
        '],"history":[',
        (SELECT string_agg(row_to_json(x)::text, ',') FROM (SELECT c.consent_type, c.granted, c.ip, c.user_agent, pool.rfc3339(c.created_at) AS created_at
         FROM public.user_consents c WHERE c.user_id = p_user ORDER BY c.created_at DESC LIMIT 100) x), ']}');
END
$$;

-- What is so already is not noted again.
CREATE FUNCTION jobs.consents_set(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_type text := p_req #>> '{body,consent_type}';
    v_granted boolean := (p_req #>> '{body,granted}')::boolean;
BEGIN
    -- one after the other, so that the newest is what was answered last
    PERFORM FROM public.users u WHERE u.id = p_user AND u.is_visible FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN pool.not_found(p_req);
    END IF;

    IF NOT EXISTS (SELECT FROM public.user_consents c WHERE c.user_id = p_user AND c.consent_type = v_type)
       OR pool.has_consent(p_user, v_type) <> v_granted
    THEN
        INSERT INTO public.user_consents (user_id, consent_type, granted, ip, user_agent)
        VALUES (p_user, v_type, v_granted, p_req #>> '{meta,ip}', left(p_req #>> '{meta,user_agent}', 200));
        PERFORM pool.audit(p_req, CASE WHEN v_granted THEN 'consent_granted' ELSE 'consent_withdrawn' END, p_user, p_user,
                           jsonb_build_object('consent_type', v_type));
    END IF;

    RETURN pool.ok(200, pool.consent_json(p_user, v_type)::text);
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, jobs, pool FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pool.has_consent(uuid, text) TO fitnudge_api, fitnudge_auth, fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.consent_json(uuid, text) TO fitnudge_api;
ALTER FUNCTION api.consents_list(uuid) OWNER TO fitnudge_api;
ALTER FUNCTION jobs.consents_set(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
GRANT EXECUTE ON FUNCTION api.consents_list(uuid) TO fitnudge_edge;
GRANT EXECUTE ON FUNCTION jobs.consents_set(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
