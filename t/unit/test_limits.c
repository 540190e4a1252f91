/* Rates, GCRA and strict windows against a simulation that remembers every request; the store under floods, and what it tells Redis. */
#include "check_main.h"

#include "fn_gcra.h"
#include "fn_limit_store.h"

#define MS  FN_NS_PER_MS
#define S   FN_NS_PER_S


static uint64_t  seed = 88172645463325252;

static uint64_t
random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static fn_rate_t
rate_of(const char *text)
{
    fn_rate_t  rate;

    ck_assert_msg(fn_rate_parse(&rate, text, strlen(text)) == 0, "%s", text);

    return rate;
}


static const struct { const char *text; int rc; unsigned limit, period; } rates[] = {
    { "100r/m", 0, 100, 60 }, { "1000r/h", 0, 1000, 3600 }, { "1r/s", 0, 1, 1 }, { "20r/10s", 0, 20, 10 },
    { "1000000r/1s", 0, 1000000, 1 }, { "1r/1d", 0, 1, 86400 }, { "5r/86400s", 0, 5, 86400 }, { "5r/24h", 0, 5, 86400 },
    { "", -1, 0, 0 }, { "r/m", -1, 0, 0 }, { "0r/m", -1, 0, 0 }, { "-1r/m", -1, 0, 0 }, { "1000001r/m", -1, 0, 0 },
    { "100", -1, 0, 0 }, { "100r", -1, 0, 0 }, { "100r/", -1, 0, 0 }, { "100r/x", -1, 0, 0 }, { "100r/0s", -1, 0, 0 },
    { "100r/2d", -1, 0, 0 }, { "100r/86401s", -1, 0, 0 }, { "100r/10", -1, 0, 0 }, { "100r/mm", -1, 0, 0 }, { " 1r/m", -1, 0, 0 },
    { "1r/m ", -1, 0, 0 }, { "1.5r/m", -1, 0, 0 }, { "99999999999999999999r/m", -1, 0, 0 }, { "1r/99999999999999s", -1, 0, 0 },
    { "100/m", -1, 0, 0 }, { "100r/M", -1, 0, 0 },
};

START_TEST(rate_row)
{
    fn_rate_t  rate;

    ck_assert_int_eq(fn_rate_parse(&rate, rates[_i].text, strlen(rates[_i].text)), rates[_i].rc);

    if (rates[_i].rc == 0) {
        ck_assert_uint_eq(rate.limit, rates[_i].limit);
        ck_assert_uint_eq(rate.period_s, rates[_i].period);
        ck_assert_uint_eq(rate.burst, rates[_i].limit);
        ck_assert_uint_ge(rate.interval_ns, 1);
        ck_assert_uint_eq(rate.tolerance_ns, rate.interval_ns * rate.burst);
    }
}
END_TEST


/* The contract's minute: a hundred at once, then one each 0.6 s. */

START_TEST(gcra_minute)
{
    int                i;
    uint64_t           tat = 0, now = 5 * S;
    fn_rate_t          rate = rate_of("100r/m");
    fn_limit_answer_t  a;

    for (i = 0; i < 100; i++) {
        fn_gcra_check(&a, &rate, tat, now);
        ck_assert_uint_eq(a.admitted, 1);
        ck_assert_uint_eq(a.remaining, 99 - i);
        ck_assert_uint_eq(a.retry_ns, 0);
        ck_assert_uint_eq(a.reset_ns, (i + 1) * 600 * MS);
        tat = fn_gcra_take(&rate, tat, now);
    }

    fn_gcra_check(&a, &rate, tat, now);
    ck_assert_uint_eq(a.admitted, 0);
    ck_assert_uint_eq(a.retry_ns, 600 * MS);
    ck_assert_uint_eq(a.reset_ns, 60 * S);

    fn_gcra_check(&a, &rate, tat, now + 600 * MS - 1);
    ck_assert_uint_eq(a.admitted, 0);
    fn_gcra_check(&a, &rate, tat, now + 600 * MS);
    ck_assert_uint_eq(a.admitted, 1);
    ck_assert_uint_eq(a.remaining, 0);
    fn_gcra_check(&a, &rate, tat, now + 3600 * S);
    ck_assert_uint_eq(a.remaining, 99);

    /* a clock that another process read earlier */
    fn_gcra_check(&a, &rate, tat, now - S);
    ck_assert_uint_eq(a.admitted, 0);
}
END_TEST


START_TEST(gcra_extremes)
{
    fn_rate_t          rate = rate_of("1r/1d");
    fn_limit_answer_t  a;

    fn_rate_set_burst(&rate, FN_RATE_BURST_MAX);
    fn_gcra_check(&a, &rate, 0, UINT64_MAX);
    ck_assert_uint_eq(a.admitted, 1);
    ck_assert_uint_eq(fn_gcra_take(&rate, UINT64_MAX - 1, 1), UINT64_MAX);
    fn_gcra_check(&a, &rate, UINT64_MAX, 0);
    ck_assert_uint_eq(a.admitted, 0);
    ck_assert_uint_gt(a.retry_ns, 0);
    ck_assert_uint_ge(UINT64_MAX, a.reset_ns);

    rate = rate_of("1000000r/s");
    fn_rate_set_burst(&rate, 1);
    fn_gcra_check(&a, &rate, 0, S);
    ck_assert_uint_eq(a.admitted, 1);
    ck_assert_uint_eq(a.remaining, 0);
}
END_TEST


/* A bucket of tokens, in whole units of 1/interval: what GCRA is another way to say. */

START_TEST(gcra_simulation)
{
    int                round, i;
    char               text[32];
    double             tokens;
    uint64_t           now, last, tat, admitted;
    fn_rate_t          rate;
    fn_limit_answer_t  a;

    for (round = 0; round < 200; round++) {
        (void) snprintf(text, sizeof(text), "%ur/%us", (unsigned) (1 + random64() % 50), (unsigned) (1 + random64() % 30));
        rate = rate_of(text);
        fn_rate_set_burst(&rate, (uint32_t) (1 + random64() % 60));
        now = last = 1 + random64() % S;
        tat = 0;
        tokens = rate.burst;
        admitted = 0;

        for (i = 0; i < 1000; i++) {
            now += random64() % (3 * rate.interval_ns);
            tokens += (double) (now - last) / (double) rate.interval_ns;
            tokens = tokens > rate.burst ? rate.burst : tokens;
            last = now;

            fn_gcra_check(&a, &rate, tat, now);

            if (tokens > 1.0001 || tokens < 0.9999) {
                ck_assert_msg(a.admitted == (tokens >= 1), "%s burst %u: %f tokens", text, rate.burst, tokens);
            }
            if (a.admitted) {
                tat = fn_gcra_take(&rate, tat, now);
                tokens -= 1;
                admitted++;
                ck_assert_uint_le(a.remaining, (uint32_t) (tokens + 0.001));
                ck_assert_uint_ge(a.remaining + 1.001, tokens);
            } else {
                /* who waits as long as he was told gets in */
                fn_limit_answer_t  later;

                ck_assert_uint_gt(a.retry_ns, 0);
                fn_gcra_check(&later, &rate, tat, now + a.retry_ns);
                ck_assert_uint_eq(later.admitted, 1);
                fn_gcra_check(&later, &rate, tat, now + a.retry_ns - 1);
                ck_assert_uint_eq(later.admitted, 0);
            }
        }
        ck_assert_uint_gt(admitted, 0);
    }
}
END_TEST


/* A log of all requests: never more than the limit in any period, and never refused when the widest possible window has room. */

START_TEST(window_simulation)
{
    int                round, i;
    unsigned           n, k, strict, loose;
    uint32_t           now, period_ms;
    fn_rate_t          rate;
    fn_window_t        w;
    fn_limit_answer_t  a;
    static uint32_t    at[2000];

    for (round = 0; round < 60; round++) {
        char  text[32];

        (void) snprintf(text, sizeof(text), "%ur/%us", (unsigned) (1 + random64() % 200), (unsigned) (1 + random64() % 3600));
        rate = rate_of(text);
        period_ms = rate.period_s * 1000;
        /* the clock wraps in some rounds */
        now = round % 3 == 0 ? UINT32_MAX - period_ms : (uint32_t) (random64() % 1000000);
        w.n = 0;
        n = 0;

        for (i = 0; i < 2000; i++) {
            now += (uint32_t) (random64() % (2 * (period_ms / rate.limit) + 1));
            if (random64() % 400 == 0) {
                now += period_ms / 2;
            }

            for (k = n, strict = 0; k > 0 && now - at[k - 1] < period_ms; k--) { strict++; }
            for (loose = strict; k > 0 && now - at[k - 1] < period_ms + period_ms / 22 + 2; k--) { loose++; }

            fn_window_expire(&w, rate.period_s, now);
            fn_window_check(&a, &rate, &w, now);
            ck_assert_uint_le(w.n, FN_WINDOW_CELLS);
            ck_assert_msg(!a.admitted || strict < rate.limit, "%s: %u in the period", text, strict);
            ck_assert_msg(a.admitted || loose >= rate.limit, "%s: refused with %u", text, loose);

            if (a.admitted) {
                fn_window_add(&w, rate.period_s, now, 1);
                at[n++] = now;
            } else {
                fn_window_t  later = w;

                ck_assert_uint_gt(a.retry_ns, 0);
                ck_assert_uint_le(a.retry_ns, a.reset_ns);
                ck_assert_uint_le(a.reset_ns, period_ms * MS);
                fn_window_expire(&later, rate.period_s, now + (uint32_t) (a.retry_ns / MS));
                fn_window_check(&a, &rate, &later, now + (uint32_t) (a.retry_ns / MS));
                ck_assert_uint_eq(a.admitted, 1);
            }
        }
    }
}
END_TEST


/* Ten at once in an hour: all of them come back when it is over, and not before. */

START_TEST(window_hour)
{
    int                i;
    fn_rate_t          rate = rate_of("10r/h");
    fn_window_t        w = { .n = 0 };
    fn_limit_answer_t  a;

    for (i = 0; i < 10; i++) {
        fn_window_check(&a, &rate, &w, 1000);
        ck_assert_uint_eq(a.admitted, 1);
        ck_assert_uint_eq(a.remaining, 9 - i);
        ck_assert_uint_eq(a.reset_ns, 3600 * S);
        fn_window_add(&w, rate.period_s, 1000, 1);
    }

    fn_window_check(&a, &rate, &w, 1000);
    ck_assert_uint_eq(a.admitted, 0);
    ck_assert_uint_eq(a.retry_ns, 3600 * S);
    fn_window_expire(&w, rate.period_s, 1000 + 3600 * 1000 - 1);
    fn_window_check(&a, &rate, &w, 1000 + 3600 * 1000 - 1);
    ck_assert_uint_eq(a.admitted, 0);
    ck_assert_uint_eq(a.retry_ns, MS);
    fn_window_expire(&w, rate.period_s, 1000 + 3600 * 1000);
    ck_assert_uint_eq(w.n, 0);
}
END_TEST


static const struct { const char *text; int rc; unsigned used, cells; } cells[] = {
    { "", 0, 0, 0 }, { "10:1", 0, 1, 1 }, { "900:3 10:1", 0, 4, 2 }, { "10:1 10:1", 0, 2, 2 }, { "5:99999", 0, 65535, 1 }, { "10000:1", 0, 1, 1 },
    { "10001:1", -1, 0, 0 }, { "10:1 20:1", -1, 0, 0 }, { "10", -1, 0, 0 }, { "10:", -1, 0, 0 }, { ":1", -1, 0, 0 }, { "10:0", -1, 0, 0 },
    { "10:1,5:1", -1, 0, 0 }, { "-1:1", -1, 0, 0 }, { "x", -1, 0, 0 }, { "9999999999:1", -1, 0, 0 }, { "5:9999999999", -1, 0, 0 },
    { "1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1", 0, 24, 24 },
    { "1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1", -1, 0, 0 },
};

START_TEST(cells_row)
{
    fn_window_t  w;

    ck_assert_int_eq(fn_window_parse(&w, cells[_i].text, strlen(cells[_i].text), 10, 50000), cells[_i].rc);
    if (cells[_i].rc == 0) {
        ck_assert_uint_eq(fn_window_used(&w), cells[_i].used);
        ck_assert_uint_eq(w.n, cells[_i].cells);
    }
}
END_TEST


/* --- the store --- */

static fn_limit_store_t *
store_of(size_t size, fn_store_kind_e kind)
{
    void              *mem = aligned_alloc(64, size);
    fn_limit_store_t  *s;

    ck_assert_ptr_nonnull(mem);
    memset(mem, 0, size);
    s = fn_limit_store_init(mem, size, kind);
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(fn_limit_store_valid(s, kind), 1);

    return s;
}


/* splitmix64: well spread, as hashes are */

static fn_limit_key_t
key_of(uint64_t n)
{
    fn_limit_key_t  key;
    uint64_t        z = n * UINT64_C(0x9e3779b97f4a7c15) + 1;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    key.hi = z ^ (z >> 31);
    key.lo = z * UINT64_C(0x2545f4914f6cdd1d) ^ n;

    return key;
}


/* Of both rings, the heavy one first. */

static unsigned
collect(fn_limit_store_t *s, uint64_t now, fn_limit_delta_t *out, unsigned max)
{
    unsigned  n = fn_limit_store_collect(s, FN_RING_HEAVY, now, out, max);

    return n > 0 ? n : fn_limit_store_collect(s, FN_RING_LIGHT, now, out, max);
}


static int
request(fn_limit_store_t *s, uint64_t n, const fn_rate_t *rate, uint64_t now)
{
    fn_limit_ref_t     ref;
    fn_limit_answer_t  a;

    fn_limit_store_prefetch(s, key_of(n));
    fn_limit_store_check(s, key_of(n), rate, now, &ref, &a);
    if (a.admitted) {
        fn_limit_store_take(s, &ref, rate, now);
    }

    return (int) a.admitted;
}


START_TEST(store_keys)
{
    int               i;
    uint64_t          bytes;
    fn_rate_t         rate = rate_of("2r/m");
    fn_limit_store_t  *s = store_of(1 << 20, FN_STORE_GCRA);

    ck_assert_uint_eq(fn_limit_store_used(s, &bytes), 0);
    ck_assert_uint_eq(bytes, 0);

    for (i = 0; i < 5000; i++) {
        ck_assert_int_eq(request(s, (uint64_t) i, &rate, S), 1);
    }
    ck_assert_uint_eq(fn_limit_store_used(s, &bytes), 5000);
    ck_assert_uint_ge(bytes, 5000 * 40);
    ck_assert_uint_lt(bytes, 1 << 20);
    for (i = 0; i < 5000; i++) {
        ck_assert_int_eq(request(s, (uint64_t) i, &rate, S), 1);
        ck_assert_int_eq(request(s, (uint64_t) i, &rate, S), 0);
    }
    ck_assert_uint_eq(s->evicted, 0);
    free(s);

    s = aligned_alloc(64, 1024);
    ck_assert_ptr_null(fn_limit_store_init(s, 1024, FN_STORE_GCRA));
    free(s);
}
END_TEST


/* A million addresses go through 16 MB, twenty times as many requests of a few: these are held to their limit, all others get in. */

static const fn_store_kind_e  kinds[] = { FN_STORE_GCRA, FN_STORE_WINDOW };

START_TEST(store_flood)
{
    int                strict = kinds[_i] == FN_STORE_WINDOW;
    uint64_t           i, now = S, refused = 0, heavy[16] = { 0 };
    fn_rate_t          rate = rate_of("20r/m");
    fn_limit_store_t  *s = store_of(16 << 20, kinds[_i]);

    ck_assert_uint_gt(fn_limit_store_slots(s), strict ? 80000 : 400000);

    /* a minute and forty seconds of it, ten thousand addresses a second */
    for (i = 0; i < 1000000; i++) {
        now += 100 * 1000;
        refused += !request(s, 1000 + i, &rate, now);
        heavy[i % 16] += (uint64_t) request(s, i % 16, &rate, now);
    }

    ck_assert_uint_eq(refused, 0);
    /* who takes another's place adds nothing */
    ck_assert_uint_le(s->used, fn_limit_store_slots(s));
    ck_assert_uint_gt(s->used, fn_limit_store_slots(s) / 2);
    for (i = 0; i < 16; i++) {
        /* a minute's worth at once and 100 s of rate, or two windows */
        ck_assert_uint_le(heavy[i], strict ? 40 : 20 + 34);
        ck_assert_uint_ge(heavy[i], strict ? 40 : 20 + 32);
    }
    free(s);
}
END_TEST


/* The exchange: two stores and a Redis that adds up. */

START_TEST(store_exchange)
{
    int                i, got[2] = { 0, 0 };
    int64_t            sum_us;
    uint64_t           now, redis_tat = 0;
    unsigned           k, n;
    fn_rate_t          rate = rate_of("100r/10s");
    fn_limit_delta_t   d[8];
    fn_limit_store_t  *s[2] = { store_of(1 << 18, FN_STORE_GCRA), store_of(1 << 18, FN_STORE_GCRA) };

    /* ten times the limit for two windows, half of it at each; an exchange each 100 ms */
    for (i = 0, now = S; now < 21 * S; i++, now += 10 * MS) {
        got[i % 2] += request(s[i % 2], 7, &rate, now);

        for (k = 0; k < 2 && i % 10 == 0; k++) {
            n = collect(s[k], now, d, 8);
            ck_assert_uint_le(n, 1);
            if (n == 1) {
                /* another clock: it started a year earlier */
                uint64_t  there = now + UINT64_C(31536000) * S;

                redis_tat = (redis_tat > there ? redis_tat : there) + d[0].amount * 1000;
                sum_us = (int64_t) ((redis_tat - there) / 1000);
                ck_assert_int_eq(fn_limit_store_merge(s[k], &d[0], sum_us, now), 0);
            }
        }
    }
    /* burst and two windows */
    ck_assert_int_ge(got[0] + got[1], 300 - 5);
    ck_assert_int_le(got[0] + got[1], 300 + 10);
    free(s[0]);
    free(s[1]);
}
END_TEST


START_TEST(store_monotone)
{
    fn_rate_t          rate = rate_of("10r/10s");
    fn_limit_key_t     key = key_of(1);
    fn_limit_ref_t     ref;
    fn_limit_delta_t   d[4];
    fn_limit_answer_t  a;
    fn_limit_store_t  *s = store_of(1 << 18, FN_STORE_GCRA);
    int                i;

    for (i = 0; i < 10; i++) {
        ck_assert_int_eq(request(s, 1, &rate, S), 1);
    }
    ck_assert_uint_eq(collect(s, S, d, 4), 1);
    ck_assert_uint_eq(d[0].amount, 10 * 1000 * 1000);
    ck_assert_uint_eq(d[0].bound_ms, 10000);

    /* a Redis that knows of nothing makes nobody forget; one that knows more adds to it */
    ck_assert_int_eq(fn_limit_store_merge(s, &d[0], 0, S), 0);
    fn_limit_store_check(s, key, &rate, S, &ref, &a);
    ck_assert_uint_eq(a.admitted, 0);
    ck_assert_uint_eq(a.retry_ns, S);
    ck_assert_int_eq(fn_limit_store_merge(s, &d[0], 15 * 1000 * 1000, S), 0);
    fn_limit_store_check(s, key, &rate, S, &ref, &a);
    ck_assert_uint_eq(a.retry_ns, 6 * S);
    ck_assert_int_eq(fn_limit_store_merge(s, &d[0], -1, S), -1);
    ck_assert_int_eq(fn_limit_store_merge(s, &d[0], INT64_MAX, S), -1);

    /* what was not delivered is collected again, as far as it still matters */
    ck_assert_uint_eq(collect(s, S, &d[1], 3), 0);
    fn_limit_store_restore(s, &d[0]);
    fn_limit_store_restore(s, &d[0]);
    ck_assert_uint_eq(collect(s, 3 * S, d, 4), 1);
    ck_assert_uint_eq(d[0].amount, 13 * 1000 * 1000);
    fn_limit_store_restore(s, &d[0]);
    ck_assert_uint_eq(collect(s, 60 * S, d, 4), 0);

    /* an answer for an entry that is gone */
    d[0].lo++;
    ck_assert_int_eq(fn_limit_store_merge(s, &d[0], 1000, S), 0);
    fn_limit_store_restore(s, &d[0]);
    free(s);
}
END_TEST


START_TEST(store_window_exchange)
{
    int                i;
    fn_rate_t          rate = rate_of("10r/h");
    fn_limit_delta_t   d[4];
    fn_limit_store_t  *s = store_of(1 << 18, FN_STORE_WINDOW);

    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(request(s, 1, &rate, 100 * S), 1);
    }
    ck_assert_uint_eq(collect(s, 100 * S, d, 4), 1);
    ck_assert_uint_eq(d[0].amount, 4);
    ck_assert_uint_eq(d[0].bound_ms, 3600 * 1000);

    /* one more before the answer comes: five of another instance, and the four */
    ck_assert_int_eq(request(s, 1, &rate, 100 * S), 1);
    ck_assert_int_eq(fn_limit_store_merge_cells(s, &d[0], "60000:4 2:5", 11, 100 * S), 0);
    ck_assert_int_eq(request(s, 1, &rate, 100 * S), 0);

    /* less than is known here changes nothing */
    ck_assert_int_eq(fn_limit_store_merge_cells(s, &d[0], "60000:1", 7, 100 * S), 0);
    ck_assert_int_eq(request(s, 1, &rate, 100 * S), 0);
    ck_assert_int_eq(fn_limit_store_merge_cells(s, &d[0], "nonsense", 8, 100 * S), -1);

    /* four have left after 59 minutes */
    ck_assert_int_eq(request(s, 1, &rate, (100 + 3539) * S), 0);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(request(s, 1, &rate, (100 + 3540) * S), 1);
    }
    ck_assert_int_eq(request(s, 1, &rate, (100 + 3540) * S), 0);
    free(s);
}
END_TEST


/* More keys with something to tell than the ring holds: none is lost for good. */

START_TEST(store_ring_full)
{
    uint64_t           i, told = 0;
    unsigned           n;
    fn_rate_t          rate = rate_of("100r/m");
    fn_limit_delta_t   d[64];
    fn_limit_store_t  *s = store_of(1 << 20, FN_STORE_GCRA);

    for (i = 0; i < 5000; i++) {
        ck_assert_int_eq(request(s, i, &rate, S), 1);
    }
    ck_assert_uint_lt(s->ring_mask, 5000 - 1);
    while ((n = collect(s, S, d, 64)) > 0) {
        told += n;
    }
    ck_assert_uint_eq(told, s->ring_mask + 1);
    for (i = 0; i < 5000; i++) {
        ck_assert_int_eq(request(s, 4999 - i, &rate, S), 1);
        while ((n = collect(s, S, d, 64)) > 0) {
            ck_assert_uint_eq(d[0].amount % (600 * 1000), 0);
            told += d[0].amount / (600 * 1000);
        }
    }
    ck_assert_uint_eq(told, 10000);
    free(s);
}
END_TEST


/* Who has used half of a limit does not wait behind a crowd. */

static const struct { fn_store_kind_e kind; const char *rate; } heavy_kinds[] = { { FN_STORE_GCRA, "10r/m" }, { FN_STORE_WINDOW, "10r/h" } };

START_TEST(store_heavy_first)
{
    uint64_t           i;
    fn_rate_t          rate = rate_of(heavy_kinds[_i].rate);
    fn_limit_delta_t   d[4];
    fn_limit_store_t  *s = store_of(1 << 20, heavy_kinds[_i].kind);

    for (i = 0; i < 100; i++) {
        ck_assert_int_eq(request(s, i, &rate, S), 1);
    }
    ck_assert_int_eq(fn_limit_store_waiting(s, FN_RING_HEAVY), 0);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(request(s, 50, &rate, S), 1);
    }
    ck_assert_int_eq(fn_limit_store_waiting(s, FN_RING_HEAVY), 1);
    ck_assert_uint_eq(fn_limit_store_collect(s, FN_RING_HEAVY, S, d, 4), 1);
    ck_assert_uint_eq(d[0].amount, heavy_kinds[_i].kind == FN_STORE_GCRA ? 5 * 6000000 : 5);
    ck_assert_int_eq(fn_limit_store_waiting(s, FN_RING_HEAVY), 0);

    /* all others, and this one not again */
    for (i = 0; fn_limit_store_waiting(s, FN_RING_LIGHT); ) {
        i += fn_limit_store_collect(s, FN_RING_LIGHT, S, d, 4);
    }
    ck_assert_uint_eq(i, 99);
    free(s);
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("limits");
    TCase  *tc = tcase_create("limits");

    tcase_set_timeout(tc, 60);
    fn_add_rows(tc, rate_row, rates);
    fn_add(tc, gcra_minute);
    fn_add(tc, gcra_extremes);
    fn_add(tc, gcra_simulation);
    fn_add(tc, window_simulation);
    fn_add(tc, window_hour);
    fn_add_rows(tc, cells_row, cells);
    fn_add(tc, store_keys);
    fn_add_rows(tc, store_flood, kinds);
    fn_add(tc, store_exchange);
    fn_add(tc, store_monotone);
    fn_add(tc, store_window_exchange);
    fn_add(tc, store_ring_full);
    fn_add_rows(tc, store_heavy_first, heavy_kinds);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
