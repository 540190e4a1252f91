-- Media: room, uploads and their completion, speech, what becomes of objects, inactivity.
BEGIN;
SELECT plan(50);

CREATE FUNCTION pg_temp.run(p_job text, p_user uuid, p_req jsonb, p_ctx jsonb DEFAULT NULL, p_id uuid DEFAULT gen_random_uuid()) RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
BEGIN
    EXECUTE format('SELECT * FROM pool.settle($1, $2, pool.enter($3), $4, jobs.%I($1, $3, $5, $6))', replace(p_job, '.', '_')) INTO s
        USING p_id, p_job, p_user, 'fp', p_req, p_ctx;
    RETURN s;
END
$$;
CREATE FUNCTION pg_temp.constraint_of(s pool.settled) RETURNS text LANGUAGE sql
RETURN s.status || ' ' || coalesce((s.body::json) #>> '{error,details,field}', '') || ' ' || coalesce((s.body::json) #>> '{error,details,constraint}', '');
CREATE FUNCTION pg_temp.upload(p_user uuid, p_bytes bigint, p_kind text DEFAULT 'image', p_type text DEFAULT 'image/png', p_ttl int DEFAULT 3600) RETURNS pool.settled LANGUAGE sql
RETURN pg_temp.run('media.upload', p_user, jsonb_build_object('body', jsonb_build_object('kind', p_kind, 'content_type', p_type, 'bytes', p_bytes), 'meta', '{}'::jsonb),
                   jsonb_build_object('ttl_s', p_ttl));
CREATE FUNCTION pg_temp.with_id(p_id uuid) RETURNS jsonb LANGUAGE sql RETURN jsonb_build_object('params', jsonb_build_object('id', p_id), 'body', '{}'::jsonb, 'meta', '{}'::jsonb);
CREATE FUNCTION pg_temp.complete(p_user uuid, p_id uuid, p_result jsonb) RETURNS pool.settled LANGUAGE sql
RETURN pg_temp.run('media.complete', p_user, pg_temp.with_id(p_id), jsonb_build_object('result', p_result));
-- deletions of objects that are queued: now, and later
CREATE FUNCTION pg_temp.deletions(p_key text) RETURNS text LANGUAGE sql
RETURN (SELECT count(*) FILTER (WHERE run_at IS NULL) || ' ' || count(*) FILTER (WHERE run_at IS NOT NULL) FROM public.outbox WHERE job = 'media.delete' AND request #>> '{body,key}' = p_key);

INSERT INTO public.users (id, email, name, plan) VALUES
    ('01900000-0000-7000-8000-00000000000a', 'ma@x.example', 'A', 'free'), ('01900000-0000-7000-8000-00000000000b', 'mb@x.example', 'B', 'pro');
CREATE TEMP TABLE u AS SELECT '01900000-0000-7000-8000-00000000000a'::uuid AS a, '01900000-0000-7000-8000-00000000000b'::uuid AS b;

-- uploads
CREATE TEMP TABLE r AS SELECT (s).* FROM (SELECT pg_temp.upload(a, 1000) AS s FROM u) q;
CREATE TEMP TABLE m AS SELECT (body::json ->> 'media_id')::uuid AS id, body::json ->> 'key' AS key FROM r;
SELECT is((SELECT status FROM r), 201, 'an upload is allowed');
SELECT matches((SELECT key FROM m), '^private/01900000-0000-7000-8000-00000000000a/image/[0-9a-f-]{36}\.png$', 'under a key of its user');
SELECT is((SELECT body::json ->> 'upload_url' FROM r), (SELECT concat('r2:put:', floor(extract(epoch FROM upload_until)), ':1000:image/png:', media.key) FROM public.media, m WHERE media.id = m.id),
    'at an address for exactly that');
SELECT is((SELECT tags FROM r), (SELECT ARRAY['media:' || a] FROM u), 'caches are told');
SELECT is(pg_temp.constraint_of(pg_temp.upload(a, 1, 'voice', 'image/png')), '400 content_type enum', 'a type goes with its kind') FROM u;
SELECT is(pg_temp.constraint_of(pg_temp.upload(a, 1, 'image', 'audio/mpeg')), '400 content_type enum', 'the other way round') FROM u;
SELECT is((pg_temp.upload(gen_random_uuid(), 1)).status, 404, 'somebody who has left');
SELECT is((pg_temp.run('media.upload', a, '{"body":{"kind":"image","content_type":"image/png","bytes":1},"meta":{}}', '{"ttl_s":null}')).status, 503, 'no storage') FROM u;
SELECT is((SELECT count(*) FROM public.inbox WHERE job = 'media.upload' AND state = 'failed' AND status = 503), 1::bigint, 'is no outcome to be kept');

-- completion
SELECT is((jobs.media_complete_prepare(NULL, b, pg_temp.with_id(m.id))).status, 404, 'another''s upload is not there') FROM u, m;
SELECT is((jobs.media_complete_prepare(NULL, a, pg_temp.with_id(m.id))).body::json ->> 'key', m.key, 'its owner''s is looked at') FROM u, m WHERE set_config('request.user_id', a::text, true) <> '';
SELECT is((pg_temp.complete(a, m.id, NULL)).status, 503, 'the storage does not say') FROM u, m;
SELECT is(pg_temp.constraint_of(pg_temp.complete(a, m.id, '{"exists":false,"bytes":0,"content_type":null}')), '409 id uploaded', 'nothing is there yet') FROM u, m;
SELECT is((pg_temp.complete(b, m.id, '{"exists":true,"bytes":1000,"content_type":"image/png"}')).status, 404, 'not another''s') FROM u, m;
SELECT ok(NOT jobs.check_media(a, ARRAY[m.id]), 'it cannot be used yet') FROM u, m WHERE set_config('request.user_id', a::text, true) <> '';
SELECT is((pg_temp.complete(a, m.id, '{"exists":true,"bytes":1000,"content_type":"Image/PNG; x=y"}')).body::json ->> 'url', 'r2:' || m.key, 'it is there') FROM u, m;
SELECT is((pg_temp.complete(a, m.id, NULL)).status, 200, 'a second time is no harm') FROM u, m;
SELECT set_config('request.user_id', a::text, true) FROM u;
SELECT ok(jobs.check_media(a, ARRAY[m.id, m.id]), 'now it can be used') FROM u, m;
SELECT ok(jobs.check_media(a, '{}'), 'none is fine, too') FROM u;
SELECT ok(NOT jobs.check_media(a, ARRAY[m.id, gen_random_uuid()]), 'not with one that is not there') FROM u, m;
SELECT set_config('request.user_id', b::text, true) FROM u;
SELECT ok(NOT jobs.check_media(b, ARRAY[m.id]), 'nor by another') FROM u, m;

CREATE TEMP TABLE w AS SELECT (s).body::json ->> 'media_id' AS id, (s).body::json ->> 'key' AS key FROM (SELECT pg_temp.upload(a, 50) AS s FROM u, generate_series(1, 2)) q;
SELECT is(pg_temp.constraint_of(pg_temp.complete(a, (SELECT id::uuid FROM w LIMIT 1), '{"exists":true,"bytes":51,"content_type":"image/png"}')), '400 bytes mismatch', 'another length') FROM u;
SELECT is(pg_temp.constraint_of(pg_temp.complete(a, (SELECT id::uuid FROM w OFFSET 1), '{"exists":true,"bytes":50,"content_type":"text/html"}')), '400 content_type mismatch', 'another type') FROM u;
SELECT is((SELECT count(*) FROM public.media JOIN w ON w.id::uuid = media.id), 0::bigint, 'both are gone');
SELECT results_eq('SELECT pg_temp.deletions(key) FROM w', ARRAY['1 1', '1 1'], 'their objects too, and once more when nobody can upload any longer');

-- room
SELECT is((SELECT count(*) FROM (SELECT (pg_temp.upload(a, 10485760)).status FROM u, generate_series(1, 11)) q WHERE status = 201), 9::bigint, 'the free plan has 100 MB');
SELECT is(pg_temp.constraint_of(pg_temp.upload(a, 10485760)), '400 bytes plan_storage_limit', 'no more') FROM u;
SELECT is((pg_temp.upload(a, 104857600 - 9 * 10485760 - 1000)).status, 201, 'to the last byte') FROM u;
SELECT is((pg_temp.upload(a, 1)).status, 400, 'and not one more') FROM u;
SELECT set_config('request.user_id', a::text, true) FROM u;
SELECT is(api.media_list(a, NULL, NULL, 20)::json ->> 'storage', '{"used":104857600,"limit":104857600}', 'the list says so') FROM u;
SELECT is(json_array_length(api.media_list(a, NULL, NULL, 20)::json -> 'media'), 1, 'and shows what is complete') FROM u;
UPDATE public.users SET plan = 'elite' WHERE id = (SELECT a FROM u);
SELECT is((pg_temp.upload(a, 10485760)).status, 201, 'a paid plan has more') FROM u;

-- speech
CREATE TEMP TABLE v AS SELECT '01900000-0000-7000-8000-0000000000f1'::uuid AS id;
INSERT INTO public.goals (id, user_id, title, frequency) SELECT '01900000-0000-7000-8000-0000000000e1', b, 'Run', 3 FROM u;
INSERT INTO public.motivations (id, user_id, goal_id, text, tone, language, source) SELECT '01900000-0000-7000-8000-0000000000d1', b, '01900000-0000-7000-8000-0000000000e1', 'Go!', 'calm', 'en', 'fallback' FROM u;
SELECT is((pg_temp.run('voice.create', b, '{"body":{"motivation_id":"01900000-0000-7000-8000-0000000000d1"},"meta":{}}',
    '{"result":{"key":"private/x/voice/y.mp3","bytes":4000}}', v.id)).body, '{"voice_url":"r2:private/x/voice/y.mp3"}', 'speech') FROM u, v;
SELECT is((SELECT kind || ' ' || state || ' ' || bytes FROM public.media, v WHERE media.id = v.id), 'voice ready 4000', 'is media, and takes room');
SELECT set_config('request.user_id', b::text, true) FROM u;
SELECT is(api.media_list(b, 'image', NULL, 20)::json ->> 'media', '[]', 'no image') FROM u;
SELECT is(api.media_list(b, 'voice', NULL, 20)::json #>> '{media,0,motivation_id}', '01900000-0000-7000-8000-0000000000d1', 'but listed as what it is') FROM u;
SELECT is(api.motivations_get(b, '01900000-0000-7000-8000-0000000000d1')::json ->> 'voice_url', 'r2:private/x/voice/y.mp3', 'and with its message') FROM u;
SELECT pg_temp.run('voice.create', b, '{"body":{"motivation_id":"01900000-0000-7000-8000-0000000000d1"},"meta":{}}',
    '{"result":{"key":"private/x/voice/z.mp3","bytes":4000}}', '01900000-0000-7000-8000-0000000000f2') FROM u;
DELETE FROM public.media WHERE id = '01900000-0000-7000-8000-0000000000f1';
SELECT is((SELECT voice_url FROM public.motivations WHERE id = '01900000-0000-7000-8000-0000000000d1'), 'r2:private/x/voice/z.mp3', 'which has the last there is');
DELETE FROM public.media WHERE id = '01900000-0000-7000-8000-0000000000f2';
SELECT is((SELECT voice_url FROM public.motivations WHERE id = '01900000-0000-7000-8000-0000000000d1'), NULL, 'or none');
SELECT pg_temp.run('voice.create', b, '{"body":{"motivation_id":"01900000-0000-7000-8000-0000000000d1"},"meta":{}}',
    '{"result":{"key":"private/x/voice/w.mp3","bytes":4000}}', '01900000-0000-7000-8000-0000000000f3') FROM u;
DELETE FROM public.goals WHERE id = '01900000-0000-7000-8000-0000000000e1';
SELECT is((SELECT count(*) FROM public.media WHERE id = '01900000-0000-7000-8000-0000000000f3'), 0::bigint, 'goes with its message');
SELECT is(pg_temp.deletions('private/x/voice/w.mp3'), '1 0', 'and its object with it');
INSERT INTO public.media (user_id, kind, content_type, bytes, key, state, completed_at)
    SELECT b, 'image', 'image/png', CASE n WHEN 103 THEN 4194304 - 10 ELSE 10485760 END, 'private/b/' || n, 'ready', now() FROM u, generate_series(1, 103) n;
SELECT is(pg_temp.constraint_of(pg_temp.run('voice.create', b, '{"body":{"text":"x"},"meta":{}}', '{"result":{"key":"private/b/full.mp3","bytes":11}}')), '400  plan_storage_limit', 'speech for which there is no room') FROM u;
SELECT is(pg_temp.deletions('private/b/full.mp3'), '1 0', 'is deleted');

-- by the clock
SELECT is((pool.cron_media(now() + interval '23 hours', '{}') #>> '{count,orphans}')::int, 0, 'an upload may take a day');
UPDATE public.media SET upload_until = now() + interval '2 days' WHERE id = (SELECT id FROM public.media WHERE state = 'pending' LIMIT 1);
SELECT is((pool.cron_media(now() + interval '25 hours', '{}') #>> '{count,orphans}')::int, 10, 'and no longer, unless its address is still good');
SELECT is(pool.purge_media(now() + interval '89 days', 500), 0, 'who was here 89 days ago keeps all');
UPDATE public.user_activity SET active_on = active_on + 30 WHERE user_id = (SELECT a FROM u);
INSERT INTO public.goals (id, user_id, title, frequency) SELECT '01900000-0000-7000-8000-0000000000e2', b, 'Swim', 3 FROM u;
INSERT INTO public.checkins (user_id, goal_id, date, status, created_at) SELECT b, '01900000-0000-7000-8000-0000000000e2', current_date - 5, 'done', now() + interval '30 days' FROM u;
SELECT is(pool.purge_media(now() + interval '91 days', 500), 0, 'who has checked in since keeps all');
DELETE FROM public.goals WHERE id = '01900000-0000-7000-8000-0000000000e2';
SELECT results_eq($$ SELECT pool.purge_media(now() + interval '91 days', 500) FROM generate_series(1, 3) $$, ARRAY[500, 500, 3], 'who was not for 90 days keeps nothing');
DELETE FROM public.users WHERE id = (SELECT a FROM u);
SELECT is((SELECT count(*) FROM public.media m, m AS first WHERE m.id = first.id), 0::bigint, 'of an account that goes nothing is left');
SELECT is((SELECT pg_temp.deletions(key) FROM m), '1 1', 'in the storage either');

SELECT * FROM finish();
ROLLBACK;
