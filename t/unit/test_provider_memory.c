/*
 * Every allocation of a build fails in turn: nothing crashes, nothing leaks (under the sanitizer), and a request that was built is the
 * whole request. Parsing must end in an outcome and leave a result that is whole or empty.
 */
#include "provider_test.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "mail/templates.h"
#include "providers/process.h"

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_calloc(size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_calloc(size_t n, size_t size);
char *__wrap_strdup(const char *s);

static long  countdown = -1;        /* allocations until one fails; -1: none does */
static int   tripped;

static fn_process_t  process;


static int
fails(void)
{
    if (countdown < 0 || countdown-- > 0) {
        return 0;
    }

    tripped = 1;

    return 1;
}

void *
__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *
__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

char *
__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}


static const struct { const char *provider; unsigned pair; const char *ctx, *answer; } cases[] = {
    { "openai", 0, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"model\":\"gpt-5\",\"safety_identifier\":\"a\"}",
      "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}" },
    { "voice", 0, "{\"text\":\"x\",\"tone\":\"calm\",\"language\":\"fr\"}", "ID3 and so on" },
    { "voice", 1, "{\"key\":\"private/u1/v.mp3\",\"content_type\":\"audio/mpeg\"}", "" },
    { "r2_head", 0, "{\"key\":\"a/b\"}", "" },
    { "fcm", 0, "{}", "{\"access_token\":\"x\",\"expires_in\":3599}" },
    { "fcm", 1, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"a\":\"b\",\"n\":1,\"o\":{\"p\":[]}}}", "{\"name\":\"projects/p/messages/1\"}" },
    { "smtp", 0, "{\"template\":\"weekly_summary\",\"language\":\"fr\",\"to\":\"u@x.example\",\"name\":\"Zo\\u00eb\",\"user_id\":\"01900000-0000-7000-8000-000000000001\","
      "\"vars\":{\"week_start\":\"2026-01-05\",\"week_end\":\"2026-01-11\",\"checkins\":5,\"streak\":1,\"completion_rate\":80,\"app_url\":\"https://a.example\"}}", "" },
    { "posthog", 0, "{\"events\":[{\"event\":\"e\",\"distinct_id\":\"d\"},{\"event\":\"f\",\"distinct_id\":\"d\",\"properties\":{\"a\":1}}]}", "{}" },
    { "n8n", 0, "{\"payload\":{\"a\":1}}", "{}" },
    { "slack", 0, "{\"text\":\"a <b> & c\"}", "ok" },
    { "sentry", 0, "{\"level\":\"error\",\"message\":\"m\",\"type\":\"t\",\"value\":\"v\",\"tags\":{\"a\":\"b\"}}", "{}" },
    { "otlp", 0, "{\"spans\":[{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"0123456789abcdef\",\"name\":\"n\",\"start_us\":1,\"end_us\":2,"
      "\"attributes\":{\"a\":\"b\"}}]}", "{}" }
};


static void
on(void)
{
    char  problem[1024];

    set(openai_api_key, "k");
    set(elevenlabs_api_key, "k");
    set(elevenlabs_voices, "v");
    set(r2_endpoint, "https://r2.example");
    set(r2_bucket, "media");
    set(r2_access_key, "a");
    set(r2_secret_key, "s");
    set(fcm_service_account, "{}");
    set(smtp_host, "127.0.0.1");
    set(smtp_from, "a@b.example");
    set(posthog_api_key, "k");
    set(n8n_webhook_url, "https://x.example/h");
    set(slack_webhook_url, "https://x.example/h");
    set(sentry_dsn, "https://k@x.example/1");
    set(otlp_endpoint, "https://x.example");
    settings.jwt_secret = strdup("0123456789abcdef0123456789abcdef");

    memset(&process, 0, sizeof(process));
    process.templates = fn_mail_templates_load("../../conf/templates/mail", problem, sizeof(problem));
    if (process.templates == NULL) {
        process.templates = fn_mail_templates_load("conf/templates/mail", problem, sizeof(problem));
    }
    ck_assert_msg(process.templates != NULL, "%s", problem);
    process.fcm_account = calloc(1, sizeof(*process.fcm_account));
    memcpy(process.fcm_account->project, "p", 2);
    memcpy(process.fcm_account->key_id, "k", 2);
    memcpy(process.fcm_account->email, "e@x", 4);
    memcpy(process.fcm_account->token_uri, "https://x/t", 12);
    process.fcm_account->key = EVP_RSA_gen(2048);
    call.process = &process;
    fn_buf_adds(&call.carried, "carried");
}


START_TEST(test_build)
{
    int               rc;
    char             *url;
    long              n;
    fn_buf_t          whole;
    const fn_pair_t  *p;

    begin();
    on();
    p = &fn_provider_find(cases[_i].provider)->pairs[cases[_i].pair];
    memcpy(process.fcm_token.token, "t", 2);

    ck_assert_int_eq(build(p, cases[_i].ctx), FN_BUILT);
    whole = x.body;
    url = strdup(x.url);

    for (n = 0, tripped = 1; tripped; n++) {
        ck_assert_int_lt(n, 20000);
        memset(&x.body, 0, sizeof(x.body));
        tripped = 0;
        countdown = n;
        rc = build(p, cases[_i].ctx);
        countdown = -1;

        if (rc == FN_BUILT) {
            ck_assert_str_eq(x.url, url);
            ck_assert_uint_eq(x.body.len, whole.len);
            ck_assert_msg(whole.len == 0 || memcmp(x.body.data, whole.data, whole.len) == 0, "%s is not whole at %ld", cases[_i].provider, n);
        } else {
            ck_assert_msg(tripped, "failed without a reason");
        }
        fn_buf_free(&x.body);
    }

    ck_assert_int_gt(n, 1);
    fn_buf_free(&whole);
    free(url);
    fn_fcm_account_free(process.fcm_account);
    fn_mail_templates_free(process.templates);
    end();
}
END_TEST


START_TEST(test_parse)
{
    long              n;
    fn_json_field_t   none[] = { FN_JSON_FIELD("x"), FN_JSON_END };
    const fn_pair_t  *p;

    begin();
    on();
    p = &fn_provider_find(cases[_i].provider)->pairs[cases[_i].pair];
    call.ctx = cases[_i].ctx;
    call.ctx_len = strlen(call.ctx);

    for (n = 0, tripped = 1; tripped; n++) {
        ck_assert_int_lt(n, 2000);
        fn_buf_free(&result);
        memset(&answer, 0, sizeof(answer));
        answer.status = 200;
        answer.body = cases[_i].answer;
        answer.body_len = strlen(cases[_i].answer);
        answer.headers = cases[_i].pair == 0 && answer.body[0] == 'I' ? "content-type: audio/mpeg\r\n" : "content-length: 1\r\ncontent-type: x/y\r\n";
        answer.headers_len = strlen(answer.headers);
        tripped = 0;
        countdown = n;
        if (fn_call_parse(p, &answer, &call, &result) != FN_DONE) {
            ck_assert_msg(tripped, "%s: failed without a reason", cases[_i].provider);
        }
        countdown = -1;
        ck_assert_msg(result.len == 0 || result.failed || fn_json_get(result.data, result.len, none) == 0, "%s: %s", cases[_i].provider, text_of(&result));
        fn_json_free(none);
    }

    fn_fcm_account_free(process.fcm_account);
    fn_mail_templates_free(process.templates);
    end();
}
END_TEST


START_TEST(test_templates)
{
    char                  problem[1024];
    long                  n;
    fn_mail_templates_t  *t;

    for (n = 0, tripped = 1; tripped; n += 7) {
        ck_assert_int_lt(n, 20000);
        tripped = 0;
        countdown = n;
        t = fn_mail_templates_load("../../conf/templates/mail", problem, sizeof(problem));
        if (t == NULL && !tripped) {
            t = fn_mail_templates_load("conf/templates/mail", problem, sizeof(problem));
        }
        countdown = -1;
        ck_assert(t != NULL || tripped);
        fn_mail_templates_free(t);
    }
}
END_TEST


static Suite *
memory_suite(void)
{
    Suite  *s = suite_create("memory");
    TCase  *tc = tcase_create("memory");

    tcase_set_timeout(tc, 120);
    fn_add_rows(tc, test_build, cases);
    fn_add_rows(tc, test_parse, cases);
    fn_add(tc, test_templates);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(memory_suite)
