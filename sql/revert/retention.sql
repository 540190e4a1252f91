BEGIN;
DROP FUNCTION pool.cron_cleanup(timestamptz, jsonb);
DROP TRIGGER note_end ON public.sessions;
DROP TRIGGER note_change ON public.sessions;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.sessions
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('sessions');
DROP POLICY clock ON public.change_outbox;
DROP POLICY clock ON public.ai_usage;
DROP POLICY clock ON public.motivations;
DROP POLICY clock ON public.checkins;
DROP POLICY clock ON public.refresh_tokens;
DROP POLICY clock ON public.sessions;
DROP INDEX public.idx_refresh_tokens_expires_at, public.idx_sessions_expires_at, public.idx_users_deleted_at;
DROP TABLE public.retention;
COMMIT;
