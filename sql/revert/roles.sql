-- Revert fitnudge:roles from pg

BEGIN;

DO $$
DECLARE
    v_role text;
BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());

    FOREACH v_role IN ARRAY ARRAY['fitnudge_edge', 'fitnudge_pool', 'fitnudge_api', 'fitnudge_auth', 'fitnudge_queue', 'fitnudge_clock', 'fitnudge_admin', 'fitnudge_social', 'fitnudge_owner'] LOOP
        EXECUTE format('DROP OWNED BY %I', v_role);
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), v_role);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', v_role, current_database());

        -- another database of the cluster may still need it
        BEGIN
            EXECUTE format('DROP ROLE %I', v_role);
        EXCEPTION WHEN dependent_objects_still_exist OR object_in_use THEN
            RAISE NOTICE 'role % is used elsewhere and stays', v_role;
        END;
    END LOOP;
END
$$;

COMMIT;
