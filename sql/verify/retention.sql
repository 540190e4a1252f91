BEGIN;
SELECT name, place, relation, "column", keep, routine FROM public.retention WHERE false;
SELECT 1 / (count(*) >= 7)::int FROM public.retention;
ROLLBACK;
