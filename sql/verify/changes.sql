-- Verify fitnudge:changes on pg

BEGIN;

SELECT id, "table", op, user_id, row_id, tags, created_at FROM public.change_outbox WHERE false;
SELECT id, job, user_id, request, created_at FROM public.outbox WHERE false;
SELECT has_function_privilege('fitnudge_queue', 'pool.note_change()', 'EXECUTE');
SELECT 1 / (count(*) = 2)::int FROM pg_catalog.pg_class
 WHERE oid IN ('public.change_outbox'::regclass, 'public.outbox'::regclass) AND relrowsecurity AND relforcerowsecurity;

ROLLBACK;
