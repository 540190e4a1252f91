-- Search looks at posts piece by piece: what is where in the order of posts, and what is enough.
BEGIN;
SELECT plan(11);

INSERT INTO public.users (id, email, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@s.example', 'Ada');

-- A post at a place in that order, `days` days old.
CREATE FUNCTION pg_temp.post(p_seq bigint, p_days int, p_text text, p_public boolean DEFAULT true) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO public.posts (seq, user_id, text, language, is_public, created_at) OVERRIDING SYSTEM VALUE
    VALUES (p_seq, '00000000-0000-4000-8000-0000000000a1', p_text, 'en', p_public, date_trunc('day', now()) - make_interval(days => p_days));
END;

CREATE FUNCTION pg_temp.found(p_q text, p_limit int DEFAULT 500, p_from int DEFAULT NULL, p_to int DEFAULT NULL) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(h.title, ' ') FROM pool.search_hits(pool.search_query('en', p_q), date_trunc('day', now()) - make_interval(days => p_from),
    date_trunc('day', now()) - make_interval(days => p_to), p_limit) h);

SELECT is(pg_temp.found('far'), NULL, 'no posts');

-- borders of small pieces (8,192) and of large ones (262,144)
SELECT pg_temp.post(seq, 1000 - n, 'far' || n) FROM (VALUES (1, 1), (2, 8191), (3, 8192), (4, 262143), (5, 262144), (6, 262145), (7, 600000), (8, 786431), (9, 786432),
    (10, 900000), (11, 1000000), (12, 1008191), (13, 1048575)) x (n, seq);
UPDATE public.posts SET text = 'Far ' || substr(text, 4);
SELECT is(pg_temp.found('far'), (SELECT string_agg('Far ' || n, ' ' ORDER BY n DESC) FROM generate_series(1, 13) n), 'every piece is looked at, the newest first');
SELECT is(pg_temp.found('far', 1), 'Far 13', 'as many as are enough');
SELECT is(pg_temp.found('far', 3), 'Far 13 Far 12 Far 11', 'over the border of a piece');
SELECT is(pg_temp.found('far', 500, 995), 'Far 13 Far 12 Far 11 Far 10 Far 9 Far 8 Far 7 Far 6 Far 5', 'from a time');
SELECT is(pg_temp.found('far', 500, NULL, 995), 'Far 4 Far 3 Far 2 Far 1', 'until a time');
SELECT is(pg_temp.found('far', 500, 998, 996), 'Far 3 Far 2', 'between times');
SELECT is(pg_temp.found('far', 500, 0), NULL, 'not from when there is none');
SELECT is(pg_temp.found('near'), NULL, 'another word is nowhere');

SELECT pg_temp.post(1048576, 1, 'Far and hidden', false);
SELECT is(pg_temp.found('hidden'), NULL, 'nor what is not public');
SELECT is(pool.search_query('en', 'run'), '''run'''::tsquery, 'a word that all languages know alike is asked for once');

SELECT * FROM finish();
ROLLBACK;
