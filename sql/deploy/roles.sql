-- Deploy fitnudge:roles to pg
-- Who may do what. Roles belong to the cluster: another database may have made them already.
--
--   fitnudge_owner   owns tables; nobody logs in as it
--   fitnudge_api     owns functions for users' rows; row-level security by request.user_id
--   fitnudge_auth    owns functions for identity: users, sessions, refresh tokens
--   fitnudge_queue   owns functions for the inbox and the outboxes
--   fitnudge_clock   owns functions that act for everybody by the clock
--   fitnudge_admin   owns functions that act for everybody by an operator's word
--   fitnudge_social  owns functions that show people to others: what is public of profiles, and posts
--   fitnudge_edge    logs in: executes api.*
--   fitnudge_pool    logs in: executes jobs.* and pool.*

BEGIN;

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['owner', 'api', 'auth', 'queue', 'clock', 'admin', 'social', 'edge', 'pool'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE fitnudge_%s', v_role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

ALTER ROLE fitnudge_owner NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_api   NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_auth  NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_queue NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_clock NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_admin NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_social NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_edge  LOGIN   NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
ALTER ROLE fitnudge_pool  LOGIN   NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;

-- What JSON looks like must not depend on the server's settings; statements are short and always the same, so that
-- planning them anew or compiling them would cost more than running them.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['fitnudge_edge', 'fitnudge_pool'] LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET timezone = ''UTC''', v_role, current_database());
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET datestyle = ''ISO, YMD''', v_role, current_database());
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET jit = off', v_role, current_database());
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET plan_cache_mode = force_generic_plan', v_role, current_database());
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), v_role);
    END LOOP;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

-- What these roles make is nobody else's until it is granted.
ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_owner, fitnudge_api, fitnudge_auth, fitnudge_queue, fitnudge_clock, fitnudge_admin, fitnudge_social
    REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

COMMIT;
