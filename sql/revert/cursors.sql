-- Revert fitnudge:cursors from pg

BEGIN;

DROP FUNCTION pool.cursor_read(text, uuid, text);
DROP FUNCTION pool.cursor(text, uuid, bigint, uuid);
DROP TABLE public.cursor_key;

COMMIT;
