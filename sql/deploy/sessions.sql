-- Deploy fitnudge:sessions to pg
-- Devices signed in, and each one's family of refresh tokens. A session that has ended is deleted: its tokens go with it, and the
-- row trigger tells the edges to refuse the access tokens that are still out.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.sessions (
    id            uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    user_agent    text,
    ip            text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    access_until  timestamptz NOT NULL
);

COMMENT ON COLUMN public.sessions.access_until IS 'when the last access token has expired, with leeway for clocks';

CREATE INDEX idx_sessions_user_id ON public.sessions (user_id, last_used_at DESC);

-- Only hashes: SHA-256 in hex. A rotated token is kept, so that its reuse is noticed.
CREATE TABLE public.refresh_tokens (
    token_hash  text        NOT NULL PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    session_id  uuid        NOT NULL REFERENCES public.sessions (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    rotated_at  timestamptz,
    expires_at  timestamptz NOT NULL
);

CREATE INDEX idx_refresh_tokens_session_id ON public.refresh_tokens (session_id);

ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.refresh_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.sessions FOR SELECT TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY identity ON public.sessions TO fitnudge_auth USING (true) WITH CHECK (true);
CREATE POLICY identity ON public.refresh_tokens TO fitnudge_auth USING (true) WITH CHECK (true);

GRANT SELECT ON public.sessions TO fitnudge_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.sessions, public.refresh_tokens TO fitnudge_auth;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.sessions
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('sessions');

COMMIT;
