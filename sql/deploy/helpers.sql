-- What every other change uses: the user of the transaction, JSON forms, errors.
BEGIN;

CREATE TYPE pool.reply AS (
    status   int,       -- HTTP status; 0 from a prepare function: go on with body as context
    body     text,      -- finished JSON, or '' without one
    headers  text       -- "Name: value" lines, each ended by a newline, or NULL
);

-- The user this transaction acts for; NULL when it acts for nobody yet.
CREATE FUNCTION pool.uid() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('request.user_id', true), '')::uuid;

-- RFC 3339 in UTC, by the second.
CREATE FUNCTION pool.rfc3339(t timestamptz) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

-- In plpgsql, as is everything here that PostgreSQL cannot inline: a function in SQL is parsed and planned at every call.
CREATE FUNCTION pool.ok(p_status int, p_body text, p_headers text DEFAULT NULL) RETURNS pool.reply
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN ROW(p_status, p_body, p_headers)::pool.reply;
END
$$;

-- An error of the HTTP contract. Field and constraint may be NULL.
CREATE FUNCTION pool.error(p_req jsonb, p_status int, p_code text, p_message text,
                           p_field text DEFAULT NULL, p_constraint text DEFAULT NULL) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN ROW(p_status,
    concat('{"error":', (SELECT row_to_json(e) FROM (SELECT
        p_code AS code,
        p_message AS message,
        json_strip_nulls(json_build_object('field', p_field, 'constraint', p_constraint)) AS details,
        pool.rfc3339(now()) AS timestamp,
        p_req #>> '{meta,request_id}' AS request_id) e), '}'),
    NULL)::pool.reply;

CREATE FUNCTION pool.not_found(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 404, 'NOT_FOUND', 'There is no such resource.');

CREATE FUNCTION pool.precondition_failed(p_req jsonb) RETURNS pool.reply
LANGUAGE sql STABLE
RETURN pool.error(p_req, 412, 'PRECONDITION_FAILED', 'The resource has changed since it was read.', 'If-Match', 'version');

-- Whether If-Match names another version than the row has.
CREATE FUNCTION pool.outdated(p_req jsonb, p_version int) RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce((p_req #>> '{meta,if_match}')::bigint <> p_version, false);

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pool FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pool TO fitnudge_api, fitnudge_auth, fitnudge_queue, fitnudge_owner;

COMMIT;
