/*
 * How requests are counted against a rate.
 *
 * GCRA (ITU-T I.371, the leaky bucket as a meter): all there is to remember is the theoretical arrival time, TAT, at which a key would
 * be idle again.  A request moves it on by one interval; it is refused when that would take it further than `burst` intervals
 * ahead of now.  In any window at most limit + burst pass.
 *
 * A strict window: at most `limit` requests in any period, wherever it begins.  The times of the requests are kept in cells of
 * 1/22 of the period; a cell counts until its last request has left the window: never too short, and at most 1/22 too long.
 *
 * Pure arithmetic: times are given, in ns of a clock that does not go back.  Nothing overflows, sums saturate.
 */
#ifndef FN_GCRA_H
#define FN_GCRA_H

#include <stddef.h>
#include <stdint.h>

#define FN_RATE_LIMIT_MAX   1000000             /* requests a period */
#define FN_RATE_STRICT_MAX  65535
#define FN_RATE_PERIOD_MAX  86400               /* s */
#define FN_RATE_BURST_MAX   1000000

#define FN_NS_PER_MS        UINT64_C(1000000)
#define FN_NS_PER_S         UINT64_C(1000000000)

typedef struct {
    uint32_t    limit;              /* requests a period */
    uint32_t    period_s;
    uint32_t    burst;              /* requests that may come at once */
    uint64_t    interval_ns;        /* period / limit */
    uint64_t    tolerance_ns;       /* burst * interval */
} fn_rate_t;

/* What became of a request, or would if it were taken. */
typedef struct {
    unsigned    admitted;
    uint32_t    remaining;          /* further requests that may come at once */
    uint64_t    retry_ns;           /* until the next one is admitted; 0 when this one is */
    uint64_t    reset_ns;           /* until nothing is remembered any more */
} fn_limit_answer_t;

/* Reads "<n>r/<period>": "100r/m", "20r/10s", "1000r/h", "5r/1d". Burst becomes the limit. 0 or -1. */
int fn_rate_parse(fn_rate_t *rate, const char *s, size_t n);
void fn_rate_set_burst(fn_rate_t *rate, uint32_t burst);

/* tat 0: nothing was seen yet. */
void fn_gcra_check(fn_limit_answer_t *a, const fn_rate_t *rate, uint64_t tat, uint64_t now);
/* The TAT after an admitted request. */
uint64_t fn_gcra_take(const fn_rate_t *rate, uint64_t tat, uint64_t now);

/* A period touches 23 of them, 24 when the clock wraps meanwhile. */
#define FN_WINDOW_CELLS     24

/* Oldest cell first. Times are ms of the same clock and wrap: a window that nobody touched for a period has to be emptied (n = 0) first. */
typedef struct {
    uint32_t    at[FN_WINDOW_CELLS];            /* last request of the cell */
    uint16_t    count[FN_WINDOW_CELLS];
    uint16_t    n;
} fn_window_t;

uint32_t fn_window_used(const fn_window_t *w);
/* Forgets what has left the window. */
void fn_window_expire(fn_window_t *w, uint32_t period_s, uint32_t now_ms);
void fn_window_add(fn_window_t *w, uint32_t period_s, uint32_t now_ms, uint32_t count);
/* After fn_window_expire. */
void fn_window_check(fn_limit_answer_t *a, const fn_rate_t *rate, const fn_window_t *w, uint32_t now_ms);

/* Reads "<age in ms>:<count> ..." oldest first, as the exchange with Redis returns it. 0 or -1. */
int fn_window_parse(fn_window_t *w, const char *s, size_t n, uint32_t period_s, uint32_t now_ms);

#endif
