-- Revert fitnudge:revocations from pg

BEGIN;

DROP FUNCTION pool.revoke_user(uuid, interval);
DROP FUNCTION pool.revoke(uuid, text, timestamptz);

COMMIT;
