-- Demo data for a first look: one person, two goals, three weeks of check-ins, two messages.
-- Needs the psql variable password_hash. May run again: what is there stays.
INSERT INTO public.users (id, email, password_hash, name, language, timezone, plan, email_verified)
VALUES ('00000000-0000-4000-8000-00000000d001', 'demo@fitnudge.example', :'password_hash', 'Demo', 'en', 'UTC', 'pro', true)
ON CONFLICT DO NOTHING;

INSERT INTO public.goals (id, user_id, title, description, category, frequency, created_at) VALUES
    ('00000000-0000-4000-8000-00000000d011', '00000000-0000-4000-8000-00000000d001',
     'Go to the gym 3x a week', 'Strength training, 45 minutes', 'gym', 3, now() - interval '21 days'),
    ('00000000-0000-4000-8000-00000000d012', '00000000-0000-4000-8000-00000000d001',
     'Stretch every day', NULL, 'mobility', 7, now() - interval '21 days')
ON CONFLICT DO NOTHING;

INSERT INTO public.checkins (goal_id, user_id, date, status, reflection, mood)
SELECT '00000000-0000-4000-8000-00000000d011', '00000000-0000-4000-8000-00000000d001', current_date - n,
       CASE WHEN n % 9 = 4 THEN 'skipped' ELSE 'done' END,
       (ARRAY['Felt strong today', 'Short on time, went anyway', 'New personal best', NULL])[n % 4 + 1], 3 + n % 3
FROM generate_series(1, 21) n WHERE n % 2 = 0
ON CONFLICT DO NOTHING;

INSERT INTO public.checkins (goal_id, user_id, date, status, mood)
SELECT '00000000-0000-4000-8000-00000000d012', '00000000-0000-4000-8000-00000000d001', current_date - n,
       CASE WHEN n IN (8, 15) THEN 'missed' ELSE 'done' END, 4
FROM generate_series(1, 21) n
ON CONFLICT DO NOTHING;

INSERT INTO public.motivations (id, goal_id, user_id, text, tone, language, source, created_at) VALUES
    ('00000000-0000-4000-8000-00000000d021', '00000000-0000-4000-8000-00000000d011', '00000000-0000-4000-8000-00000000d001',
     'Three weeks in and you keep showing up. One more set today, and be proud of it!', 'friendly', 'en', 'fallback', now() - interval '3 days'),
    ('00000000-0000-4000-8000-00000000d022', '00000000-0000-4000-8000-00000000d012', '00000000-0000-4000-8000-00000000d001',
     'Breathe, stretch, begin again. Today''s small effort brings tomorrow''s ease.', 'calm', 'en', 'fallback', now() - interval '1 day')
ON CONFLICT DO NOTHING;
