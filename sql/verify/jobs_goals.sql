BEGIN;
SELECT 1 / (count(*) = 6)::int FROM pg_proc p WHERE p.pronamespace = 'jobs'::regnamespace AND p.proname ~ '^(goals|checkins)_'
    AND has_function_privilege('fitnudge_pool', p.oid, 'EXECUTE') AND NOT has_function_privilege('fitnudge_edge', p.oid, 'EXECUTE');
ROLLBACK;
