-- Revert fitnudge:api_users from pg

BEGIN;

DROP FUNCTION api.sessions_list(uuid);
DROP FUNCTION api.users_me(uuid);

COMMIT;
