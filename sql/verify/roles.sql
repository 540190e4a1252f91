-- Verify fitnudge:roles on pg

BEGIN;

SELECT 1 / (count(*) = 6)::int FROM pg_catalog.pg_roles
 WHERE rolname IN ('fitnudge_owner', 'fitnudge_api', 'fitnudge_auth', 'fitnudge_queue', 'fitnudge_edge', 'fitnudge_pool')
   AND NOT rolsuper AND NOT rolbypassrls
   AND rolcanlogin = (rolname IN ('fitnudge_edge', 'fitnudge_pool'));
SELECT 1 / has_database_privilege('fitnudge_edge', current_database(), 'CONNECT')::int;
SELECT 1 / (NOT has_database_privilege('fitnudge_edge', current_database(), 'TEMPORARY'))::int;

ROLLBACK;
