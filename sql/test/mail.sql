-- What becomes of mails: events of the webhook, opens and clicks, who gets what, the numbers.
BEGIN;
SELECT plan(42);

CREATE FUNCTION pg_temp.run(p_job text, p_req jsonb) RETURNS pool.settled
LANGUAGE plpgsql AS $$
DECLARE
    s pool.settled;
BEGIN
    EXECUTE format('SELECT * FROM pool.settle($1, $2, pool.enter(NULL), ''fp'', jobs.%I($1, NULL, $3, NULL))', p_job) INTO s
        USING gen_random_uuid(), p_job, p_req || '{"meta":{}}';
    RETURN s;
END
$$;
CREATE FUNCTION pg_temp.events(VARIADIC p_events jsonb[]) RETURNS text LANGUAGE sql
RETURN (pg_temp.run('mail_events', jsonb_build_object('body', jsonb_build_object('events', to_jsonb(p_events))))).body;

CREATE TEMP TABLE k (u uuid, m uuid, n uuid);
INSERT INTO k VALUES ('01900000-0000-7000-8000-00000000000a', '01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-0000000000a2');
INSERT INTO public.users (id, email, name) SELECT u, 'ann@x.example', 'Ann' FROM k;
INSERT INTO public.mails (id, user_id, template, language, recipient, status) SELECT unnest(ARRAY[m, n]), u, 'welcome', 'en', 'ann@x.example', 'sent' FROM k;

CREATE FUNCTION pg_temp.event(p_id text, p_event text, p_more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('sg_event_id', p_id, 'event', p_event, 'email', 'Ann@X.example', 'timestamp', floor(extract(epoch FROM now()))::bigint - 60,
                          'smtp-id', (SELECT '<' || m || '@fitnudge.example>' FROM k)) || p_more;
CREATE FUNCTION pg_temp.mail(p_column text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
    EXECUTE format('SELECT x.%I::text FROM public.mails x, k WHERE x.id = k.m', p_column) INTO v;
    RETURN v;
END
$$;
CREATE FUNCTION pg_temp.stopped(p_template text) RETURNS boolean LANGUAGE sql RETURN (SELECT pool.mail_stopped(u, p_template, 'ann@x.EXAMPLE') FROM k);
CREATE FUNCTION pg_temp.reasons() RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(reason, ' ' ORDER BY reason) FROM public.mail_suppressions WHERE address_hash = pool.address_hash('ann@x.example'));
CREATE FUNCTION pg_temp.again() RETURNS void LANGUAGE sql AS $$ DELETE FROM public.mail_suppressions; DELETE FROM public.mail_unsubscriptions $$;

-- each event
SELECT is(pg_temp.events(pg_temp.event('p', 'processed')), '{"received" : 1, "new" : 1}', 'one that is nothing to us');
SELECT is(pg_temp.mail('delivered_at'), NULL, 'changes nothing');
SELECT pg_temp.events(pg_temp.event('d', 'delivered'), pg_temp.event('f', 'deferred'));
SELECT is(pg_temp.mail('delivered_at')::timestamptz, to_timestamp(floor(extract(epoch FROM now())) - 60), 'delivered, when the sender says');
SELECT isnt(pg_temp.mail('deferred_at'), NULL, 'deferred');
SELECT is(pg_temp.events(pg_temp.event('o1', 'open'), pg_temp.event('o1', 'open'), pg_temp.event('o2', 'open')), '{"received" : 3, "new" : 2}', 'twice in a batch is once');
SELECT is(pg_temp.events(pg_temp.event('o2', 'open')), '{"received" : 1, "new" : 0}', 'and in two batches');
SELECT is(pg_temp.mail('opens'), '2', 'each is counted once');
SELECT ok(NOT pg_temp.stopped('welcome'), 'nothing is stopped so far');

SELECT pg_temp.events(pg_temp.event('b1', 'bounce', '{"type":"blocked"}'));
SELECT is(pg_temp.reasons(), 'blocked', 'blocked');
SELECT ok(pg_temp.stopped('welcome') AND NOT pg_temp.stopped('verification'), 'no news to a server that takes none');
UPDATE public.mail_suppressions SET until = now();
SELECT ok(NOT pg_temp.stopped('welcome'), 'for a day');
SELECT pg_temp.events(pg_temp.event('b2', 'bounce', '{"type":"bounce","status":"5.1.1"}'));
SELECT ok(pg_temp.stopped('welcome') AND pg_temp.stopped('verification'), 'an address that is none gets nothing at all');
SELECT isnt(pg_temp.mail('bounced_at'), NULL, 'noted');
SELECT is((SELECT until FROM public.mail_suppressions WHERE reason = 'bounce'), NULL, 'for good');

SELECT pg_temp.again();
SELECT pg_temp.events(pg_temp.event('s', 'spamreport'));
SELECT ok(pg_temp.stopped('weekly_summary') AND NOT pg_temp.stopped('password_reset'), 'who complains gets what is about the account');
SELECT pg_temp.again();
SELECT pg_temp.events(pg_temp.event('u', 'group_unsubscribe'));
SELECT ok(pg_temp.stopped('beta_build') AND NOT pg_temp.stopped('payment_receipt'), 'so does who unsubscribes');
SELECT isnt(pg_temp.mail('unsubscribed_at'), NULL, 'noted');
SELECT pg_temp.again();
SELECT pg_temp.events(pg_temp.event('x1', 'dropped', '{"reason":"Bounced Address"}'), pg_temp.event('x2', 'dropped', '{"reason":"Unsubscribed Address"}'), pg_temp.event('x3', 'dropped', '{"reason":"Spam Reporting Address"}'),
    pg_temp.event('x4', 'dropped', '{"reason":"Too large"}'), pg_temp.event('x5', 'bounce'));
SELECT is(pg_temp.reasons(), 'bounce spam_report unsubscribe', 'what the sender drops it drops for a reason');
SELECT isnt(pg_temp.mail('dropped_at'), NULL, 'or another');

-- what is odd
SELECT is(pg_temp.events('1'::jsonb, 'null', '"open"', '[]', '{}', '{"event":7}', '{"event":"open"}', '{"event":"click","sg_event_id":"odd","email":7,"timestamp":"x","smtp-id":"<x@y>"}',
    '{"event":"bounce","email":"x","timestamp":1e300}', '{"event":"delivered","sg_event_id":"","timestamp":-1,"smtp-id":"01900000-0000-7000-8000-0000000000ff@x"}'), '{"received" : 10, "new" : 4}', 'what is no event is passed over');
SELECT is(pg_temp.events('{"event":"open"}'), '{"received" : 1, "new" : 0}', 'one without an id is known by its text');
SELECT is((SELECT count(*) FROM public.mails x, k WHERE x.id = k.n AND x.delivered_at IS NULL AND x.opens = 0), 1::bigint, 'the other mail is as it was');

-- opens and clicks of our own
CREATE FUNCTION pg_temp.note(p_mail uuid, p_kind text, p_url text DEFAULT NULL) RETURNS int LANGUAGE sql
RETURN (pg_temp.run('mail_note', jsonb_build_object('params', jsonb_strip_nulls(jsonb_build_object('id', p_mail, 'u', p_url)), 'body', jsonb_build_object('kind', p_kind)))).status;
SELECT is(pg_temp.note(n, 'clicked', 'https://x.example/a'), 200, 'a click') FROM k;
SELECT pg_temp.note(n, 'clicked', 'https://x.example/a'), pg_temp.note(n, 'clicked', 'https://x.example/b'), pg_temp.note(n, 'opened') FROM k;
SELECT is((SELECT clicks || ' ' || opens || ' ' || (opened_at IS NOT NULL) || ' ' || (delivered_at IS NOT NULL) FROM public.mails, k WHERE id = n), '3 1 true true', 'is an opened mail, which arrived');
SELECT results_eq('SELECT url, clicks FROM public.mail_clicks ORDER BY url', $$ VALUES ('https://x.example/a', 2), ('https://x.example/b', 1) $$, 'by link');
SELECT is(pg_temp.note(gen_random_uuid(), 'clicked', 'https://x.example/a'), 200, 'of a mail that is forgotten: nothing');

-- lists
SELECT pg_temp.again();
SELECT is((pg_temp.run('mail_unsubscribe', jsonb_build_object('body', jsonb_build_object('user_id', u, 'list', 'weekly_summary')))).status, 200, 'off a list') FROM k;
SELECT is((pg_temp.run('mail_unsubscribe', jsonb_build_object('body', jsonb_build_object('user_id', u, 'list', 'weekly_summary')))).status, 200, 'again') FROM k;
SELECT is((pg_temp.run('mail_unsubscribe', jsonb_build_object('body', jsonb_build_object('user_id', gen_random_uuid(), 'list', 'weekly_summary')))).status, 200, 'somebody who has left');
SELECT ok(pg_temp.stopped('weekly_summary') AND NOT pg_temp.stopped('welcome') AND NOT pg_temp.stopped('verification'), 'that list, and no other');
SELECT is((jobs.mail_prepare(gen_random_uuid(), u, '{"body":{"template":"weekly_summary","language":"en","to":"ann@x.example","vars":{}}}')).body, '{"status" : "suppressed"}', 'and it is not sent') FROM k;

-- what the server of an address says
CREATE FUNCTION pg_temp.refused(p_code int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.mail_suppressions;
    PERFORM jobs.mail_send(NULL, NULL, '{"body":{}}', jsonb_build_object('ctx', '{"to":"ann@x.example"}'::jsonb, 'result', jsonb_build_object('refused', true, 'status', p_code)));
    RETURN (SELECT reason || ' ' || (until - now()) FROM public.mail_suppressions);
END
$$;
SELECT is(pg_temp.refused(550), 'bounce 30 days', 'no such address, as far as its server is to be believed');
SELECT ok(pg_temp.stopped('verification'), 'for a month');
SELECT is(pg_temp.refused(554), 'blocked 1 day', 'anything else is for a day');
SELECT is(pg_temp.refused(450), NULL, 'and what passes is nothing');
SELECT pg_temp.refused(550), pg_temp.events(pg_temp.event('b3', 'bounce'));
SELECT is((SELECT until FROM public.mail_suppressions WHERE reason = 'bounce'), 'infinity', 'a report is for good');

-- numbers
SELECT results_eq(format('SELECT template, sent, delivered, opened, clicked, bounced, recipients, open_rate, click_rate FROM pool.mail_stats(%L, %L)', (now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date),
    $$ VALUES ('welcome', 2::bigint, 2::bigint, 2::bigint, 1::bigint, 1::bigint, 1::bigint, 1.0000, 0.5000) $$, 'by day and template');
SELECT is_empty($$ SELECT * FROM pool.mail_stats('2020-01-01', '2020-02-01') $$, 'nothing is nothing');

-- what is kept
UPDATE public.mails SET created_at = now() - interval '92 days' WHERE id = (SELECT n FROM k);
SET LOCAL ROLE fitnudge_clock;
SELECT lives_ok($$ SELECT pool.cron_cleanup(now(), '{}') $$, 'the clean-up');
RESET ROLE;
SELECT is((SELECT count(*) FROM public.mails, k WHERE id IN (n, m)), 1::bigint, 'forgets old mails');
SELECT is((SELECT count(*) FROM public.mail_clicks), 0::bigint, 'with their clicks');
SELECT is((SELECT count(*) FROM public.mail_kinds), 9::bigint, 'all kinds are there');

SELECT * FROM finish();
ROLLBACK;
