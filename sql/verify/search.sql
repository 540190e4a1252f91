BEGIN;
SELECT tsv FROM public.posts WHERE false;
SELECT user_id, scope, query, results_count, searched_at FROM public.search_analytics WHERE false;
SELECT user_id, query, result_id, position, clicked_at FROM public.search_clicks WHERE false;
SELECT 1 / (to_regclass('public.idx_posts_search') IS NOT NULL AND to_regclass('public.idx_users_search') IS NOT NULL)::int;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.search_posts(uuid, text, date, date, uuid, int, int)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.search_record(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
ROLLBACK;
