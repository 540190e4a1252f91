-- Feature flags: LaunchDarkly's buckets and order of evaluation; what operators may do.
BEGIN;
SELECT plan(91);

INSERT INTO public.users (id, email, name, plan, country, language) VALUES
    ('00000000-0000-4000-8000-00000000f001', 'f1@x.example', 'F1', 'pro', 'US', 'es'),
    ('00000000-0000-4000-8000-00000000f002', 'f2@x.example', 'F2', 'free', NULL, 'en');

-- --- buckets: the published vectors ---------------------------------------------------------------
CREATE FUNCTION pg_temp.b(p_user text, p_seed bigint DEFAULT NULL) RETURNS real LANGUAGE sql
RETURN pool.flag_bucket(jsonb_build_object('key', p_user), 'key', 'hashKey', 'saltyA', p_seed);

SELECT is(pg_temp.b('userKeyA'), 0.42157587::real, 'userKeyA');
SELECT is(pg_temp.b('userKeyB'), 0.6708485::real, 'userKeyB');
SELECT is(pg_temp.b('userKeyC'), 0.10343106::real, 'userKeyC');
SELECT is(pg_temp.b('userKeyA', 61), 0.09801207::real, 'userKeyA with a seed');
SELECT is(pg_temp.b('userKeyB', 61), 0.14483777::real, 'userKeyB with a seed');
SELECT is(pg_temp.b('userKeyC', 61), 0.9242641::real, 'userKeyC with a seed');
SELECT is(pool.flag_bucket('{"key":"x","n":33333}', 'n', 'hashKey', 'saltyA', NULL), 0.54771423::real, 'by an integer');
SELECT is(pool.flag_bucket('{"key":"x","n":"33333"}', 'n', 'hashKey', 'saltyA', NULL), 0.54771423::real, 'which is as its text');
SELECT is(pool.flag_bucket('{"key":"x","n":33333.0}', 'n', 'hashKey', 'saltyA', NULL), 0.54771423::real, 'however it is written');
SELECT is(pool.flag_bucket('{"key":"x","n":999.999}', 'n', 'hashKey', 'saltyA', NULL), 0::real, 'a fraction is none');
SELECT is(pool.flag_bucket('{"key":"x","n":true}', 'n', 'hashKey', 'saltyA', NULL), 0::real, 'nor a boolean');
SELECT is(pool.flag_bucket('{"key":"x"}', 'n', 'hashKey', 'saltyA', NULL), 0::real, 'a missing attribute is 0');

CREATE FUNCTION pg_temp.choose(p_choice jsonb, p_user text) RETURNS int LANGUAGE sql
RETURN pool.flag_choose(p_choice, jsonb_build_object('key', p_user, 'n', 5), 'hashKey', 'saltyA');
SELECT is(pg_temp.choose('{"rollout":{"variations":[{"variation":0,"weight":60000},{"variation":1,"weight":40000}]}}', 'userKeyA'), 0, 'userKeyA is among 60 %');
SELECT is(pg_temp.choose('{"rollout":{"variations":[{"variation":0,"weight":60000},{"variation":1,"weight":40000}]}}', 'userKeyB'), 1, 'userKeyB is not');
SELECT is(pg_temp.choose('{"rollout":{"variations":[{"variation":0,"weight":1},{"variation":1,"weight":0},{"variation":2,"weight":0}]}}', 'userKeyB'), 2, 'past the end: the last one');
SELECT is(pg_temp.choose('{"rollout":{"bucketBy":"country","variations":[{"variation":3,"weight":1},{"variation":1,"weight":99999}]}}', 'userKeyB'), 3, 'what is missing has bucket 0');
SELECT is(pg_temp.choose('{"rollout":{"contextKind":"device","variations":[{"variation":3,"weight":1},{"variation":1,"weight":99999}]}}', 'userKeyB'), 3, 'and so has another kind of context');
SELECT is(pg_temp.choose('{"rollout":{"kind":"experiment","seed":61,"bucketBy":"n","variations":[{"variation":0,"weight":10000},{"variation":1,"weight":20000},{"variation":2,"weight":70000}]}}', u),
    v, u || ' in an experiment: by key and seed') FROM (VALUES ('userKeyA', 0), ('userKeyB', 1), ('userKeyC', 2)) x (u, v);
SELECT ok((SELECT count(*) FROM generate_series(1, 4000) i WHERE pool.flag_bucket(jsonb_build_object('key', 'u' || i), 'key', 'new-ui-design', 's', NULL) < 0.25)
    BETWEEN 900 AND 1100, 'a quarter is a quarter');

-- --- operators -----------------------------------------------------------------------------------
SELECT is(pool.flag_compare(op, a::jsonb, b::jsonb), e, concat_ws(' ', a, op, b)) FROM (VALUES
    ('in', '"x"', '"x"', true), ('in', '1', '"1"', false), ('in', '1', '1.0', true), ('startsWith', '"xyz"', '"x"', true), ('endsWith', '"xyz"', '"yz"', true),
    ('endsWith', '"z"', '"yz"', false), ('contains', '"xyz"', '"y"', true), ('contains', '"x_z"', '"%"', false), ('startsWith', '1', '"1"', false),
    ('matches', '"hello world"', '"hello.*rld"', true), ('matches', '"aaaa"', '"(a)\\1"', false), ('matches', '"x"', '"("', false),
    ('lessThan', '1', '1.99999', true), ('lessThan', '"1"', '2', false), ('lessThanOrEqual', '1', '1', true), ('greaterThan', '2', '1.99', true),
    ('greaterThanOrEqual', '1', '2', false), ('before', '0', '1', true), ('before', '"1970-01-01T00:00:00Z"', '1000', true),
    ('after', '"1970-01-01T00:00:02.500Z"', '"1970-01-01T00:00:02+00:00"', true), ('after', '"1970-01-01 00:00:02Z"', '0', false), ('before', '"2026-13-99T00:00:00Z"', '0', false),
    ('semVerEqual', '"2.0"', '"2.0.0"', true), ('semVerEqual', '"2.0.0+build"', '"2"', true), ('semVerLessThan', '"2.9.0"', '"2.10.0"', true),
    ('semVerLessThan', '"2.0.0-rc.1"', '"2.0.0"', true), ('semVerLessThan', '"2.0.0-rc.9"', '"2.0.0-rc.10"', true), ('semVerLessThan', '"2.0.0-9"', '"2.0.0-rc"', true),
    ('semVerGreaterThan', '"2.0.0-rc.1"', '"2.0.0-rc"', true), ('semVerGreaterThan', '"02.0.0"', '"1.0.0"', false), ('noSuch', '"x"', '"x"', false)) x (op, a, b, e);

-- --- order of evaluation -------------------------------------------------------------------------
SELECT lives_ok($$ SELECT pool.flag_put('test', 'create', 't-need', '{"on":true,"stage":"production"}', NULL, NULL, true) $$, 'a flag is made');
SELECT lives_ok($$ SELECT pool.flag_put('test', 'create', 't', '{"on":true,"stage":"production","variations":["off","fall","target","rule"],"offVariation":0,"fallthrough":{"variation":1},
    "targets":[{"variation":2,"values":["00000000-0000-4000-8000-00000000f002"]}],
    "rules":[{"clauses":[{"attribute":"plan","op":"in","values":["pro"]},{"attribute":"country","op":"in","values":["CA"],"negate":true}],"variation":3}],
    "prerequisites":[{"key":"t-need","variation":0}]}', NULL, NULL, true) $$, 'and one that needs it');

CREATE FUNCTION pg_temp.t(p_context jsonb) RETURNS text LANGUAGE sql
RETURN (SELECT concat_ws(' ', f.variations ->> e.variation, e.reason) FROM public.flags f, pool.flag_evaluate(f, p_context, 0) e WHERE f.key = 't');
SELECT is(pg_temp.t('{"key":"00000000-0000-4000-8000-00000000f002","plan":"pro","country":"US"}'), 'target TARGET_MATCH', 'targets come before rules');
SELECT is(pg_temp.t('{"key":"x","plan":"pro","country":"US"}'), 'rule RULE_MATCH', 'rules next');
SELECT is(pg_temp.t('{"key":"x","plan":"pro","country":"CA"}'), 'fall FALLTHROUGH', 'all clauses have to hold');
SELECT is(pg_temp.t('{"key":"x","plan":"pro"}'), 'fall FALLTHROUGH', 'a missing attribute fails a negated clause as well');
SELECT pool.flag_put('test', 'off', 't-need', '{"on":false}');
SELECT is(pg_temp.t('{"key":"x","plan":"pro","country":"US"}'), 'off PREREQUISITE_FAILED', 'a prerequisite that is off fails');
SELECT pool.flag_put('test', 'off', 't', '{"on":false}');
SELECT is(pg_temp.t('{"key":"x"}'), 'off OFF', 'off is off');

-- --- segments, stages ----------------------------------------------------------------------------
INSERT INTO public.segments (key, rules) VALUES ('t-seg', '[{"clauses":[{"attribute":"country","op":"in","values":["US"]}]},{"clauses":[{"attribute":"plan","op":"in","values":["free"]}],"weight":0}]');
SELECT is(pool.in_segment('t-seg', '{"key":"00000000-0000-4000-8000-00000000f001","country":"US"}'), true, 'a segment by rule');
SELECT is(pool.in_segment('t-seg', '{"key":"00000000-0000-4000-8000-00000000f002","plan":"free"}'), false, 'none of nought percent');
SELECT pool.segment_put('test', 't-seg', '00000000-0000-4000-8000-00000000f001', false);
SELECT is(pool.in_segment('t-seg', '{"key":"00000000-0000-4000-8000-00000000f001","country":"US"}'), false, 'who is kept out is out');

CREATE FUNCTION pg_temp.flags(p_user uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.user_id', p_user::text, true);
    RETURN api.flags(p_user, 'ios', '1.0.0')::jsonb -> 'flags';
END
$$;
SELECT is(pg_temp.flags('00000000-0000-4000-8000-00000000f001') - ARRAY['t', 't-need', 'new-ui-design'],
    '{"multiple-goals":false,"ai-voice-messages":true,"experimental-ui":false,"advanced-analytics":true,"local-gym-integration":true,"social-features":false}', 'the product''s flags, for a Pro');
SELECT pool.segment_put('test', 'beta', '00000000-0000-4000-8000-00000000f002', true);
SELECT is(pg_temp.flags('00000000-0000-4000-8000-00000000f002') - ARRAY['t', 't-need', 'new-ui-design'],
    '{"multiple-goals":false,"ai-voice-messages":false,"experimental-ui":true,"advanced-analytics":false,"local-gym-integration":false,"social-features":false}', 'and for a beta tester');
INSERT INTO public.goals (id, user_id, title, frequency) VALUES ('00000000-0000-4000-8000-00000000f011', '00000000-0000-4000-8000-00000000f002', 'x', 7);
INSERT INTO public.checkins (goal_id, user_id, date, status) SELECT '00000000-0000-4000-8000-00000000f011', '00000000-0000-4000-8000-00000000f002', current_date - n, 'done' FROM generate_series(0, 21) n;
SELECT is(pg_temp.flags('00000000-0000-4000-8000-00000000f002') -> 'social-features', 'true', 'who is active is targeted');
SELECT is(pg_temp.flags('00000000-0000-4000-8000-0000000000ff'), NULL, 'nobody has no flags');
SELECT pool.flag_put('test', 'put', 't', '{"on":true,"stage":"staging","prerequisites":[]}');
SELECT is(pg_temp.t('{"key":"x"}'), 'off OFF', 'what is in staging is off in production');
SET LOCAL fitnudge.stage = 'staging';
SELECT is(pg_temp.t('{"key":"x"}'), 'fall FALLTHROUGH', 'and on where staging is');
SET LOCAL fitnudge.stage = '';

-- --- operators' functions ------------------------------------------------------------------------
SELECT throws_ok(format('SELECT pool.flag_put(%L, %L, %L, %L)', 'test', 'put', 't', c), 'FN400', NULL, c) FROM unnest(ARRAY[
    '{"no":1}', '{"on":"x"}', '{"stage":"x"}', '{"offVariation":4}', '{"fallthrough":{"variation":9}}', '{"fallthrough":{"rollout":{"variations":[{"variation":0,"weight":1}]}}}',
    '{"rules":[{"clauses":[{"attribute":"x","op":"eval","values":[1]}],"variation":0}]}', '{"rules":[{"clauses":[{"attribute":"x","op":"matches","values":["a{9}"]}],"variation":0}]}',
    '{"rules":[{"clauses":[{"op":"segmentMatch","values":["nobody"]}],"variation":0}]}', '{"prerequisites":[{"key":"t","variation":0}]}', '{"targets":[1]}', '{"rules":{}}']) c;
SELECT throws_ok($$ SELECT pool.flag_put('test', 'put', 'none', '{}') $$, 'FN404', NULL, 'an unknown flag');
SELECT throws_ok($$ SELECT pool.flag_put('test', 'put', 't', '{}', NULL, 1) $$, 'FN412', NULL, 'an old version');

SELECT pool.enter(NULL);
SELECT is(pool.flag_kill('ada', 't', 'it hurts') ->> 'on', 'false', 'a flag is killed');
SELECT is(current_setting('fitnudge.tags'), 'flags', 'everybody is told');
SELECT ok((SELECT tags = '{flags}' AND id::text = current_setting('fitnudge.changes') FROM public.change_outbox ORDER BY id DESC LIMIT 1), 'by a change row');
SELECT is((SELECT request #>> '{body,text}' FROM public.outbox WHERE job = 'alert.send'), 'Feature flag t was switched off for everybody by ada: it hurts', 'the team, too');
SELECT ok((SELECT done_by = 'ada' AND action = 'kill' AND reason = 'it hurts' AND before ->> 'on' = 'true' AND after ->> 'on' = 'false' FROM public.flag_audit ORDER BY id DESC LIMIT 1),
    'who, why, from what to what');

SELECT is(pool.flag_on('00000000-0000-4000-8000-00000000f002', 'multiple-goals'), false, 'one goal on the free plan');
SELECT pool.flag_put('test', 'on', 'multiple-goals', '{"on":true}');
SELECT is(pool.flag_on('00000000-0000-4000-8000-00000000f002', 'multiple-goals'), true, 'until the flag says otherwise');
SELECT is(pool.flag_on('00000000-0000-4000-8000-00000000f002', 'no-such-flag'), false, 'what is no flag is off');

SELECT * FROM finish();
ROLLBACK;
