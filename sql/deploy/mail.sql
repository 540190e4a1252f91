-- Deploy fitnudge:mail to pg
-- What becomes of mails: what the sender's webhook and the links in them report, who wants fewer, and the statistics of it.
BEGIN;

SET LOCAL ROLE fitnudge_owner;

-- The same table as in worker/mail/templates.c (t/28-mail.t compares them). Without a list a mail is about the account itself: one
-- has to get it.
CREATE TABLE public.mail_kinds (
    template  text NOT NULL PRIMARY KEY,
    list      text CHECK (list ~ '^[a-z_]{1,32}$')
);
INSERT INTO public.mail_kinds (template, list) VALUES
    ('verification', NULL), ('password_reset', NULL), ('welcome', 'product'), ('payment_receipt', NULL), ('payment_failed', NULL),
    ('weekly_summary', 'weekly_summary'), ('data_export', NULL), ('account_deleted', NULL), ('beta_build', 'beta');

ALTER TABLE public.mails
    ADD COLUMN delivered_at     timestamptz,
    ADD COLUMN deferred_at      timestamptz,
    ADD COLUMN opened_at        timestamptz,
    ADD COLUMN opens            int NOT NULL DEFAULT 0,
    ADD COLUMN clicked_at       timestamptz,
    ADD COLUMN clicks           int NOT NULL DEFAULT 0,
    ADD COLUMN bounced_at       timestamptz,
    ADD COLUMN blocked_at       timestamptz,
    ADD COLUMN dropped_at       timestamptz,
    ADD COLUMN spam_at          timestamptz,
    ADD COLUMN unsubscribed_at  timestamptz;
CREATE INDEX idx_mails_created_at ON public.mails (created_at);

-- Which links were followed: a row a link, however often.
CREATE TABLE public.mail_clicks (
    mail_id   uuid        NOT NULL REFERENCES public.mails (id) ON DELETE CASCADE,
    user_id   uuid        NOT NULL,
    url_hash  bytea       NOT NULL,
    url       text        NOT NULL CHECK (length(url) <= 1024),
    clicks    int         NOT NULL DEFAULT 1,
    first_at  timestamptz NOT NULL DEFAULT now(),
    last_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (mail_id, url_hash)
);

-- Events of the webhook that were dealt with: senders repeat themselves for a day.
CREATE TABLE public.mail_events (
    id           text        NOT NULL PRIMARY KEY,
    event        text        NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_mail_events_received_at ON public.mail_events (received_at);

-- Lists that somebody has unsubscribed from.
CREATE TABLE public.mail_unsubscriptions (
    user_id     uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    list        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, list)
);

ALTER TABLE public.mail_clicks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY identity ON public.mail_clicks TO fitnudge_auth USING (true) WITH CHECK (true);
CREATE POLICY own ON public.mail_clicks FOR SELECT TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
GRANT SELECT ON public.mail_clicks TO fitnudge_api;
ALTER TABLE public.mail_unsubscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY identity ON public.mail_unsubscriptions TO fitnudge_auth USING (true) WITH CHECK (true);
CREATE POLICY own ON public.mail_unsubscriptions TO fitnudge_api USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.mail_clicks, public.mail_events, public.mail_unsubscriptions TO fitnudge_auth;
GRANT SELECT ON public.mail_kinds TO fitnudge_auth;
GRANT SELECT, INSERT, DELETE ON public.mail_unsubscriptions TO fitnudge_api;

CREATE POLICY clock ON public.mails TO fitnudge_clock USING (true);
GRANT SELECT, DELETE ON public.mails, public.mail_events, public.mail_suppressions TO fitnudge_clock;
INSERT INTO public.personal_data (relation, withheld, reason) VALUES ('mail_clicks', '{url_hash}', 'internal');
INSERT INTO public.personal_data (relation) VALUES ('mail_unsubscriptions');
INSERT INTO public.retention (name, place, relation, "column", keep) VALUES
    -- as long as one that was not sent may be sent after all, from the dead letters
    ('mail_history',      51, 'mails',             'created_at',  '91 days'),
    ('mail_events',       52, 'mail_events',       'received_at', '30 days'),
    ('mail_suppressions', 53, 'mail_suppressions', 'until',       '0 days');

RESET ROLE;

-- Whether a mail must not be sent. An address that does not exist gets nothing at all; who is suspended, has unsubscribed, complained,
-- or whose server does not take our mails for the moment still gets what is about the account.
CREATE FUNCTION pool.mail_stopped(p_user uuid, p_template text, p_to text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_list text := (SELECT k.list FROM public.mail_kinds k WHERE k.template = p_template);
BEGIN
    RETURN EXISTS (SELECT FROM public.mail_suppressions s WHERE s.address_hash = pool.address_hash(p_to)
                   AND (s.reason = 'bounce' OR v_list IS NOT NULL) AND coalesce(s.until > now(), true))
        OR EXISTS (SELECT FROM public.mail_unsubscriptions n WHERE n.user_id = p_user AND n.list = v_list)
        OR (v_list IS NOT NULL AND EXISTS (SELECT FROM public.users u WHERE u.id = p_user AND NOT u.is_visible));
END
$$;

-- What an event of the webhook is to us; NULL: nothing. The sender's "bounce" is for good unless its type is "blocked"; what it
-- drops it drops because of an earlier event, which it names.
CREATE FUNCTION pool.mail_event_kind(e jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE e ->> 'event'
    WHEN 'delivered' THEN 'delivered' WHEN 'deferred' THEN 'deferred' WHEN 'open' THEN 'opened' WHEN 'click' THEN 'clicked'
    WHEN 'bounce' THEN CASE e ->> 'type' WHEN 'blocked' THEN 'blocked' ELSE 'bounce' END
    WHEN 'blocked' THEN 'blocked'
    WHEN 'dropped' THEN CASE WHEN e ->> 'reason' ~* '^(bounced|invalid)' THEN 'bounce' WHEN e ->> 'reason' ~* '^spam' THEN 'spam_report'
                             WHEN e ->> 'reason' ~* '^unsubscribed' THEN 'unsubscribe' ELSE 'dropped' END
    WHEN 'spamreport' THEN 'spam_report' WHEN 'spam_report' THEN 'spam_report'
    WHEN 'unsubscribe' THEN 'unsubscribe' WHEN 'group_unsubscribe' THEN 'unsubscribe' END;

-- The mail an event is about: its job's id is in the Message-ID. Whatever else stands there is nobody's.
CREATE FUNCTION pool.mail_event_mail(e jsonb) RETURNS uuid
LANGUAGE sql IMMUTABLE
RETURN substring(e ->> 'smtp-id' FROM '^<?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@')::uuid;

CREATE FUNCTION pool.mail_event_time(e jsonb) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN CASE WHEN jsonb_typeof(e -> 'timestamp') = 'number' AND (e ->> 'timestamp')::numeric BETWEEN extract(epoch FROM now()) - 30 * 86400 AND extract(epoch FROM now())
            THEN to_timestamp((e ->> 'timestamp')::numeric::float) ELSE now() END;

-- Notes what happened to a mail: the first time of each kind, and how often it was opened.
CREATE FUNCTION pool.mail_note(p_mail uuid, p_kind text, p_at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.mails m SET
        delivered_at    = CASE WHEN p_kind IN ('delivered', 'opened', 'clicked') THEN coalesce(m.delivered_at, p_at) ELSE m.delivered_at END,
        deferred_at     = CASE p_kind WHEN 'deferred' THEN coalesce(m.deferred_at, p_at) ELSE m.deferred_at END,
        opened_at       = CASE WHEN p_kind IN ('opened', 'clicked') THEN coalesce(m.opened_at, p_at) ELSE m.opened_at END,
        opens           = m.opens + (p_kind = 'opened')::int,
        clicked_at      = CASE p_kind WHEN 'clicked' THEN coalesce(m.clicked_at, p_at) ELSE m.clicked_at END,
        clicks          = m.clicks + (p_kind = 'clicked')::int,
        bounced_at      = CASE p_kind WHEN 'bounce' THEN coalesce(m.bounced_at, p_at) ELSE m.bounced_at END,
        blocked_at      = CASE p_kind WHEN 'blocked' THEN coalesce(m.blocked_at, p_at) ELSE m.blocked_at END,
        dropped_at      = CASE p_kind WHEN 'dropped' THEN coalesce(m.dropped_at, p_at) ELSE m.dropped_at END,
        spam_at         = CASE p_kind WHEN 'spam_report' THEN coalesce(m.spam_at, p_at) ELSE m.spam_at END,
        unsubscribed_at = CASE p_kind WHEN 'unsubscribe' THEN coalesce(m.unsubscribed_at, p_at) ELSE m.unsubscribed_at END
    WHERE m.id = p_mail;
END
$$;

-- The events of a batch, each once.
CREATE FUNCTION pool.mail_batch(p_events jsonb) RETURNS TABLE (id text, event text, kind text, mail uuid, address bytea, at timestamptz)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (x.id) x.id, x.event, x.kind, x.mail, x.address, x.at FROM (
        SELECT coalesce(nullif(left(e ->> 'sg_event_id', 200), ''), 'md5:' || md5(e::text)) AS id, left(e ->> 'event', 100) AS event,
               pool.mail_event_kind(e) AS kind, pool.mail_event_mail(e) AS mail,
               CASE WHEN length(e ->> 'email') BETWEEN 3 AND 254 THEN pool.address_hash(e ->> 'email') END AS address, pool.mail_event_time(e) AS at
        FROM jsonb_array_elements(p_events) AS e
        WHERE jsonb_typeof(e) = 'object' AND jsonb_typeof(e -> 'event') = 'string') x
    ORDER BY x.id;
END
$$;

-- {"events":[...]} of the webhook, whose signature the edge has verified. Each event counts once, in whatever batch it comes; rows
-- are locked in the order of their keys, so that two batches do not wait for each other in a circle.
CREATE FUNCTION jobs.mail_events(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_events jsonb := p_req #> '{body,events}';
    v_new text[];
    r record;
BEGIN
    WITH added AS (
        INSERT INTO public.mail_events AS x (id, event) SELECT b.id, b.event FROM pool.mail_batch(v_events) b ORDER BY b.id
        ON CONFLICT DO NOTHING RETURNING x.id)
    SELECT coalesce(array_agg(a.id), '{}') INTO v_new FROM added a;

    FOR r IN SELECT b.mail, b.kind, b.at FROM pool.mail_batch(v_events) b
             WHERE b.id = ANY (v_new) AND b.mail IS NOT NULL AND b.kind IS NOT NULL ORDER BY b.mail, b.at LOOP
        PERFORM pool.mail_note(r.mail, r.kind, r.at);
    END LOOP;

    -- a server that takes no mail from us is left alone for a day
    INSERT INTO public.mail_suppressions AS s (address_hash, reason, until)
    SELECT b.address, b.kind, max(CASE b.kind WHEN 'blocked' THEN b.at + interval '1 day' END) FROM pool.mail_batch(v_events) b
    WHERE b.id = ANY (v_new) AND b.address IS NOT NULL AND b.kind IN ('bounce', 'blocked', 'spam_report', 'unsubscribe')
    GROUP BY b.address, b.kind ORDER BY b.address, b.kind
    ON CONFLICT (address_hash, reason) DO UPDATE SET until = greatest(coalesce(s.until, 'infinity'), coalesce(excluded.until, 'infinity'));

    RETURN pool.ok(200, json_build_object('received', jsonb_array_length(v_events), 'new', cardinality(v_new))::text);
END
$$;

-- Somebody has opened a mail or followed a link: {"kind"} and the link's parameters, whose signature the edge has verified.
CREATE FUNCTION jobs.mail_note(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_mail uuid := (p_req #>> '{params,id}')::uuid;
    v_kind text := p_req #>> '{body,kind}';
    v_url text := left(p_req #>> '{params,u}', 1024);
BEGIN
    PERFORM pool.mail_note(v_mail, v_kind, now());

    IF v_kind = 'clicked' AND v_url IS NOT NULL THEN
        INSERT INTO public.mail_clicks AS c (mail_id, user_id, url_hash, url)
        SELECT m.id, m.user_id, pool.digest(convert_to(v_url, 'UTF8'), 'sha256'), v_url FROM public.mails m WHERE m.id = v_mail
        ON CONFLICT (mail_id, url_hash) DO UPDATE SET clicks = c.clicks + 1, last_at = now();
    END IF;

    RETURN pool.ok(200, '{}');
END
$$;

-- {"user_id","list"} of a link, whose signature the edge has verified. Again and for somebody who has left it is fine.
CREATE FUNCTION jobs.mail_unsubscribe(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.mail_unsubscriptions (user_id, list)
    SELECT u.id, p_req #>> '{body,list}' FROM public.users u WHERE u.id = (p_req #>> '{body,user_id}')::uuid
    ON CONFLICT DO NOTHING;
    RETURN pool.ok(200, '{}');
END
$$;

-- By day (UTC) and template, mails that were handed to the sender: how many, and what became of them, as numbers and as shares.
CREATE FUNCTION pool.mail_stats(p_from date, p_to date)
RETURNS TABLE (day date, template text, sent bigint, delivered bigint, opened bigint, clicked bigint, bounced bigint, blocked bigint, spam bigint,
               unsubscribed bigint, recipients bigint, opens numeric, delivered_rate numeric, open_rate numeric, click_rate numeric, bounce_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY
    SELECT x.*, round(x.delivered::numeric / x.sent, 4), round(x.opened::numeric / x.sent, 4), round(x.clicked::numeric / x.sent, 4),
           round(x.bounced::numeric / x.sent, 4)
    FROM (SELECT (m.created_at AT TIME ZONE 'UTC')::date AS d, m.template AS t, count(*) AS sent, count(m.delivered_at) AS delivered, count(m.opened_at) AS opened,
                 count(m.clicked_at) AS clicked, count(m.bounced_at) AS bounced, count(m.blocked_at) AS blocked, count(m.spam_at) AS spam,
                 count(m.unsubscribed_at) AS unsubscribed, count(DISTINCT m.user_id) AS recipients, round(avg(m.opens), 2) AS opens
          FROM public.mails m
          WHERE m.status = 'sent' AND m.created_at >= p_from::timestamp AT TIME ZONE 'UTC' AND m.created_at < (p_to + 1)::timestamp AT TIME ZONE 'UTC'
          GROUP BY d, t) x
    ORDER BY x.d, x.t;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs, pool FROM PUBLIC;

GRANT CREATE ON SCHEMA jobs, pool TO fitnudge_auth;
ALTER FUNCTION jobs.mail_events(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.mail_note(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION jobs.mail_unsubscribe(uuid, uuid, jsonb, jsonb) OWNER TO fitnudge_auth;
ALTER FUNCTION pool.mail_stats(date, date) OWNER TO fitnudge_auth;
REVOKE CREATE ON SCHEMA jobs, pool FROM fitnudge_auth;

GRANT EXECUTE ON FUNCTION pool.mail_stopped(uuid, text, text), pool.mail_event_kind(jsonb), pool.mail_event_mail(jsonb), pool.mail_event_time(jsonb),
    pool.mail_note(uuid, text, timestamptz), pool.mail_batch(jsonb) TO fitnudge_auth;
GRANT EXECUTE ON FUNCTION pool.mail_stats(date, date) TO fitnudge_api;
REVOKE EXECUTE ON FUNCTION pool.mail_stats(date, date) FROM fitnudge_pool;
GRANT EXECUTE ON FUNCTION jobs.mail_events(uuid, uuid, jsonb, jsonb), jobs.mail_note(uuid, uuid, jsonb, jsonb),
    jobs.mail_unsubscribe(uuid, uuid, jsonb, jsonb) TO fitnudge_pool;

COMMIT;
