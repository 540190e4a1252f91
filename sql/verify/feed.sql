BEGIN;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.feed(uuid, text, text, int)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.posts_comments(uuid, uuid, text, int)', 'EXECUTE')::int;
ROLLBACK;
