/* What a replica's position says of its age. */
#include "unit.h"

#include "fn_lag.h"


START_TEST(lag_unknown)
{
    uint64_t  t;
    fn_lag_t  lag = { 0 };

    ck_assert_int_eq(fn_lag_reached(&lag, UINT64_MAX, &t), 0);
    fn_lag_note(&lag, 1000, 50);
    ck_assert_int_eq(fn_lag_reached(&lag, 49, &t), 0);
}
END_TEST


START_TEST(lag_follows)
{
    uint64_t  t = 0;
    fn_lag_t  lag = { 0 };

    fn_lag_note(&lag, 1000, 50);
    fn_lag_note(&lag, 1200, 60);
    fn_lag_note(&lag, 1400, 70);

    ck_assert_int_eq(fn_lag_reached(&lag, 50, &t), 1);
    ck_assert_uint_eq(t, 1000);
    ck_assert_int_eq(fn_lag_reached(&lag, 69, &t), 1);
    ck_assert_uint_eq(t, 1200);
    ck_assert_int_eq(fn_lag_reached(&lag, 70, &t), 1);
    ck_assert_uint_eq(t, 1400);
    ck_assert_int_eq(fn_lag_reached(&lag, 1000, &t), 1);
    ck_assert_uint_eq(t, 1400);
}
END_TEST


/* nothing is written: a replica that has everything gets no older */
START_TEST(lag_idle)
{
    int       i;
    uint64_t  t = 0;
    fn_lag_t  lag = { 0 };

    for (i = 0; i < 1000; i++) {
        fn_lag_note(&lag, 1000 + i * 200, 50);
        ck_assert_int_eq(fn_lag_reached(&lag, 50, &t), 1);
        ck_assert_uint_eq(t, 1000 + i * 200);
    }
    ck_assert_uint_eq(lag.n, FN_LAG_SAMPLES);
}
END_TEST


/* further behind than is remembered: not known, which is safe */
START_TEST(lag_forgets)
{
    int       i;
    uint64_t  t = 0;
    fn_lag_t  lag = { 0 };

    for (i = 0; i <= FN_LAG_SAMPLES; i++) {
        fn_lag_note(&lag, i, 10 * i);
    }

    ck_assert_int_eq(fn_lag_reached(&lag, 9, &t), 0);
    ck_assert_int_eq(fn_lag_reached(&lag, 10, &t), 1);
    ck_assert_uint_eq(t, 1);
}
END_TEST


/* another primary, or one restored to an earlier time */
START_TEST(lag_goes_back)
{
    uint64_t  t = 0;
    fn_lag_t  lag = { 0 };

    fn_lag_note(&lag, 1000, 500);
    fn_lag_note(&lag, 1200, 600);
    fn_lag_note(&lag, 1400, 100);

    ck_assert_int_eq(fn_lag_reached(&lag, 550, &t), 1);
    ck_assert_uint_eq(t, 1400);
    ck_assert_int_eq(fn_lag_reached(&lag, 99, &t), 0);
    ck_assert_uint_eq(lag.n, 1);
}
END_TEST


UNIT_MAIN("lag", lag_unknown, lag_follows, lag_idle, lag_forgets, lag_goes_back)
