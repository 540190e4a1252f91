-- Revert fitnudge:changes from pg

BEGIN;

DROP FUNCTION pool.note_change();
DROP TABLE public.outbox;
DROP TABLE public.change_outbox;
DROP SEQUENCE public.outbox_id;

COMMIT;
