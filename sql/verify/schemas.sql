-- Verify fitnudge:schemas on pg

BEGIN;

SELECT 1 / (has_schema_privilege('fitnudge_edge', 'api', 'USAGE')
            AND NOT has_schema_privilege('fitnudge_edge', 'public', 'USAGE')
            AND NOT has_schema_privilege('fitnudge_edge', 'jobs', 'USAGE')
            AND NOT has_schema_privilege('fitnudge_edge', 'pool', 'USAGE'))::int;
SELECT 1 / (has_schema_privilege('fitnudge_pool', 'jobs', 'USAGE')
            AND has_schema_privilege('fitnudge_pool', 'pool', 'USAGE')
            AND NOT has_schema_privilege('fitnudge_pool', 'public', 'USAGE'))::int;

ROLLBACK;
