-- Revert fitnudge:partitions from pg
-- Partitions go with their tables.

BEGIN;

DROP FUNCTION pool.maintain();
DROP FUNCTION pool.forget_sessions();
DROP FUNCTION pool.ensure_days(integer, integer);
DROP FUNCTION pool.ensure_partitions(integer);
DROP FUNCTION pool.ensure_partition(text, text, text, date, date);

COMMIT;
