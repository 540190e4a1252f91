-- Data as of a large installation, to look at plans and to measure with. Into a database that was deployed and is not in use:
--
--     psql -v scale=0.01 -f t/load/generate.sql
--
-- scale 1 is 1,000,000 users, 3,000,000 goals, 30,000,000 check-ins, 2,000,000 posts, 5,000,000 follows, 6,000,000 likes and 1,000,000 comments;
-- each can be given by its own name as well. Everybody's password is none: sign in with tokens of your own making (sub = md5('user <n>')::uuid).
\set ON_ERROR_STOP on
\if :{?scale} \else \set scale 1 \endif
SELECT greatest(10, 1000000 * :scale)::int AS d_users, greatest(10, 3000000 * :scale)::int AS d_goals, greatest(10, 30000000 * :scale)::int AS d_checkins,
       greatest(10, 2000000 * :scale)::int AS d_posts, greatest(10, 5000000 * :scale)::int AS d_follows, greatest(10, 6000000 * :scale)::int AS d_likes,
       greatest(10, 1000000 * :scale)::int AS d_comments \gset
\if :{?users}    \else \set users :d_users \endif
\if :{?goals}    \else \set goals :d_goals \endif
\if :{?checkins} \else \set checkins :d_checkins \endif
\if :{?posts}    \else \set posts :d_posts \endif
\if :{?follows}  \else \set follows :d_follows \endif
\if :{?likes}    \else \set likes :d_likes \endif
\if :{?comments} \else \set comments :d_comments \endif

-- No triggers, no checks of foreign keys (what is made below fits together), nothing waits for the disk. Indexes that nothing below needs
-- are away meanwhile, which is most of the difference between minutes and an hour: should it end in the middle, deploy anew.
SET session_replication_role = replica;
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';
SET work_mem = '256MB';
SET client_min_messages = warning;
SELECT setseed(0.5) \g /dev/null

CREATE TEMP TABLE pg_temp.meanwhile AS
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS away, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS back
FROM pg_index i
WHERE i.indrelid IN ('public.users'::regclass, 'public.goals'::regclass, 'public.checkins'::regclass, 'public.posts'::regclass, 'public.likes'::regclass,
                     'public.comments'::regclass, 'public.follows'::regclass)
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
UNION ALL
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c WHERE c.conrelid = 'public.checkins'::regclass AND c.contype IN ('p', 'u');
SELECT away FROM pg_temp.meanwhile \gexec

CREATE FUNCTION pg_temp.person(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN md5('user ' || n)::uuid;
CREATE FUNCTION pg_temp.goal(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN md5('goal ' || n)::uuid;
CREATE FUNCTION pg_temp.post(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN md5('post ' || n)::uuid;

-- One of n, the first much more often than the last.
CREATE FUNCTION pg_temp.skewed(n bigint) RETURNS bigint LANGUAGE sql VOLATILE RETURN 1 + floor(n * power(random(), 3))::bigint;

-- Words of a text: some are everywhere, most are rare.
CREATE FUNCTION pg_temp.words(n int) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(CASE WHEN r < 0.5 THEN (ARRAY['run', 'gym', 'today', 'felt', 'great', 'morning', 'training', 'again', 'week', 'goal'])[1 + (r * 20)::int % 10]
                           ELSE 'word' || floor(20000 * power((r - 0.5) * 2, 2))::int END, ' ')
    FROM (SELECT random() AS r FROM generate_series(1, n)) x $$;

\echo users
INSERT INTO public.users (id, email, name, username, language, timezone, created_at)
SELECT pg_temp.person(n), 'user' || n || '@load.example', 'Name' || n % 5000 || ' Surname' || n % 7919, 'user_' || n,
       (ARRAY['en', 'en', 'en', 'es', 'fr', 'de'])[1 + n % 6], (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'])[1 + n % 4],
       now() - interval '2 years' * (1 - n::float / :users)
FROM generate_series(1, :users) n;

\echo goals
INSERT INTO public.goals (id, user_id, title, description, category, frequency, is_active, created_at)
SELECT pg_temp.goal(n), pg_temp.person(1 + (n - 1) % :users), 'Goal ' || n, 'Train for it ' || n % 100,
       (ARRAY['gym', 'running', 'yoga', 'swimming', 'mobility'])[1 + n % 5], 1 + n % 7, n <= :users, now() - interval '1 year' * random()
FROM generate_series(1, :goals) n;

\echo check-ins
INSERT INTO public.checkins (goal_id, user_id, date, status, reflection, mood)
SELECT pg_temp.goal(1 + n % :goals), pg_temp.person(1 + (n % :goals) % :users), current_date - (n / :goals * 36 + n % 36)::int,
       (ARRAY['done', 'done', 'done', 'skipped', 'missed'])[1 + n % 5], CASE WHEN n % 4 = 0 THEN 'Felt fine on day ' || n % 300 END, 1 + n % 5
FROM generate_series(0, :checkins - 1::bigint) n;

\echo posts
INSERT INTO public.posts (id, user_id, text, is_public, language, created_at)
SELECT pg_temp.post(n), pg_temp.person(pg_temp.skewed(:users)), pg_temp.words(5 + (n % 30)::int), n % 20 <> 0, 'en',
       now() - interval '2 years' * (1 - n::float / :posts) - interval '1 second'
FROM generate_series(1, :posts) n;

\echo likes, comments
INSERT INTO public.likes (post_id, user_id)
SELECT pg_temp.post(1 + :posts - pg_temp.skewed(:posts)), pg_temp.person(1 + floor(random() * :users)::bigint) FROM generate_series(1, :likes)
ON CONFLICT DO NOTHING;

INSERT INTO public.comments (post_id, user_id, text, created_at)
SELECT pg_temp.post(1 + :posts - pg_temp.skewed(:posts)), pg_temp.person(pg_temp.skewed(:users)), pg_temp.words(8), now() - random() * interval '1 year'
FROM generate_series(1, :comments);

INSERT INTO public.post_counts (post_id, session, likes, comments)
SELECT post_id, 0, sum(likes), sum(comments) FROM (
    SELECT post_id, count(*) AS likes, 0 AS comments FROM public.likes GROUP BY 1
    UNION ALL SELECT post_id, 0, count(*) FROM public.comments GROUP BY 1) x GROUP BY 1;

-- Users 1, 2 and 3 follow few, as many as are looked at one by one, and very many.
\echo follows
INSERT INTO public.follows (follower_id, followee_id)
SELECT pg_temp.person(a), pg_temp.person(b)
FROM (SELECT 4 + floor(random() * (:users - 3))::bigint AS a, pg_temp.skewed(:users) AS b FROM generate_series(1, :follows)
      UNION ALL SELECT 1, n FROM generate_series(2, least(21, :users)) n
      UNION ALL SELECT 2, 2 + n * greatest(1, (:users - 2) / 1000) FROM generate_series(1, least(1000, :users - 2)) n
      UNION ALL SELECT 3, 3 + n FROM generate_series(1, least(5000, :users - 3)) n) x
WHERE a <> b ON CONFLICT DO NOTHING;

INSERT INTO public.follow_counts (user_id, followers, following)
SELECT id, sum(followers), sum(following) FROM (
    SELECT followee_id AS id, count(*) AS followers, 0 AS following FROM public.follows GROUP BY 1
    UNION ALL SELECT follower_id, 0, count(*) FROM public.follows GROUP BY 1) x GROUP BY 1;

\echo searches
INSERT INTO public.search_analytics (user_id, scope, query, results_count, searched_at)
SELECT pg_temp.person(1 + floor(random() * :users)::bigint), 'posts', 'word' || pg_temp.skewed(2000), 1, now() - random() * interval '30 days'
FROM generate_series(1, :posts / 10);

\echo indexes, statistics
SELECT back FROM pg_temp.meanwhile ORDER BY back \gexec
RESET session_replication_role;
REFRESH MATERIALIZED VIEW public.search_terms;
REFRESH MATERIALIZED VIEW public.goal_categories;
VACUUM (ANALYZE) public.users, public.goals, public.checkins, public.posts, public.likes, public.comments, public.post_counts, public.follows, public.follow_counts,
    public.search_analytics, public.search_terms, public.goal_categories;
