/*
 * For the Check tests of providers: a call, its exchange and its result, begun anew by each test, and hostile answers that
 * every parse function must survive.
 */
#ifndef FN_PROVIDER_TEST_H
#define FN_PROVIDER_TEST_H

#include "check_main.h"
#include "libfitnudge/fn_utf8.h"
#include "providers/exchange.h"
#include "jobs/json_get.h"

#define NOW_MS  1768473000000ull        /* 2026-01-15T10:30:00Z */
#define JOB_ID  "01900000-0000-7000-8000-00000000abcd"

static fn_settings_t  settings;
static fn_exchange_t  x;
static fn_call_t      call;
static fn_response_t  answer;
static fn_buf_t       result;

static inline void
begin(void)
{
    memset(&call, 0, sizeof(call));
    memset(&x, 0, sizeof(x));
    memset(&result, 0, sizeof(result));
    ck_assert_int_eq(fn_settings_init(&settings), 0);
    call.settings = &settings;
    call.job_id = JOB_ID;
    call.now_ms = NOW_MS;
}

static inline void
end(void)
{
    fn_buf_free(&call.carried);
    fn_buf_free(&x.body);
    fn_buf_free(&result);
    fn_settings_free(&settings);
}

/* Puts a value into a setting's place, which owns it. */
#define set(name, value)  (free(settings.name), settings.name = strdup(value))

static inline int
build(const fn_pair_t *p, const char *ctx)
{
    call.ctx = ctx;
    call.ctx_len = strlen(ctx);
    return p->build(&x, &call);
}

static inline fn_outcome_e
parse_bytes(const fn_pair_t *p, long status, const char *body, size_t n, const char *headers)
{
    memset(&answer, 0, sizeof(answer));
    answer.status = status;
    answer.body = body;
    answer.body_len = n;
    answer.headers = headers;
    answer.headers_len = headers != NULL ? strlen(headers) : 0;
    answer.retry_after_ms = -1;
    answer.should_retry = -1;
    fn_buf_reset(&result);
    return fn_call_parse(p, &answer, &call, &result);
}

static inline fn_outcome_e
parse(const fn_pair_t *p, long status, const char *body)
{
    return parse_bytes(p, status, body, strlen(body), NULL);
}

static inline fn_outcome_e
broken(const fn_pair_t *p, int curl)
{
    memset(&answer, 0, sizeof(answer));
    answer.transport_error = curl;
    answer.body = "";
    answer.retry_after_ms = -1;
    answer.should_retry = -1;
    fn_buf_reset(&result);
    return fn_call_parse(p, &answer, &call, &result);
}

/* The header of the built request, or "". */
static inline const char *
header(const char *name)
{
    size_t    n = strlen(name);
    unsigned  i;

    for (i = 0; i < x.nheaders; i++) {
        if (strncmp(x.headers[i], name, n) == 0 && x.headers[i][n] == ':') {
            return x.headers[i] + n + 2;
        }
    }
    return "";
}

static inline const char *
text_of(const fn_buf_t *b)
{
    return b->len > 0 ? b->data : "";
}

/* Whatever comes, with whatever status: an outcome, and a result that is empty or valid JSON. */
static inline void
hostile(const fn_pair_t *p)
{
    char             *deep, *big;
    size_t            i, k, cut;
    fn_json_field_t   none[] = { FN_JSON_FIELD("x"), FN_JSON_END };

    static const long         statuses[] = { 0, 100, 200, 201, 202, 204, 301, 400, 401, 403, 404, 408, 410, 422, 429, 500, 503, 599, 999999, -1 };
    static const char *const  bodies[] = {
        "", " ", "{", "}", "[", "null", "true", "1e999", "\"x\"", "[]", "{}", "{\"a\"", "\xff\xfe", "<html>",
        "{\"error\":null}", "{\"error\":[]}", "{\"error\":{\"code\":{},\"status\":1,\"details\":{\"0\":7},\"message\":[]}}",
        "{\"error\":{\"details\":[1,2,{\"@type\":1,\"errorCode\":[]}]}}", "{\"detail\":[[[[]]]]}", "{\"detail\":{\"status\":[],\"message\":{}}}",
        "{\"detail\":\"x\"}", "{\"access_token\":{},\"expires_in\":\"x\"}", "{\"access_token\":\"a\",\"expires_in\":-1}",
        "{\"access_token\":\"a\",\"expires_in\":1e300}", "{\"access_token\":\"a\\r\\nX: y\",\"expires_in\":10}",
        "{\"access_token\":\"\\u0000\",\"expires_in\":999999999999999999999999999}", "{\"name\":7,\"id\":[1]}",
        "{\"partialSuccess\":7}", "{\"partialSuccess\":{\"rejectedSpans\":\"99999999999999999999\"}}",
        "{\"choices\":[[]],\"usage\":{\"prompt_tokens\":-1}}", "{\"a\":1}{\"b\":2}", "ok", "invalid_token\n"
    };
    static const char *const  lines[] = { NULL, "", "x", ":\r\n", "content-type:\r\n", "Content-Type: audio/mpeg\r\ncontent-length: 99999999999999999999\r\n",
        "content-length: -1\r\n", "content-length: 12\n", "X-Sentry-Rate-Limits: ,,::;;9999999999999999999:error:::,\r\n", "\r\n\r\n\r\n", "content-type" };

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        for (k = 0; k < sizeof(bodies) / sizeof(bodies[0]); k++) {
            parse_bytes(p, statuses[i], bodies[k], strlen(bodies[k]), lines[(i + k) % (sizeof(lines) / sizeof(lines[0]))]);
            ck_assert_msg(result.len == 0 || fn_json_get(result.data, result.len, none) == 0, "%s: %s", bodies[k], text_of(&result));
            fn_json_free(none);
            /* cut at every place, in memory of exactly that size */
            for (cut = 0; i < 3 && cut < strlen(bodies[k]); cut++) {
                big = malloc(cut + 1);
                memcpy(big, bodies[k], cut);
                parse_bytes(p, statuses[i], big, cut, NULL);
                free(big);
            }
        }
        ck_assert(broken(p, 28) != FN_DONE);
    }

    deep = malloc(1 << 18);
    for (i = 0; i + 5 <= 1 << 18; i += 5) {
        memcpy(deep + i, "{\"a\":", 5);
    }
    for (k = 0; k < sizeof(statuses) / sizeof(statuses[0]); k++) {
        parse_bytes(p, statuses[k], deep, i, NULL);
    }
    memset(deep, '[', 1 << 18);
    for (k = 0; k < sizeof(statuses) / sizeof(statuses[0]); k++) {
        parse_bytes(p, statuses[k], deep, 1 << 18, NULL);
    }
    free(deep);
}

/* Contexts of every wrong shape: never built, never a crash. */
static inline void
hostile_contexts(const fn_pair_t *p)
{
    size_t  i;

    static const char *const  contexts[] = { "", "x", "{}", "[]", "null", "7", "{\"", "[[[[[[", "\xff", "{\"a\":\"\\ud800\"}" };

    for (i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
        ck_assert_msg(build(p, contexts[i]) == FN_OFF, "built of %s", contexts[i]);
    }
}

#endif
