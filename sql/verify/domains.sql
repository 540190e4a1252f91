-- Verify fitnudge:domains on pg

BEGIN;

SELECT NULL::public.tone, NULL::public.lang, NULL::public.message_text, NULL::public.message_source, NULL::public.checkin_status, NULL::public.mood,
       NULL::public.reflection, NULL::public.counted, NULL::public.row_change, NULL::public.job_state;

ROLLBACK;
