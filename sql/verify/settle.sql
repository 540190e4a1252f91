BEGIN;
SELECT 1 / has_function_privilege('fitnudge_pool', 'pool.settle(uuid, text, uuid, text, pool.reply)', 'EXECUTE')::int;
SELECT 1 / (NOT has_function_privilege('fitnudge_edge', 'pool.settle(uuid, text, uuid, text, pool.reply)', 'EXECUTE'))::int;
SELECT 1 / (count(*) >= 16)::int FROM pg_inherits WHERE inhparent = 'public.checkins'::regclass;
SELECT 1 / (count(*) >= 5)::int FROM pg_inherits WHERE inhparent = 'public.inbox'::regclass;
ROLLBACK;
