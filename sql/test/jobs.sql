-- Jobs through pool.settle, as the pool runs them.
BEGIN;
SELECT plan(60);

-- what the executor sends for a job of SQL alone
CREATE FUNCTION pg_temp.run(p_job text, p_user uuid, p_req jsonb, p_ctx jsonb DEFAULT NULL, p_id uuid DEFAULT gen_random_uuid(),
                            p_fp text DEFAULT 'fp') RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
BEGIN
    EXECUTE format('SELECT * FROM pool.settle($1, $2, pool.enter($3), $4, jobs.%I($1, $3, $5, $6))',
                   replace(p_job, '.', '_')) INTO s USING p_id, p_job, p_user, p_fp, p_req, p_ctx;
    RETURN s;
END
$$;

CREATE FUNCTION pg_temp.constraint_of(s pool.settled) RETURNS text LANGUAGE sql
RETURN s.status || ' ' || coalesce((s.body::json) #>> '{error,details,field}', '') || ' ' || coalesce((s.body::json) #>> '{error,details,constraint}', '');

CREATE TEMP TABLE u (who text, id uuid, session uuid);

-- signing up and in
CREATE TEMP TABLE r AS SELECT * FROM pg_temp.run('auth.signup', NULL, '{"body":{"email":"A@x.example","name":"A","timezone":"Europe/Berlin"},"meta":{}}',
    jsonb_build_object('password_hash', 'h', 'token_hash', repeat('a', 64), 'code_hash', 'c'));
SELECT is((SELECT status FROM r), 201, 'sign-up');
INSERT INTO u SELECT 'a', (body::json #>> '{user,id}')::uuid, (body::json #>> '{session,id}')::uuid FROM r;
SELECT is((SELECT tags[1] FROM r), (SELECT 'users:' || id FROM u), 'is told to caches');
INSERT INTO u SELECT 'b', (body::json #>> '{user,id}')::uuid, NULL FROM pg_temp.run('auth.signup', NULL, '{"body":{"email":"b@x.example","name":"B"},"meta":{}}',
    jsonb_build_object('password_hash', 'h', 'token_hash', repeat('b', 64), 'code_hash', 'c'));

SELECT is(pg_temp.constraint_of(pg_temp.run('auth.signup', NULL, '{"body":{"email":"a@X.example","name":"A"}}', '{}')), '409 email unique', 'an address is one account, whatever its case');
SELECT is(pg_temp.constraint_of(pg_temp.run('auth.signup', NULL, '{"body":{"email":"c@x.example","name":"A","timezone":"Mars/Olympus"}}', '{}')), '400 timezone format', 'unknown time zone');
SELECT is((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"a@x.EXAMPLE"}}')).body::json ->> 'hash', 'h', 'login finds the hash');
SELECT is((jobs.auth_login_find(NULL, NULL, '{"body":{"email":"nobody@x.example"}}')).body::json ->> 'hash', NULL, 'or none');
SELECT is((pg_temp.run('auth.login', NULL, '{"body":{"email":"a@x.example"}}', '{"ok":false,"user_id":null}')).status, 401, 'a wrong password');
SELECT is((pg_temp.run('auth.login', NULL, '{"body":{"email":"a@x.example"}}', jsonb_build_object('ok', true, 'hash', 'h', 'user_id', (SELECT id FROM u WHERE who = 'a'), 'token_hash', repeat('c', 64), 'rehash', 'h2'))).status, 200, 'login');
SELECT is((SELECT password_hash FROM public.users WHERE id = (SELECT id FROM u WHERE who = 'a')), 'h2', 'renews an old hash');

-- refresh
SELECT is((pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('0', 64), 'token_hash', repeat('1', 64)))).status, 401, 'an unknown refresh token');
SELECT is((pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('a', 64), 'token_hash', repeat('d', 64)))).status, 200, 'rotation');
SELECT is((pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('a', 64), 'token_hash', repeat('e', 64)))).status, 200, 'again within the grace');
UPDATE public.refresh_tokens SET rotated_at = now() - interval '11 seconds' WHERE token_hash = repeat('a', 64);
CREATE TEMP TABLE reuse AS SELECT * FROM pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('a', 64), 'token_hash', repeat('f', 64)));
SELECT is((SELECT status FROM reuse), 401, 'reuse after it');
SELECT ok((SELECT tags[2] LIKE 'revoked:' || (SELECT session FROM u WHERE who = 'a') || ':%' FROM reuse), 'revokes the session everywhere');
SELECT is((pg_temp.run('auth.refresh', NULL, '{}', jsonb_build_object('presented_hash', repeat('d', 64), 'token_hash', repeat('9', 64)))).status, 401, 'and its other tokens');

-- goals
CREATE TEMP TABLE g AS SELECT (body::json ->> 'id')::uuid AS id, headers FROM pg_temp.run('goals.create', (SELECT id FROM u WHERE who = 'a'), '{"body":{"title":"Gym","frequency":7}}');
SELECT is((SELECT headers FROM g), (SELECT format(E'Location: /api/v1/goals/%s\n', id) FROM g), 'a goal has a place');
SELECT is(pg_temp.constraint_of(pg_temp.run('goals.create', (SELECT id FROM u WHERE who = 'a'), '{"body":{"title":"2","frequency":1}}')), '400 is_active plan_goal_limit', 'the free plan has one');
SELECT is((pg_temp.run('goals.update', (SELECT id FROM u WHERE who = 'b'), jsonb_build_object('params', jsonb_build_object('id', (SELECT id FROM g)), 'body', '{"title":"x"}'::jsonb))).status, 404, 'another user''s goal is not there');
SELECT is((pg_temp.run('goals.update', (SELECT id FROM u WHERE who = 'a'), jsonb_build_object('params', jsonb_build_object('id', (SELECT id FROM g)), 'body', '{"title":"x"}'::jsonb, 'meta', '{"if_match":2}'::jsonb))).status, 412, 'an old version');
SELECT is((pg_temp.run('goals.update', (SELECT id FROM u WHERE who = 'a'), jsonb_build_object('params', jsonb_build_object('id', (SELECT id FROM g)), 'body', '{"description":null,"category":"c"}'::jsonb, 'meta', '{"if_match":1}'::jsonb))).body::json ->> 'version', '2', 'the current one');
SELECT is((pg_temp.run('goals.update', (SELECT id FROM u WHERE who = 'a'), jsonb_build_object('params', jsonb_build_object('id', (SELECT id FROM g)), 'body', '{}'::jsonb))).body::json ->> 'version', '2', 'nothing to change is no change');

-- check-ins
CREATE FUNCTION pg_temp.checkin(p_who text, p_date text, p_id uuid DEFAULT gen_random_uuid(), p_fp text DEFAULT 'fp') RETURNS pool.settled LANGUAGE sql
RETURN pg_temp.run('checkins.create', (SELECT id FROM u WHERE who = p_who), jsonb_build_object('params', jsonb_build_object('id', (SELECT id FROM g)),
    'body', jsonb_strip_nulls(jsonb_build_object('date', p_date, 'status', 'done'))), NULL, p_id, p_fp);
SELECT is((pg_temp.checkin('a', NULL)).body::json ->> 'date', ((now() AT TIME ZONE 'Europe/Berlin')::date)::text, 'today is the user''s today');
SELECT is(pg_temp.constraint_of(pg_temp.checkin('a', NULL)), '409 date unique', 'one a date');
SELECT is(pg_temp.constraint_of(pg_temp.checkin('a', (current_date + 2)::text)), '400 date max', 'none ahead');
SELECT is((pg_temp.checkin('b', NULL)).status, 404, 'none on somebody else''s goal');
SELECT is((pg_temp.checkin('a', '1999-12-31')).status, 201, 'an old date goes to the default partition');
SELECT is((SELECT tableoid::regclass::text FROM public.checkins WHERE date = '1999-12-31'), 'checkins_default', 'indeed');

-- exactly once
SELECT is((pg_temp.checkin('a', '2020-02-02', '01900000-0000-7000-8000-000000000001')).status, 201, 'a job');
SELECT throws_ok($$ SELECT pg_temp.checkin('a', '2020-02-03', '01900000-0000-7000-8000-000000000001') $$, '23505', NULL, 'does not settle twice');
SELECT is((SELECT count(*) FROM public.checkins WHERE date = '2020-02-03'), 0::bigint, 'and its second effect is gone');
SELECT is((SELECT status FROM pool.replay('01900000-0000-7000-8000-000000000001', 'checkins.create', (SELECT id FROM u WHERE who = 'a'), 'fp')), 201, 'its answer is kept');
SELECT is((SELECT headers FROM pool.replay('01900000-0000-7000-8000-000000000001', 'checkins.create', (SELECT id FROM u WHERE who = 'a'), 'fp')), NULL, 'a redelivery is no replay to the client');
SELECT is((SELECT status FROM pool.replay('01900000-0000-7000-8000-000000000001', 'checkins.create', (SELECT id FROM u WHERE who = 'a'), 'other')), 422, 'another request is a mismatch');
SELECT is_empty($$ SELECT * FROM pool.replay('01900000-0000-7000-8000-0000000000ff', 'x', NULL, 'fp') $$, 'nothing is known of another id');
SELECT is((pg_temp.checkin('a', '2020-02-04', '7d444840-9dc0-51d1-b245-5ffdce74fad2')).status, 201, 'with a key of the client''s');
SELECT is((SELECT headers FROM pool.replay('7d444840-9dc0-51d1-b245-5ffdce74fad2', 'x', (SELECT id FROM u WHERE who = 'a'), 'fp')), E'Idempotency-Replayed: true\n', 'it is');

-- jobs of several steps
CREATE FUNCTION pg_temp.open(p_attempt int, p_id uuid DEFAULT '01900000-0000-5000-8000-000000000002') RETURNS pool.settled LANGUAGE sql
RETURN pool.open(p_id, 'motivation.generate', pool.enter((SELECT id FROM u WHERE who = 'a')), 'fp', p_attempt,
    jobs.motivation_prepare(p_id, (SELECT id FROM u WHERE who = 'a'),
                            jsonb_build_object('body', jsonb_build_object('goal_id', (SELECT id FROM g)))));
DO $$ BEGIN PERFORM set_config('synchronous_commit', 'local', true), set_config('fitnudge.settled', '', true); END $$;
SELECT is((pg_temp.open(0)).status, 0, 'opened');
SELECT is(current_setting('synchronous_commit'), 'off', 'which waits for no disk');
SELECT is((pg_temp.open(0)).status, 409, 'not twice at a time');
SELECT is((pg_temp.open(1)).status, 0, 'but again when it is redelivered');
SELECT is((pg_temp.run('motivation.commit', (SELECT id FROM u WHERE who = 'a'), '{}', jsonb_build_object('goal_id', (SELECT id FROM g), 'text', 'Go', 'tone', 'calm',
    'language', 'en', 'source', 'ai', 'model', 'm', 'prompt_tokens', 10, 'completion_tokens', 5, 'cost', 63), '01900000-0000-5000-8000-000000000002')).status, 200, 'committed');
SELECT is(current_setting('synchronous_commit'), 'local', 'which waits as before');
DO $$ BEGIN PERFORM pool.published('{}'); END $$;
SELECT is(current_setting('synchronous_commit'), 'local', 'also with what follows in the transaction');
SELECT is((SELECT sum(cost)::bigint FROM public.ai_spending), 63::bigint, 'and paid for');
SELECT is((pg_temp.open(1)).status, 200, 'after that its answer is kept');
SELECT is((pg_temp.open(0, '01900000-0000-7000-8000-000000000003')).status, 0, 'what nobody can send again is opened');
SELECT is_empty($$ SELECT * FROM public.inbox WHERE job_id = '01900000-0000-7000-8000-000000000003' $$, 'without a mark');
SELECT is((pg_temp.open(1, '01900000-0000-7000-8000-000000000003')).status, 0, 'and when it is redelivered');
SELECT is((SELECT state FROM public.inbox WHERE job_id = '01900000-0000-7000-8000-000000000003'), 'running', 'with one');

-- yesterday's answers count
SELECT is(pool.made_on(id, '2026-01-15'), good, what) FROM (VALUES
    ('019bbef3-b000-7000-8000-000000000001'::uuid, false, 'made at midnight: perhaps not'), ('019bbf2a-9e80-7000-8000-000000000001', true, 'an hour later: on that day'),
    ('019bbf2a-9e80-5000-8000-000000000001', false, 'what is no time says nothing'), ('019bba2e-fc00-7000-8000-000000000001', false, 'the day before')) x (id, good, what);
INSERT INTO public.inbox (job_id, day, job, fingerprint, state, status) SELECT ('01900000-0000-' || v || '000-8000-00000000000a')::uuid, current_date - 1, 'consents.set', 'fp', 'done', 200 FROM unnest(ARRAY[5, 7]) v;
CREATE FUNCTION pg_temp.again(p_id uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (pool.settle(p_id, 'consents.set', NULL, 'fp', pool.ok(200, '{}'))).status;
EXCEPTION WHEN unique_violation THEN
    RETURN 'settled';
END
$$;
SELECT is(pg_temp.again(('01900000-0000-' || v || '000-8000-00000000000a')::uuid), 'settled', 'not again, an id of version ' || v) FROM unnest(ARRAY[5, 7]) v;
SELECT is(pg_temp.again(('01900000-0000-' || v || '000-8000-00000000000b')::uuid), '200', 'another one, of version ' || v) FROM unnest(ARRAY[5, 7]) v;
CREATE FUNCTION pg_temp.id_now() RETURNS uuid LANGUAGE sql
RETURN (SELECT (lpad(to_hex(ms >> 16), 8, '0') || '-' || lpad(to_hex(ms & 65535), 4, '0') || '-7000-8000-00000000000c')::uuid FROM (SELECT extract(epoch FROM now())::bigint * 1000 AS ms) x);
SELECT is(pg_temp.again(pg_temp.id_now()), '200', 'one of today');
SELECT is(pg_temp.again(pg_temp.id_now()), 'settled', 'once');

-- leaving
DELETE FROM public.users WHERE id = (SELECT id FROM u WHERE who = 'a');
SELECT is((SELECT count(*) FROM public.goals) + (SELECT count(*) FROM public.checkins) + (SELECT count(*) FROM public.motivations)
          + (SELECT count(*) FROM public.sessions WHERE user_id = (SELECT id FROM u WHERE who = 'a')), 0::bigint, 'takes everything along');

SELECT * FROM finish();
ROLLBACK;
