-- Deploy fitnudge:schemas to pg
-- Rooms: public holds tables, api what the edge reads, jobs what jobs do, pool how jobs are settled.

BEGIN;

CREATE SCHEMA api AUTHORIZATION fitnudge_owner;
CREATE SCHEMA jobs AUTHORIZATION fitnudge_owner;
CREATE SCHEMA pool AUTHORIZATION fitnudge_owner;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO fitnudge_owner;
GRANT USAGE ON SCHEMA public, pool TO fitnudge_api, fitnudge_auth, fitnudge_queue, fitnudge_clock, fitnudge_admin, fitnudge_social;
GRANT USAGE ON SCHEMA api TO fitnudge_edge, fitnudge_api, fitnudge_queue, fitnudge_social;
GRANT USAGE ON SCHEMA jobs TO fitnudge_pool, fitnudge_api, fitnudge_auth, fitnudge_clock;
GRANT USAGE ON SCHEMA pool TO fitnudge_pool;

ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_api, fitnudge_queue IN SCHEMA api
    GRANT EXECUTE ON FUNCTIONS TO fitnudge_edge;
ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_api, fitnudge_auth IN SCHEMA jobs
    GRANT EXECUTE ON FUNCTIONS TO fitnudge_pool;
ALTER DEFAULT PRIVILEGES FOR ROLE fitnudge_owner, fitnudge_api, fitnudge_auth, fitnudge_queue IN SCHEMA pool
    GRANT EXECUTE ON FUNCTIONS TO fitnudge_pool;

COMMIT;
