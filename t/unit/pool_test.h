/* TAP (Test Anything Protocol) for the pool's unit tests, and one settings structure for all. */
#ifndef FN_POOL_TEST_H
#define FN_POOL_TEST_H

#include <stdio.h>
#include <string.h>

#include "libfitnudge/fn_buf.h"
#include "libfitnudge/fn_envelope.h"
#include "libfitnudge/fn_settings.h"

static unsigned  test_count, test_failed;

static inline void
ok_at(int good, const char *name, const char *file, int line)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++test_count, name);

    if (!good) {
        test_failed++;
        printf("# at %s:%d\n", file, line);
    }
}

static inline void
is_at(const char *got, const char *expected, const char *name, const char *file, int line)
{
    int  good = got != NULL && strcmp(got, expected) == 0;

    ok_at(good, name, file, line);

    if (!good) {
        printf("#      got: %s\n# expected: %s\n", got != NULL ? got : "NULL", expected);
    }
}

#define ok(good, name)           ok_at((good), (name), __FILE__, __LINE__)
#define is(got, expected, name)  is_at((got), (expected), (name), __FILE__, __LINE__)

static inline int
done_testing(void)
{
    printf("1..%u\n", test_count);

    return test_failed > 0;
}

static inline fn_span_t
span(const char *s)
{
    fn_span_t  v = { s, strlen(s) };

    return v;
}

static inline void
test_settings(fn_settings_t *s)
{
    memset(s, 0, sizeof(*s));
    s->jwt_secret = (char *) "0123456789abcdef0123456789abcdef";
    s->jwt_issuer = (char *) "fitnudge";
    s->jwt_audience = (char *) "authenticated";
    s->access_ttl_ms = 900 * 1000;
    s->refresh_ttl_ms = 604800LL * 1000;
    s->openai_base_url = (char *) "https://api.openai.com/v1";
    s->openai_api_key = (char *) "test-key";
    s->openai_model = (char *) "gpt-5";
    s->openai_max_tokens = 500;
    s->openai_timeout_ms = 15000;
    s->openai_attempts = 3;
    s->openai_price_input = 1250000;
    s->openai_price_output = 10000000;
    s->openai_price_cached = 125000;
    s->openai_api = (char *) "chat";
    s->ai_cache_ms = 86400LL * 1000;
    s->ai_budget_daily = 50000000;
    s->ai_budget_monthly = 1000000000;
}

#endif
