-- Revert fitnudge:revocations from pg

BEGIN;

DROP TRIGGER note_barred ON public.users;
DROP TRIGGER grow_version ON public.users;
DROP FUNCTION pool.grow_version();
DROP FUNCTION pool.note_barred();
DROP FUNCTION pool.tell_barred(uuid, int, boolean);
DROP FUNCTION pool.revoke_user(uuid, interval);
DROP FUNCTION pool.revoke(uuid, text, timestamptz);

COMMIT;
