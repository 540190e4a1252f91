-- Verify fitnudge:cursors on pg

BEGIN;

SELECT 'pool.cursor(text,uuid,bigint,uuid)'::regprocedure;
SELECT 'pool.cursor_read(text,uuid,text)'::regprocedure;

SELECT 1 / (count(*) = 1)::int FROM public.cursor_key WHERE length(inner_pad) = 64 AND length(outer_pad) = 64;

ROLLBACK;
