-- Deploy fitnudge:users to pg
-- People. The password's hash is read by identity functions only.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.users (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    email           text        NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    password_hash   text,
    name            text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    username        text        CHECK (username ~ '^[A-Za-z0-9_.]{3,30}$'),
    bio             text        CHECK (length(bio) <= 500),
    avatar_url      text        CHECK (length(avatar_url) <= 2048),
    language        public.lang NOT NULL DEFAULT 'en',
    timezone        text        NOT NULL DEFAULT 'UTC',
    country         text        CHECK (country ~ '^[A-Z]{2}$'),
    birth_date      date,
    tone            public.tone NOT NULL DEFAULT 'friendly',
    plan            text        NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'pro', 'elite')),
    role            text        NOT NULL DEFAULT 'authenticated'
                                CHECK (role IN ('authenticated', 'admin', 'support', 'super_admin')),
    email_verified  boolean     NOT NULL DEFAULT false,
    version         integer     NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    suspended_at    timestamptz,
    suspension_reason  text     CHECK (length(suspension_reason) <= 500),
    is_visible      boolean     NOT NULL GENERATED ALWAYS AS (deleted_at IS NULL AND suspended_at IS NULL) STORED
);

COMMENT ON COLUMN public.users.is_visible IS 'whether others may see this person and what they have made';

CREATE UNIQUE INDEX idx_users_email ON public.users (lower(email));
CREATE UNIQUE INDEX idx_users_username ON public.users (lower(username));
CREATE INDEX idx_users_created_at ON public.users (created_at);

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.users TO fitnudge_api
    USING (id = NULLIF(current_setting('request.user_id', true), '')::uuid);
CREATE POLICY identity ON public.users TO fitnudge_auth USING (true) WITH CHECK (true);

GRANT SELECT (id, email, name, username, bio, avatar_url, language, timezone, country, birth_date, tone, plan, role, email_verified,
              version, created_at, updated_at, deleted_at, suspended_at, suspension_reason, is_visible),
      UPDATE (name, username, bio, avatar_url, language, timezone, country, birth_date, tone, version, updated_at)
   ON public.users TO fitnudge_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.users TO fitnudge_auth;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.users
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('users');

-- What everybody may know of everybody who is here. Whatever shows others' content joins it, and so shows nothing of who has left or is
-- suspended. It sees all people, since it is fitnudge_auth's.
CREATE VIEW public.profiles AS
    SELECT u.id, u.name, u.username, u.bio, u.avatar_url, u.created_at FROM public.users u WHERE u.is_visible;

RESET ROLE;
ALTER VIEW public.profiles OWNER TO fitnudge_auth;
GRANT SELECT ON public.profiles TO fitnudge_api, fitnudge_auth;

COMMIT;
