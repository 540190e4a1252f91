BEGIN;
SELECT id, user_id, text, voice_url, media_ids, is_public, language, version, created_at, updated_at, removed_at FROM public.posts WHERE false;
SELECT post_id, user_id FROM public.likes WHERE false;
SELECT post_id, user_id, text FROM public.comments WHERE false;
SELECT post_id, user_id, reason, note FROM public.post_flags WHERE false;
SELECT post_id, session, likes, comments FROM public.post_counts WHERE false;
SELECT 1 / (count(*) = 4)::int FROM pg_catalog.pg_class
 WHERE oid IN ('public.posts'::regclass, 'public.likes'::regclass, 'public.comments'::regclass, 'public.post_flags'::regclass)
   AND relrowsecurity AND relforcerowsecurity;
ROLLBACK;
