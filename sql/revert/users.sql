-- Revert fitnudge:users from pg

BEGIN;

DROP VIEW public.profiles;
DROP TABLE public.users;

COMMIT;
