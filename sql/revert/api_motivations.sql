-- Revert fitnudge:api_motivations from pg

BEGIN;

DROP FUNCTION api.motivations_get(uuid, uuid);
DROP FUNCTION api.motivations_list(uuid, uuid, text, integer);

COMMIT;
