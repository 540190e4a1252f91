BEGIN;
SELECT 1 / (pool.rfc3339('2026-01-15 10:30:00+00') = '2026-01-15T10:30:00Z')::int;
SELECT 1 / ((pool.error('{}', 400, 'X', 'm', 'f', 'c')).status = 400)::int;
ROLLBACK;
