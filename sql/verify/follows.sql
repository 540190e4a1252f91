BEGIN;
SELECT follower_id, followee_id, created_at FROM public.follows WHERE false;
SELECT user_id, followers, following FROM public.follow_counts WHERE false;
SELECT 1 / has_function_privilege('fitnudge_edge', 'api.users_get(uuid, uuid)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.users_follow(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
SELECT 1 / has_function_privilege('fitnudge_pool', 'jobs.users_unfollow(uuid, uuid, jsonb, jsonb)', 'EXECUTE')::int;
ROLLBACK;
