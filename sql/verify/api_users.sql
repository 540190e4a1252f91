-- Verify fitnudge:api_users on pg

BEGIN;

SELECT 'api.sessions_list(uuid)'::regprocedure;
SELECT 'api.users_me(uuid)'::regprocedure;

ROLLBACK;
