/* Spans to an OpenTelemetry collector: POST <endpoint>/v1/traces, OTLP 1.x in JSON ("OTLP/HTTP", "JSON Protobuf Encoding"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../jobs/json_each.h"
#include "events.h"
#include "exchange.h"

#define FN_OTLP_SPANS     512
#define FN_OTLP_NAME_MAX  200
#define FN_OTLP_TEXT_MAX  1000
#define FN_OTLP_US_MAX    9000000000000000      /* before it overflows as nanoseconds */

typedef struct {
    fn_buf_t  *body;
    unsigned   seen, n;
} fn_otlp_list_t;

enum { FN_O_TRACE, FN_O_SPAN, FN_O_PARENT, FN_O_NAME, FN_O_KIND, FN_O_START, FN_O_END, FN_O_ERROR, FN_O_ATTRIBUTES };

static int fn_otlp_configured(const fn_settings_t *s);
static int fn_otlp_build(fn_exchange_t *x, fn_call_t *c);
static int fn_otlp_span(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static int fn_otlp_good(const fn_json_field_t *f);
static int fn_otlp_attribute(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static int fn_otlp_id(const fn_json_field_t *f, size_t digits);
static void fn_otlp_text(fn_buf_t *b, const fn_json_field_t *f, size_t max);
static fn_outcome_e fn_otlp_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_otlp_pairs[] = {
    { "otlp", fn_otlp_build, fn_otlp_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_otlp = { "otlp", fn_otlp_configured, fn_otlp_pairs };


static int
fn_otlp_configured(const fn_settings_t *s)
{
    return fn_set(s->otlp_endpoint);
}


static int
fn_otlp_build(fn_exchange_t *x, fn_call_t *c)
{
    int              rc;
    fn_otlp_list_t   list = { &x->body, 0, 0 };
    fn_json_field_t  f[] = { FN_JSON_FIELD("spans"), FN_JSON_END };

    if (!fn_otlp_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->otlp_timeout_ms, c->settings->otlp_attempts);
    x->plain = 1;
    rc = FN_OFF;

    fn_buf_adds(&x->body, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"fitnudge\"}}]},"
                          "\"scopeSpans\":[{\"scope\":{\"name\":\"fitnudge-worker\"},\"spans\":[");

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && f[0].type == FN_JSON_ARRAY
        && fn_json_each(f[0].raw.p, f[0].raw.n, fn_otlp_span, &list) == 0
        && list.n > 0
        && fn_exchange_url(x, c->settings->otlp_endpoint, "/v1/traces") == 0
        && fn_exchange_header(x, "Content-Type", "application/json") == 0)
    {
        fn_buf_adds(&x->body, "]}]}]}");
        rc = x->body.failed ? FN_OFF : FN_BUILT;
    }

    fn_json_free(f);

    return rc;
}


static int
fn_otlp_span(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    int              kind;
    fn_buf_t        *b;
    fn_otlp_list_t  *list = data, attributes;
    fn_json_field_t  f[] = {
        FN_JSON_FIELD("trace_id"), FN_JSON_FIELD("span_id"), FN_JSON_FIELD("parent_span_id"), FN_JSON_FIELD("name"), FN_JSON_FIELD("kind"),
        FN_JSON_FIELD("start_us"), FN_JSON_FIELD("end_us"), FN_JSON_FIELD("error"), FN_JSON_FIELD("attributes"), FN_JSON_END
    };

    (void) key;
    (void) key_len;

    b = list->body;

    if (list->seen++ == FN_OTLP_SPANS) {
        return -1;
    }

    /* It has been read once: now only memory can be missing. */
    if (value->type == FN_JSON_OBJECT && fn_json_get(value->raw.p, value->raw.n, f) != 0) {
        fn_json_free(f);
        return -1;
    }

    if (value->type != FN_JSON_OBJECT || !fn_otlp_good(f)) {
        fn_json_free(f);
        return 0;
    }

    kind = strcmp(fn_json_text(&f[FN_O_KIND]), "server") == 0 ? 2 : strcmp(fn_json_text(&f[FN_O_KIND]), "client") == 0 ? 3 : 1;

    /* Ids are hex here, unlike bytes elsewhere in this encoding; 64-bit numbers are strings, enumerations numbers. */
    fn_buf_addf(b, "%s{\"traceId\":\"%s\",\"spanId\":\"%s\",\"parentSpanId\":\"%s\",\"name\":", list->n++ > 0 ? "," : "",
                fn_json_text(&f[FN_O_TRACE]), fn_json_text(&f[FN_O_SPAN]), fn_json_text(&f[FN_O_PARENT]));
    fn_otlp_text(b, &f[FN_O_NAME], FN_OTLP_NAME_MAX);
    fn_buf_addf(b, ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\",\"attributes\":[", kind,
                (long long) f[FN_O_START].number, (long long) f[FN_O_END].number);

    attributes.body = b;
    attributes.n = attributes.seen = 0;

    if (f[FN_O_ATTRIBUTES].type == FN_JSON_OBJECT) {
        b->failed |= fn_json_each(f[FN_O_ATTRIBUTES].raw.p, f[FN_O_ATTRIBUTES].raw.n, fn_otlp_attribute, &attributes) != 0;
    }

    fn_buf_addf(b, "],\"status\":{%s}}", f[FN_O_ERROR].type == FN_JSON_BOOL && f[FN_O_ERROR].number ? "\"code\":2" : "");
    fn_json_free(f);

    return b->failed ? -1 : 0;
}


static int
fn_otlp_good(const fn_json_field_t *f)
{
    return fn_otlp_id(&f[FN_O_TRACE], 32) && fn_otlp_id(&f[FN_O_SPAN], 16)
           && (f[FN_O_PARENT].type == FN_JSON_ABSENT || f[FN_O_PARENT].type == FN_JSON_NULL || fn_otlp_id(&f[FN_O_PARENT], 16))
           && f[FN_O_NAME].text.len > 0
           && f[FN_O_START].type == FN_JSON_NUMBER && f[FN_O_START].number > 0 && f[FN_O_START].number < FN_OTLP_US_MAX
           && f[FN_O_END].type == FN_JSON_NUMBER && f[FN_O_END].number >= f[FN_O_START].number && f[FN_O_END].number < FN_OTLP_US_MAX;
}


/* Lower-case hex of this length that is not all zero (W3C Trace Context, section 3.2.2). */
static int
fn_otlp_id(const fn_json_field_t *f, size_t digits)
{
    return f->type == FN_JSON_STRING && f->text.len == digits
           && strspn(f->text.data, "0123456789abcdef") == digits && strspn(f->text.data, "0") < digits;
}


static int
fn_otlp_attribute(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    fn_otlp_list_t  *list = data;

    if (key_len == 0 || key_len > 100 || (value->type != FN_JSON_STRING && value->type != FN_JSON_NUMBER && value->type != FN_JSON_BOOL)) {
        return 0;
    }

    fn_buf_adds(list->body, list->n++ > 0 ? ",{\"key\":" : "{\"key\":");
    fn_buf_add_json_string(list->body, key, key_len);

    if (value->type == FN_JSON_STRING) {
        fn_buf_adds(list->body, ",\"value\":{\"stringValue\":");
        fn_otlp_text(list->body, value, FN_OTLP_TEXT_MAX);
        fn_buf_adds(list->body, "}}");

    } else if (value->type == FN_JSON_BOOL) {
        fn_buf_addf(list->body, ",\"value\":{\"boolValue\":%s}}", value->number ? "true" : "false");

    } else if (memchr(value->raw.p, '.', value->raw.n) != NULL || memchr(value->raw.p, 'e', value->raw.n) != NULL
               || memchr(value->raw.p, 'E', value->raw.n) != NULL)
    {
        fn_buf_addf(list->body, ",\"value\":{\"doubleValue\":%.*s}}", (int) value->raw.n, value->raw.p);

    } else {
        fn_buf_addf(list->body, ",\"value\":{\"intValue\":\"%lld\"}}", (long long) value->number);
    }

    return list->body->failed ? -1 : 0;
}


static void
fn_otlp_text(fn_buf_t *b, const fn_json_field_t *f, size_t max)
{
    fn_buf_t  clean = FN_BUF_INIT;

    fn_clean_text(&clean, fn_json_text(f), f->text.len, max, 1);
    fn_buf_add_json_string(b, clean.data != NULL ? clean.data : "", clean.len);
    b->failed |= clean.failed;
    fn_buf_free(&clean);
}


static fn_outcome_e
fn_otlp_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    int64_t          rejected;
    fn_json_field_t  f[] = { FN_JSON_FIELD("partialSuccess.rejectedSpans"), FN_JSON_END };

    if (r->transport_error != 0) {
        return FN_RETRY;
    }

    if (r->status == 200) {
        rejected = 0;

        /* A part that was refused would be refused again. */
        if (r->body_len <= 65536 && fn_json_get(r->body, r->body_len, f) == 0) {
            rejected = f[0].type == FN_JSON_STRING ? strtoll(fn_json_text(&f[0]), NULL, 10) : f[0].number;
        }

        fn_json_free(f);
        fn_buf_addf(result, "{\"rejected\":%lld}", (long long) rejected);
        return result->failed ? FN_DEAD : FN_DONE;
    }

    c->wait_ms = r->retry_after_ms;

    switch (r->status) {
    case 429:
        return FN_BUSY;
    case 502:
    case 503:
    case 504:
        return FN_RETRY;
    default:
        return FN_DEAD;
    }
}
