/* PostHog's batches: POST <host>/batch/ (API, "Batch events"). Each event has a uuid, so that a batch that is sent twice counts once. */
#include <stdio.h>
#include <string.h>

#include <zlib.h>

#include "../jobs/json_each.h"
#include "../libfitnudge/fn_time.h"
#include "../libfitnudge/fn_uuid.h"
#include "events.h"
#include "exchange.h"

#define FN_POSTHOG_EVENTS    500
#define FN_POSTHOG_NAME_MAX  200            /* bytes of an event's name and of a distinct_id */
#define FN_POSTHOG_BODY_MAX  (1024 * 1024)
#define FN_POSTHOG_GZIP_MIN  1024

typedef struct {
    fn_buf_t        *body;
    const fn_call_t *call;
    unsigned         seen, sent;
} fn_posthog_batch_t;

static int fn_posthog_configured(const fn_settings_t *s);
static int fn_posthog_build(fn_exchange_t *x, fn_call_t *c);
static int fn_posthog_event(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static int fn_posthog_gzip(fn_buf_t *b);
static fn_outcome_e fn_posthog_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_posthog_pairs[] = {
    { "posthog", fn_posthog_build, fn_posthog_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_posthog = { "posthog", fn_posthog_configured, fn_posthog_pairs };


static int
fn_posthog_configured(const fn_settings_t *s)
{
    return fn_set(s->posthog_api_key) && fn_set(s->posthog_host);
}


static int
fn_posthog_build(fn_exchange_t *x, fn_call_t *c)
{
    int                  rc;
    char                 now[FN_RFC3339_LEN + 1];
    fn_json_field_t      f[] = { FN_JSON_FIELD("events"), FN_JSON_END };
    fn_posthog_batch_t   batch = { &x->body, c, 0, 0 };

    if (!fn_posthog_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->posthog_timeout_ms, c->settings->posthog_attempts);
    x->plain = 1;
    rc = FN_OFF;

    fn_rfc3339(now, (int64_t) (c->now_ms / 1000));
    fn_buf_adds(&x->body, "{\"api_key\":");
    fn_buf_add_json_string(&x->body, c->settings->posthog_api_key, strlen(c->settings->posthog_api_key));
    fn_buf_adds(&x->body, ",\"historical_migration\":false,\"batch\":[");

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && f[0].type == FN_JSON_ARRAY
        && fn_json_each(f[0].raw.p, f[0].raw.n, fn_posthog_event, &batch) == 0
        && batch.sent > 0
        && fn_exchange_url(x, c->settings->posthog_host, "/batch/") == 0
        && fn_exchange_header(x, "Content-Type", "application/json") == 0)
    {
        fn_buf_addf(&x->body, "],\"sent_at\":\"%s\"}", now);

        if (x->body.len >= FN_POSTHOG_GZIP_MIN && fn_posthog_gzip(&x->body) == 0) {
            rc = fn_exchange_header(x, "Content-Encoding", "gzip");
        } else {
            rc = FN_BUILT;
        }

        rc = x->body.failed ? FN_OFF : rc;
    }

    fn_json_free(f);

    return rc;
}


static int
fn_posthog_event(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    char                 uuid[FN_UUID_LEN + 1], number[16], now[FN_RFC3339_LEN + 1];
    fn_buf_t            *b;
    fn_posthog_batch_t  *batch = data;
    fn_json_field_t      f[] = {
        FN_JSON_FIELD("event"), FN_JSON_FIELD("distinct_id"), FN_JSON_FIELD("properties"), FN_JSON_FIELD("timestamp"),
        FN_JSON_FIELD("uuid"), FN_JSON_END
    };

    (void) key;
    (void) key_len;

    b = batch->body;

    if (batch->seen++ == FN_POSTHOG_EVENTS || b->len + value->raw.n > FN_POSTHOG_BODY_MAX) {
        return -1;
    }

    /* It has been read once: now only memory can be missing. */
    if (value->type == FN_JSON_OBJECT && fn_json_get(value->raw.p, value->raw.n, f) != 0) {
        fn_json_free(f);
        return -1;
    }

    if (value->type != FN_JSON_OBJECT
        || f[0].text.len == 0 || f[0].text.len > FN_POSTHOG_NAME_MAX
        || f[1].text.len == 0 || f[1].text.len > FN_POSTHOG_NAME_MAX
        || (f[2].type != FN_JSON_OBJECT && f[2].type != FN_JSON_ABSENT))
    {
        fn_json_free(f);
        return 0;
    }

    /* Made of the job, so that another try has the same. */
    if (f[4].type == FN_JSON_STRING && fn_uuid_valid(fn_json_text(&f[4]), f[4].text.len)) {
        memcpy(uuid, f[4].text.data, sizeof(uuid));
    } else {
        snprintf(number, sizeof(number), "%u", batch->seen);
        fn_uuid_v5(uuid, batch->call->job_id, strlen(batch->call->job_id), "posthog", 7, number, strlen(number));
    }

    fn_buf_adds(b, batch->sent++ > 0 ? ",{\"event\":" : "{\"event\":");
    fn_json_add_raw(b, &f[0]);
    fn_buf_adds(b, ",\"distinct_id\":");
    fn_json_add_raw(b, &f[1]);
    fn_buf_adds(b, ",\"properties\":");

    if (f[2].type == FN_JSON_OBJECT) {
        fn_json_add_raw(b, &f[2]);
    } else {
        fn_buf_adds(b, "{}");
    }

    if (f[3].type == FN_JSON_STRING) {
        fn_buf_adds(b, ",\"timestamp\":");
        fn_json_add_raw(b, &f[3]);
    } else {
        fn_rfc3339(now, (int64_t) (batch->call->now_ms / 1000));
        fn_buf_addf(b, ",\"timestamp\":\"%s\"", now);
    }

    fn_buf_addf(b, ",\"uuid\":\"%s\"}", uuid);
    fn_json_free(f);

    return b->failed ? -1 : 0;
}


/* RFC 1952, in place. 0, or -1: the body is as it was. */
static int
fn_posthog_gzip(fn_buf_t *b)
{
    int        rc;
    char       out[4096];
    fn_buf_t   zipped = FN_BUF_INIT;
    z_stream   z;

    memset(&z, 0, sizeof(z));

    if (b->failed || deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -1;
    }

    z.next_in = (unsigned char *) b->data;
    z.avail_in = (unsigned) b->len;

    do {
        z.next_out = (unsigned char *) out;
        z.avail_out = sizeof(out);
        rc = deflate(&z, Z_FINISH);
        fn_buf_add(&zipped, out, sizeof(out) - z.avail_out);
    } while (rc == Z_OK);

    deflateEnd(&z);

    if (rc != Z_STREAM_END || zipped.failed) {
        fn_buf_free(&zipped);
        return -1;
    }

    fn_buf_free(b);
    *b = zipped;

    return 0;
}


static fn_outcome_e
fn_posthog_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    if (r->transport_error == 0 && r->status == 200) {
        fn_buf_adds(result, "{\"status\":200}");
        return result->failed ? FN_DEAD : FN_DONE;
    }

    if (r->transport_error == 0 && (r->status == 401 || r->status == 403)) {
        c->alert = "PostHog: the project's key is refused";
    }

    return fn_failed(r, c);
}
