-- Locks, suspension, verified addresses, new passwords, follows and consents, as jobs through pool.settle.
BEGIN;
SELECT plan(67);

CREATE FUNCTION pg_temp.run(p_job text, p_user uuid, p_body jsonb DEFAULT '{}', p_ctx jsonb DEFAULT NULL, p_meta jsonb DEFAULT '{}', p_params jsonb DEFAULT '{}',
                            p_id uuid DEFAULT gen_random_uuid()) RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
BEGIN
    EXECUTE format('SELECT * FROM pool.settle($1, $2, pool.enter($3), ''fp'', jobs.%I($1, $3, $4, $5))', replace(p_job, '.', '_')) INTO s
        USING p_id, p_job, p_user, jsonb_build_object('body', p_body, 'meta', p_meta, 'params', p_params), p_ctx;
    RETURN s;
END
$$;
CREATE FUNCTION pg_temp.says(s pool.settled) RETURNS text LANGUAGE sql
RETURN concat_ws(' ', s.status, (nullif(s.body, '')::json) #>> '{error,details,field}', (nullif(s.body, '')::json) #>> '{error,details,constraint}');

CREATE TEMP TABLE u (who text, id uuid);
CREATE FUNCTION pg_temp.user(p_who text) RETURNS uuid LANGUAGE sql RETURN (SELECT id FROM u WHERE who = p_who);
INSERT INTO u SELECT x, gen_random_uuid() FROM unnest(ARRAY['a', 'b', 'c', 'd']) x;
INSERT INTO public.users (id, email, name, password_hash) SELECT id, who || '@acc.example', upper(who), 'h' FROM u;

-- the lock
CREATE FUNCTION pg_temp.fail(p_email text, p_user uuid, n int) RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC
    SELECT pg_temp.says(pg_temp.run('auth.login', NULL, jsonb_build_object('email', p_email), jsonb_build_object('ok', false, 'user_id', p_user))) FROM generate_series(1, n);
END;
SELECT is((SELECT array_agg(x) FROM pg_temp.fail('a@acc.example', pg_temp.user('a'), 5) x), '{401,401,401,401,401}', 'five failures');
SELECT is((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"a@acc.example"}}')).status, 0, 'are none too many');
UPDATE public.signin_failures SET failed_at = ARRAY(SELECT t - interval '11 minutes' FROM unnest(failed_at) t);
SELECT is((SELECT array_agg(x) FROM pg_temp.fail('A@acc.example ', pg_temp.user('a'), 5) x), '{401,401,401,401,401}', 'those of ten minutes count, whatever the spelling');
SELECT is((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"a@acc.example"}}')).status, 0, 'not older ones');
SELECT is((SELECT array_agg(x) FROM pg_temp.fail('a@acc.example', pg_temp.user('a'), 2) x), '{401,"429 email locked"}', 'the sixth locks');
SELECT is((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"A@ACC.example"}}')).status, 429, 'before the password is looked at');
SELECT matches((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"a@acc.example"}}')).headers, E'^Retry-After: (900|899)\n$', 'for fifteen minutes');
SELECT is((pg_temp.run('auth.login', NULL, '{"email":"a@acc.example"}', jsonb_build_object('ok', true, 'hash', 'h', 'user_id', pg_temp.user('a'), 'token_hash', repeat('1', 64)))).status, 429, 'also with the right one');
SELECT is((SELECT count(*) FROM public.audit_log WHERE user_id = pg_temp.user('a') AND operation = 'signin_locked'), 1::bigint, 'is noted');
SELECT is((SELECT count(*) FROM public.audit_log WHERE user_id = pg_temp.user('a') AND operation = 'signin_failed'), 11::bigint, 'as are failures');
SELECT is((SELECT count(*) FROM public.outbox WHERE job = 'alert.send' AND request #>> '{body,key}' = 'signin_locked:' || pg_temp.user('a')), 1::bigint, 'and said to operators');
SELECT is((SELECT array_agg(x) FROM pg_temp.fail('nobody@acc.example', NULL, 7) x), '{401,401,401,401,401,401,"429 email locked"}', 'an address without an account is answered the same');
UPDATE public.signin_failures SET locked_until = now() - interval '1 second' WHERE address_hash = pool.address_hash('a@acc.example');
SELECT is((pg_temp.run('auth.login', NULL, '{"email":"a@acc.example"}', jsonb_build_object('ok', true, 'hash', 'old', 'user_id', pg_temp.user('a'), 'token_hash', repeat('1', 64)))).status, 401, 'a password that was changed meanwhile is wrong');
SELECT is((pg_temp.run('auth.login', NULL, '{"email":"a@acc.example"}', jsonb_build_object('ok', true, 'hash', 'h', 'user_id', pg_temp.user('a'), 'token_hash', repeat('1', 64)))).status, 200, 'the right one opens');
SELECT is_empty($$ SELECT FROM public.signin_failures WHERE address_hash = pool.address_hash('a@acc.example') $$, 'and forgets');

-- suspension
SELECT pool.enter(pg_temp.user('d'));
CREATE TEMP TABLE done AS SELECT pool.suspend_user('{"meta":{"ip":"198.51.100.1"}}', pg_temp.user('a'), 'spam') AS ok;
SELECT is((SELECT ok FROM done), true, 'suspended');
SELECT matches(current_setting('fitnudge.tags'), '(^|,)revoked:user:' || pg_temp.user('a'), 'all tokens are revoked');
SELECT is(pool.suspend_user('{}', pg_temp.user('a'), 'again'), false, 'once');
SELECT is((SELECT is_visible FROM public.users WHERE id = pg_temp.user('a')), false, 'others see nothing');
SELECT is_empty($$ SELECT FROM public.profiles WHERE id = pg_temp.user('a') $$, 'not in the view either');
SELECT is((pg_temp.run('auth.login', NULL, '{"email":"a@acc.example"}', jsonb_build_object('ok', true, 'hash', 'h', 'user_id', pg_temp.user('a'), 'token_hash', repeat('2', 64)))).status, 403, 'no sign-in');
SELECT is(pg_temp.says(pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('1', 64), 'token_hash', repeat('2', 64)))), '403 suspended', 'no refresh');
SELECT is((SELECT (actor_id, details)::text FROM public.audit_log WHERE operation = 'user_suspended'), (pg_temp.user('d'), '{"reason": "spam"}'::jsonb)::text, 'who, and why');
SELECT is(pool.unsuspend_user('{}', pg_temp.user('a')), true, 'taken back');
SELECT is((pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('1', 64), 'token_hash', repeat('2', 64)))).status, 200, 'the device goes on');

-- verification
SELECT is((pg_temp.run('auth.verify_resend', pg_temp.user('b'), '{}', '{"code_hash":"right"}', p_id => '01900000-0000-7000-8000-0000000000b1')).status, 202, 'a code');
SELECT is((SELECT request #> '{body,secret}' FROM public.outbox WHERE job = 'mail.send' AND user_id = pg_temp.user('b')),
    '{"id":"01900000-0000-7000-8000-0000000000b1","var":"verification_code","kind":"verification_code"}', 'whose mail knows how it is made, not what it is');
SELECT is((pg_temp.run('auth.verify_resend', pg_temp.user('b'), '{}', '{"code_hash":"other"}')).status, 429, 'one a minute');
SELECT is((jobs.auth_verify_find(NULL, NULL, '{"body":{"email":"B@acc.example"}}')).body, '{"id" : "01900000-0000-7000-8000-0000000000b1"}', 'is found by the address');
SELECT is((jobs.auth_verify_find(NULL, NULL, '{"body":{"email":"no@acc.example"}}')).body, '{"id" : null}', 'or not');
CREATE FUNCTION pg_temp.verify(p_hash text) RETURNS text LANGUAGE sql
RETURN pg_temp.says(pg_temp.run('auth.verify_email', NULL, '{}', jsonb_build_object('id', '01900000-0000-7000-8000-0000000000b1', 'hash', p_hash)));
SELECT is((SELECT array_agg(pg_temp.verify('wrong')) FROM generate_series(1, 5)), array_fill('400 verification_code match'::text, ARRAY[5]), 'wrong codes');
SELECT is(pg_temp.verify('right'), '400 verification_code match', 'after five the right one is wrong');
UPDATE public.email_verifications SET attempts = 0, expires_at = now() - interval '1 second' WHERE user_id = pg_temp.user('b');
SELECT is(pg_temp.verify('right'), '400 verification_code match', 'and so is an old one');
UPDATE public.email_verifications SET expires_at = now() + interval '1 minute' WHERE user_id = pg_temp.user('b');
SELECT is(pg_temp.verify('right'), '200', 'the right one');
SELECT is((SELECT email_verified FROM public.users WHERE id = pg_temp.user('b')), true, 'verifies');
SELECT is(pg_temp.verify('right'), '400 verification_code match', 'once');
SELECT is(pg_temp.says(pg_temp.run('auth.verify_resend', pg_temp.user('b'), '{}', '{"code_hash":"x"}')), '409 email verified', 'there is no need for another');
INSERT INTO public.email_verifications (user_id, id, code_hash, expires_at, sends, sent_at) SELECT id, id, 'x', now(), 5, now() - interval '2 minutes' FROM u WHERE who = 'c';
SELECT is((pg_temp.run('auth.verify_resend', pg_temp.user('c'), '{}', '{"code_hash":"x"}')).status, 429, 'five a day');

-- passwords
DELETE FROM public.outbox;
SELECT is((SELECT array_agg((pg_temp.run('auth.password_forgot', NULL, jsonb_build_object('email', x))).body) FROM unnest(ARRAY['c@acc.example', 'no@acc.example']) x),
    array_fill('{"message":"If the address has an account, a mail is on its way."}'::text, ARRAY[2]), 'one answer for all');
SELECT is((SELECT count(*) FROM public.outbox), 2::bigint, 'and the same done for each');
CREATE FUNCTION pg_temp.mail(p_email text, p_hash text) RETURNS int LANGUAGE sql
RETURN (pg_temp.run('auth.password_mail', NULL, jsonb_build_object('email', p_email), jsonb_build_object('token_hash', p_hash))).status;
SELECT is((SELECT array_agg(pg_temp.mail('c@acc.example', 't' || n)) FROM generate_series(1, 4) n), '{200,200,200,200}', 'later somebody looks');
SELECT is((SELECT count(*) FROM public.password_resets), 3::bigint, 'and sends three an hour');
SELECT is(pg_temp.mail('no@acc.example', 'x'), 200, 'or nothing');
CREATE FUNCTION pg_temp.reset(p_hash text) RETURNS text LANGUAGE sql
RETURN pg_temp.says(pg_temp.run('auth.password_reset', NULL, '{}', jsonb_build_object('token_hash', p_hash, 'password_hash', 'h2')));
INSERT INTO public.sessions (user_id, expires_at, access_until) SELECT id, now() + interval '1 day', now() + interval '1 day' FROM u WHERE who = 'c';
SELECT is(pg_temp.reset('x'), '400 token match', 'a wrong token');
UPDATE public.password_resets SET expires_at = now() - interval '1 second' WHERE token_hash = 't1';
SELECT is(pg_temp.reset('t1'), '400 token match', 'an old one');
SELECT is(pg_temp.reset('t2'), '200', 'a good one');
SELECT is((SELECT array[password_hash, (SELECT count(*) FROM public.sessions WHERE user_id = pg_temp.user('c'))::text] FROM public.users WHERE id = pg_temp.user('c')), '{h2,0}', 'changes the password, ends all sessions');
SELECT is(pg_temp.reset('t2'), '400 token match', 'is good once');
SELECT is(pg_temp.reset('t3'), '400 token match', 'and the last of its kind');
INSERT INTO public.sessions (id, user_id, expires_at, access_until) SELECT x::uuid, pg_temp.user('c'), now() + interval '1 day', now() + interval '1 day'
    FROM unnest(ARRAY['01900000-0000-7000-8000-0000000000c1', '01900000-0000-7000-8000-0000000000c2']) x;
SELECT is(pg_temp.says(pg_temp.run('auth.password_change', pg_temp.user('c'), '{}', '{"ok":false,"hash":"h2"}')), '400 current_password match', 'a wrong password changes nothing');
SELECT is((pg_temp.run('auth.password_change', pg_temp.user('c'), '{}', '{"ok":true,"hash":"h2","password_hash":"h3"}', '{"session_id":"01900000-0000-7000-8000-0000000000c1"}')).status, 204, 'the right one does');
SELECT is((SELECT array_agg(id) FROM public.sessions WHERE user_id = pg_temp.user('c')), '{01900000-0000-7000-8000-0000000000c1}', 'and ends other sessions');

INSERT INTO public.sessions (user_id, expires_at, access_until) SELECT pg_temp.user('c'), now() + interval '1 day', now() + interval '1 day' FROM generate_series(1, 40);
CREATE TEMP TABLE many AS SELECT * FROM pg_temp.run('auth.password_change', pg_temp.user('c'), '{}', '{"ok":true,"hash":"h3","password_hash":"h3"}', '{"session_id":"01900000-0000-7000-8000-0000000000c1"}');
SELECT is((SELECT array[status, cardinality(tags)] FROM many), '{204,42}', 'sessions without number');
SELECT is((SELECT change_ids FROM many), NULL, 'are more than a reply carries, and left to the sweep');
INSERT INTO public.password_resets (id, user_id, token_hash, expires_at) SELECT id, id, 't9', now() + interval '1 hour' FROM u WHERE who = 'd';
INSERT INTO public.sessions (user_id, expires_at, access_until) SELECT pg_temp.user('d'), now() + interval '1 day', now() + interval '1 day' FROM generate_series(1, 40);
SELECT matches((pg_temp.run('auth.password_reset', NULL, '{}', '{"token_hash":"t9","password_hash":"h2"}')).tags[2], '^revoked:user:', 'but a reset revokes all with one');

-- follows
CREATE FUNCTION pg_temp.follow(p_job text, p_who text, p_whom text) RETURNS text LANGUAGE sql
RETURN pg_temp.says(pg_temp.run(p_job, pg_temp.user(p_who), p_params => jsonb_build_object('id', pg_temp.user(p_whom))));
SELECT is(array[pg_temp.follow('users.follow', 'a', 'b'), pg_temp.follow('users.follow', 'a', 'b'), pg_temp.follow('users.follow', 'c', 'b')], '{204,204,204}', 'followed, also twice');
SELECT is((SELECT (followers, following)::text FROM public.follow_counts WHERE user_id = pg_temp.user('b')), '(2,0)', 'counted once');
SELECT is(pg_temp.follow('users.follow', 'a', 'a'), '400 id self', 'not oneself');
SELECT is((pg_temp.run('users.follow', pg_temp.user('a'), p_params => '{"id":"01900000-0000-7000-8000-000000000000"}')).status, 404, 'nor nobody');
SELECT is(array[pg_temp.follow('users.unfollow', 'a', 'b'), pg_temp.follow('users.unfollow', 'a', 'b')], '{204,204}', 'no more, also twice');
SELECT is((SELECT array_agg(followers + following) FROM public.follow_counts WHERE user_id IN (pg_temp.user('a'), pg_temp.user('b'))), '{0,1}', 'counted');

-- consents
SELECT is((SELECT array_agg((pg_temp.run('consents.set', pg_temp.user('a'), jsonb_build_object('consent_type', 'analytics', 'granted', x), NULL, '{"ip":"203.0.113.9"}')).status)
    FROM unnest(ARRAY[true, true, false]) x), '{200,200,200}', 'given, given, taken back');
SELECT is((SELECT array_agg(granted ORDER BY created_at) FROM public.user_consents WHERE user_id = pg_temp.user('a')), '{t,f}', 'the history has what has changed');
SELECT is(pool.has_consent(pg_temp.user('a'), 'analytics'), false, 'the last counts');
SELECT is(pool.has_consent(pg_temp.user('a'), 'marketing'), false, 'what was never given is not');

-- leaving
SELECT is((pg_temp.run('users.delete', pg_temp.user('c'), '{}', '{"ok":true,"hash":"h3"}')).status, 200, 'left');
SELECT is(array[(SELECT count(*) FROM public.sessions WHERE user_id = pg_temp.user('c')), (SELECT count(*) FROM public.follows WHERE follower_id = pg_temp.user('c')),
    (SELECT followers FROM public.follow_counts WHERE user_id = pg_temp.user('b'))], '{0,0,0}', 'with sessions and follows');

SELECT * FROM finish();
ROLLBACK;
