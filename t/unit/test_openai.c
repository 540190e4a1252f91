/* The OpenAI provider: the request it builds, and every answer the service documents. */
#include "pool_test.h"

#include <stdlib.h>

#include "jobs/json_get.h"
#include "providers/exchange.h"
#include "providers/openai.h"

#define USAGE  "\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}"
#define PARTS  "\"cached_tokens\":0,\"reasoning_tokens\":0"
#define CTX    "{\"model\":\"%s\",\"safety_identifier\":\"abc\",\"messages\":[{\"role\":\"developer\",\"content\":\"hi \\u00e9\"}]}"

static fn_settings_t  settings;


static int
build(fn_exchange_t *x, const char *ctx)
{
    fn_call_t  c;

    memset(&c, 0, sizeof(c));
    c.settings = &settings;
    c.ctx = ctx;
    c.ctx_len = strlen(ctx);
    c.job_id = "";

    return fn_provider_openai.pairs[0].build(x, &c);
}


static void
test_build_model(const char *model, const char *expected, const char *name)
{
    char           ctx[256];
    fn_exchange_t  x;

    memset(&x, 0, sizeof(x));
    snprintf(ctx, sizeof(ctx), CTX, model);
    ok(build(&x, ctx) == 0, "a request is built");
    is(x.body.data, expected, name);
    fn_buf_free(&x.body);
}


static void
test_build(void)
{
    char           ctx[256], key[FN_HEADER_MAX + 10];
    fn_exchange_t  x;

    memset(&x, 0, sizeof(x));
    snprintf(ctx, sizeof(ctx), CTX, "gpt-5");

    ok(build(&x, ctx) == 0, "a request is built");
    is(x.url, "https://api.openai.com/v1/chat/completions", "url");
    ok(x.nheaders == 3, "three headers");
    is(x.headers[0], "Content-Type: application/json", "content type");
    is(x.headers[2], "Authorization: Bearer test-key", "key");
    ok(x.timeout_ms == 15000 && x.attempts == 3, "limits");
    fn_buf_free(&x.body);

    test_build_model("gpt-5",
        "{\"model\":\"gpt-5\",\"messages\":[{\"role\":\"developer\",\"content\":\"hi \\u00e9\"}],\"max_completion_tokens\":500,"
        "\"stream\":false,\"prompt_cache_key\":\"motivation-v1\",\"safety_identifier\":\"abc\",\"reasoning_effort\":\"minimal\"}",
        "body for gpt-5");
    test_build_model("o3-mini",
        "{\"model\":\"o3-mini\",\"messages\":[{\"role\":\"developer\",\"content\":\"hi \\u00e9\"}],\"max_completion_tokens\":500,"
        "\"stream\":false,\"prompt_cache_key\":\"motivation-v1\",\"safety_identifier\":\"abc\",\"reasoning_effort\":\"low\"}",
        "body for o3");
    test_build_model("gpt-4o",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"developer\",\"content\":\"hi \\u00e9\"}],\"max_completion_tokens\":500,"
        "\"stream\":false,\"prompt_cache_key\":\"motivation-v1\",\"safety_identifier\":\"abc\",\"temperature\":0.7}",
        "body for gpt-4o");

    is(fn_openai_role("gpt-5-mini"), "developer", "gpt-5 has a developer");
    is(fn_openai_role("llama3"), "system", "others have a system");

    settings.openai_base_url = (char *) "http://127.0.0.1:9/v1//";
    settings.openai_api_key = NULL;
    ok(build(&x, ctx) == 0, "another server needs no key");
    is(x.url, "http://127.0.0.1:9/v1/chat/completions", "slashes at the end do not matter");
    ok(x.nheaders == 2, "no Authorization");
    fn_buf_free(&x.body);

    test_settings(&settings);
    settings.openai_api_key = NULL;
    ok(build(&x, ctx) == -1, "no key: off");
    settings.openai_api_key = (char *) "a\r\nX: b";
    ok(build(&x, ctx) == -1, "a key with a line break: off");
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    settings.openai_api_key = key;
    ok(build(&x, ctx) == -1, "a key that does not fit: off");
    test_settings(&settings);
    ok(build(&x, "{}") == -1, "no messages");
    ok(build(&x, "[") == -1, "a broken context");
    fn_buf_free(&x.body);
}


static fn_outcome_e
parse(long status, const char *body, size_t n, int transport, int should_retry, fn_buf_t *result)
{
    fn_call_t      c;
    fn_response_t  r;

    memset(&c, 0, sizeof(c));
    c.settings = &settings;
    c.job_id = "";
    memset(&r, 0, sizeof(r));
    r.transport_error = transport;
    r.status = status;
    r.body = body;
    r.body_len = n;
    r.retry_after_ms = -1;
    r.should_retry = should_retry;
    fn_buf_reset(result);

    return fn_call_parse(&fn_provider_openai.pairs[0], &r, &c, result);
}


static void
test_answers(void)
{
    size_t        i;
    fn_buf_t      out = FN_BUF_INIT;
    const char   *s;
    static const struct { const char *name, *body; fn_outcome_e outcome; const char *result; } cases[] = {
        { "an answer", "{\"id\":\"c\",\"model\":\"gpt-5-2025\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
          "\"content\":\" Go \\u00e9 \\n\",\"refusal\":null},\"finish_reason\":\"stop\"}]," USAGE "}",
          FN_DONE, "{\"text\":\"Go \xc3\xa9\",\"model\":\"gpt-5-2025\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "control characters go", "{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\\u001bc\\u0085d\\ne\"},\"finish_reason\":\"length\"}]," USAGE "}",
          FN_DONE, "{\"text\":\"abcd\\ne\",\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "a refusal", "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]," USAGE "}",
          FN_DEAD, "{\"text\":null,\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "filtered", "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"content_filter\"}]," USAGE "}",
          FN_DEAD, "{\"text\":null,\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "empty", "{\"choices\":[{\"message\":{\"content\":\" \\n\"},\"finish_reason\":\"length\"}]," USAGE "}",
          FN_DEAD, "{\"text\":null,\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "no choices", "{\"choices\":[]," USAGE "}",
          FN_DEAD, "{\"text\":null,\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" },
        { "no usage", "{\"choices\":[{\"message\":{\"content\":\"x\"}}]}", FN_DEAD, NULL },
        { "negative usage", "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":1}}", FN_DEAD, NULL },
        { "absurd usage", "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1e300,\"completion_tokens\":9999999999}}", FN_DEAD, NULL },
        { "garbage", "{\"choices\":[{\"mess", FN_DEAD, NULL },
        { "a web page", "<html>", FN_DEAD, NULL },
        { "nothing", "", FN_DEAD, NULL },
        { "an array", "[1,2]", FN_DEAD, NULL },
        { "text behind", "{\"choices\":[]," USAGE "} x", FN_DEAD, NULL },
        { "invalid UTF-8", "{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]," USAGE "}", FN_DEAD, NULL },
        { "choices of another shape", "{\"choices\":{\"0\":{\"message\":7}}," USAGE "}",
          FN_DEAD, "{\"text\":null,\"model\":\"gpt-5\",\"prompt_tokens\":11,\"completion_tokens\":7," PARTS "}" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(parse(200, cases[i].body, strlen(cases[i].body), 0, -1, &out) == cases[i].outcome, cases[i].name);
        s = out.len > 0 ? out.data : "";
        is(s, cases[i].result != NULL ? cases[i].result : "", cases[i].name);
    }

    fn_buf_free(&out);
}


static void
test_large(void)
{
    char      *deep;
    size_t     i;
    fn_buf_t   out = FN_BUF_INIT, in = FN_BUF_INIT;

    deep = malloc(1 << 20);
    memset(deep, '[', 1 << 20);
    ok(parse(200, deep, 1 << 20, 0, -1, &out) == FN_DEAD, "a million brackets");
    ok(parse(429, deep, 1 << 20, 0, -1, &out) == FN_BUSY, "a million brackets with 429");

    for (i = 0; i + 5 <= 1 << 20; i += 5) {
        memcpy(deep + i, "{\"a\":", 5);
    }
    ok(parse(200, deep, i, 0, -1, &out) == FN_DEAD, "two hundred thousand braces");
    free(deep);

    fn_buf_adds(&in, "{\"choices\":[{\"message\":{\"content\":\"");
    for (i = 0; i < 5000; i++) {
        fn_buf_adds(&in, "\xc3\xa9");
    }
    fn_buf_adds(&in, "\"}}]," USAGE "}");
    ok(parse(200, in.data, in.len, 0, -1, &out) == FN_DONE, "a long text");
    ok(strstr(out.data, "\",\"model\"") - out.data == 9 + 8000, "is cut at 4000 characters, not within one");

    fn_buf_reset(&in);
    for (i = 0; i < 9000; i++) {
        fn_buf_addf(&in, "%128s", " ");
    }
    ok(parse(200, in.data, in.len, 0, -1, &out) == FN_DEAD, "more than a megabyte");

    fn_buf_free(&in);
    fn_buf_free(&out);
}


#define ERROR(type, code)  "{\"error\":{\"message\":\"m\",\"type\":\"" type "\",\"param\":null,\"code\":" code "}}"

static void
test_errors(void)
{
    size_t    i;
    char      name[64];
    fn_buf_t  out = FN_BUF_INIT;
    static const struct { long status; const char *body; int should_retry; fn_outcome_e outcome; } cases[] = {
        { 400, ERROR("invalid_request_error", "null"), -1, FN_DEAD },
        { 401, ERROR("invalid_request_error", "\"invalid_api_key\""), -1, FN_DEAD },
        { 403, ERROR("invalid_request_error", "\"unsupported_country_region_territory\""), -1, FN_DEAD },
        { 404, ERROR("invalid_request_error", "\"model_not_found\""), -1, FN_DEAD },
        { 408, "", -1, FN_RETRY },
        { 409, "", -1, FN_RETRY },
        { 429, ERROR("requests", "\"rate_limit_exceeded\""), -1, FN_BUSY },
        { 429, "slow down", -1, FN_BUSY },
        { 429, ERROR("insufficient_quota", "\"insufficient_quota\""), -1, FN_DEAD },
        { 429, ERROR("insufficient_quota", "null"), 1, FN_DEAD },
        { 429, ERROR("requests", "null"), 0, FN_DEAD },
        { 400, ERROR("invalid_request_error", "null"), 1, FN_RETRY },
        { 500, ERROR("server_error", "null"), -1, FN_RETRY },
        { 503, "<html>", -1, FN_RETRY },
        { 503, "", 0, FN_DEAD },
        { 301, "", -1, FN_DEAD },
        { 204, "", -1, FN_DEAD }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(name, sizeof(name), "status %ld, case %zu", cases[i].status, i);
        ok(parse(cases[i].status, cases[i].body, strlen(cases[i].body), 0, cases[i].should_retry, &out) == cases[i].outcome, name);
        ok(out.len == 0, "without a result");
    }

    ok(parse(200, "{\"cut", 5, 18, -1, &out) == FN_RETRY, "a connection that broke");
    ok(parse(0, "", 0, 28, -1, &out) == FN_RETRY, "a timeout");
    fn_buf_free(&out);
}


static fn_outcome_e
pair(long status, const char *body, fn_call_t *c, fn_buf_t *result)
{
    fn_response_t  r;

    memset(&r, 0, sizeof(r));
    r.status = status;
    r.body = body;
    r.body_len = strlen(body);
    r.retry_after_ms = -1;
    r.should_retry = -1;
    c->settings = &settings;
    fn_buf_reset(result);

    return fn_call_parse(fn_provider_openai.pairs, &r, c, result);
}


static void
test_parts(void)
{
    fn_buf_t   out = FN_BUF_INIT;
    fn_call_t  c;

    memset(&c, 0, sizeof(c));
    ok(pair(200, "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":30,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":64},\"completion_tokens_details\":{\"reasoning_tokens\":20}}}", &c, &out) == FN_DONE,
       "an answer with the parts of its tokens");
    is(out.data, "{\"text\":\"x\",\"model\":\"gpt-5\",\"prompt_tokens\":100,\"completion_tokens\":30,\"cached_tokens\":64,\"reasoning_tokens\":20}", "is understood");
    ok(pair(200, "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":64},\"completion_tokens_details\":{\"reasoning_tokens\":20}}}", &c, &out) == FN_DONE,
       "parts larger than the whole");
    ok(strstr(out.data, "\"cached_tokens\":10,\"reasoning_tokens\":3}") != NULL, "are the whole");

    ok(pair(429, ERROR("insufficient_quota", "\"insufficient_quota\""), &c, &out) == FN_DEAD && c.alert != NULL, "an empty account is an alert");
    ok(pair(401, ERROR("invalid_request_error", "\"invalid_api_key\""), &c, &out) == FN_DEAD && c.alert != NULL, "so is a wrong key");
    ok(pair(429, ERROR("requests", "\"rate_limit_exceeded\""), &c, &out) == FN_BUSY && c.alert == NULL, "a rate limit is none");
    fn_buf_free(&out);
}


#define RUSAGE  "\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":87," \
                "\"output_tokens_details\":{\"reasoning_tokens\":64},\"total_tokens\":123}"
#define RCOST   ",\"model\":\"gpt-5\",\"prompt_tokens\":36,\"completion_tokens\":87,\"cached_tokens\":8,\"reasoning_tokens\":64}"
#define RTEXT   "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Go!\"}]}"

static void
test_responses(void)
{
    char           ctx[256];
    size_t         i;
    fn_buf_t       out = FN_BUF_INIT;
    fn_call_t      c;
    fn_exchange_t  x;
    static const struct { const char *name, *body; fn_outcome_e outcome; const char *result; } cases[] = {
        { "a message", "{\"status\":\"completed\",\"output\":[" RTEXT "]," RUSAGE "}", FN_DONE, "{\"text\":\"Go!\"" RCOST },
        { "a message after thinking", "{\"status\":\"completed\",\"output\":[{\"type\":\"reasoning\",\"summary\":[]}," RTEXT "]," RUSAGE "}",
          FN_DONE, "{\"text\":\"Go!\"" RCOST },
        { "a message that was cut", "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[" RTEXT "]," RUSAGE "}",
          FN_DONE, "{\"text\":\"Go!\"" RCOST },
        { "only thoughts", "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[{\"type\":\"reasoning\"}]," RUSAGE "}",
          FN_DEAD, "{\"text\":null" RCOST },
        { "filtered", "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"content_filter\"},\"output\":[" RTEXT "]," RUSAGE "}",
          FN_DEAD, "{\"text\":null" RCOST },
        { "a refusal", "{\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]," RUSAGE "}",
          FN_DEAD, "{\"text\":null" RCOST },
        { "failed", "{\"status\":\"failed\",\"error\":{\"code\":\"server_error\"},\"output\":[],\"usage\":null}", FN_DEAD, "" },
        { "other types", "{\"status\":1,\"output\":{\"0\":{\"content\":{\"0\":{\"type\":[],\"text\":{}}}}}," RUSAGE "}", FN_DEAD, "{\"text\":null" RCOST },
        { "garbage", "{\"output\":[{\"ty", FN_DEAD, "" }
    };

    memset(&c, 0, sizeof(c));
    memset(&x, 0, sizeof(x));
    settings.openai_api = (char *) "responses";

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(pair(200, cases[i].body, &c, &out) == cases[i].outcome, cases[i].name);
        is(out.len > 0 ? out.data : "", cases[i].result, cases[i].name);
    }

    snprintf(ctx, sizeof(ctx), CTX, "gpt-5");
    ok(build(&x, ctx) == 0, "a request is built");
    is(x.url, "https://api.openai.com/v1/responses", "url");
    is(x.body.data, "{\"model\":\"gpt-5\",\"input\":[{\"role\":\"developer\",\"content\":\"hi \\u00e9\"}],\"max_output_tokens\":500,"
       "\"stream\":false,\"store\":false,\"prompt_cache_key\":\"motivation-v1\",\"safety_identifier\":\"abc\",\"reasoning\":{\"effort\":\"minimal\"}}", "body");
    fn_buf_free(&x.body);
    settings.openai_api = (char *) "chat";
    fn_buf_free(&out);
}


static void
test_json(void)
{
    const char       doc[] = "{ \"a\" : {\"b\":[ 1 , {\"c\":\"x\\ty\"}, [2,3] ], \"k\":null}, \"b\":true,\"a.b\":5, \"z\":-12 }";
    fn_json_field_t  f[] = {
        FN_JSON_FIELD("a"), FN_JSON_FIELD("a.b.1.c"), FN_JSON_FIELD("a.b.2"), FN_JSON_FIELD("a.b.0"), FN_JSON_FIELD("b"),
        FN_JSON_FIELD("a.k"), FN_JSON_FIELD("a.b.3"), FN_JSON_FIELD("a.k.c"), FN_JSON_FIELD("z"), FN_JSON_FIELD("c"), FN_JSON_END
    };
    fn_buf_t         raw = FN_BUF_INIT;

    ok(fn_json_get(doc, strlen(doc), f) == 0, "a document is read");
    fn_buf_add(&raw, f[0].raw.p, f[0].raw.n);
    is(raw.data, "{\"b\":[ 1 , {\"c\":\"x\\ty\"}, [2,3] ], \"k\":null}", "an object as written");
    ok(f[0].type == FN_JSON_OBJECT, "it is an object");
    is(fn_json_text(&f[1]), "x\ty", "a string in an array");
    ok(f[1].raw.n == 6 && memcmp(f[1].raw.p, "\"x\\ty\"", 6) == 0, "the string as written");
    ok(f[2].type == FN_JSON_ARRAY && f[2].raw.n == 5, "an array in an array");
    ok(f[3].type == FN_JSON_NUMBER && f[3].number == 1, "a number");
    ok(f[4].type == FN_JSON_BOOL && f[4].number == 1, "true");
    ok(f[5].type == FN_JSON_NULL, "null");
    ok(f[6].type == FN_JSON_ABSENT && f[7].type == FN_JSON_ABSENT && f[9].type == FN_JSON_ABSENT, "absent ones");
    ok(f[8].number == -12, "a negative number");

    fn_json_free(f);
    fn_buf_free(&raw);
}


int
main(void)
{
    test_settings(&settings);
    test_json();
    test_build();
    test_answers();
    test_large();
    test_errors();
    test_parts();
    test_responses();

    return done_testing();
}
