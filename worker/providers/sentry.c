/* An error to Sentry: an envelope with one event (developer documentation, "Envelopes", "Event payloads", "Rate limiting"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../jobs/json_each.h"
#include "../libfitnudge/fn_time.h"
#include "events.h"
#include "exchange.h"

#define FN_SENTRY_TEXT_MAX    8192      /* code points of a message */
#define FN_SENTRY_TAG_MAX     200
#define FN_SENTRY_TAGS        32
#define FN_SENTRY_PAUSE_MS    60000     /* without a word of the service's */
#define FN_SENTRY_PAUSE_MAX   86400     /* s */

/* A DSN, taken apart. */
typedef struct {
    char  key[65];
    char  url[1024];        /* of the envelope */
} fn_sentry_dsn_t;

typedef struct {
    fn_buf_t  *body;
    unsigned   n;
} fn_sentry_tags_t;

static int fn_sentry_configured(const fn_settings_t *s);
static int fn_sentry_dsn(fn_sentry_dsn_t *out, const char *dsn);
static int fn_sentry_build(fn_exchange_t *x, fn_call_t *c);
static void fn_sentry_event(fn_buf_t *b, const fn_call_t *c, const char *id, const fn_json_field_t *f);
static int fn_sentry_tag(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static void fn_sentry_text(fn_buf_t *b, const char *s, size_t n, size_t max);
static fn_outcome_e fn_sentry_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static long fn_sentry_pause(const fn_response_t *r);
static int fn_sentry_is_ours(const char *p, size_t n);

enum { FN_E_LEVEL, FN_E_MESSAGE, FN_E_LOGGER, FN_E_TYPE, FN_E_VALUE, FN_E_TAGS, FN_E_TRACE, FN_E_SPAN, FN_E_SERVER };

static const fn_pair_t  fn_sentry_pairs[] = {
    { "sentry", fn_sentry_build, fn_sentry_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_sentry = { "sentry", fn_sentry_configured, fn_sentry_pairs };


static int
fn_sentry_configured(const fn_settings_t *s)
{
    fn_sentry_dsn_t  dsn;

    return fn_set(s->sentry_dsn) && fn_sentry_dsn(&dsn, s->sentry_dsn) == 0;
}


/* <scheme>://<key>@<host>[/<path>]/<project> */
static int
fn_sentry_dsn(fn_sentry_dsn_t *out, const char *dsn)
{
    int          n;
    size_t       key;
    const char  *rest, *at, *project;

    rest = strstr(dsn, "://");
    if (rest == NULL) {
        return -1;
    }
    rest += 3;

    at = strchr(rest, '@');
    project = strrchr(rest, '/');

    if (at == NULL || project == NULL || project < at) {
        return -1;
    }

    key = strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

    if (key == 0 || key >= sizeof(out->key) || rest + key != at
        || project[1] == '\0' || strspn(project + 1, "0123456789") != strlen(project + 1)
        || project == at + 1
        || strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]/_") != strlen(at + 1))
    {
        return -1;
    }

    memcpy(out->key, rest, key);
    out->key[key] = '\0';
    n = snprintf(out->url, sizeof(out->url), "%.*s%.*s/api/%s/envelope/", (int) (rest - dsn), dsn,
                 (int) (project - at - 1), at + 1, project + 1);

    return n > 0 && (size_t) n < sizeof(out->url) ? 0 : -1;
}


/* The job's id without its dashes. */
static void
fn_sentry_id(char out[33], const char *job_id)
{
    size_t  n;

    for (n = 0; *job_id != '\0' && n < 32; job_id++) {
        if (*job_id != '-') {
            out[n++] = *job_id;
        }
    }

    out[n] = '\0';
}


static int
fn_sentry_build(fn_exchange_t *x, fn_call_t *c)
{
    int              rc;
    char             id[33], now[FN_RFC3339_LEN + 1], auth[160];
    fn_buf_t         event = FN_BUF_INIT;
    fn_sentry_dsn_t  dsn;
    fn_json_field_t  f[] = {
        FN_JSON_FIELD("level"), FN_JSON_FIELD("message"), FN_JSON_FIELD("logger"), FN_JSON_FIELD("type"), FN_JSON_FIELD("value"),
        FN_JSON_FIELD("tags"), FN_JSON_FIELD("trace_id"), FN_JSON_FIELD("span_id"), FN_JSON_FIELD("server_name"), FN_JSON_END
    };

    if (!fn_set(c->settings->sentry_dsn) || fn_sentry_dsn(&dsn, c->settings->sentry_dsn) != 0) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->sentry_timeout_ms, 1);
    x->plain = 1;
    rc = FN_OFF;

    fn_sentry_id(id, c->job_id);
    fn_rfc3339(now, (int64_t) (c->now_ms / 1000));
    snprintf(auth, sizeof(auth), "Sentry sentry_key=%s, sentry_version=7, sentry_client=fitnudge/1.0", dsn.key);

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && f[FN_E_LEVEL].type == FN_JSON_STRING && f[FN_E_MESSAGE].text.len > 0 && strlen(id) == 32
        && fn_exchange_url(x, dsn.url, "") == 0
        && fn_exchange_header(x, "Content-Type", "application/x-sentry-envelope") == 0
        && fn_exchange_header(x, "X-Sentry-Auth", auth) == 0)
    {
        fn_sentry_event(&event, c, id, f);
        fn_buf_addf(&x->body, "{\"event_id\":\"%s\",\"sent_at\":\"%s\"}\n{\"type\":\"event\",\"length\":%zu,\"content_type\":\"application/json\"}\n",
                    id, now, event.len);
        fn_buf_add(&x->body, event.data != NULL ? event.data : "", event.len);
        fn_buf_adds(&x->body, "\n");
        rc = x->body.failed || event.failed ? FN_OFF : FN_BUILT;
    }

    fn_buf_free(&event);
    fn_json_free(f);

    return rc;
}


static void
fn_sentry_event(fn_buf_t *b, const fn_call_t *c, const char *id, const fn_json_field_t *f)
{
    size_t             trace, span;
    const char        *level;
    fn_sentry_tags_t   tags = { b, 0 };

    level = fn_json_text(&f[FN_E_LEVEL]);
    if (strcmp(level, "fatal") != 0 && strcmp(level, "warning") != 0 && strcmp(level, "info") != 0 && strcmp(level, "debug") != 0) {
        level = "error";
    }

    fn_buf_addf(b, "{\"event_id\":\"%s\",\"timestamp\":%llu.%03llu,\"platform\":\"native\",\"level\":\"%s\",\"logger\":", id,
                (unsigned long long) (c->now_ms / 1000), (unsigned long long) (c->now_ms % 1000), level);
    fn_sentry_text(b, f[FN_E_LOGGER].type == FN_JSON_STRING ? fn_json_text(&f[FN_E_LOGGER]) : "fitnudge-worker", SIZE_MAX, FN_SENTRY_TAG_MAX);
    fn_buf_adds(b, ",\"server_name\":");
    fn_sentry_text(b, fn_json_text(&f[FN_E_SERVER]), f[FN_E_SERVER].text.len, FN_SENTRY_TAG_MAX);
    fn_buf_adds(b, ",\"environment\":");
    fn_sentry_text(b, c->settings->sentry_environment, SIZE_MAX, FN_SENTRY_TAG_MAX);
    fn_buf_adds(b, ",\"message\":{\"formatted\":");
    fn_sentry_text(b, fn_json_text(&f[FN_E_MESSAGE]), f[FN_E_MESSAGE].text.len, FN_SENTRY_TEXT_MAX);
    fn_buf_adds(b, "}");

    if (f[FN_E_TYPE].type == FN_JSON_STRING) {
        fn_buf_adds(b, ",\"exception\":{\"values\":[{\"type\":");
        fn_sentry_text(b, fn_json_text(&f[FN_E_TYPE]), f[FN_E_TYPE].text.len, FN_SENTRY_TAG_MAX);
        fn_buf_adds(b, ",\"value\":");
        fn_sentry_text(b, fn_json_text(&f[FN_E_VALUE]), f[FN_E_VALUE].text.len, FN_SENTRY_TEXT_MAX);
        fn_buf_adds(b, "}]}");
    }

    fn_buf_adds(b, ",\"tags\":{");
    if (f[FN_E_TAGS].type == FN_JSON_OBJECT) {
        b->failed |= fn_json_each(f[FN_E_TAGS].raw.p, f[FN_E_TAGS].raw.n, fn_sentry_tag, &tags) != 0;
    }
    fn_buf_adds(b, "}");

    trace = strspn(fn_json_text(&f[FN_E_TRACE]), "0123456789abcdef");
    span = strspn(fn_json_text(&f[FN_E_SPAN]), "0123456789abcdef");

    if (trace == 32 && f[FN_E_TRACE].text.len == 32 && span == 16 && f[FN_E_SPAN].text.len == 16) {
        fn_buf_addf(b, ",\"contexts\":{\"trace\":{\"trace_id\":\"%s\",\"span_id\":\"%s\"}}",
                    fn_json_text(&f[FN_E_TRACE]), fn_json_text(&f[FN_E_SPAN]));
    }

    fn_buf_adds(b, "}");
}


static int
fn_sentry_tag(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    fn_sentry_tags_t  *tags = data;

    /* One too many, or not what a tag can be: it is left out. */
    if (tags->n == FN_SENTRY_TAGS || key_len == 0 || key_len > 32
        || (value->type != FN_JSON_STRING && value->type != FN_JSON_NUMBER && value->type != FN_JSON_BOOL))
    {
        return 0;
    }

    if (tags->n++ > 0) {
        fn_buf_adds(tags->body, ",");
    }

    fn_sentry_text(tags->body, key, key_len, 32);
    fn_buf_adds(tags->body, ":");

    if (value->type == FN_JSON_STRING) {
        fn_sentry_text(tags->body, fn_json_text(value), value->text.len, FN_SENTRY_TAG_MAX);
    } else {
        fn_sentry_text(tags->body, value->raw.p, value->raw.n, FN_SENTRY_TAG_MAX);
    }

    return 0;
}


/* Appends a JSON string without control characters. n SIZE_MAX: up to the NUL. */
static void
fn_sentry_text(fn_buf_t *b, const char *s, size_t n, size_t max)
{
    fn_buf_t  clean = FN_BUF_INIT;

    fn_clean_text(&clean, s, n == SIZE_MAX ? strlen(s) : n, max, 1);
    fn_buf_add_json_string(b, clean.data != NULL ? clean.data : "", clean.len);
    b->failed |= clean.failed;
    fn_buf_free(&clean);
}


static fn_outcome_e
fn_sentry_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    char  id[33];
    long  pause;

    if (r->transport_error != 0) {
        return FN_DEAD;
    }

    pause = fn_sentry_pause(r);
    c->wait_ms = pause >= 0 ? pause : r->status == 429 ? (r->retry_after_ms >= 0 ? r->retry_after_ms : FN_SENTRY_PAUSE_MS) : -1;

    if (r->status == 200) {
        fn_sentry_id(id, c->job_id);
        fn_buf_addf(result, "{\"event_id\":\"%s\"}", id);
        return result->failed ? FN_DEAD : FN_DONE;
    }

    if (r->status == 401 || r->status == 403) {
        c->alert = "Sentry: sentry_dsn is refused";
    }

    return FN_DEAD;
}


/* How long errors are not wanted, ms, or -1: "<seconds>:<category;...>:<scope>...", separated by commas; no category is all of them. */
static long
fn_sentry_pause(const fn_response_t *r)
{
    long         seconds, longest;
    size_t       n, digits, len;
    const char  *p, *end, *limit, *category;

    p = fn_response_header(r, "x-sentry-rate-limits", &n);
    if (p == NULL) {
        return -1;
    }

    longest = -1;

    for (end = p + n; p < end; p = limit + 1) {
        limit = memchr(p, ',', (size_t) (end - p));
        limit = limit != NULL ? limit : end;

        while (p < limit && *p == ' ') {
            p++;
        }

        for (digits = 0, seconds = 0; p + digits < limit && p[digits] >= '0' && p[digits] <= '9'; digits++) {
            seconds = seconds > FN_SENTRY_PAUSE_MAX ? seconds : seconds * 10 + (p[digits] - '0');
        }

        category = p + digits;
        if (digits == 0 || category == limit || *category++ != ':') {
            continue;
        }

        for (len = 0; category + len < limit && category[len] != ':'; len++) { /* void */ }

        if (len == 0 || fn_sentry_is_ours(category, len)) {
            seconds = seconds > FN_SENTRY_PAUSE_MAX ? FN_SENTRY_PAUSE_MAX : seconds;
            longest = seconds * 1000 > longest ? seconds * 1000 : longest;
        }
    }

    return longest;
}


/* Whether "error" is among the categories, which are separated by semicolons. */
static int
fn_sentry_is_ours(const char *p, size_t n)
{
    size_t       len;
    const char  *semicolon;

    for (; n > 0; p += len, n -= len) {
        semicolon = memchr(p, ';', n);
        len = semicolon != NULL ? (size_t) (semicolon - p) : n;

        if (len == 5 && memcmp(p, "error", 5) == 0) {
            return 1;
        }

        len += semicolon != NULL;
    }

    return 0;
}
