/* The circuit breaker: every way from state to state, and what must not move it. */
#include "unit.h"

#include "fn_breaker.h"

static const fn_breaker_policy_t  three = { 3, 1, 0, 1000 };
static const fn_breaker_policy_t  window = { 3, 1, 500, 1000 };
static const fn_breaker_policy_t  probes = { 1, 2, 0, 1000 };


static void
opened(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now)
{
    unsigned  i;

    memset(b, 0, sizeof(*b));

    for (i = 1; i < p->failures; i++) {
        ck_assert_int_eq(fn_breaker_failure(b, p, now), 0);
    }

    ck_assert_int_eq(fn_breaker_failure(b, p, now), 1);
    ck_assert_int_eq(b->state, FN_BREAKER_OPEN);
}


START_TEST(breaker_opens)
{
    fn_breaker_t  b = { 0 };

    ck_assert_int_eq(fn_breaker_allow(&b, &three, 0), 1);
    ck_assert_uint_eq(fn_breaker_wait(&b, &three, 0), 0);

    opened(&b, &three, 7);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 7), 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1006), 0);
    ck_assert_uint_eq(fn_breaker_wait(&b, &three, 7), 1000);
    ck_assert_uint_eq(fn_breaker_wait(&b, &three, 1006), 1);
    ck_assert_uint_eq(fn_breaker_wait(&b, &three, 9999), 0);

    /* what was asked before it opened */
    ck_assert_int_eq(fn_breaker_success(&b, &three, 8), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &three, 900), 0);
    fn_breaker_cancelled(&b);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1006), 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1007), 1);
}
END_TEST


START_TEST(breaker_counts_in_a_row)
{
    int           i;
    fn_breaker_t  b = { 0 };

    for (i = 0; i < 100; i++) {
        ck_assert_int_eq(fn_breaker_failure(&b, &three, i), 0);
        ck_assert_int_eq(fn_breaker_failure(&b, &three, i), 0);
        ck_assert_int_eq(fn_breaker_success(&b, &three, i), 0);
    }

    ck_assert_int_eq(b.state, FN_BREAKER_CLOSED);
    opened(&b, &probes, 0);
}
END_TEST


START_TEST(breaker_counts_within_the_window)
{
    int           i;
    fn_breaker_t  b = { 0 };

    /* one every 300 ms: never three in 500 ms */
    for (i = 0; i < 1000; i++) {
        ck_assert_int_eq(fn_breaker_failure(&b, &window, i * 300), 0);
    }

    ck_assert_int_eq(fn_breaker_failure(&b, &window, 999 * 300 + 200), 1);

    memset(&b, 0, sizeof(b));
    ck_assert_int_eq(fn_breaker_failure(&b, &window, 0), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &window, 500), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &window, 501), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &window, 1000), 1);
}
END_TEST


START_TEST(breaker_closes)
{
    fn_breaker_t  b;

    opened(&b, &three, 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1000), 1);
    ck_assert_int_eq(b.state, FN_BREAKER_HALF_OPEN);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1000), 0);
    ck_assert_uint_eq(fn_breaker_wait(&b, &three, 1400), 600);

    ck_assert_int_eq(fn_breaker_success(&b, &three, 1001), 1);
    ck_assert_int_eq(b.state, FN_BREAKER_CLOSED);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1001), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1001), 1);

    /* and counts anew */
    ck_assert_int_eq(fn_breaker_failure(&b, &three, 1002), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &three, 1002), 0);
    ck_assert_int_eq(fn_breaker_failure(&b, &three, 1002), 1);
}
END_TEST


START_TEST(breaker_opens_again)
{
    fn_breaker_t  b;

    opened(&b, &three, 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1500), 1);
    ck_assert_int_eq(fn_breaker_failure(&b, &three, 1600), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 2599), 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 2600), 1);
}
END_TEST


START_TEST(breaker_probes)
{
    fn_breaker_t  b;

    opened(&b, &probes, 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &probes, 1000), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &probes, 1000), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &probes, 1000), 0);

    /* one is given back and taken again */
    fn_breaker_cancelled(&b);
    ck_assert_uint_eq(fn_breaker_wait(&b, &probes, 1000), 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &probes, 1001), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &probes, 1001), 0);

    ck_assert_int_eq(fn_breaker_success(&b, &probes, 1002), 0);
    ck_assert_int_eq(b.state, FN_BREAKER_HALF_OPEN);
    ck_assert_int_eq(fn_breaker_success(&b, &probes, 1003), 1);
    ck_assert_int_eq(b.state, FN_BREAKER_CLOSED);
}
END_TEST


START_TEST(breaker_probe_is_lost)
{
    fn_breaker_t  b;

    opened(&b, &three, 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1000), 1);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1999), 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 2000), 1);

    /* its late answer counts, a second one does not */
    ck_assert_int_eq(fn_breaker_success(&b, &three, 2001), 1);
    ck_assert_int_eq(fn_breaker_success(&b, &three, 2002), 0);

    /* answers to questions from before are none of a probe */
    opened(&b, &three, 0);
    ck_assert_int_eq(fn_breaker_allow(&b, &three, 1000), 1);
    fn_breaker_cancelled(&b);
    fn_breaker_cancelled(&b);
    ck_assert_int_eq(fn_breaker_success(&b, &three, 1001), 0);
    ck_assert_int_eq(b.state, FN_BREAKER_HALF_OPEN);
}
END_TEST


START_TEST(breaker_many_failures)
{
    unsigned             i;
    fn_breaker_t         b = { 0 };
    fn_breaker_policy_t  p = { FN_BREAKER_FAILURES_MAX, 1, 1, 10 };

    for (i = 0; i < 100000; i++) {
        ck_assert_int_eq(fn_breaker_failure(&b, &p, (uint64_t) i * 2), 0);
        ck_assert_uint_lt(b.failures, 2 * FN_BREAKER_FAILURES_MAX);
    }
}
END_TEST


UNIT_MAIN("breaker", breaker_opens, breaker_counts_in_a_row, breaker_counts_within_the_window, breaker_closes,
          breaker_opens_again, breaker_probes, breaker_probe_is_lost, breaker_many_failures)
