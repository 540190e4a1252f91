-- Deploy fitnudge:checkins to pg
-- One row a goal and date, in partitions by month. Whatever has no month of its own is in the default partition.

BEGIN;

SET LOCAL ROLE fitnudge_owner;

CREATE TABLE public.checkins (
    id          uuid                   NOT NULL DEFAULT gen_random_uuid(),
    user_id     uuid                   NOT NULL,
    goal_id     uuid                   NOT NULL,
    date        date                   NOT NULL,
    status      public.checkin_status  NOT NULL,
    reflection  public.reflection,
    mood        public.mood,
    version     integer                NOT NULL DEFAULT 1,
    created_at  timestamptz            NOT NULL DEFAULT now(),
    updated_at  timestamptz            NOT NULL DEFAULT now(),

    PRIMARY KEY (id, date),
    CONSTRAINT checkins_goal_id_date_key UNIQUE (goal_id, date),
    FOREIGN KEY (goal_id, user_id) REFERENCES public.goals (id, user_id) ON DELETE CASCADE
) PARTITION BY RANGE (date);

CREATE TABLE public.checkins_default PARTITION OF public.checkins DEFAULT;

-- checkins_goal_id_date_key serves what is asked of one goal, this what is asked of one user
CREATE INDEX idx_checkins_user_date ON public.checkins (user_id, date DESC, id DESC);
-- days of everybody: rows come in by date, so a summary of blocks is enough and costs an insert nothing
CREATE INDEX idx_checkins_date ON public.checkins USING brin (date);

ALTER TABLE public.checkins ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.checkins_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.checkins TO fitnudge_api
    USING (user_id = NULLIF(current_setting('request.user_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.checkins TO fitnudge_api;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON public.checkins
    FOR EACH ROW EXECUTE FUNCTION pool.note_change('checkins');

COMMIT;
