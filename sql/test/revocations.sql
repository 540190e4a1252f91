-- Revocations of tokens and users, as jobs and operators ask for them.
BEGIN;
SELECT plan(23);

SELECT lives_ok($$SELECT pool.revoke('7d444840-9dc0-11d1-b245-5ffdce74fad2', 'jti:0190a1b2', 'epoch'::timestamptz + interval '1767225600 s')$$, 'one token');
SELECT is((SELECT tags FROM public.change_outbox ORDER BY id DESC LIMIT 1), ARRAY['revoked:jti:0190a1b2:1767225600'], 'becomes a tag');
SELECT is(current_setting('fitnudge.tags'), 'revoked:jti:0190a1b2:1767225600', 'that the job''s reply carries');
SELECT is(current_setting('fitnudge.changes'), (SELECT max(id)::text FROM public.change_outbox), 'with its row');

SELECT lives_ok($$SELECT pool.revoke_user('7d444840-9dc0-11d1-b245-5ffdce74fad2', interval '15 minutes')$$, 'all of a user');
SELECT matches((SELECT tags[1] FROM public.change_outbox ORDER BY id DESC LIMIT 1), '^revoked:user:7d444840-9dc0-11d1-b245-5ffdce74fad2:\d+:\d+$', 'becomes a tag');
SELECT ok((SELECT split_part(tags[1], ':', 4)::bigint > extract(epoch FROM now()) AND split_part(tags[1], ':', 5)::bigint - split_part(tags[1], ':', 4)::bigint BETWEEN 898 AND 901
             FROM public.change_outbox ORDER BY id DESC LIMIT 1), 'of what was issued until now, for as long as that lives');
SELECT is(array_length(string_to_array(current_setting('fitnudge.tags'), ','), 1), 2, 'both go on');
SELECT is(array_length(string_to_array(current_setting('fitnudge.changes'), ','), 1), 2, 'with both rows');

SELECT throws_ok(format('SELECT pool.revoke(%L, %L, now())', '7d444840-9dc0-11d1-b245-5ffdce74fad2', what), '22023', NULL, 'not ' || what)
  FROM unnest(ARRAY['jti:a b', 'jti:a,goals:x', 'user:me:5', 'jti:', 'x']) what;

-- who is barred
CREATE TEMP TABLE b AS SELECT gen_random_uuid() AS id FROM generate_series(1, 201);
INSERT INTO public.users (id, email, name) SELECT id, id || '@revocations.example', 'B' FROM b;
CREATE FUNCTION pg_temp.barred() RETURNS text LANGUAGE sql
RETURN (SELECT split_part(tags[1], ':', 4) || ' ' || (split_part(tags[1], ':', 5)::bigint - extract(epoch FROM now())::bigint) / 86400
        FROM public.change_outbox WHERE tags[1] LIKE 'revoked:barred:%' ORDER BY id DESC LIMIT 1);
UPDATE public.users SET suspended_at = now(), version = 5 WHERE id = (SELECT min(id::text)::uuid FROM b);
SELECT is(pg_temp.barred(), '11 30', 'who is suspended is barred: an odd number, for 30 days');
UPDATE public.users SET deleted_at = now() WHERE id = (SELECT min(id::text)::uuid FROM b);
SELECT is((SELECT count(*)::int FROM public.change_outbox WHERE tags[1] LIKE 'revoked:barred:%'), 1, 'and stays so');
UPDATE public.users SET deleted_at = NULL, suspended_at = NULL WHERE id = (SELECT min(id::text)::uuid FROM b);
SELECT is(pg_temp.barred(), '14 30', 'lifted: a greater even number, though nobody made the version grow');
UPDATE public.users SET name = 'C' WHERE id IN (SELECT id FROM b);
SELECT is((SELECT count(*)::int FROM public.change_outbox WHERE tags[1] LIKE 'revoked:barred:%'), 2, 'nothing else tells');
UPDATE public.users SET suspended_at = now() WHERE id IN (SELECT id FROM b);
DELETE FROM public.change_outbox;
CREATE FUNCTION pg_temp.tell(p_state jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE fitnudge_clock;
    p_state := pool.cron_barred(now(), p_state);
    RESET ROLE;
    RETURN p_state;
END
$$;
CREATE TEMP TABLE told AS SELECT pg_temp.tell('{}') AS r;
SELECT is((SELECT r ->> 'more' FROM told), 'true', 'the clock tells again');
SELECT is((SELECT pg_temp.tell(r -> 'state') - 'state' FROM told), '{"more": false, "count": {"told": 1}}', 'of all');
SELECT is((SELECT count(*)::int FROM public.change_outbox o JOIN public.users u ON o.tags[1] LIKE 'revoked:barred:' || u.id || ':' || u.version * 2 + 1 || ':%'
           WHERE u.id IN (SELECT id FROM b)), 201, 'each once');
UPDATE public.users SET suspended_at = NULL WHERE id IN (SELECT id FROM b);
SELECT is(pg_temp.tell('{}') -> 'more', 'false', 'the others are not told of');
SELECT throws_ok(format('SELECT pool.revoke(%L, %L, now())', '7d444840-9dc0-11d1-b245-5ffdce74fad2', 'barred:7d444840-9dc0-11d1-b245-5ffdce74fad2:x'), '22023', NULL, 'a number');

SELECT * FROM finish();
ROLLBACK;
