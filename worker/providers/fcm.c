/*
 * A notification (FCM HTTP v1, "projects.messages.send"; "FCM error codes"; "Manage FCM registration tokens").  The job's id
 * is its collapse key: a message that is sent twice is shown once.
 */
#include <stdio.h>
#include <string.h>

#include "../jobs/json_each.h"
#include "exchange.h"
#include "fcm.h"
#include "process.h"

#define FN_FCM_PAYLOAD_MAX   4096       /* bytes of notification and data */
#define FN_FCM_TOKEN_MAX     2048       /* of a device */
#define FN_FCM_TITLE_MAX     100        /* code points */
#define FN_FCM_BODY_MAX      500
#define FN_FCM_ANSWER_MAX    (64 * 1024)
#define FN_FCM_EARLY_MS      300000     /* a token is not used in its last five minutes */
#define FN_FCM_LIFE_MAX_S    86400
#define FN_FCM_QUOTA_MS      60000      /* without Retry-After */
#define FN_FCM_BACKOFF_MS    10000      /* the first wait after an error of the service */

/* What becomes of the device's token. */
typedef enum { FN_FCM_KEEP, FN_FCM_DELETE, FN_FCM_IF_NAMED } fn_fcm_token_e;

typedef struct {
    const char     *code;
    fn_outcome_e    outcome;
    fn_fcm_token_e  token;
    long            wait_ms;
    const char     *alert;
} fn_fcm_error_t;

/* By details[].errorCode, else by status. */
static const fn_fcm_error_t  fn_fcm_errors[] = {
    { "UNREGISTERED",           FN_DEAD,  FN_FCM_DELETE,   -1, NULL },
    { "NOT_FOUND",              FN_DEAD,  FN_FCM_DELETE,   -1, NULL },
    { "SENDER_ID_MISMATCH",     FN_DEAD,  FN_FCM_DELETE,   -1, NULL },
    { "INVALID_ARGUMENT",       FN_DEAD,  FN_FCM_IF_NAMED, -1, "FCM: a message is malformed" },
    { "QUOTA_EXCEEDED",         FN_BUSY,  FN_FCM_KEEP,     FN_FCM_QUOTA_MS, NULL },
    { "RESOURCE_EXHAUSTED",     FN_BUSY,  FN_FCM_KEEP,     FN_FCM_QUOTA_MS, NULL },
    { "UNAVAILABLE",            FN_RETRY, FN_FCM_KEEP,     FN_FCM_BACKOFF_MS, NULL },
    { "INTERNAL",               FN_RETRY, FN_FCM_KEEP,     FN_FCM_BACKOFF_MS, NULL },
    { "THIRD_PARTY_AUTH_ERROR", FN_DEAD,  FN_FCM_KEEP,     -1, "FCM: the project's APNs key or web push key is wrong" },
    { "PERMISSION_DENIED",      FN_DEAD,  FN_FCM_KEEP,     -1, "FCM: the service account may not send messages" }
};

static int fn_fcm_configured(const fn_settings_t *s);
static int fn_fcm_token_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_fcm_token_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static int fn_fcm_send_build(fn_exchange_t *x, fn_call_t *c);
static int fn_fcm_message(fn_buf_t *b, const fn_call_t *c, const fn_json_field_t *f);
static int fn_fcm_data(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static fn_outcome_e fn_fcm_send_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static fn_outcome_e fn_fcm_refused(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static fn_outcome_e fn_fcm_unauthorized(fn_call_t *c);

static const fn_pair_t  fn_fcm_pairs[] = {
    { "google_oauth", fn_fcm_token_build, fn_fcm_token_parse },
    { "fcm", fn_fcm_send_build, fn_fcm_send_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_fcm = { "fcm", fn_fcm_configured, fn_fcm_pairs };
const fn_pair_t  fn_probe_fcm = { "google_oauth", fn_fcm_token_build, fn_fcm_token_parse };


static int
fn_fcm_configured(const fn_settings_t *s)
{
    return fn_set(s->fcm_service_account);
}


static int
fn_fcm_token_build(fn_exchange_t *x, fn_call_t *c)
{
    if (!fn_fcm_configured(c->settings) || c->process == NULL || c->process->fcm_account == NULL) {
        return FN_OFF;
    }

    if (fn_oauth_valid(&c->process->fcm_token, c->now_ms)) {
        return FN_SKIP;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->fcm_timeout_ms, c->settings->fcm_attempts);
    x->response_max = FN_FCM_ANSWER_MAX;
    x->plain = 1;

    fn_buf_adds(&x->body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");

    if (fn_exchange_url(x, c->process->fcm_account->token_uri, "") != 0
        || fn_exchange_header(x, "Content-Type", "application/x-www-form-urlencoded") != 0
        || fn_exchange_header(x, "Accept", "application/json") != 0
        || fn_fcm_assertion(&x->body, c->process->fcm_account, (int64_t) (c->now_ms / 1000)) != 0)
    {
        return FN_OFF;
    }

    return FN_BUILT;
}


static fn_outcome_e
fn_fcm_token_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    size_t           i;
    fn_oauth_t      *o;
    fn_outcome_e     outcome;
    fn_json_field_t  f[] = { FN_JSON_FIELD("access_token"), FN_JSON_FIELD("expires_in"), FN_JSON_END };

    (void) result;

    if (r->transport_error != 0 || r->status != 200) {
        if (r->transport_error == 0 && (r->status == 400 || r->status == 401)) {
            c->alert = "FCM: Google gives no token: the clock is wrong, or the service account's key was deleted";
        }
        return fn_failed(r, c);
    }

    outcome = FN_DEAD;

    if (c->process != NULL
        && r->body_len <= FN_FCM_ANSWER_MAX
        && fn_json_get(r->body, r->body_len, f) == 0
        && f[0].type == FN_JSON_STRING && f[0].text.len > 0 && f[0].text.len <= FN_OAUTH_TOKEN_MAX
        && f[1].type == FN_JSON_NUMBER && f[1].number > 0)
    {
        /* b64token, RFC 6750 section 2.1: it becomes a header line. */
        for (i = 0; i < f[0].text.len && f[0].text.data[i] > 0x20 && f[0].text.data[i] < 0x7f; i++) { /* void */ }

        if (i == f[0].text.len) {
            o = &c->process->fcm_token;
            memcpy(o->token, f[0].text.data, f[0].text.len);
            o->token[f[0].text.len] = '\0';
            o->until_ms = (uint64_t) (f[1].number < FN_FCM_LIFE_MAX_S ? f[1].number : FN_FCM_LIFE_MAX_S) * 1000;

            /* A life shorter than the five minutes: good for this call. */
            o->until_ms = c->now_ms + (o->until_ms > 2 * FN_FCM_EARLY_MS ? o->until_ms - FN_FCM_EARLY_MS : o->until_ms / 2);
            outcome = FN_DONE;
        }
    }

    fn_json_free(f);

    return outcome;
}


static int
fn_fcm_send_build(fn_exchange_t *x, fn_call_t *c)
{
    int                   rc;
    char                  path[128], bearer[FN_OAUTH_TOKEN_MAX + 16];
    fn_json_field_t       f[] = {
        FN_JSON_FIELD("token"), FN_JSON_FIELD("title"), FN_JSON_FIELD("body"), FN_JSON_FIELD("data"),
        FN_JSON_FIELD("sound"), FN_JSON_END
    };
    const fn_settings_t  *s = c->settings;

    if (!fn_fcm_configured(s) || c->process == NULL || c->process->fcm_account == NULL
        || c->process->fcm_token.token[0] == '\0')
    {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, s->fcm_timeout_ms, s->fcm_attempts);
    x->response_max = FN_FCM_ANSWER_MAX;

    snprintf(path, sizeof(path), "/v1/projects/%s/messages:send", c->process->fcm_account->project);
    snprintf(bearer, sizeof(bearer), "Bearer %s", c->process->fcm_token.token);
    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && fn_fcm_message(&x->body, c, f) == 0
        && fn_exchange_url(x, s->fcm_base_url, path) == 0
        && fn_exchange_header(x, "Content-Type", "application/json; charset=utf-8") == 0
        && fn_exchange_header(x, "Accept", "application/json") == 0
        && fn_exchange_header(x, "Authorization", bearer) == 0)
    {
        rc = FN_BUILT;
    }

    fn_json_free(f);

    return rc;
}


static void
fn_fcm_text(fn_buf_t *b, const fn_json_field_t *f, size_t max)
{
    fn_buf_t  text = FN_BUF_INIT;

    fn_clean_text(&text, fn_json_text(f), f->type == FN_JSON_STRING ? f->text.len : 0, max, 1);
    fn_buf_add_json_string(b, text.len > 0 ? text.data : "", text.len);
    b->failed |= text.failed;
    fn_buf_free(&text);
}


/* 0, or -1: no token or no text, data that cannot be sent, or more than a message may have. */
static int
fn_fcm_message(fn_buf_t *b, const fn_call_t *c, const fn_json_field_t *f)
{
    size_t       payload;
    int64_t      ttl;
    fn_buf_t     data = FN_BUF_INIT;
    const char  *sound;

    if (f[0].type != FN_JSON_STRING || f[0].text.len == 0 || f[0].text.len > FN_FCM_TOKEN_MAX
        || strlen(f[0].text.data) != f[0].text.len
        || f[1].type != FN_JSON_STRING || f[1].text.len == 0 || f[2].type != FN_JSON_STRING
        || (f[3].type != FN_JSON_ABSENT && f[3].type != FN_JSON_NULL && f[3].type != FN_JSON_OBJECT))
    {
        return -1;
    }

    if (f[3].type == FN_JSON_OBJECT && fn_json_each(f[3].raw.p, f[3].raw.n, fn_fcm_data, &data) != 0) {
        fn_buf_free(&data);
        return -1;
    }

    sound = fn_json_text(&f[4])[0] != '\0' ? fn_json_text(&f[4]) : "default";
    ttl = c->settings->fcm_ttl_ms / 1000;

    fn_buf_adds(b, "{\"message\":{\"token\":");
    fn_buf_add_json_string(b, f[0].text.data, f[0].text.len);

    payload = b->len;
    fn_buf_adds(b, ",\"notification\":{\"title\":");
    fn_fcm_text(b, &f[1], FN_FCM_TITLE_MAX);
    fn_buf_adds(b, ",\"body\":");
    fn_fcm_text(b, &f[2], FN_FCM_BODY_MAX);
    fn_buf_adds(b, "}");

    if (data.len > 0) {
        fn_buf_adds(b, ",\"data\":{");
        fn_buf_add(b, data.data, data.len);
        fn_buf_adds(b, "}");
    }

    payload = b->len - payload;

    fn_buf_addf(b, ",\"android\":{\"priority\":\"HIGH\",\"ttl\":\"%llds\",\"collapse_key\":\"%s\",\"notification\":{\"tag\":\"%s\",\"sound\":",
                (long long) ttl, c->job_id, c->job_id);
    fn_buf_add_json_string(b, sound, strlen(sound));
    fn_buf_addf(b, "}},\"apns\":{\"headers\":{\"apns-priority\":\"10\",\"apns-collapse-id\":\"%s\",\"apns-expiration\":\"%lld\"},"
                   "\"payload\":{\"aps\":{\"sound\":", c->job_id, (long long) (c->now_ms / 1000) + (long long) ttl);
    fn_buf_add_json_string(b, sound, strlen(sound));
    fn_buf_adds(b, "}}}}}");

    b->failed |= data.failed;
    fn_buf_free(&data);

    return b->failed || payload > FN_FCM_PAYLOAD_MAX ? -1 : 0;
}


/* Values must be strings: others become their JSON. Some keys are the service's own. */
static int
fn_fcm_data(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    fn_buf_t  *b = data;

    if (key_len == 0 || key_len > 64
        || strcmp(key, "from") == 0 || strcmp(key, "message_type") == 0 || strcmp(key, "notification") == 0
        || strncmp(key, "google.", 7) == 0 || strncmp(key, "gcm.", 4) == 0)
    {
        return -1;
    }

    if (value->type == FN_JSON_NULL) {
        return 0;
    }

    if (b->len > 0) {
        fn_buf_adds(b, ",");
    }

    fn_buf_add_json_string(b, key, key_len);
    fn_buf_adds(b, ":");

    if (value->type == FN_JSON_STRING) {
        fn_buf_add_json_string(b, value->text.len > 0 ? value->text.data : "", value->text.len);
    } else {
        fn_buf_add_json_string(b, value->raw.p, value->raw.n);
    }

    return b->failed || b->len > FN_FCM_PAYLOAD_MAX ? -1 : 0;
}


static fn_outcome_e
fn_fcm_send_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    fn_outcome_e     outcome;
    fn_json_field_t  f[] = { FN_JSON_FIELD("name"), FN_JSON_END };

    if (r->transport_error != 0 || r->status != 200) {
        return fn_fcm_refused(r, c, result);
    }

    outcome = FN_DEAD;

    if (r->body_len <= FN_FCM_ANSWER_MAX && fn_json_get(r->body, r->body_len, f) == 0 && f[0].text.len > 0) {
        fn_buf_adds(result, "{\"message_id\":");
        fn_json_add_raw(result, &f[0]);
        fn_buf_adds(result, ",\"delete_token\":false,\"error\":null}");
        outcome = result->failed ? FN_DEAD : FN_DONE;
    }

    fn_json_free(f);

    return outcome;
}


static fn_outcome_e
fn_fcm_refused(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    int                    forget;
    size_t                 i;
    const char            *code;
    fn_outcome_e           outcome;
    fn_json_field_t        f[] = {
        FN_JSON_FIELD("error.status"), FN_JSON_FIELD("error.message"), FN_JSON_FIELD("error.details.0.errorCode"),
        FN_JSON_FIELD("error.details.1.errorCode"), FN_JSON_FIELD("error.details.2.errorCode"), FN_JSON_END
    };
    const fn_fcm_error_t  *e;

    outcome = fn_failed(r, c);

    if (r->transport_error != 0) {
        return outcome;
    }

    if (r->body_len > FN_FCM_ANSWER_MAX || fn_json_get(r->body, r->body_len, f) != 0) {
        /* A proxy's words: the status has to do. */
        if (c->wait_ms < 0 && outcome != FN_DEAD) {
            c->wait_ms = r->status == 429 ? FN_FCM_QUOTA_MS : FN_FCM_BACKOFF_MS;
        }
        fn_json_free(f);
        return r->status == 401 ? fn_fcm_unauthorized(c) : outcome;
    }

    code = fn_json_text(&f[0]);

    for (i = 2; i < 5; i++) {
        if (fn_json_text(&f[i])[0] != '\0') {
            code = fn_json_text(&f[i]);
            break;
        }
    }

    for (i = 0; i < sizeof(fn_fcm_errors) / sizeof(fn_fcm_errors[0]); i++) {
        e = &fn_fcm_errors[i];

        if (strcmp(e->code, code) != 0) {
            continue;
        }

        forget = e->token == FN_FCM_DELETE
                 || (e->token == FN_FCM_IF_NAMED && strstr(fn_json_text(&f[1]), "registration token") != NULL);
        outcome = e->outcome;
        c->alert = forget ? NULL : e->alert;

        /* The service's word if it has one, but never at once after an error of its own. */
        if (c->wait_ms < 0 || outcome == FN_RETRY) {
            c->wait_ms = c->wait_ms > e->wait_ms ? c->wait_ms : e->wait_ms;
        }

        if (outcome == FN_DEAD) {
            fn_buf_addf(result, "{\"message_id\":null,\"delete_token\":%s,\"error\":\"%s\"}", forget ? "true" : "false", e->code);
        }

        fn_json_free(f);
        return outcome;
    }

    fn_json_free(f);

    return r->status == 401 ? fn_fcm_unauthorized(c) : outcome;
}


/* The token was revoked before its time: another one, once. */
static fn_outcome_e
fn_fcm_unauthorized(fn_call_t *c)
{
    if (c->process != NULL) {
        fn_oauth_clear(&c->process->fcm_token);
    }

    if (c->renewed++ == 0) {
        c->again = 1;
        return FN_RETRY;
    }

    c->alert = "FCM: the service account's token is refused";

    return FN_DEAD;
}
