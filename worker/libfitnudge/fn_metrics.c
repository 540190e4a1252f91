/* Tables of buckets and statuses, and what is worked out from histograms when they are read. */
#include "fn_metrics.h"

#define BOUND_NS(ns, text)    ns,
#define BOUND_TEXT(ns, text)  text,
#define STATUS(code)          [FN_STATUS_##code] = code,
#define PLACE(code)           [code] = FN_STATUS_##code,


const uint64_t  fn_bounds_ns[FN_BOUNDS_N] = { FN_BUCKETS(BOUND_NS) };

const char *const  fn_bounds_s[FN_BUCKETS_N] = { FN_BUCKETS(BOUND_TEXT) "+Inf" };

const uint16_t  fn_statuses[FN_STATUSES_N] = { FN_STATUSES(STATUS) };

const uint8_t  fn_status_places[FN_STATUS_MAX] = { FN_STATUSES(PLACE) };


void
fn_histogram_add(fn_histogram_t *to, const fn_histogram_t *from)
{
    unsigned  i;

    for (i = 0; i < FN_BUCKETS_N; i++) {
        to->buckets[i] += __atomic_load_n(&from->buckets[i], __ATOMIC_RELAXED);
    }

    to->sum_ns += __atomic_load_n(&from->sum_ns, __ATOMIC_RELAXED);
}


uint64_t
fn_histogram_count(const fn_histogram_t *h)
{
    unsigned  i;
    uint64_t  n = 0;

    for (i = 0; i < FN_BUCKETS_N; i++) {
        n += h->buckets[i];
    }

    return n;
}


uint64_t
fn_histogram_quantile(const fn_histogram_t *h, unsigned percent)
{
    unsigned  i;
    uint64_t  n, count, rank;

    count = fn_histogram_count(h);

    if (count == 0) {
        return 0;
    }

    /* the rank rounded up; in two parts, as a product could overflow */
    rank = count / 100 * percent + (count % 100 * percent + 99) / 100;
    n = 0;

    for (i = 0; i < FN_BOUNDS_N; i++) {
        n += h->buckets[i];

        if (n >= rank) {
            return fn_bounds_ns[i];
        }
    }

    return UINT64_MAX;
}
