-- Posts, counters, the feed's places, search: what HTTP does not show.
BEGIN;
SELECT plan(24);

INSERT INTO public.users (id, email, name, username) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'a@s.example', 'Ada', 'ada.l'), ('00000000-0000-4000-8000-0000000000b1', 'b@s.example', 'Bob', NULL);

CREATE FUNCTION pg_temp.job(p_job text, p_user uuid, p_id uuid, p_body jsonb) RETURNS pool.settled LANGUAGE plpgsql AS $$
DECLARE s pool.settled;
BEGIN
    SET LOCAL ROLE fitnudge_pool;
    EXECUTE format('SELECT (x).* FROM (SELECT pool.settle(gen_random_uuid(), $1, pool.enter($2), ''f'', jobs.%I(gen_random_uuid(), $2, $3, ''{}'')) AS x) y', p_job)
    INTO s USING p_job, p_user, jsonb_build_object('params', jsonb_build_object('id', p_id), 'body', p_body);
    RESET ROLE;
    RETURN s;
END
$$;

CREATE FUNCTION pg_temp.post(p_user uuid, p_body jsonb) RETURNS uuid LANGUAGE sql RETURN
    ((pg_temp.job('posts_create', p_user, NULL, p_body)).body::jsonb ->> 'id')::uuid;

CREATE FUNCTION pg_temp.place() RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE v_id uuid := pg_temp.post('00000000-0000-4000-8000-0000000000a1', '{"text":"x"}');
BEGIN
    RETURN (SELECT created_at FROM public.posts WHERE id = v_id);
END
$$;

CREATE TEMP TABLE p AS SELECT pg_temp.post('00000000-0000-4000-8000-0000000000a1', '{"text":"Running far\nand wide"}') AS id;

SELECT is((SELECT (pg_temp.job('posts_like', '00000000-0000-4000-8000-0000000000b1', id, '{}')).tags FROM p),
    (SELECT ARRAY['likes:00000000-0000-4000-8000-0000000000b1', 'social:00000000-0000-4000-8000-0000000000b1', 'feed', 'post:' || id] FROM p), 'tags of a like');
SELECT is((SELECT (pg_temp.job('posts_like', '00000000-0000-4000-8000-0000000000b1', id, '{}')).tags FROM p), NULL, 'of one more there is nothing to tell');
SELECT is((SELECT likes FROM public.post_counts c JOIN p ON c.post_id = p.id WHERE session = pg_backend_pid()), 1, 'a session counts in a row of its own');
SELECT is((SELECT pool.fold_post_counts(now(), 10)), 1, 'it is folded');
SELECT is((SELECT pool.fold_post_counts(now(), 10)), 0, 'once');
SELECT is((SELECT array_agg(session || ' ' || likes) FROM public.post_counts c JOIN p ON c.post_id = p.id), ARRAY['0 1'], 'the sum stays');
SELECT is((SELECT (pg_temp.job('posts_unlike', '00000000-0000-4000-8000-0000000000b1', id, '{}')).body FROM p), '{"likes_count":0}', 'below the line, too');

-- uploads
SELECT is((pg_temp.job('posts_create', '00000000-0000-4000-8000-0000000000a1', NULL, '{"text":"x","media_ids":["01900000-0000-7000-8000-000000000000"]}')).status, 400,
    'uploads that are not there');
CREATE OR REPLACE FUNCTION jobs.check_media(p_user uuid, p_media uuid[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$ BEGIN RETURN p_user = '00000000-0000-4000-8000-0000000000a1'; END $$;
SELECT is((pg_temp.job('posts_create', '00000000-0000-4000-8000-0000000000a1', NULL, '{"text":"x","media_ids":["01900000-0000-7000-8000-000000000000"]}')).status, 201,
    'what is uploaded is one function''s to say');
SELECT is((pg_temp.job('posts_create', '00000000-0000-4000-8000-0000000000b1', NULL, '{"text":"x","media_ids":["01900000-0000-7000-8000-000000000000"]}')).status, 400,
    'for whom, as well');

-- places
SELECT is((SELECT count(DISTINCT pg_temp.place()) FROM generate_series(1, 20)), 20::bigint, 'each post has a place of its own');
UPDATE public.posts SET created_at = clock_timestamp() + interval '2 seconds' WHERE id = (SELECT id FROM p);
SELECT ok(pg_temp.place() > (SELECT created_at FROM public.posts WHERE id = (SELECT id FROM p)), 'also when the clock was set back');

-- taken down
UPDATE public.posts SET removed_at = now() WHERE id = (SELECT id FROM p);
SELECT is((SELECT (pg_temp.job('posts_like', '00000000-0000-4000-8000-0000000000a1', id, '{}')).status FROM p), 404, 'what was taken down is gone, for its author too');
SELECT is((SELECT (pg_temp.job('posts_update', '00000000-0000-4000-8000-0000000000a1', id, '{"text":"x"}')).status FROM p), 404, 'and is not written anew');
UPDATE public.posts SET removed_at = NULL WHERE id = (SELECT id FROM p);

-- words
SELECT is(pool.search_query('en', 'the of and'), NULL, 'stop words are no query');
SELECT ok(pool.search_vector('de', 'Wir liefen durch die Wälder') @@ pool.search_query('en', 'Wälder'), 'a text is found by the rules of its language');
SELECT ok(NOT pool.search_vector('en', 'We walked') @@ pool.search_query('en', 'Wälder'), 'and only it');
SELECT is(pool.person_query(repeat('''\&|!:*()<>"', 9)), NULL, 'marks are no names');
SELECT ok(pool.person_vector('Ada Lovelace', 'ada.l') @@ pool.person_query('LOV ad'), 'beginnings of names in any order');

-- 0.4 x 1 + 3 + 0.5 x 2 + 0.3 x (1 - 15 / 30) + 0.2 x 50 / 100
SELECT is(round(pool.search_score(1, 'run', 'My Run', 2, now() - interval '15 days 3 hours', 50)::numeric, 6), 4.65, 'the score of everything');
SELECT is(round(pool.search_score(0.5, 'run', 'Walk', 0, now() - interval '90 days', 0)::numeric, 6), 0.2, 'of nothing but text');
SELECT is(round(pool.search_score(0, '%', '100', 0, now(), 0)::numeric, 6), 0.3, 'a query is no pattern');

-- nobody reads more than they should
SET ROLE fitnudge_social;
SELECT throws_ok('SELECT email FROM public.users', '42501', NULL, 'who shows people to others cannot read their addresses');
SELECT throws_ok('UPDATE public.posts SET text = ''x''', '42501', NULL, 'nor write their posts');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
