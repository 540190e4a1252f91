-- Deploy fitnudge:motivations to pg
-- Messages that were given to a user for a goal.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.motivations (
    id           uuid                   NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id      uuid                   NOT NULL,
    goal_id      uuid                   NOT NULL,
    text         public.message_text    NOT NULL,
    tone         public.tone            NOT NULL,
    language     public.lang            NOT NULL,
    source       public.message_source  NOT NULL,
    model        text,
    prompt_hash  text,
    voice_url    text,
    created_at   timestamptz            NOT NULL DEFAULT now(),

    FOREIGN KEY (goal_id, user_id) REFERENCES public.goals (id, user_id) ON DELETE CASCADE
);

CREATE INDEX idx_motivations_user_id ON public.motivations (user_id, created_at DESC, id DESC);
CREATE INDEX idx_motivations_goal_id ON public.motivations (goal_id, created_at DESC, id DESC);

ALTER TABLE public.motivations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.motivations TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

GRANT SELECT, INSERT ON public.motivations TO fitnudge_api;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.motivations
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('motivations');

COMMIT;
