-- Deploy fitnudge:audit to pg
-- What was done to accounts, by whom, from where. Written in the transaction of what it tells of, and only ever added to: no role may
-- change a row, and a row is deleted when it is 90 days old (retention) and no day earlier, whoever tries.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.audit_log (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    operation   text        NOT NULL CHECK (operation ~ '^[a-z_]{1,50}$'),
    user_id     uuid,
    actor_id    uuid,
    ip          text,
    user_agent  text,
    request_id  text,
    details     jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object')
);

COMMENT ON COLUMN public.audit_log.user_id IS 'whose account; no reference, as the entry outlives it. NULL: of nobody here';
COMMENT ON COLUMN public.audit_log.actor_id IS 'who did it; NULL: somebody who was not signed in, or the clock';
COMMENT ON COLUMN public.audit_log.details IS 'no secret, and no text of a person but the reasons that staff give';

CREATE INDEX idx_audit_log_user ON public.audit_log (user_id, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX idx_audit_log_at ON public.audit_log (at);

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY queue ON public.audit_log FOR INSERT TO fitnudge_queue WITH CHECK (true);
CREATE POLICY own ON public.audit_log FOR SELECT TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY clock ON public.audit_log TO fitnudge_clock USING (true);
GRANT INSERT ON public.audit_log TO fitnudge_queue;
GRANT SELECT ON public.audit_log TO fitnudge_api;
GRANT SELECT, DELETE ON public.audit_log TO fitnudge_clock;

RESET ROLE;

CREATE FUNCTION pool.audit_only_grows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < clock_timestamp() - interval '90 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON public.audit_log FOR EACH ROW EXECUTE FUNCTION pool.audit_only_grows();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION pool.audit_only_grows();

-- p_req: the request that did it, of which address, client and id are noted. p_actor: by default the user of the transaction.
CREATE FUNCTION pool.audit(p_req jsonb, p_operation text, p_user uuid, p_actor uuid DEFAULT pool.uid(), p_details jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_log (operation, user_id, actor_id, ip, user_agent, request_id, details)
    VALUES (p_operation, p_user, p_actor, p_req #>> '{meta,ip}', left(p_req #>> '{meta,user_agent}', 200), p_req #>> '{meta,request_id}', p_details);
END
$$;

REVOKE EXECUTE ON FUNCTION pool.audit_only_grows(), pool.audit(jsonb, text, uuid, uuid, jsonb) FROM PUBLIC;
ALTER FUNCTION pool.audit(jsonb, text, uuid, uuid, jsonb) OWNER TO fitnudge_queue;
GRANT EXECUTE ON FUNCTION pool.audit(jsonb, text, uuid, uuid, jsonb) TO fitnudge_api, fitnudge_auth, fitnudge_clock;
GRANT EXECUTE ON FUNCTION pool.audit_only_grows() TO fitnudge_owner;

INSERT INTO public.retention (name, place, relation, "column", keep) VALUES ('audit_log', 70, 'audit_log', 'at', '90 days 1 hour');

COMMIT;
