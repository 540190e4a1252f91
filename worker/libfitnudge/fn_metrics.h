/*
 * What histograms and counters by status are made of: bucket boundaries and the place of a status among those
 * that are counted. Plain memory that any number of processes may add to at once: every addition is one relaxed atomic,
 * no reader or writer ever waits. No nginx types here, so that tests can reach all of it.
 */
#ifndef FN_METRICS_H
#define FN_METRICS_H

#include <stddef.h>
#include <stdint.h>

/*
 * X(boundary in ns, the same in seconds as Prometheus writes it).  From 5 ms on they are those that OpenTelemetry
 * advises for http.server.request.duration; the finer ones are there because most answers take microseconds.
 */
#define FN_BUCKETS(X)                                                                                         \
    X(50000, "5e-05") X(100000, "0.0001") X(250000, "0.00025") X(500000, "0.0005") X(1000000, "0.001")        \
    X(2500000, "0.0025")                                                                                      \
    X(5000000, "0.005") X(10000000, "0.01") X(25000000, "0.025") X(50000000, "0.05") X(75000000, "0.075")     \
    X(100000000, "0.1") X(250000000, "0.25") X(500000000, "0.5") X(750000000, "0.75") X(1000000000, "1")      \
    X(2500000000, "2.5") X(5000000000, "5") X(7500000000, "7.5") X(10000000000, "10")

#define FN_BUCKET_ONE(ns, text)  + 1

enum { FN_BOUNDS_N = 0 FN_BUCKETS(FN_BUCKET_ONE), FN_BUCKETS_N };

extern const uint64_t fn_bounds_ns[FN_BOUNDS_N];        /* ascending */
extern const char *const fn_bounds_s[FN_BUCKETS_N];     /* the last one is "+Inf" */

typedef struct {
    uint64_t    buckets[FN_BUCKETS_N];      /* not cumulative; the last one is what is above all boundaries */
    uint64_t    sum_ns;
} fn_histogram_t;

/* The bucket of a duration: the first whose boundary is not below it. Five steps without a branch. */
static inline unsigned
fn_bucket(uint64_t ns)
{
    unsigned         n, half;
    const uint64_t  *p = fn_bounds_ns;

    for (n = FN_BOUNDS_N; n > 1; n -= half) {
        half = n / 2;
        p += (p[half - 1] < ns) ? half : 0;
    }

    return (unsigned) (p - fn_bounds_ns) + (*p < ns);
}

static inline void
fn_histogram_observe(fn_histogram_t *h, uint64_t ns)
{
    (void) __atomic_fetch_add(&h->buckets[fn_bucket(ns)], 1, __ATOMIC_RELAXED);
    (void) __atomic_fetch_add(&h->sum_ns, ns, __ATOMIC_RELAXED);
}

/* Adds what `from` has to `to`, which nobody else uses. */
void fn_histogram_add(fn_histogram_t *to, const fn_histogram_t *from);

uint64_t fn_histogram_count(const fn_histogram_t *h);

/* The boundary in ns below which `percent` of all durations are: 0 without any, UINT64_MAX when above all boundaries. */
uint64_t fn_histogram_quantile(const fn_histogram_t *h, unsigned percent);


/* Statuses that are counted one by one; any other one is counted as 0. */
#define FN_STATUSES(X)                                                                                        \
    X(101) X(200) X(201) X(202) X(204) X(206) X(301) X(302) X(303) X(304) X(307) X(308)                       \
    X(400) X(401) X(403) X(404) X(405) X(408) X(409) X(410) X(411) X(412) X(413) X(414) X(415) X(416) X(417)  \
    X(421) X(422) X(425) X(426) X(428) X(429) X(431) X(444) X(499) X(500) X(501) X(502) X(503) X(504) X(505)  \
    X(507)

#define FN_STATUS_ID(code)  FN_STATUS_##code,

enum { FN_STATUS_OTHER = 0, FN_STATUSES(FN_STATUS_ID) FN_STATUSES_N };

#define FN_STATUS_MAX  512

extern const uint16_t fn_statuses[FN_STATUSES_N];       /* the status of each place; 0 = other */
extern const uint8_t fn_status_places[FN_STATUS_MAX];

static inline unsigned
fn_status_place(uintptr_t status)
{
    return status < FN_STATUS_MAX ? fn_status_places[status] : FN_STATUS_OTHER;
}

#endif
