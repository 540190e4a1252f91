-- Experiments: assignment that stays, and the arithmetic of results against known values.
BEGIN;
SELECT plan(48);

-- --- the normal distribution: values of math.erfc() with 17 digits ----------------------------------
SELECT cmp_ok(abs(pool.normal_cdf(x) - p), '<', 1e-15::float8, 'Phi(' || x || ')') FROM (VALUES
    (0::float8, 0.5::float8), (0.5, 0.69146246127401312), (1, 0.84134474606854293), (-1, 0.15865525393145705), (1.959963984540054, 0.975), (-1.959963984540054, 0.025),
    (2.575829303548901, 0.995), (3, 0.9986501019683699), (-3, 0.0013498980316300933), (6, 0.99999999901341232)) v (x, p);
SELECT cmp_ok(abs(pool.normal_cdf(x) / p - 1), '<', 1e-8::float8, 'the tail at ' || x) FROM (VALUES
    (-5::float8, 2.866515718791946e-7::float8), (-7, 1.279812543885835e-12), (-7.1, 6.2378444633316402e-13), (-10, 7.619853024160593e-24), (-20, 2.7536241186063314e-89), (-30, 4.9067139271487642e-198)) v (x, p);
SELECT is(pool.normal_cdf(-40), 0::float8, 'nothing is left at -40');
SELECT is(pool.normal_cdf(40), 1::float8, 'all of it at 40');
SELECT is(pool.normal_cdf('NaN'), 'NaN'::float8, 'NaN is none');
SELECT ok((SELECT bool_and(d >= 0) FROM (SELECT pool.normal_cdf(i / 50.0) - lag(pool.normal_cdf(i / 50.0)) OVER (ORDER BY i) AS d FROM generate_series(-500, 500) i) x WHERE d IS NOT NULL), 'it never falls');

-- --- two proportions: 200 of 1000 against 250 of 1000 -------------------------------------------------
CREATE TEMP TABLE t AS SELECT * FROM pool.two_proportions(200, 1000, 250, 1000);
SELECT is((SELECT round(difference::numeric, 12) FROM t), 0.05, 'difference');
SELECT is((SELECT round(lift::numeric, 12) FROM t), 0.25, 'lift');
SELECT is((SELECT round(z::numeric, 10) FROM t), 2.6773977630, 'z');
SELECT is((SELECT round(p_value::numeric, 10) FROM t), 0.0074196493, 'p');
SELECT is((SELECT round(low::numeric, 10) FROM t), 0.0134636217, 'lower end');
SELECT is((SELECT round(high::numeric, 10) FROM t), 0.0865363783, 'upper end');
SELECT ok((SELECT p_value > 0.99 AND z = 0 FROM pool.two_proportions(10, 100, 10, 100)), 'the same is the same');
SELECT ok((SELECT z IS NULL AND p_value IS NULL AND lift IS NULL FROM pool.two_proportions(0, 100, 0, 100)), 'nothing can be said of nothing');
SELECT ok((SELECT z IS NULL AND difference IS NULL AND low IS NULL FROM pool.two_proportions(0, 0, 5, 10)), 'nor without anybody');
SELECT ok((SELECT z < 0 AND p_value < 0.05 FROM pool.two_proportions(250, 1000, 200, 1000)), 'worse is worse');

-- --- assignment ------------------------------------------------------------------------------------
INSERT INTO public.users (id, email, name) SELECT ('00000000-0000-4000-8000-00000001' || lpad(n::text, 4, '0'))::uuid, 'e' || n || '@x.example', 'E' FROM generate_series(1, 1000) n;
CREATE FUNCTION pg_temp.u(n int) RETURNS uuid LANGUAGE sql RETURN ('00000000-0000-4000-8000-00000001' || lpad(n::text, 4, '0'))::uuid;
CREATE FUNCTION pg_temp.flow(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pool.enter(pg_temp.u(n));
    RETURN api.onboarding_flow(pg_temp.u(n));
END
$$;
CREATE FUNCTION pg_temp.tell(n int, p_event text, p_key text DEFAULT 'onboarding-flow') RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pool.enter(pg_temp.u(n));
    RETURN (jobs.experiments_event(gen_random_uuid(), pg_temp.u(n), jsonb_build_object('params', jsonb_build_object('key', p_key), 'body', jsonb_build_object('event', p_event), 'meta', '{}'::jsonb), NULL)).status;
END
$$;
CREATE FUNCTION pg_temp.see(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pool.enter(pg_temp.u(n));
    PERFORM jobs.onboarding_flow(gen_random_uuid(), pg_temp.u(n), '{}', NULL);
END
$$;

CREATE TEMP TABLE flow AS SELECT n, pg_temp.flow(n) AS f FROM generate_series(1, 1000) n;
SELECT ok((SELECT count(*) BETWEEN 420 AND 580 FROM flow WHERE f ->> 'variant' = 'control'), 'half and half');
SELECT is_empty($$ SELECT n FROM flow WHERE f <> pg_temp.flow(n) $$, 'the same at each time');
SELECT ok((SELECT bool_and(f - 'variant' = CASE f ->> 'variant'
    WHEN 'control' THEN '{"experiment":"onboarding-flow","flow":"original","steps":["welcome","goal","notification"]}'::jsonb
    ELSE '{"experiment":"onboarding-flow","flow":"simplified","steps":["goal","done"]}' END) FROM flow), 'each variant has its flow');

SELECT count(pg_temp.see(n)) FROM generate_series(1, 900) n;
SELECT count(pg_temp.see(n)) FROM generate_series(1, 900) n;
SELECT is((SELECT count(*) FROM public.experiment_exposures), 900::bigint, 'who has seen it is counted once');
SELECT lives_ok($$ SELECT pool.experiment_put('test', 'onboarding-flow', '{"variants":[{"name":"control","weight":0,"payload":{}},{"name":"treatment","weight":100000,"payload":{}}]}') $$, 'weights change');
SELECT is_empty($$ SELECT n FROM flow WHERE n <= 900 AND f ->> 'variant' <> pg_temp.flow(n) ->> 'variant' $$, 'who has seen one keeps it');
SELECT is((SELECT count(*) FROM flow WHERE n > 900 AND pg_temp.flow(n) ->> 'variant' = 'treatment'), 100::bigint, 'others have another chance');

-- --- events, results -------------------------------------------------------------------------------
SELECT count(pg_temp.tell(n, 'conversion')) FROM flow WHERE n <= 900 AND n % CASE f ->> 'variant' WHEN 'control' THEN 5 ELSE 3 END = 0;
SELECT count(pg_temp.tell(n, 'conversion')) FROM flow WHERE n <= 900 AND n % 15 = 0;
SELECT count(pg_temp.tell(n, 'opened')) FROM flow WHERE n <= 900;
CREATE TEMP TABLE r AS SELECT pool.experiment_results('onboarding-flow', 7) AS r;
CREATE TEMP TABLE e AS SELECT count(*) FILTER (WHERE f ->> 'variant' = 'control') AS n1, count(*) FILTER (WHERE f ->> 'variant' = 'control' AND n % 5 = 0) AS x1,
    count(*) FILTER (WHERE f ->> 'variant' = 'treatment') AS n2, count(*) FILTER (WHERE f ->> 'variant' = 'treatment' AND n % 3 = 0) AS x2 FROM flow WHERE n <= 900;
SELECT ok((SELECT (r #>> '{variants,0,users}')::int = n1 AND (r #>> '{variants,0,conversions}')::int = x1 AND (r #>> '{variants,1,users}')::int = n2
    AND (r #>> '{variants,1,conversions}')::int = x2 FROM r, e), 'people are counted, not events');
SELECT ok((SELECT abs((r #>> '{variants,1,z}')::float8 - t.z) < 1e-12 AND r #> '{variants,1,significant}' = to_jsonb(t.p_value < 0.05) FROM r, e, pool.two_proportions(x1, n1, x2, n2) t), 'z is that of the test');
SELECT is((SELECT r #> '{variants,1,warning}' FROM r), 'null', 'there are enough');
SELECT pool.experiment_put('test', 'onboarding-flow', '{"min_sample":100000}');
SELECT ok((SELECT NOT (r #> '{variants,1,significant}')::boolean AND r #>> '{variants,1,warning}' LIKE 'fewer than 100000 users%' FROM (SELECT pool.experiment_results('onboarding-flow', 7) AS r) x), 'too few prove nothing');
SELECT is(pool.experiment_results('none', 7), NULL, 'an unknown experiment');

SELECT is(pg_temp.tell(950, 'conversion', 'none'), 404, 'an event of an unknown experiment');
SELECT is(pg_temp.tell(950, 'Not A Name'), 400, 'an event that is no name');
SELECT pool.experiment_put('test', 'onboarding-flow', '{"on":false}');
SELECT is(pg_temp.flow(1) ->> 'variant', 'control', 'off: the first variant for all');
SELECT is(pg_temp.tell(950, 'conversion'), 202, 'off: an event of somebody outside');
SELECT is((SELECT count(*) FROM public.experiment_exposures WHERE user_id = pg_temp.u(950)), 0::bigint, 'is not kept');
SELECT throws_ok($$ SELECT pool.experiment_put('test', 'x', '{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}]}', NULL, true) $$, 'FN400', 'the weights of the variants add up to 100000', 'weights that do not add up');

SELECT * FROM finish();
ROLLBACK;
