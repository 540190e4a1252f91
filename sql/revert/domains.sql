-- Revert fitnudge:domains from pg

BEGIN;

DROP DOMAIN public.tone, public.lang, public.message_text, public.message_source, public.checkin_status, public.mood, public.reflection, public.counted,
    public.row_change, public.job_state;

COMMIT;
