-- Deploy fitnudge:queue to pg
-- The inbox: which jobs have been done, and what they were answered, in partitions by day (UTC). A row is inserted by every
-- write there is, so it has one index, and old days are dropped instead of deleted.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.inbox (
    job_id       uuid        NOT NULL,
    day          date        NOT NULL,
    job          text        NOT NULL,
    user_id      uuid,
    fingerprint  text        NOT NULL,
    state        public.job_state NOT NULL,
    status       smallint,
    body         text,
    headers      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    opened_at    timestamptz,
    CONSTRAINT inbox_pkey PRIMARY KEY (job_id, day)
) PARTITION BY RANGE (day);

COMMENT ON COLUMN public.inbox.opened_at IS 'when a job that calls a provider was last begun';

CREATE TABLE public.inbox_default PARTITION OF public.inbox DEFAULT;

ALTER TABLE public.inbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.inbox_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY queue ON public.inbox TO fitnudge_queue USING (true) WITH CHECK (true);
CREATE POLICY own ON public.inbox FOR SELECT TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.inbox TO fitnudge_queue;
GRANT SELECT ON public.inbox TO fitnudge_api;

COMMIT;
