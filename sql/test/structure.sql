-- What must hold for every table and function, whatever is added.
BEGIN;
SELECT plan(12);

SELECT is_empty($$
    SELECT a.attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attname = 'user_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
$$, 'every table with a user in it has forced row-level security');

SELECT ok((SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = 'public.users'::regclass), 'and so has users');

SELECT is_empty($$ SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND confdeltype <> 'c' $$,
    'every foreign key cascades');

SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'api'::regnamespace AND p.provolatile <> 's' $$,
    'every read function is stable');

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('api'::regnamespace, 'jobs'::regnamespace)
      AND p.proname <> 'ping' AND NOT (p.prosecdef AND p.proconfig @> ARRAY['search_path=pg_catalog, public'])
$$, 'read functions and jobs run with their own rights and search path');

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace IN ('api'::regnamespace, 'jobs'::regnamespace, 'pool'::regnamespace)
      AND has_function_privilege('fitnudge_edge', p.oid, 'EXECUTE') AND p.pronamespace <> 'api'::regnamespace
$$, 'the edge executes nothing but reads');

SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c, unnest(ARRAY['fitnudge_edge', 'fitnudge_pool']) AS r (name)
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relnamespace IN ('public'::regnamespace, 'pool'::regnamespace)
      AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(r.name, c.oid, 'USAGE, SELECT, UPDATE')
                         ELSE has_table_privilege(r.name, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END
$$, 'edge and pool touch no table');

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
    WHERE p.pronamespace IN ('api'::regnamespace, 'jobs'::regnamespace) AND p.prosecdef AND (o.rolsuper OR o.rolbypassrls)
$$, 'no definer may bypass row-level security');

SELECT is_empty($$ SELECT rolname FROM pg_roles WHERE rolname LIKE 'fitnudge\_%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb) $$,
    'no role of ours is more than it must be');

SELECT has_index('public', 'goals', 'idx_active_goals', 'active goals have their index');
SELECT has_index('public', 'checkins', 'idx_checkins_user_date', 'check-ins of a user have theirs');
SELECT cmp_ok((SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.checkins'::regclass), '>=', 17::bigint,
    'months of check-ins are made ahead, and there is a default');

SELECT * FROM finish();
ROLLBACK;
