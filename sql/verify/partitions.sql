-- Verify fitnudge:partitions on pg

BEGIN;

SELECT 'pool.ensure_partition(text,text,text,date,date)'::regprocedure;
SELECT 'pool.ensure_partitions(integer)'::regprocedure;
SELECT 'pool.ensure_days(integer,integer)'::regprocedure;
SELECT 'pool.forget_sessions()'::regprocedure;
SELECT 'pool.maintain()'::regprocedure;

SELECT 1 / (count(*) >= 1)::int FROM pg_catalog.pg_inherits WHERE inhparent = 'public.checkins'::regclass;
SELECT 1 / (count(*) >= 1)::int FROM pg_catalog.pg_inherits WHERE inhparent = 'public.inbox'::regclass;

ROLLBACK;
