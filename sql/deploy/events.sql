-- Deploy fitnudge:events to pg
-- Events of apps, on their way to the analytics service: only of people who have agreed, and under a name that says nothing of them.
BEGIN;

-- {"events":[{"name","properties"}]}. The id of the job makes their ids, so that what is sent twice counts once.
CREATE FUNCTION jobs.events_track(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_events jsonb := p_req #> '{body,events}';
BEGIN
    IF NOT pool.has_consent(p_user, 'analytics') THEN
        RETURN pool.ok(202, '{"accepted":0}');
    END IF;

    PERFORM pool.follow('events.send', p_user, jsonb_build_object('params', '{}'::jsonb, 'meta', '{}'::jsonb, 'body', jsonb_build_object('events',
        (SELECT jsonb_agg(jsonb_build_object('event', e ->> 'name', 'distinct_id', pool.anonymous_id(p_user), 'timestamp', pool.rfc3339(now()),
                                             'properties', coalesce(e -> 'properties', '{}')) ORDER BY n)
         FROM jsonb_array_elements(v_events) WITH ORDINALITY AS x (e, n)))));
    RETURN pool.ok(202, format('{"accepted":%s}', jsonb_array_length(v_events)));
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs FROM PUBLIC;

GRANT CREATE ON SCHEMA jobs TO fitnudge_api;
ALTER FUNCTION jobs.events_track(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_api;
REVOKE CREATE ON SCHEMA jobs FROM fitnudge_api;
GRANT EXECUTE ON FUNCTION jobs.events_track(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
