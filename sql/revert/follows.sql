BEGIN;
DROP FUNCTION api.users_get(uuid, uuid);
DROP FUNCTION jobs.users_unfollow(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.users_follow(uuid, uuid, jsonb, jsonb);
DROP TABLE public.follow_counts, public.follows;
DROP FUNCTION pool.note_follows();
DROP FUNCTION pool.follows_removed();
DROP FUNCTION pool.follows_added();
COMMIT;
