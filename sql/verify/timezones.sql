-- Verify fitnudge:timezones on pg

BEGIN;

SELECT 1 / (count(*) = 2)::int FROM public.timezones WHERE name IN ('UTC', 'Europe/Madrid');

ROLLBACK;
