-- Mails: what is kept of one until it has ended, and what becomes of one that begins anew with nothing but its id. And the AI's budget.
BEGIN;
SELECT plan(21);

CREATE TEMP TABLE p AS
    WITH u AS (INSERT INTO public.users (email, name) VALUES ('mails@example.com', 'M'), ('other@example.com', 'O') RETURNING id, email)
    SELECT (SELECT id FROM u WHERE email LIKE 'mails%') AS id, (SELECT id FROM u WHERE email LIKE 'other%') AS other;

CREATE FUNCTION pg_temp.prepare(p_id uuid, p_body jsonb, p_user uuid DEFAULT NULL) RETURNS pool.reply LANGUAGE sql AS $$
    SELECT jobs.mail_prepare(p_id, coalesce(p_user, (SELECT p.id FROM p)), jsonb_build_object('params', '{}'::jsonb, 'body', p_body, 'meta', '{}'::jsonb))
$$;
CREATE FUNCTION pg_temp.send(p_id uuid, p_ctx jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT (jobs.mail_send(p_id, (SELECT p.id FROM p), '{"params":{},"body":{},"meta":{}}', p_ctx)).body::json ->> 'status'
$$;
CREATE FUNCTION pg_temp.mail(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT format('01900000-0000-7000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.letter(p_to text DEFAULT 'm@example.com') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('template', 'verification', 'to', p_to, 'name', 'M', 'language', 'en', 'vars', jsonb_build_object('verification_code', '1'))
$$;

SELECT is((pg_temp.prepare(pg_temp.mail(1), pg_temp.letter())).status, 0, 'a mail is to be sent');
SELECT is((SELECT content #>> '{vars,verification_code}' FROM public.mails WHERE id = pg_temp.mail(1)), '1', 'what it says is kept');
SELECT is((pg_temp.prepare(pg_temp.mail(1), pg_temp.letter('else@example.com'))).body::json ->> 'to', 'm@example.com', 'delivered again it is the same');
SELECT is((pg_temp.prepare(pg_temp.mail(1), '{}')).body::json #>> '{vars,verification_code}', '1', 'and with its id alone');
SELECT is((pg_temp.prepare(pg_temp.mail(1), '{}', (SELECT other FROM p))).body, '{"status":"lost"}', 'not for somebody else');
SELECT is(pg_temp.send(pg_temp.mail(1), '{"ctx":{"to":"m@example.com"},"result":{"message_id":"<1@x>","refused":false,"status":250},"off":false}'), 'sent', 'it is sent');
SELECT is((SELECT content FROM public.mails WHERE id = pg_temp.mail(1)), NULL, 'then nothing of it is kept');
SELECT is((pg_temp.prepare(pg_temp.mail(1), '{}')).body::json ->> 'status', 'sent', 'begun anew it was sent');
SELECT is((pg_temp.prepare(pg_temp.mail(2), '{}')).body, '{"status":"lost"}', 'one that nobody knows is lost');

SELECT is((pg_temp.prepare(pg_temp.mail(3), pg_temp.letter())).status, 0, 'another');
SELECT is(pg_temp.send(pg_temp.mail(3), '{"ctx":{"unanswered":2,"to":"m@example.com"},"result":null,"off":false}'), 'unknown', 'of which no reply came');
SELECT is((pg_temp.prepare(pg_temp.mail(4), pg_temp.letter())).status, 0, 'another');
SELECT is((pg_temp.prepare(pg_temp.mail(4), '{"called":true}')).body::json ->> 'status', 'unknown', 'that died after its call');
SELECT is((SELECT content FROM public.mails WHERE id = pg_temp.mail(4)), NULL, 'is over');
SELECT is((pg_temp.prepare(pg_temp.mail(5), pg_temp.letter())).status, 0, 'another');
SELECT is(pg_temp.send(pg_temp.mail(5), '{"ctx":{"unanswered":1,"to":"No@Example.com"},"result":{"message_id":null,"refused":true,"status":550},"off":false}'), 'failed', 'whose address is refused');
SELECT is((SELECT reason FROM public.mail_suppressions WHERE address_hash = pool.address_hash('no@example.com')), 'bounce', 'which is remembered');

INSERT INTO public.mails (id, user_id, template, language, recipient, status, content, created_at)
SELECT pg_temp.mail(100 + n), p.id, 'welcome', 'en', 'x', 'sending', '{}', now() - make_interval(days => n) FROM p, generate_series(89, 95) n;
CREATE FUNCTION pg_temp.clean_up() RETURNS int LANGUAGE sql AS $$
    SELECT coalesce((pool.cron_cleanup(now(), '{"at":"0000000051 mail_history"}') #>> '{count,mail_history}')::int, 0)
$$;
SELECT is(pg_temp.clean_up(), 4, 'what was never sent is forgotten');
SELECT is(pg_temp.clean_up(), 0, 'when its dead letter is gone as well');
SELECT is((SELECT string_agg((right(id::text, 3)::int - 100)::text, ' ' ORDER BY id) FROM public.mails WHERE status = 'sending' AND id >= pg_temp.mail(100)), '89 90 91', 'not before');

INSERT INTO public.ai_spending (day, shard, cost) VALUES ((now() AT TIME ZONE 'UTC')::date, 100, 7), ('2020-01-01', 100, 1000);
SELECT is((SELECT today >= 7 AND month >= today AND day_ends > extract(epoch FROM now()) AND month_ends >= day_ends FROM pool.ai_budget()), true, 'what the AI has cost');

SELECT * FROM finish();
ROLLBACK;
