-- Deploy fitnudge:goals to pg

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.goals (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    title        text        NOT NULL CHECK (length(title) BETWEEN 1 AND 100),
    description  text        CHECK (length(description) <= 1000),
    category     text        CHECK (length(category) BETWEEN 1 AND 50),
    frequency    smallint    NOT NULL CHECK (frequency BETWEEN 1 AND 7),
    is_active    boolean     NOT NULL DEFAULT true,
    version      integer     NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),

    -- what belongs to a goal refers to both, and so cannot belong to somebody else: one check instead of two
    CONSTRAINT goals_id_user_id_key UNIQUE (id, user_id)
);

-- the list, in its order
CREATE INDEX idx_goals_user_id ON public.goals (user_id, created_at DESC, id DESC);
-- the plan's limit
CREATE INDEX idx_active_goals ON public.goals (user_id) WHERE is_active;

ALTER TABLE public.goals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.goals TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.goals TO fitnudge_api;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.goals
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('goals');

COMMIT;
