/*
 * OpenAI's chat completions: POST <base>/chat/completions (API reference, "Create chat completion"; "Error codes").
 *
 * The context is a JSON object with "messages" (sent as it is), "model" and "safety_identifier". The result is
 * {"text","model","prompt_tokens","completion_tokens"}. A refusal or an empty answer is FN_DEAD, with a result that has
 * no text when the answer says what it cost.
 */
#include <stdio.h>
#include <string.h>

#include "../jobs/json_get.h"
#include "openai.h"

#define FN_OPENAI_URL       "https://api.openai.com/v1"
#define FN_OPENAI_BODY_MAX  (1024 * 1024)
#define FN_OPENAI_TEXT_MAX  4000            /* code points */
#define FN_OPENAI_MODEL_MAX 100             /* bytes of a model's name */
#define FN_OPENAI_TOKENS    1000000000      /* more than any answer can honestly have */

/* What the families of models accept; the first prefix that fits counts. */
typedef struct {
    const char *prefix;
    const char *role;
    const char *effort;         /* "reasoning_effort", NULL = not a reasoning model */
    int         temperature;    /* accepted */
} fn_openai_model_t;

static const fn_openai_model_t  fn_openai_models[] = {
    /* The least effort that each takes: thinking counts against the 500 tokens. */
    { "gpt-5-chat", "developer", NULL,      0 },
    { "gpt-5.",     "developer", "low",     0 },
    { "gpt-5",      "developer", "minimal", 0 },
    { "o1",         "developer", "low",     0 },
    { "o3",         "developer", "low",     0 },
    { "o4",         "developer", "low",     0 },
    { "",           "system",    NULL,      1 }
};

static int fn_openai_build(fn_exchange_t *x, const fn_settings_t *s, const char *ctx, size_t ctx_len);
static int fn_openai_body(fn_buf_t *b, const fn_settings_t *s, const fn_json_field_t *c);
static const fn_openai_model_t *fn_openai_model(const char *name);
static fn_outcome_e fn_openai_parse(const fn_response_t *r, const fn_settings_t *s, fn_buf_t *result);
static fn_outcome_e fn_openai_failed(const fn_response_t *r);
static void fn_openai_clean(fn_buf_t *out, const char *s, size_t n);

const fn_provider_t  fn_provider_openai = { "openai", fn_openai_build, fn_openai_parse };


int
fn_openai_configured(const fn_settings_t *s)
{
    return s->openai_base_url != NULL
           && s->openai_model != NULL
           && ((s->openai_api_key != NULL && s->openai_api_key[0] != '\0')
               || strcmp(s->openai_base_url, FN_OPENAI_URL) != 0);
}


const char *
fn_openai_role(const char *model)
{
    return fn_openai_model(model)->role;
}


static const fn_openai_model_t *
fn_openai_model(const char *name)
{
    const fn_openai_model_t  *m;

    for (m = fn_openai_models; strncmp(name, m->prefix, strlen(m->prefix)) != 0; m++) { /* void */ }

    return m;
}


static int
fn_openai_build(fn_exchange_t *x, const fn_settings_t *s, const char *ctx, size_t ctx_len)
{
    int              n, rc;
    size_t           len;
    fn_json_field_t  c[] = {
        FN_JSON_FIELD("messages"), FN_JSON_FIELD("model"), FN_JSON_FIELD("safety_identifier"), FN_JSON_END
    };

    if (!fn_openai_configured(s)) {
        return -1;
    }

    len = strlen(s->openai_base_url);
    while (len > 0 && s->openai_base_url[len - 1] == '/') {
        len--;
    }

    n = snprintf(x->url, sizeof(x->url), "%.*s/chat/completions", (int) len, s->openai_base_url);
    if (n < 0 || (size_t) n >= sizeof(x->url)) {
        return -1;
    }

    x->nheaders = 0;
    snprintf(x->headers[x->nheaders++], sizeof(x->headers[0]), "Content-Type: application/json");
    snprintf(x->headers[x->nheaders++], sizeof(x->headers[0]), "Accept: application/json");

    if (s->openai_api_key != NULL && s->openai_api_key[0] != '\0') {
        n = snprintf(x->headers[x->nheaders++], sizeof(x->headers[0]), "Authorization: Bearer %s", s->openai_api_key);

        /* Cut short, or able to add a header line: not a key. */
        if ((size_t) n >= sizeof(x->headers[0]) || strpbrk(s->openai_api_key, "\r\n") != NULL) {
            return -1;
        }
    }

    x->timeout_ms = (long) s->openai_timeout_ms;
    x->attempts = (unsigned) s->openai_attempts;

    rc = -1;

    if (fn_json_get(ctx, ctx_len, c) == 0 && c[0].type == FN_JSON_ARRAY) {
        rc = fn_openai_body(&x->body, s, c);
    }

    fn_json_free(c);

    return rc;
}


static int
fn_openai_body(fn_buf_t *b, const fn_settings_t *s, const fn_json_field_t *c)
{
    const char               *model;
    const fn_openai_model_t  *m;

    model = c[1].text.len > 0 ? c[1].text.data : s->openai_model;
    m = fn_openai_model(model);

    fn_buf_adds(b, "{\"model\":");
    fn_buf_add_json_string(b, model, strlen(model));
    fn_buf_adds(b, ",\"messages\":");
    fn_json_add_raw(b, &c[0]);
    fn_buf_addf(b, ",\"max_completion_tokens\":%lld,\"stream\":false,\"prompt_cache_key\":\"motivation-v1\"",
                (long long) s->openai_max_tokens);

    if (c[2].type == FN_JSON_STRING) {
        fn_buf_adds(b, ",\"safety_identifier\":");
        fn_json_add_raw(b, &c[2]);
    }

    if (m->effort != NULL) {
        fn_buf_addf(b, ",\"reasoning_effort\":\"%s\"", m->effort);
    }

    if (m->temperature) {
        fn_buf_adds(b, ",\"temperature\":0.7");
    }

    fn_buf_adds(b, "}");

    return b->failed ? -1 : 0;
}


static fn_outcome_e
fn_openai_parse(const fn_response_t *r, const fn_settings_t *s, fn_buf_t *result)
{
    fn_buf_t         text = FN_BUF_INIT, model = FN_BUF_INIT;
    fn_outcome_e     outcome;
    fn_json_field_t  a[] = {
        FN_JSON_FIELD("choices.0.message.content"), FN_JSON_FIELD("choices.0.message.refusal"),
        FN_JSON_FIELD("choices.0.finish_reason"), FN_JSON_FIELD("model"),
        FN_JSON_FIELD("usage.prompt_tokens"), FN_JSON_FIELD("usage.completion_tokens"), FN_JSON_END
    };

    if (r->transport_error != 0 || r->status != 200) {
        return fn_openai_failed(r);
    }

    outcome = FN_DEAD;

    if (r->body_len > FN_OPENAI_BODY_MAX
        || fn_json_get(r->body, r->body_len, a) != 0
        || a[4].type != FN_JSON_NUMBER || a[4].number < 0 || a[4].number > FN_OPENAI_TOKENS
        || a[5].type != FN_JSON_NUMBER || a[5].number < 0 || a[5].number > FN_OPENAI_TOKENS)
    {
        goto done;
    }

    if (fn_json_text(&a[1])[0] == '\0' && strcmp(fn_json_text(&a[2]), "content_filter") != 0) {
        fn_openai_clean(&text, fn_json_text(&a[0]), a[0].text.len);
    }

    fn_buf_adds(result, "{\"text\":");

    if (text.len > 0) {
        fn_buf_add_json_string(result, text.data, text.len);
    } else {
        fn_buf_adds(result, "null");
    }

    fn_buf_adds(result, ",\"model\":");
    fn_openai_clean(&model, fn_json_text(&a[3]), a[3].text.len <= FN_OPENAI_MODEL_MAX ? a[3].text.len : 0);

    if (model.len > 0) {
        fn_buf_add_json_string(result, model.data, model.len);
    } else {
        fn_buf_add_json_string(result, s->openai_model, strlen(s->openai_model));
    }

    fn_buf_addf(result, ",\"prompt_tokens\":%lld,\"completion_tokens\":%lld}",
                (long long) a[4].number, (long long) a[5].number);

    if (text.len > 0 && !result->failed) {
        outcome = FN_DONE;
    }

done:

    fn_buf_free(&text);
    fn_buf_free(&model);
    fn_json_free(a);

    return outcome;
}


/* Worth another try, as for the service's own libraries: lost connections, 408, 409, 429, 5xx; not an empty account. */
static fn_outcome_e
fn_openai_failed(const fn_response_t *r)
{
    int              quota;
    fn_json_field_t  e[] = { FN_JSON_FIELD("error.code"), FN_JSON_FIELD("error.type"), FN_JSON_END };

    if (r->transport_error != 0) {
        return FN_RETRY;
    }

    quota = 0;

    if (r->status == 429 && r->body_len <= FN_OPENAI_BODY_MAX) {
        quota = fn_json_get(r->body, r->body_len, e) == 0
                && (strcmp(fn_json_text(&e[0]), "insufficient_quota") == 0
                    || strcmp(fn_json_text(&e[1]), "insufficient_quota") == 0);
        fn_json_free(e);
    }

    if (quota || r->should_retry == 0) {
        return FN_DEAD;
    }

    if (r->should_retry == 1 && r->status >= 400) {
        return FN_RETRY;
    }

    return r->status == 408 || r->status == 409 || r->status == 429 || r->status >= 500 ? FN_RETRY : FN_DEAD;
}


/* Trimmed, without control characters (newline and tab may stay), at most 4000 code points. */
static void
fn_openai_clean(fn_buf_t *out, const char *s, size_t n)
{
    size_t         i, points;
    unsigned char  c;

    while (n > 0 && (unsigned char) s[n - 1] <= 0x20) {
        n--;
    }

    for (i = 0, points = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || (points == 0 && c <= 0x20)) {
            continue;
        }

        /* C1 controls, U+0080 to U+009F. */
        if (c == 0xc2 && i + 1 < n && (unsigned char) s[i + 1] < 0xa0) {
            i++;
            continue;
        }

        if ((c & 0xc0) != 0x80 && points++ == FN_OPENAI_TEXT_MAX) {
            return;
        }

        fn_buf_add(out, s + i, 1);
    }
}
