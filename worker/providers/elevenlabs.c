/*
 * ElevenLabs: POST <base>/text-to-speech/<voice> (API reference, "Create speech"; "Errors").  A job whose speech fails goes
 * on without: its commit gets no result, and the message stays text.
 */
#include <stdio.h>
#include <string.h>

#include "../jobs/json_get.h"
#include "../libfitnudge/fn_utf8.h"
#include "../libfitnudge/fn_voices.h"
#include "elevenlabs.h"
#include "exchange.h"
#include "r2.h"

#define FN_ELEVENLABS_TEXT_MAX   5000               /* code points; the models take 5,000 to 40,000 */
#define FN_ELEVENLABS_AUDIO_MAX  (10 * 1024 * 1024)
#define FN_ELEVENLABS_ERROR_MAX  (64 * 1024)
#define FN_ELEVENLABS_QUEUE_MS   1000               /* another of our requests ends about then */

/* What the service says, by status and detail.status (or detail.code); the first row that fits counts. */
typedef struct {
    long          status;
    const char   *detail;           /* NULL = any */
    fn_outcome_e  outcome;
    long          wait_ms;
    const char   *alert;
} fn_elevenlabs_error_t;

static const fn_elevenlabs_error_t  fn_elevenlabs_errors[] = {
    { 401, "quota_exceeded",               FN_DEAD, -1, "ElevenLabs: the quota of the plan is used up" },
    { 401, NULL,                           FN_DEAD, -1, "ElevenLabs: the key is refused" },
    { 402, NULL,                           FN_DEAD, -1, "ElevenLabs: the plan does not allow this, or was not paid" },
    { 400, "voice_not_found",              FN_DEAD, -1, "ElevenLabs: a voice of elevenlabs_voices does not exist" },
    { 404, NULL,                           FN_DEAD, -1, "ElevenLabs: a voice of elevenlabs_voices does not exist" },
    { 429, "too_many_concurrent_requests", FN_BUSY, FN_ELEVENLABS_QUEUE_MS, NULL },
    { 429, "concurrent_limit_exceeded",    FN_BUSY, FN_ELEVENLABS_QUEUE_MS, NULL },
    { 429, "system_busy",                  FN_RETRY, -1, NULL }
};

static const char *fn_elevenlabs_detail(fn_json_field_t *f, const fn_response_t *r);
static int fn_elevenlabs_is_audio(const fn_response_t *r);
static int fn_voice_configured(const fn_settings_t *s);

static const fn_pair_t  fn_voice_pairs[] = {
    { "elevenlabs", fn_elevenlabs_build, fn_elevenlabs_parse },
    { "r2", fn_r2_put_build, fn_r2_put_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_voice = { "voice", fn_voice_configured, fn_voice_pairs };


int
fn_elevenlabs_configured(const fn_settings_t *s)
{
    return fn_set(s->elevenlabs_api_key) && fn_set(s->elevenlabs_voices);
}


/* Speech that cannot be kept must not be paid for. */
static int
fn_voice_configured(const fn_settings_t *s)
{
    return fn_elevenlabs_configured(s) && fn_r2_configured(s);
}


int
fn_elevenlabs_build(fn_exchange_t *x, fn_call_t *c)
{
    int                   rc;
    char                  voice[FN_VOICE_MAX + 1], path[128];
    fn_json_field_t       f[] = { FN_JSON_FIELD("text"), FN_JSON_FIELD("tone"), FN_JSON_FIELD("language"), FN_JSON_END };
    const fn_settings_t  *s = c->settings;

    if (!fn_elevenlabs_configured(s)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, s->elevenlabs_timeout_ms, s->elevenlabs_attempts);
    x->response_max = FN_ELEVENLABS_AUDIO_MAX;
    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) != 0 || f[0].text.len == 0
        || fn_utf8_length(f[0].text.data, f[0].text.len) > FN_ELEVENLABS_TEXT_MAX
        || fn_voices_find(voice, s->elevenlabs_voices, fn_json_text(&f[1]), fn_json_text(&f[2])) != 0)
    {
        goto done;
    }

    snprintf(path, sizeof(path), "/text-to-speech/%s?output_format=mp3_44100_128", voice);

    fn_buf_adds(&x->body, "{\"text\":");
    fn_buf_add_json_string(&x->body, f[0].text.data, f[0].text.len);
    fn_buf_adds(&x->body, ",\"model_id\":");
    fn_buf_add_json_string(&x->body, s->elevenlabs_model, strlen(s->elevenlabs_model));
    fn_buf_adds(&x->body, ",\"voice_settings\":{\"stability\":0.5,\"similarity_boost\":0.75,\"style\":0,\"use_speaker_boost\":true,\"speed\":1.0}}");

    if (fn_exchange_url(x, s->elevenlabs_base_url, path) == 0
        && fn_exchange_header(x, "Content-Type", "application/json") == 0
        && fn_exchange_header(x, "Accept", "audio/mpeg") == 0
        && fn_exchange_header(x, "xi-api-key", s->elevenlabs_api_key) == 0
        && !x->body.failed)
    {
        rc = FN_BUILT;
    }

done:

    fn_json_free(f);

    return rc;
}


fn_outcome_e
fn_elevenlabs_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    size_t                        i;
    const char                   *detail;
    fn_outcome_e                  outcome;
    fn_json_field_t               f[] = { FN_JSON_FIELD("detail.status"), FN_JSON_FIELD("detail.code"), FN_JSON_END };
    const fn_elevenlabs_error_t  *e;

    (void) result;

    if (r->transport_error == 0 && r->status == 200) {
        if (!fn_elevenlabs_is_audio(r)) {
            return FN_DEAD;
        }

        fn_buf_reset(&c->carried);
        fn_buf_add(&c->carried, r->body, r->body_len);
        return c->carried.failed ? FN_RETRY : FN_DONE;
    }

    outcome = fn_failed(r, c);

    if (r->transport_error != 0) {
        return outcome;
    }

    detail = fn_elevenlabs_detail(f, r);

    for (i = 0; i < sizeof(fn_elevenlabs_errors) / sizeof(fn_elevenlabs_errors[0]); i++) {
        e = &fn_elevenlabs_errors[i];

        if (e->status == r->status && (e->detail == NULL || strcmp(e->detail, detail) == 0)) {
            outcome = e->outcome;
            c->alert = e->alert;
            c->wait_ms = c->wait_ms > e->wait_ms ? c->wait_ms : e->wait_ms;
            break;
        }
    }

    fn_json_free(f);

    return outcome;
}


/* "" for a list of complaints (422) and for whatever else is not an object. */
static const char *
fn_elevenlabs_detail(fn_json_field_t *f, const fn_response_t *r)
{
    if (r->body_len > FN_ELEVENLABS_ERROR_MAX || fn_json_get(r->body, r->body_len, f) != 0) {
        return "";
    }

    return f[0].type == FN_JSON_STRING ? fn_json_text(&f[0]) : fn_json_text(&f[1]);
}


/* Audio by its type, or without one by how MPEG audio begins: an ID3 tag or the sync of a frame. */
static int
fn_elevenlabs_is_audio(const fn_response_t *r)
{
    size_t       n;
    const char  *type;

    if (r->body_len == 0 || r->body_len > FN_ELEVENLABS_AUDIO_MAX) {
        return 0;
    }

    type = fn_response_header(r, "content-type", &n);
    if (type != NULL) {
        return n >= 6 && memcmp(type, "audio/", 6) == 0;
    }

    return r->body_len >= 3
           && (memcmp(r->body, "ID3", 3) == 0
               || ((unsigned char) r->body[0] == 0xff && ((unsigned char) r->body[1] & 0xe0) == 0xe0));
}
