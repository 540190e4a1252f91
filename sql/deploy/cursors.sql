-- Deploy fitnudge:cursors to pg
-- Where a feed's next page begins: the last row's sort key and id with a MAC over them, the list and the user, in base64url.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- The key, already mixed with HMAC's two pads (RFC 2104, section 2): sha256(outer || sha256(inner || text)).
CREATE TABLE public.cursor_key (
    one    boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    inner_pad  bytea NOT NULL CHECK (length(inner_pad) = 64),
    outer_pad  bytea NOT NULL CHECK (length(outer_pad) = 64)
);

GRANT SELECT ON public.cursor_key TO fitnudge_api;

DO $$
DECLARE
    v_key    bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                   || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    v_inner  bytea := v_key;
    v_outer  bytea := v_key;
BEGIN
    FOR i IN 0..63 LOOP
        v_inner := set_byte(v_inner, i, get_byte(v_key, i) # 54);
        v_outer := set_byte(v_outer, i, get_byte(v_key, i) # 92);
    END LOOP;

    INSERT INTO public.cursor_key (inner_pad, outer_pad) VALUES (v_inner, v_outer);
END
$$;

RESET ROLE;
GRANT CREATE ON SCHEMA pool TO fitnudge_api;
SET LOCAL ROLE fitnudge_api;

-- p_list names the list, and what its path says: a cursor works in that list of that user and nowhere else.
CREATE FUNCTION pool.cursor(p_list text, p_user uuid, p_key bigint, p_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_text  bytea := int8send(p_key) || uuid_send(p_id);
    v_mac   bytea;
BEGIN
    SELECT sha256(outer_pad || sha256(inner_pad || v_text || uuid_send(p_user) || convert_to(p_list, 'UTF8')))
      INTO STRICT v_mac FROM public.cursor_key;

    RETURN rtrim(translate(encode(v_text || substr(v_mac, 1, 16), 'base64'), E'+/\n', '-_'), '=');
END
$$;

-- Key and id of a cursor. It is made again and compared, so that there is one text for a place only.
CREATE FUNCTION pool.cursor_read(p_list text, p_user uuid, p_cursor text, OUT key bigint, OUT id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_text  text;
BEGIN
    -- 8 octets of key, 16 of id, 16 of MAC
    IF p_cursor ~ '^[A-Za-z0-9_-]{54}$' THEN
        v_text := encode(decode(translate(p_cursor, '-_', '+/') || '==', 'base64'), 'hex');
        key := ('x' || substr(v_text, 1, 16))::bit(64)::bigint;
        id := substr(v_text, 17, 32)::uuid;

        IF pool.cursor(p_list, p_user, key, id) = p_cursor THEN
            RETURN;
        END IF;
    END IF;

    RAISE EXCEPTION USING ERRCODE = 'FN400', MESSAGE = 'cursor', DETAIL = 'format';
END
$$;

RESET ROLE;
REVOKE CREATE ON SCHEMA pool FROM fitnudge_api;
REVOKE EXECUTE ON FUNCTION pool.cursor(text, uuid, bigint, uuid), pool.cursor_read(text, uuid, text) FROM fitnudge_pool;

COMMIT;
