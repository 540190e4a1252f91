BEGIN;
SELECT name, place, relation, "column", keep, routine FROM public.retention WHERE false;
SELECT 1 / (count(*) >= 7)::int FROM public.retention;
SELECT 1 / (to_regprocedure('pool.forget_mails(timestamptz, int)') IS NOT NULL)::int;
ROLLBACK;
