-- Revocations of tokens and users, as jobs and operators ask for them.
BEGIN;
SELECT plan(14);

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

SELECT * FROM finish();
ROLLBACK;
