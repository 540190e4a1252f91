BEGIN;
DELETE FROM public.retention WHERE name IN ('mails', 'mail_events', 'mail_suppressions');
DROP FUNCTION pool.mail_stats(date, date);
DROP FUNCTION jobs.mail_unsubscribe(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.mail_note(uuid, uuid, jsonb, jsonb);
DROP FUNCTION jobs.mail_events(uuid, uuid, jsonb, jsonb);
DROP FUNCTION pool.mail_batch(jsonb);
DROP FUNCTION pool.mail_note(uuid, text, timestamptz);
DROP FUNCTION pool.mail_event_time(jsonb);
DROP FUNCTION pool.mail_event_mail(jsonb);
DROP FUNCTION pool.mail_event_kind(jsonb);
DROP FUNCTION pool.mail_stopped(uuid, text, text);
DROP TABLE public.mail_unsubscriptions, public.mail_events, public.mail_clicks, public.mail_kinds;
DROP INDEX public.idx_mails_created_at;
DROP POLICY clock ON public.mails;
REVOKE ALL ON public.mails, public.mail_suppressions FROM fitnudge_clock;
ALTER TABLE public.mails DROP COLUMN delivered_at, DROP COLUMN deferred_at, DROP COLUMN opened_at, DROP COLUMN opens, DROP COLUMN clicked_at,
    DROP COLUMN clicks, DROP COLUMN bounced_at, DROP COLUMN blocked_at, DROP COLUMN dropped_at, DROP COLUMN spam_at, DROP COLUMN unsubscribed_at;
COMMIT;
