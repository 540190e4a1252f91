-- Translations: what is missing, what a machine may write, what a person has said.
BEGIN;
SELECT plan(26);

SELECT is(pool.message_arguments(m), a::text[], m) FROM (VALUES ('Hello', '{}'), ('{name}!', '{name}'), ('{b} {a} {b}', '{a,b}'), ('{n, plural, one {day} other {# days, {name}}}', '{n,name}'),
    ('{', NULL), ('}', NULL), ('{a}}', NULL), ('{ x }', '{x}'), ('{!}', '{?}')) v (m, a);

SELECT is(pool.translations_sync('test', '{"en":{"a":"A","b":"B {n}","c":"C"},"de":{"a":"Ä"}}'), 1, 'a file of one text');
SELECT is((SELECT string_agg(key, ',') FROM pool.translations_missing() WHERE lang = 'de'), 'b,c', 'two are missing');
SELECT is(pool.cron_translations('2026-01-05T04:40:00Z', '{}') -> 'count', '{"jobs":5,"texts":14}', 'a job a language');
SELECT pool.cron_translations('2026-01-05T05:40:00Z', '{}');
SELECT is((SELECT count(*) FROM public.outbox WHERE job = 'translation.fill'), 5::bigint, 'once a day');
SELECT is((SELECT request #> '{body,payload,missing}' FROM public.outbox WHERE job = 'n8n.notify'), '{"ar":3,"de":2,"es":3,"fr":3,"he":3}', 'n8n is told');

CREATE TEMP TABLE job AS SELECT request FROM public.outbox WHERE request #>> '{body,lang}' = 'de';
CREATE FUNCTION pg_temp.fill(p_text text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_ctx jsonb; r pool.reply;
BEGIN
    r := jobs.translation_prepare(gen_random_uuid(), NULL, (SELECT request FROM job));
    RETURN (jobs.translation_fill(gen_random_uuid(), NULL, (SELECT request FROM job),
        jsonb_build_object('ctx', r.body::jsonb, 'result', jsonb_build_object('text', p_text, 'model', 'm'), 'cost', 7))).body;
END
$$;
SELECT ok((SELECT (body::jsonb #>> '{messages,0,content}') LIKE '%to German.%' AND body::jsonb -> 'texts' = '{"b":"B {n}","c":"C"}' FROM job, jobs.translation_prepare(gen_random_uuid(), NULL, request)), 'the prompt');
SELECT is(pg_temp.fill(t), '{"status":"done","translated":0,"refused":2}', coalesce(t, 'nothing')) FROM unnest(ARRAY[NULL, 'Sorry!', '[]', '{"b":"B {m}","c":""}', '{"b":1}']) t;
SELECT is(pg_temp.fill(E'```json\n{"b":"Be {n}","c":"Ce","a":"no"}\n```'), '{"status":"done","translated":2,"refused":0}', 'what fits is kept');
SELECT is((SELECT jsonb_object_agg(key, concat_ws(' ', state, text, model)) FROM public.translations WHERE lang = 'de'), '{"a":"reviewed Ä","b":"machine Be {n} m","c":"machine Ce m"}', 'as a machine''s');
SELECT is((SELECT sum(cost) FROM public.ai_spending), 42::numeric, 'what it cost counts');
SELECT throws_ok($$ SELECT pool.translation_review('ada', 'de', 'b', 'Be') $$, 'FN400', 'it has other arguments than the English', 'a person has to fit as well');
SELECT is(pool.translation_review('ada', 'de', 'b', 'Bee {n}'), 'Bee {n}', 'a person writes a better one');
SELECT is(pool.translations_export('de'), '{"a":"Ä","b":"Bee {n}"}', 'what was looked at goes out');

SELECT * FROM finish();
ROLLBACK;
