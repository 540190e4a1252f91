-- Revert fitnudge:schemas from pg

BEGIN;

ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_api, fitnudge_queue IN SCHEMA api
    REVOKE EXECUTE ON FUNCTIONS FROM fitnudge_edge;
ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_api, fitnudge_auth IN SCHEMA jobs
    REVOKE EXECUTE ON FUNCTIONS FROM fitnudge_pool;
ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_owner, fitnudge_api, fitnudge_auth, fitnudge_queue IN SCHEMA pool
    REVOKE EXECUTE ON FUNCTIONS FROM fitnudge_pool;

DROP SCHEMA api;
DROP SCHEMA jobs;
DROP SCHEMA pool;

REVOKE ALL ON SCHEMA public FROM fitnudge_owner, fitnudge_api, fitnudge_auth, fitnudge_queue;
GRANT USAGE ON SCHEMA public TO PUBLIC;

COMMIT;
