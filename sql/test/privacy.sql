-- What is held on a person: every table is known to the export and to the purge. Whoever adds a table is told here what is missing.
BEGIN;
SELECT plan(33);

-- tables that refer to users, directly or through others, or have a column that names one; partitions count as their parents
CREATE TEMP VIEW personal AS
WITH RECURSIVE t AS (
    SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
), reach (oid) AS (
    SELECT 'public.users'::regclass::oid
    UNION
    SELECT f.conrelid FROM pg_constraint f JOIN reach r ON f.confrelid = r.oid WHERE f.contype = 'f'
)
SELECT t.oid, t.oid::regclass::text AS name FROM t
WHERE t.oid IN (SELECT oid FROM reach)
   OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND NOT a.attisdropped
              AND a.attname ~ '(^|_)(user|author|owner|actor|follower|followee|sender|recipient|moderator|reporter|inviter)(_id)?$');

CREATE TEMP VIEW exported AS
SELECT d.*, a.attname AS col FROM public.personal_data d JOIN pg_attribute a ON a.attrelid = to_regclass('public.' || d.relation)
WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT '*' = ANY (d.withheld) AND a.attname <> ALL (d.withheld);

SELECT is_empty($$ SELECT p.name FROM personal p WHERE p.name NOT IN (SELECT relation FROM public.personal_data) $$,
    'every table with something of a person has a row in personal_data');
SELECT is_empty($$ SELECT relation FROM public.personal_data WHERE to_regclass('public.' || relation) IS NULL $$, 'and every row a table');
SELECT is_empty($$
    SELECT d.relation, c FROM public.personal_data d, unnest(d.user_columns || array_remove(d.withheld, '*') || coalesce(ARRAY[d.object_key], '{}')) c
    WHERE c IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('public.' || d.relation) AND a.attname = c)
$$, 'whose columns are there');
SELECT is_empty($$ SELECT relation, col FROM exported WHERE col ~ '(hash|secret|password|(^|_)token(_|$))' $$, 'no secret is given out');
SELECT is_empty($$ SELECT relation, col FROM exported WHERE NOT has_column_privilege('fitnudge_api', 'public.' || relation, col, 'SELECT') $$,
    'fitnudge_api may read what is given out');
SELECT is_empty($$
    SELECT DISTINCT e.relation FROM exported e JOIN pg_class c ON c.oid = to_regclass('public.' || e.relation)
    WHERE c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles @> ARRAY['fitnudge_api'::regrole::oid])
$$, 'and row-level security lets it');

-- purge: what does not go by foreign keys has to say why
SELECT is_empty($$
    WITH RECURSIVE gone (oid) AS (
        SELECT 'public.users'::regclass::oid
        UNION
        SELECT f.conrelid FROM pg_constraint f JOIN gone g ON f.confrelid = g.oid WHERE f.contype = 'f' AND f.confdeltype = 'c'
    )
    SELECT d.relation FROM public.personal_data d
    WHERE (d.outlives IS NULL) <> (to_regclass('public.' || d.relation) IN (SELECT oid FROM gone))
$$, 'every table goes with the account, or says why not');
SELECT is_empty($$
    SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN public.personal_data d ON a.attrelid = to_regclass('public.' || d.relation)
    WHERE a.attname ~ '^(object_)?key$' AND d.relation <> 'outbox' AND d.object_key IS DISTINCT FROM a.attname
$$, 'a key of an object in the storage is known to the purge');
SELECT is_empty($$
    SELECT d.relation FROM public.personal_data d WHERE (d.bulk OR d.object_key IS NOT NULL)
       AND NOT (has_table_privilege('fitnudge_clock', 'public.' || d.relation, 'SELECT') AND has_table_privilege('fitnudge_clock', 'public.' || d.relation, 'DELETE')
                AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = to_regclass('public.' || d.relation) AND p.polroles @> ARRAY['fitnudge_clock'::regrole::oid]))
$$, 'and the clock may delete what it does in pieces');

-- a person, with a row everywhere, and another one
CREATE TEMP TABLE u AS SELECT x AS who, gen_random_uuid() AS id FROM unnest(ARRAY['a', 'b']) x;
INSERT INTO public.users (id, email, name, password_hash, birth_date) SELECT id, who || '@privacy.example', who, 'the hash of ' || who, '1990-01-01' FROM u;
INSERT INTO public.goals (id, user_id, title, frequency, category) SELECT id, id, 'goal of ' || who, 3, 'gym' FROM u;
INSERT INTO public.checkins (user_id, goal_id, date, status) SELECT id, id, current_date - n, CASE WHEN n = 1 THEN 'missed' ELSE 'done' END FROM u, generate_series(1, 4) n;
INSERT INTO public.motivations (user_id, goal_id, text, tone, language, source) SELECT id, id, 'message to ' || who, 'calm', 'en', 'ai' FROM u;
INSERT INTO public.media (user_id, kind, content_type, key, bytes, state, completed_at) SELECT id, 'voice', 'audio/mpeg', 'voice/' || who || '.mp3', 1, 'ready', now() FROM u;
INSERT INTO public.devices (user_id, platform, token) SELECT id, 'ios', 'device token of ' || who FROM u;
INSERT INTO public.follows (follower_id, followee_id) SELECT a.id, b.id FROM u a, u b WHERE a.who = 'a' AND b.who = 'b';
SELECT pool.enter((SELECT id FROM u WHERE who = 'a'));
SELECT pool.audit('{"meta":{"ip":"203.0.113.9"}}', 'signin_failed', (SELECT id FROM u WHERE who = 'a'));

CREATE TEMP TABLE j AS SELECT api.users_data((SELECT id FROM u WHERE who = 'a')) AS t;
SELECT is((SELECT array_agg(k ORDER BY k) FROM (SELECT json_object_keys(t::json) AS k FROM j) x),
    (SELECT array_agg(k ORDER BY k) FROM (SELECT DISTINCT CASE relation WHEN 'users' THEN 'profile' ELSE relation END AS k FROM exported
        UNION SELECT unnest(ARRAY['exported_at', 'withheld'])) x), 'the export has every table');
SELECT is((SELECT t::json #>> '{profile,email}' FROM j), 'a@privacy.example', 'the profile');
SELECT is((SELECT json_array_length(t::json -> 'checkins') FROM j), 4, 'all rows');
SELECT is((SELECT t::json #>> '{audit_log,0,ip}' FROM j), '203.0.113.9', 'what was noted of the person');
SELECT is((SELECT t::json #>> '{follows,0,followee_id}' FROM j), (SELECT id::text FROM u WHERE who = 'b'), 'whom they follow');
SELECT unalike((SELECT t FROM j), '%the hash of%', 'no hash');
SELECT unalike((SELECT t FROM j), '%device token of%', 'no token');
SELECT unalike((SELECT t FROM j), '%goal of b%', 'nothing of others');
SELECT is(api.users_data((SELECT id FROM u WHERE who = 'b')), NULL, 'who is not the user of the transaction gets nothing');

-- statistics
SELECT is(pool.anonymous_user((SELECT id FROM u WHERE who = 'a')), NULL, 'statistics know nobody without consent');
INSERT INTO public.user_consents (user_id, consent_type, granted) SELECT id, 'analytics', true FROM u WHERE who = 'a';
SELECT is(pool.anonymous_user((SELECT id FROM u WHERE who = 'a')) - 'user_id_hash' - 'age_range', '{"goal_category":"other","success_rate":0.8}', 'and nobody by rare words');
SELECT matches(pool.anonymous_id((SELECT id FROM u WHERE who = 'a')), '^[0-9a-f]{8}$', 'a person is eight digits');
SELECT isnt(pool.anonymous_id((SELECT id FROM u WHERE who = 'a')), left(encode(sha256(convert_to((SELECT id::text FROM u WHERE who = 'a'), 'UTF8')), 'hex'), 8), 'that nobody can compute');
SELECT is(pool.anonymous_id((SELECT id FROM u WHERE who = 'a')), pool.anonymous_id((SELECT id FROM u WHERE who = 'a')), 'and are always the same');
INSERT INTO public.users (id, email, name) SELECT md5(n::text)::uuid, n || '@category.example', 'x' FROM generate_series(1, 3) n;
INSERT INTO public.goals (user_id, title, frequency, category) SELECT md5(n::text)::uuid, 'x', 1, 'Gym' FROM generate_series(1, 3) n;
SELECT is(pool.anonymous_user((SELECT id FROM u WHERE who = 'a')) ->> 'goal_category', 'gym', 'a word that five have is told');
SELECT is(pool.age_range((current_date - interval '18 years')::date), '18-24', 'eighteen today');

-- the purge
UPDATE public.users SET deleted_at = now() - interval '31 days' WHERE id = (SELECT id FROM u WHERE who = 'a');
UPDATE public.users SET deleted_at = now() - interval '29 days' WHERE id = (SELECT id FROM u WHERE who = 'b');
DELETE FROM public.outbox;
CREATE FUNCTION pg_temp.purge() RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0;
BEGIN
    SET LOCAL ROLE fitnudge_clock;
    WHILE pool.purge_users(now(), 2) > 0 LOOP n := n + 1; END LOOP;
    RESET ROLE;
    RETURN n;
END
$$;
SELECT cmp_ok(pg_temp.purge(), '>', 2, 'goes in pieces');
SELECT is((SELECT count(*) FROM public.users WHERE id IN (SELECT id FROM u)), 1::bigint, 'takes who left more than 30 days ago');
SELECT is((SELECT array_agg(request #>> '{body,key}') FROM public.outbox WHERE job = 'media.delete'), '{voice/a.mp3}', 'and what is in the storage');
SELECT is((SELECT count(*) FROM public.checkins WHERE user_id IN (SELECT id FROM u)), 4::bigint, 'and no row of others');
SELECT is((SELECT followers FROM public.follow_counts WHERE user_id = (SELECT id FROM u WHERE who = 'b')), 0::bigint, 'whose followers are counted anew');
SELECT is((SELECT array_agg(operation ORDER BY id) FROM public.audit_log WHERE user_id = (SELECT id FROM u WHERE who = 'a')), '{signin_failed,account_purged}', 'that it was done is known');

-- append-only
SELECT throws_ok($$ UPDATE public.audit_log SET details = '{"x":1}' $$, '42501', NULL, 'the audit log is not changed');
SELECT throws_ok($$ DELETE FROM public.audit_log $$, '42501', NULL, 'nor shortened, not even by a superuser');

SELECT * FROM finish();
ROLLBACK;
