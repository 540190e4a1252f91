/* Rates, GCRA and strict windows: see the header. */
#include <string.h>

#include "fn_gcra.h"


static uint64_t
fn_add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}


/* Decimal digits from *p on, at most 9 of them; -1 when there is none. */

static long
fn_rate_number(const char **p, const char *end)
{
    long         v = 0;
    const char  *start = *p;

    while (*p < end && **p >= '0' && **p <= '9') {
        if (*p - start == 9) {
            return -1;
        }
        v = v * 10 + (*(*p)++ - '0');
    }

    return *p == start ? -1 : v;
}


int
fn_rate_parse(fn_rate_t *rate, const char *s, size_t n)
{
    long         limit, count, unit;
    const char  *p = s, *end = s + n;

    limit = fn_rate_number(&p, end);
    if (limit < 1 || limit > FN_RATE_LIMIT_MAX || end - p < 3 || p[0] != 'r' || p[1] != '/') {
        return -1;
    }

    p += 2;
    count = 1;

    if (*p >= '0' && *p <= '9') {
        count = fn_rate_number(&p, end);
    }

    if (end - p != 1 || count < 1) {
        return -1;
    }

    switch (*p) {
    case 's':
        unit = 1;
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = 86400;
        break;
    default:
        return -1;
    }

    if (count > FN_RATE_PERIOD_MAX / unit) {
        return -1;
    }

    rate->limit = (uint32_t) limit;
    rate->period_s = (uint32_t) (count * unit);
    rate->interval_ns = rate->period_s * FN_NS_PER_S / rate->limit;

    fn_rate_set_burst(rate, rate->limit);

    return 0;
}


void
fn_rate_set_burst(fn_rate_t *rate, uint32_t burst)
{
    rate->burst = burst;
    rate->tolerance_ns = burst > UINT64_MAX / 2 / rate->interval_ns ? UINT64_MAX / 2 : burst * rate->interval_ns;
}


void
fn_gcra_check(fn_limit_answer_t *a, const fn_rate_t *rate, uint64_t tat, uint64_t now)
{
    uint64_t  backlog = tat > now ? tat - now : 0;

    a->admitted = backlog <= rate->tolerance_ns && rate->tolerance_ns - backlog >= rate->interval_ns;

    if (a->admitted) {
        a->remaining = (uint32_t) ((rate->tolerance_ns - backlog) / rate->interval_ns - 1);
        a->reset_ns = backlog + rate->interval_ns;
        a->retry_ns = 0;

    } else {
        a->remaining = 0;
        a->reset_ns = backlog;
        a->retry_ns = fn_add_saturated(backlog, rate->interval_ns) - rate->tolerance_ns;
    }
}


uint64_t
fn_gcra_take(const fn_rate_t *rate, uint64_t tat, uint64_t now)
{
    return fn_add_saturated(tat > now ? tat : now, rate->interval_ns);
}


/* A clock that another process has read a moment later is not in the far past. */

static uint32_t
fn_window_age(uint32_t at, uint32_t now_ms)
{
    uint32_t  age = now_ms - at;

    return age > UINT32_MAX / 2 ? 0 : age;
}


uint32_t
fn_window_used(const fn_window_t *w)
{
    uint32_t  used = 0;
    unsigned  i;

    for (i = 0; i < w->n; i++) {
        used += w->count[i];
    }

    return used;
}


void
fn_window_expire(fn_window_t *w, uint32_t period_s, uint32_t now_ms)
{
    unsigned  gone = 0;

    while (gone < w->n && fn_window_age(w->at[gone], now_ms) >= period_s * 1000) {
        gone++;
    }

    if (gone > 0) {
        w->n = (uint16_t) (w->n - gone);
        memmove(w->at, w->at + gone, w->n * sizeof(w->at[0]));
        memmove(w->count, w->count + gone, w->n * sizeof(w->count[0]));
    }
}


void
fn_window_add(fn_window_t *w, uint32_t period_s, uint32_t now_ms, uint32_t count)
{
    uint32_t  cell = (period_s * 1000 + FN_WINDOW_CELLS - 3) / (FN_WINDOW_CELLS - 2), last, sum;

    if (w->n > 0) {
        last = w->at[w->n - 1];

        /* cells have a common grid, so that they do not grow with each request */
        if (fn_window_age(last, now_ms) == 0 || last / cell == now_ms / cell || w->n == FN_WINDOW_CELLS) {
            sum = w->count[w->n - 1] + count;
            w->count[w->n - 1] = sum > UINT16_MAX ? UINT16_MAX : (uint16_t) sum;
            w->at[w->n - 1] = fn_window_age(last, now_ms) == 0 ? last : now_ms;
            return;
        }
    }

    w->at[w->n] = now_ms;
    w->count[w->n] = count > UINT16_MAX ? UINT16_MAX : (uint16_t) count;
    w->n++;
}


void
fn_window_check(fn_limit_answer_t *a, const fn_rate_t *rate, const fn_window_t *w, uint32_t now_ms)
{
    uint32_t  used = fn_window_used(w), period_ms = rate->period_s * 1000;
    unsigned  i;

    a->admitted = used < rate->limit;

    if (a->admitted) {
        a->remaining = rate->limit - used - 1;
        a->reset_ns = period_ms * FN_NS_PER_MS;
        a->retry_ns = 0;
        return;
    }

    /* the first cell after whose end there is room again */
    for (i = 0; i + 1 < w->n; i++) {
        used -= w->count[i];
        if (used < rate->limit) {
            break;
        }
    }

    a->remaining = 0;
    a->retry_ns = (period_ms - fn_window_age(w->at[i], now_ms)) * FN_NS_PER_MS;
    a->reset_ns = (period_ms - fn_window_age(w->at[w->n - 1], now_ms)) * FN_NS_PER_MS;
}


int
fn_window_parse(fn_window_t *w, const char *s, size_t n, uint32_t period_s, uint32_t now_ms)
{
    long         age, count, before = (long) period_s * 1000;
    const char  *p = s, *end = s + n;

    w->n = 0;

    while (p < end) {
        age = fn_rate_number(&p, end);
        if (age < 0 || age > before || p == end || *p++ != ':' || w->n == FN_WINDOW_CELLS) {
            return -1;
        }

        count = fn_rate_number(&p, end);
        if (count < 1 || (p < end && *p++ != ' ')) {
            return -1;
        }

        w->at[w->n] = now_ms - (uint32_t) age;
        w->count[w->n] = count > UINT16_MAX ? UINT16_MAX : (uint16_t) count;
        w->n++;
        before = age;
    }

    return 0;
}
