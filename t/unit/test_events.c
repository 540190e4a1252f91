/* PostHog, n8n, Slack, Sentry and OTLP: what goes out, and what their answers mean. */
#include "provider_test.h"

#include <zlib.h>

#include "providers/events.h"

#define posthog  fn_provider_posthog.pairs
#define n8n      fn_provider_n8n.pairs
#define slack    fn_provider_slack.pairs
#define sentry   fn_provider_sentry.pairs
#define otlp     fn_provider_otlp.pairs

static void
on(void)
{
    set(posthog_api_key, "phc_1");
    set(n8n_webhook_url, "https://n8n.example/webhook/x");
    set(slack_webhook_url, "https://hooks.slack.com/services/T/B/X");
    set(sentry_dsn, "https://abc123@sentry.example/42");
    set(otlp_endpoint, "http://127.0.0.1:4318");
}


START_TEST(test_off)
{
    size_t  i;

    static const fn_provider_t *const  all[] = { &fn_provider_posthog, &fn_provider_n8n, &fn_provider_slack, &fn_provider_sentry, &fn_provider_otlp };
    static const char  ctx[] = "{\"events\":[{\"event\":\"e\",\"distinct_id\":\"d\"}],\"payload\":{},\"text\":\"x\",\"level\":\"error\",\"message\":\"m\","
        "\"spans\":[{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"0123456789abcdef\",\"name\":\"n\",\"start_us\":1,\"end_us\":2}]}";

    begin();
    for (i = 0; i < 5; i++) {
        ck_assert_msg(!all[i]->configured(&settings), "%s", all[i]->name);
        ck_assert_int_eq(build(all[i]->pairs, ctx), FN_OFF);
    }
    on();
    for (i = 0; i < 5; i++) {
        ck_assert(all[i]->configured(&settings));
        ck_assert_msg(build(all[i]->pairs, ctx) == FN_BUILT, "%s", all[i]->name);
        ck_assert_ptr_eq(fn_provider_find(all[i]->name), all[i]);
        hostile_contexts(all[i]->pairs);
        hostile(all[i]->pairs);
    }
    ck_assert_ptr_null(fn_provider_find("nobody"));
    end();
}
END_TEST


START_TEST(test_posthog)
{
    char      out[65536];
    size_t    i;
    fn_buf_t  ctx = FN_BUF_INIT;
    z_stream  z;

    static const char  expected[] = "{\"api_key\":\"phc_1\",\"historical_migration\":false,\"batch\":[{\"event\":\"goal_created\",\"distinct_id\":\"u1\",\"properties\":{\"a\":[1]},"
        "\"timestamp\":\"2026-01-15T10:00:00Z\",\"uuid\":\"01900000-0000-7000-8000-000000000009\"},{\"event\":\"e\",\"distinct_id\":\"u2\",\"properties\":{},"
        "\"timestamp\":\"2026-01-15T10:30:00Z\",\"uuid\":\"";

    begin();
    on();
    ck_assert_int_eq(build(posthog, "{\"events\":[{\"event\":\"goal_created\",\"distinct_id\":\"u1\",\"properties\":{\"a\":[1]},\"timestamp\":\"2026-01-15T10:00:00Z\","
        "\"uuid\":\"01900000-0000-7000-8000-000000000009\"},7,{\"event\":\"\"},{\"event\":\"x\"},{\"event\":\"e\",\"distinct_id\":\"u2\"}]}"), FN_BUILT);
    ck_assert_str_eq(x.url, "https://us.i.posthog.com/batch/");
    ck_assert_msg(strncmp(x.body.data, expected, strlen(expected)) == 0, "%s", x.body.data);
    ck_assert(strstr(x.body.data, "\"}],\"sent_at\":\"2026-01-15T10:30:00Z\"}") != NULL);
    ck_assert_str_eq(header("Content-Encoding"), "");

    /* the same uuid each time it is built */
    snprintf(out, sizeof(out), "%s", x.body.data);
    ck_assert_int_eq(build(posthog, "{\"events\":[{\"event\":\"goal_created\",\"distinct_id\":\"u1\",\"properties\":{\"a\":[1]},\"timestamp\":\"2026-01-15T10:00:00Z\","
        "\"uuid\":\"01900000-0000-7000-8000-000000000009\"},7,{\"event\":\"\"},{\"event\":\"x\"},{\"event\":\"e\",\"distinct_id\":\"u2\"}]}"), FN_BUILT);
    ck_assert_str_eq(x.body.data, out);

    ck_assert_int_eq(build(posthog, "{\"events\":[]}"), FN_OFF);
    ck_assert_int_eq(build(posthog, "{\"events\":[{}]}"), FN_OFF);
    ck_assert_int_eq(build(posthog, "{\"events\":{}}"), FN_OFF);

    fn_buf_adds(&ctx, "{\"events\":[{\"event\":\"e\",\"distinct_id\":\"d\"}");
    for (i = 1; i < 100; i++) {
        fn_buf_adds(&ctx, ",{\"event\":\"e\",\"distinct_id\":\"d\"}");
    }
    fn_buf_adds(&ctx, "]}");
    ck_assert_int_eq(build(posthog, ctx.data), FN_BUILT);
    ck_assert_str_eq(header("Content-Encoding"), "gzip");
    memset(&z, 0, sizeof(z));
    ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = (unsigned char *) x.body.data;
    z.avail_in = (unsigned) x.body.len;
    z.next_out = (unsigned char *) out;
    z.avail_out = sizeof(out) - 1;
    ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    out[z.total_out] = '\0';
    inflateEnd(&z);
    ck_assert(strncmp(out, "{\"api_key\":\"phc_1\"", 18) == 0 && out[strlen(out) - 1] == '}');
    ctx.len -= 2;
    for (; i < 501; i++) {
        fn_buf_adds(&ctx, ",{\"event\":\"e\",\"distinct_id\":\"d\"}");
    }
    fn_buf_adds(&ctx, "]}");
    ck_assert_int_eq(build(posthog, ctx.data), FN_OFF);
    fn_buf_free(&ctx);

    ck_assert_int_eq(parse(posthog, 200, "{\"status\":\"Ok\"}"), FN_DONE);
    ck_assert_int_eq(parse(posthog, 401, ""), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    ck_assert_int_eq(parse(posthog, 413, ""), FN_DEAD);
    ck_assert_int_eq(parse(posthog, 429, ""), FN_BUSY);
    ck_assert_int_eq(parse(posthog, 502, ""), FN_RETRY);
    end();
}
END_TEST


START_TEST(test_n8n)
{
    begin();
    on();
    ck_assert_int_eq(build(n8n, "{\"payload\":{\"text\":\"caf\\u00e9\", \"n\":[1]}}"), FN_BUILT);
    ck_assert_str_eq(x.url, "https://n8n.example/webhook/x");
    ck_assert_str_eq(x.body.data, "{\"text\":\"caf\\u00e9\", \"n\":[1]}");
    ck_assert_str_eq(header("Idempotency-Key"), JOB_ID);
    ck_assert_str_eq(header("Authorization"), "");
    ck_assert_int_eq(build(n8n, "{\"payload\":[1]}"), FN_OFF);

    set(n8n_auth, "basic");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_OFF);
    set(n8n_auth_name, "Aladdin");
    set(n8n_auth_secret, "open sesame");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_BUILT);
    ck_assert_str_eq(header("Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");      /* RFC 7617 section 2 */
    set(n8n_auth_name, "a:b");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_OFF);
    set(n8n_auth, "header");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_OFF);
    set(n8n_auth_name, "X-Token");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_BUILT);
    ck_assert_str_eq(header("X-Token"), "open sesame");
    set(n8n_auth_secret, "a\nb");
    ck_assert_int_eq(build(n8n, "{\"payload\":{}}"), FN_OFF);

    ck_assert_int_eq(parse(n8n, 200, "{\"message\":\"Workflow was started\"}"), FN_DONE);
    ck_assert_int_eq(parse(n8n, 404, "{}"), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    ck_assert_int_eq(parse(n8n, 500, "{}"), FN_RETRY);
    end();
}
END_TEST


static const struct { long status; const char *body; fn_outcome_e outcome; int alert; } slacks[] = {
    { 200, "ok", FN_DONE, 0 }, { 400, "invalid_payload", FN_DEAD, 0 }, { 403, "action_prohibited", FN_DEAD, 1 }, { 403, "invalid_token", FN_DEAD, 1 },
    { 404, "no_service", FN_DEAD, 1 }, { 404, "channel_not_found", FN_DEAD, 1 }, { 410, "channel_is_archived", FN_DEAD, 1 },
    { 429, "rate_limited", FN_BUSY, 0 }, { 500, "rollup_error", FN_RETRY, 0 }
};

START_TEST(test_slack)
{
    begin();
    on();
    ck_assert_int_eq(build(slack, "{\"text\":\"<!channel> a & b > c \\u0007\\n\\\"d\\\"\"}"), FN_BUILT);
    ck_assert_str_eq(x.body.data, "{\"text\":\"&lt;!channel&gt; a &amp; b &gt; c \\n\\\"d\\\"\",\"unfurl_links\":false}");
    ck_assert_int_eq(build(slack, "{\"text\":\"\"}"), FN_OFF);
    ck_assert_int_eq(parse(slack, slacks[_i].status, slacks[_i].body), slacks[_i].outcome);
    ck_assert_int_eq(call.alert != NULL, slacks[_i].alert);
    ck_assert_int_eq(call.wait_ms, slacks[_i].status == 429 ? 1000 : -1);
    end();
}
END_TEST


static const char *const  bad_dsns[] = { "https://sentry.example/42", "https://@sentry.example/42", "https://k@sentry.example", "https://k@/42", "https://k@h/",
    "https://k@h/x", "https://k:s@h/1", "https://k@h/1?x", "https://k%0a@h/1", "k@h/1", "https://k@h@i/1" };

START_TEST(test_dsn)
{
    begin();
    set(sentry_dsn, bad_dsns[_i]);
    ck_assert_msg(!fn_provider_sentry.configured(&settings), "%s", bad_dsns[_i]);
    ck_assert_int_eq(build(sentry, "{\"level\":\"error\",\"message\":\"m\"}"), FN_OFF);
    end();
}
END_TEST


static const struct { long status; const char *headers; fn_outcome_e outcome; long wait; } sentries[] = {
    { 200, NULL, FN_DONE, -1 }, { 429, NULL, FN_DEAD, 60000 }, { 429, "X-Sentry-Rate-Limits: 60:error;transaction:organization:reason, 2700::\r\n", FN_DEAD, 2700000 },
    { 429, "X-Sentry-Rate-Limits: 120:transaction:key\r\n", FN_DEAD, 60000 }, { 200, "x-sentry-rate-limits: 30:error:project\r\n", FN_DONE, 30000 },
    { 429, "X-Sentry-Rate-Limits: 99999999999999999999:error:key\r\n", FN_DEAD, 86400000 }, { 429, "X-Sentry-Rate-Limits: ,:,60,x:error,\r\n", FN_DEAD, 60000 },
    { 500, NULL, FN_DEAD, -1 }, { 400, NULL, FN_DEAD, -1 }
};

START_TEST(test_sentry)
{
    size_t        n;
    const char   *event, *length;

    begin();
    on();
    ck_assert_int_eq(build(sentry, "{\"level\":\"odd\",\"message\":\"it \\\"broke\\\"\\n\\u0007\",\"type\":\"SqlError\",\"value\":\"23505\",\"tags\":{\"job\":\"a.b\",\"n\":3,\"o\":{}},"
        "\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"0123456789abcdef\",\"server_name\":\"h1\"}"), FN_BUILT);
    ck_assert_str_eq(x.url, "https://sentry.example/api/42/envelope/");
    ck_assert_str_eq(header("X-Sentry-Auth"), "Sentry sentry_key=abc123, sentry_version=7, sentry_client=fitnudge/1.0");
    ck_assert_int_eq(x.attempts, 1);
    ck_assert(strncmp(x.body.data, "{\"event_id\":\"019000000000700080000000" "0000abcd\",\"sent_at\":\"2026-01-15T10:30:00Z\"}\n{\"type\":\"event\",\"length\":", 100) == 0);
    event = strchr(strchr(x.body.data, '\n') + 1, '\n') + 1;
    length = strstr(x.body.data, "\"length\":") + 9;
    n = strtoul(length, NULL, 10);
    ck_assert_int_eq(event[n], '\n');
    ck_assert_int_eq(event[n + 1], '\0');
    ck_assert_str_eq(event, "{\"event_id\":\"0190000000007000800000000000abcd\",\"timestamp\":1768473000.000,\"platform\":\"native\",\"level\":\"error\",\"logger\":\"fitnudge-worker\","
        "\"server_name\":\"h1\",\"environment\":\"production\",\"message\":{\"formatted\":\"it \\\"broke\\\"\\n\"},\"exception\":{\"values\":[{\"type\":\"SqlError\",\"value\":\"23505\"}]},"
        "\"tags\":{\"job\":\"a.b\",\"n\":\"3\"},\"contexts\":{\"trace\":{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"0123456789abcdef\"}}}\n");

    set(sentry_dsn, "http://k1@127.0.0.1:9000/prefix/7");
    ck_assert_int_eq(build(sentry, "{\"level\":\"error\",\"message\":\"m\"}"), FN_BUILT);
    ck_assert_str_eq(x.url, "http://127.0.0.1:9000/prefix/api/7/envelope/");

    ck_assert_int_eq(parse_bytes(sentry, sentries[_i].status, "{\"id\":\"x\"}", 10, sentries[_i].headers), sentries[_i].outcome);
    ck_assert_int_eq(call.wait_ms, sentries[_i].wait);
    end();
}
END_TEST


#define TRACE  "\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"0123456789abcdef\""

START_TEST(test_otlp)
{
    size_t  i;

    static const char *const  bad[] = {
        "{\"spans\":[]}", "{\"spans\":[7]}", "{\"spans\":[{}]}", "{\"spans\":[{" TRACE ",\"name\":\"\",\"start_us\":1,\"end_us\":2}]}",
        "{\"spans\":[{" TRACE ",\"name\":\"n\",\"start_us\":3,\"end_us\":2}]}", "{\"spans\":[{" TRACE ",\"name\":\"n\",\"start_us\":1,\"end_us\":99999999999999999999}]}",
        "{\"spans\":[{" TRACE ",\"name\":\"n\",\"start_us\":\"1\",\"end_us\":2}]}",
        "{\"spans\":[{\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"0123456789abcdef\",\"name\":\"n\",\"start_us\":1,\"end_us\":2}]}",
        "{\"spans\":[{\"trace_id\":\"0123456789ABCDEF0123456789abcdef\",\"span_id\":\"0123456789abcdef\",\"name\":\"n\",\"start_us\":1,\"end_us\":2}]}",
        "{\"spans\":[{" TRACE ",\"parent_span_id\":\"x\",\"name\":\"n\",\"start_us\":1,\"end_us\":2}]}"
    };

    begin();
    on();
    ck_assert_int_eq(build(otlp, "{\"spans\":[{" TRACE ",\"parent_span_id\":\"00000000000000a1\",\"name\":\"GET /feed\",\"kind\":\"server\",\"start_us\":1768473000000001,"
        "\"end_us\":1768473000000002,\"error\":true,\"attributes\":{\"http.status\":500,\"ok\":false,\"s\":\"x\",\"d\":1.5,\"o\":{}}},{}]}"), FN_BUILT);
    ck_assert_str_eq(x.url, "http://127.0.0.1:4318/v1/traces");
    ck_assert_str_eq(x.body.data, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"fitnudge\"}}]},"
        "\"scopeSpans\":[{\"scope\":{\"name\":\"fitnudge-worker\"},\"spans\":[{\"traceId\":\"0123456789abcdef0123456789abcdef\",\"spanId\":\"0123456789abcdef\","
        "\"parentSpanId\":\"00000000000000a1\",\"name\":\"GET /feed\",\"kind\":2,\"startTimeUnixNano\":\"1768473000000001000\",\"endTimeUnixNano\":\"1768473000000002000\","
        "\"attributes\":[{\"key\":\"http.status\",\"value\":{\"intValue\":\"500\"}},{\"key\":\"ok\",\"value\":{\"boolValue\":false}},{\"key\":\"s\",\"value\":{\"stringValue\":\"x\"}},"
        "{\"key\":\"d\",\"value\":{\"doubleValue\":1.5}}],\"status\":{\"code\":2}}]}]}]}");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(build(otlp, bad[i]) == FN_OFF, "%s", bad[i]);
    }

    ck_assert_int_eq(parse(otlp, 200, "{}"), FN_DONE);
    ck_assert_str_eq(result.data, "{\"rejected\":0}");
    ck_assert_int_eq(parse(otlp, 200, "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"m\"}}"), FN_DONE);
    ck_assert_str_eq(result.data, "{\"rejected\":3}");
    ck_assert_int_eq(parse(otlp, 429, ""), FN_BUSY);
    ck_assert_int_eq(parse(otlp, 503, ""), FN_RETRY);
    ck_assert_int_eq(parse(otlp, 500, ""), FN_DEAD);
    ck_assert_int_eq(parse(otlp, 400, ""), FN_DEAD);
    end();
}
END_TEST


static Suite *
events_suite(void)
{
    Suite  *s = suite_create("events");
    TCase  *tc = tcase_create("events");

    tcase_set_timeout(tc, 60);
    fn_add(tc, test_off);
    fn_add(tc, test_posthog);
    fn_add(tc, test_n8n);
    fn_add_rows(tc, test_slack, slacks);
    fn_add_rows(tc, test_dsn, bad_dsns);
    fn_add_rows(tc, test_sentry, sentries);
    fn_add(tc, test_otlp);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(events_suite)
