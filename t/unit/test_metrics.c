/* Buckets of histograms, quantiles, and the place of a status. */
#include "unit.h"

#include <stdlib.h>

#include "fn_metrics.h"


/* what a bucket is, said slowly */
static unsigned
bucket_of(uint64_t ns)
{
    unsigned  i;

    for (i = 0; i < FN_BOUNDS_N; i++) {
        if (ns <= fn_bounds_ns[i]) {
            break;
        }
    }

    return i;
}


START_TEST(test_bounds)
{
    unsigned  i;

    for (i = 0; i < FN_BOUNDS_N; i++) {
        /* the text is the number, in seconds */
        ck_assert_msg(strtod(fn_bounds_s[i], NULL) == (double) fn_bounds_ns[i] / 1e9, "%s", fn_bounds_s[i]);
        ck_assert(i == 0 || fn_bounds_ns[i - 1] < fn_bounds_ns[i]);
    }

    ck_assert_str_eq(fn_bounds_s[FN_BOUNDS_N], "+Inf");
}
END_TEST


START_TEST(test_bucket)
{
    unsigned  i, n;
    uint64_t  ns;

    ck_assert_uint_eq(fn_bucket(0), 0);
    ck_assert_uint_eq(fn_bucket(UINT64_MAX), FN_BOUNDS_N);

    for (i = 0; i < FN_BOUNDS_N; i++) {
        ck_assert_uint_eq(fn_bucket(fn_bounds_ns[i] - 1), i);
        ck_assert_uint_eq(fn_bucket(fn_bounds_ns[i]), i);
        ck_assert_uint_eq(fn_bucket(fn_bounds_ns[i] + 1), i + 1);
    }

    srandom(1);

    for (n = 0; n < 200000; n++) {
        ns = ((uint64_t) random() << 31 | (uint64_t) random()) >> (random() % 62);
        ck_assert_uint_eq(fn_bucket(ns), bucket_of(ns));
    }
}
END_TEST


START_TEST(test_histogram)
{
    unsigned        i;
    fn_histogram_t  a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    ck_assert_uint_eq(fn_histogram_count(&a), 0);
    ck_assert_uint_eq(fn_histogram_quantile(&a, 50), 0);

    for (i = 0; i < 98; i++) {
        fn_histogram_observe(&a, 80000);
    }

    fn_histogram_observe(&a, 3000000);
    fn_histogram_observe(&b, 60000000000ULL);
    fn_histogram_add(&a, &b);

    ck_assert_uint_eq(fn_histogram_count(&a), 100);
    ck_assert_uint_eq(a.sum_ns, 98 * 80000ULL + 3000000 + 60000000000ULL);
    ck_assert_uint_eq(fn_histogram_quantile(&a, 50), 100000);
    ck_assert_uint_eq(fn_histogram_quantile(&a, 98), 100000);
    ck_assert_uint_eq(fn_histogram_quantile(&a, 99), 5000000);
    ck_assert(fn_histogram_quantile(&a, 100) == UINT64_MAX);
    ck_assert_uint_eq(fn_histogram_count(&b), 1);
}
END_TEST


START_TEST(test_status)
{
    unsigned  i, place;

    ck_assert_uint_eq(fn_statuses[FN_STATUS_OTHER], 0);

    for (i = 1; i < FN_STATUSES_N; i++) {
        ck_assert_uint_eq(fn_status_place(fn_statuses[i]), i);
        ck_assert(fn_statuses[i] > fn_statuses[i - 1]);
    }

    for (i = 0; i < 2000; i++) {
        place = fn_status_place(i);
        ck_assert(place < FN_STATUSES_N && (place == FN_STATUS_OTHER || fn_statuses[place] == i));
    }

    ck_assert_uint_eq(fn_status_place(UINTPTR_MAX), FN_STATUS_OTHER);
}
END_TEST


UNIT_MAIN("metrics", test_bounds, test_bucket, test_histogram, test_status)
