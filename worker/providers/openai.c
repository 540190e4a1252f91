/*
 * OpenAI: POST <base>/chat/completions or, with openai_api responses, POST <base>/responses (API reference, "Create chat
 * completion", "Create a model response", "Error codes").
 *
 * The context is a JSON object with "messages" (sent as it is), "model" and "safety_identifier". The result is
 * {"text","model","prompt_tokens","completion_tokens","cached_tokens","reasoning_tokens"}: the last two are parts of the
 * two before. A refusal or an empty answer is FN_DEAD, with a result that has no text when the answer says what it cost.
 */
#include <stdio.h>
#include <string.h>

#include "../jobs/json_get.h"
#include "exchange.h"
#include "openai.h"

#define FN_OPENAI_URL       "https://api.openai.com/v1"
#define FN_OPENAI_BODY_MAX  (1024 * 1024)
#define FN_OPENAI_TEXT_MAX  4000            /* code points */
#define FN_OPENAI_MODEL_MAX 100             /* bytes of a model's name */
#define FN_OPENAI_TOKENS    1000000000      /* more than any answer can honestly have */
#define FN_OPENAI_OUTPUT    4               /* items of a response that are looked at: reasoning comes before the message */

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

/* Where an answer has what we want, by interface. */
typedef struct {
    const char *text, *model;
    size_t      text_len, model_len;
    int64_t     prompt, completion, cached, reasoning;
} fn_openai_answer_t;

static int fn_openai_build(fn_exchange_t *x, fn_call_t *c);
static int fn_openai_authorize(fn_exchange_t *x, const fn_settings_t *s);
static void fn_openai_body(fn_buf_t *b, const fn_settings_t *s, const fn_json_field_t *c);
static const fn_openai_model_t *fn_openai_model(const char *name);
static fn_outcome_e fn_openai_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static int fn_openai_chat(const fn_json_field_t *f, fn_openai_answer_t *a);
static int fn_openai_response(const fn_json_field_t *f, fn_openai_answer_t *a);
static int fn_openai_usage(const fn_json_field_t *f, fn_openai_answer_t *a);
static fn_outcome_e fn_openai_result(const fn_openai_answer_t *a, const fn_settings_t *s, fn_buf_t *result);
static fn_outcome_e fn_openai_failed(const fn_response_t *r, fn_call_t *c);
static int fn_openai_probe_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_openai_probe_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_openai_pairs[] = {
    { "openai", fn_openai_build, fn_openai_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_openai = { "openai", fn_openai_configured, fn_openai_pairs };
const fn_pair_t  fn_probe_openai = { "openai", fn_openai_probe_build, fn_openai_probe_parse };


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
fn_openai_responses(const fn_settings_t *s)
{
    return s->openai_api != NULL && strcmp(s->openai_api, "responses") == 0;
}


static int
fn_openai_build(fn_exchange_t *x, fn_call_t *c)
{
    int                   rc;
    fn_json_field_t       f[] = {
        FN_JSON_FIELD("messages"), FN_JSON_FIELD("model"), FN_JSON_FIELD("safety_identifier"), FN_JSON_FIELD("max_tokens"), FN_JSON_END
    };
    const fn_settings_t  *s = c->settings;

    if (!fn_openai_configured(s)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, s->openai_timeout_ms, s->openai_attempts);

    if (fn_exchange_url(x, s->openai_base_url, fn_openai_responses(s) ? "/responses" : "/chat/completions") != 0
        || fn_exchange_header(x, "Content-Type", "application/json") != 0
        || fn_exchange_header(x, "Accept", "application/json") != 0)
    {
        return FN_OFF;
    }

    if (fn_openai_authorize(x, s) != 0) {
        return FN_OFF;
    }

    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0 && f[0].type == FN_JSON_ARRAY) {
        fn_openai_body(&x->body, s, f);
        rc = x->body.failed ? FN_OFF : FN_BUILT;
    }

    fn_json_free(f);

    return rc;
}


static int
fn_openai_authorize(fn_exchange_t *x, const fn_settings_t *s)
{
    char  bearer[FN_HEADER_MAX];

    if (!fn_set(s->openai_api_key)) {
        return 0;
    }

    /* cut short, or able to add a header line: not a key */
    return (size_t) snprintf(bearer, sizeof(bearer), "Bearer %s", s->openai_api_key) < sizeof(bearer)
           && fn_exchange_header(x, "Authorization", bearer) == 0 ? 0 : -1;
}


static void
fn_openai_body(fn_buf_t *b, const fn_settings_t *s, const fn_json_field_t *c)
{
    int                       responses;
    const char               *model;
    const fn_openai_model_t  *m;

    model = c[1].text.len > 0 ? c[1].text.data : s->openai_model;
    m = fn_openai_model(model);
    responses = fn_openai_responses(s);

    fn_buf_adds(b, "{\"model\":");
    fn_buf_add_json_string(b, model, strlen(model));
    fn_buf_adds(b, responses ? ",\"input\":" : ",\"messages\":");
    fn_json_add_raw(b, &c[0]);
    fn_buf_addf(b, ",\"%s\":%lld,\"stream\":false,%s\"prompt_cache_key\":\"motivation-v1\"",
                responses ? "max_output_tokens" : "max_completion_tokens", (long long) (c[3].type == FN_JSON_NUMBER ? c[3].number : s->openai_max_tokens),
                responses ? "\"store\":false," : "");

    if (c[2].type == FN_JSON_STRING) {
        fn_buf_adds(b, ",\"safety_identifier\":");
        fn_json_add_raw(b, &c[2]);
    }

    if (m->effort != NULL) {
        fn_buf_addf(b, responses ? ",\"reasoning\":{\"effort\":\"%s\"}" : ",\"reasoning_effort\":\"%s\"", m->effort);
    }

    if (m->temperature) {
        fn_buf_adds(b, ",\"temperature\":0.7");
    }

    fn_buf_adds(b, "}");
}


static fn_outcome_e
fn_openai_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    int                  good;
    fn_outcome_e         outcome;
    fn_openai_answer_t   a;
    fn_json_field_t      chat[] = {
        FN_JSON_FIELD("model"), FN_JSON_FIELD("usage.prompt_tokens"), FN_JSON_FIELD("usage.completion_tokens"),
        FN_JSON_FIELD("usage.prompt_tokens_details.cached_tokens"),
        FN_JSON_FIELD("usage.completion_tokens_details.reasoning_tokens"),
        FN_JSON_FIELD("choices.0.message.content"), FN_JSON_FIELD("choices.0.message.refusal"),
        FN_JSON_FIELD("choices.0.finish_reason"), FN_JSON_END
    };
    fn_json_field_t      response[] = {
        FN_JSON_FIELD("model"), FN_JSON_FIELD("usage.input_tokens"), FN_JSON_FIELD("usage.output_tokens"),
        FN_JSON_FIELD("usage.input_tokens_details.cached_tokens"),
        FN_JSON_FIELD("usage.output_tokens_details.reasoning_tokens"),
        FN_JSON_FIELD("incomplete_details.reason"), FN_JSON_FIELD("status"),
        FN_JSON_FIELD("output.0.content.0.type"), FN_JSON_FIELD("output.0.content.0.text"),
        FN_JSON_FIELD("output.1.content.0.type"), FN_JSON_FIELD("output.1.content.0.text"),
        FN_JSON_FIELD("output.2.content.0.type"), FN_JSON_FIELD("output.2.content.0.text"),
        FN_JSON_FIELD("output.3.content.0.type"), FN_JSON_FIELD("output.3.content.0.text"), FN_JSON_END
    };
    fn_json_field_t     *f;

    if (r->transport_error != 0 || r->status != 200) {
        return fn_openai_failed(r, c);
    }

    f = fn_openai_responses(c->settings) ? response : chat;
    outcome = FN_DEAD;
    memset(&a, 0, sizeof(a));

    if (r->body_len <= FN_OPENAI_BODY_MAX && fn_json_get(r->body, r->body_len, f) == 0) {
        good = fn_openai_usage(f, &a) == 0;
        good = good && (f == chat ? fn_openai_chat(f, &a) : fn_openai_response(f, &a)) == 0;
        outcome = good ? fn_openai_result(&a, c->settings, result) : FN_DEAD;
    }

    fn_json_free(f);

    return outcome;
}


/* The model and what the answer cost; the five fields are the first of both interfaces. */
static int
fn_openai_usage(const fn_json_field_t *f, fn_openai_answer_t *a)
{
    unsigned  i;

    for (i = 1; i <= 4; i++) {
        if ((i <= 2 && f[i].type != FN_JSON_NUMBER) || f[i].number < 0 || f[i].number > FN_OPENAI_TOKENS) {
            return -1;
        }
    }

    if (f[0].type == FN_JSON_STRING && f[0].text.len <= FN_OPENAI_MODEL_MAX) {
        a->model = f[0].text.data;
        a->model_len = f[0].text.len;
    }

    a->prompt = f[1].number;
    a->completion = f[2].number;

    /* Parts cannot be more than the whole, whatever is said. */
    a->cached = f[3].type != FN_JSON_NUMBER ? 0 : f[3].number < a->prompt ? f[3].number : a->prompt;
    a->reasoning = f[4].type != FN_JSON_NUMBER ? 0 : f[4].number < a->completion ? f[4].number : a->completion;

    return 0;
}


static int
fn_openai_chat(const fn_json_field_t *f, fn_openai_answer_t *a)
{
    if (fn_json_text(&f[6])[0] == '\0' && strcmp(fn_json_text(&f[7]), "content_filter") != 0) {
        a->text = fn_json_text(&f[5]);
        a->text_len = f[5].type == FN_JSON_STRING ? f[5].text.len : 0;
    }

    return 0;
}


static int
fn_openai_response(const fn_json_field_t *f, fn_openai_answer_t *a)
{
    unsigned                i;
    const fn_json_field_t  *o;

    /* A text that was cut at max_output_tokens is still a text, as it is for chat completions. */
    if (strcmp(fn_json_text(&f[6]), "completed") != 0
        && (strcmp(fn_json_text(&f[6]), "incomplete") != 0 || strcmp(fn_json_text(&f[5]), "max_output_tokens") != 0))
    {
        return 0;
    }

    for (i = 0; i < FN_OPENAI_OUTPUT; i++) {
        o = &f[7 + 2 * i];

        if (strcmp(fn_json_text(&o[0]), "output_text") == 0 && o[1].type == FN_JSON_STRING) {
            a->text = fn_json_text(&o[1]);
            a->text_len = o[1].text.len;
            break;
        }
    }

    return 0;
}


static fn_outcome_e
fn_openai_result(const fn_openai_answer_t *a, const fn_settings_t *s, fn_buf_t *result)
{
    size_t        n, from;
    fn_buf_t      text = FN_BUF_INIT, model = FN_BUF_INIT;
    fn_outcome_e  outcome;

    n = a->text_len;
    while (n > 0 && (unsigned char) a->text[n - 1] <= 0x20) {
        n--;
    }
    for (from = 0; from < n && ((unsigned char) a->text[from] <= 0x20 || a->text[from] == 0x7f); from++) { /* void */ }

    if (n > from) {
        fn_clean_text(&text, a->text + from, n - from, FN_OPENAI_TEXT_MAX, 1);
    }

    if (a->model_len > 0) {
        fn_clean_text(&model, a->model, a->model_len, FN_OPENAI_MODEL_MAX, 0);
    }

    fn_buf_adds(result, "{\"text\":");

    if (text.len > 0) {
        fn_buf_add_json_string(result, text.data, text.len);
    } else {
        fn_buf_adds(result, "null");
    }

    fn_buf_adds(result, ",\"model\":");

    if (model.len > 0) {
        fn_buf_add_json_string(result, model.data, model.len);
    } else {
        fn_buf_add_json_string(result, s->openai_model, strlen(s->openai_model));
    }

    fn_buf_addf(result, ",\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"cached_tokens\":%lld,\"reasoning_tokens\":%lld}",
                (long long) a->prompt, (long long) a->completion, (long long) a->cached, (long long) a->reasoning);

    outcome = text.len > 0 && !result->failed ? FN_DONE : FN_DEAD;

    fn_buf_free(&text);
    fn_buf_free(&model);

    return outcome;
}


/* Worth another try, as for the service's own libraries: lost connections, 408, 409, 429, 5xx; not an empty account. */
static fn_outcome_e
fn_openai_failed(const fn_response_t *r, fn_call_t *c)
{
    int              quota;
    fn_json_field_t  e[] = { FN_JSON_FIELD("error.code"), FN_JSON_FIELD("error.type"), FN_JSON_END };

    quota = 0;

    if (r->transport_error == 0 && r->status == 429 && r->body_len <= FN_OPENAI_BODY_MAX) {
        quota = fn_json_get(r->body, r->body_len, e) == 0
                && (strcmp(fn_json_text(&e[0]), "insufficient_quota") == 0
                    || strcmp(fn_json_text(&e[1]), "insufficient_quota") == 0);
        fn_json_free(e);
    }

    if (quota) {
        c->alert = "OpenAI: the account has no credit left";
        return FN_DEAD;
    }

    if (r->transport_error == 0 && r->status == 401) {
        c->alert = "OpenAI: the key is refused";
    }

    if (r->transport_error == 0 && r->status == 409 && r->should_retry != 0) {
        return FN_RETRY;
    }

    return fn_failed(r, c);
}


/* API reference, "List models". */
static int
fn_openai_probe_build(fn_exchange_t *x, fn_call_t *c)
{
    if (!fn_openai_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_GET, c->settings->openai_timeout_ms, 1);

    return fn_exchange_url(x, c->settings->openai_base_url, "/models") == 0 && fn_openai_authorize(x, c->settings) == 0 ? FN_BUILT : FN_OFF;
}


static fn_outcome_e
fn_openai_probe_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    (void) result;

    return r->transport_error == 0 && r->status == 200 ? FN_DONE : fn_openai_failed(r, c);
}
