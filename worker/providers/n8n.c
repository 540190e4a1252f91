/*
 * A workflow of n8n: POST <webhook> ("Webhook node"). n8n does not tell two equal requests apart: Idempotency-Key is there for a
 * workflow that looks.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "../jobs/json_get.h"
#include "events.h"
#include "exchange.h"

#define FN_N8N_PAYLOAD_MAX  (1024 * 1024)       /* n8n itself takes 16 MB */
#define FN_N8N_SECRET_MAX   512

static int fn_n8n_configured(const fn_settings_t *s);
static int fn_n8n_build(fn_exchange_t *x, fn_call_t *c);
static int fn_n8n_auth(fn_exchange_t *x, const fn_settings_t *s);
static fn_outcome_e fn_n8n_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_n8n_pairs[] = {
    { "n8n", fn_n8n_build, fn_n8n_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_n8n = { "n8n", fn_n8n_configured, fn_n8n_pairs };


static int
fn_n8n_configured(const fn_settings_t *s)
{
    return fn_set(s->n8n_webhook_url);
}


static int
fn_n8n_build(fn_exchange_t *x, fn_call_t *c)
{
    int              rc;
    fn_json_field_t  f[] = { FN_JSON_FIELD("payload"), FN_JSON_END };

    if (!fn_n8n_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->n8n_timeout_ms, c->settings->n8n_attempts);
    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && f[0].type == FN_JSON_OBJECT && f[0].raw.n <= FN_N8N_PAYLOAD_MAX
        && fn_exchange_url(x, c->settings->n8n_webhook_url, "") == 0
        && fn_exchange_header(x, "Content-Type", "application/json") == 0
        && fn_exchange_header(x, "Idempotency-Key", c->job_id) == 0
        && fn_n8n_auth(x, c->settings) == 0)
    {
        fn_buf_add(&x->body, f[0].raw.p, f[0].raw.n);
        rc = x->body.failed ? FN_OFF : FN_BUILT;
    }

    fn_json_free(f);

    return rc;
}


static int
fn_n8n_auth(fn_exchange_t *x, const fn_settings_t *s)
{
    int            rc, n;
    char           pair[FN_N8N_SECRET_MAX + 128], value[8 + (FN_N8N_SECRET_MAX + 128) / 3 * 4 + 8];

    static const char  token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    if (strcmp(s->n8n_auth, "none") == 0) {
        return 0;
    }

    if (!fn_set(s->n8n_auth_name) || !fn_set(s->n8n_auth_secret) || strlen(s->n8n_auth_secret) > FN_N8N_SECRET_MAX) {
        return -1;
    }

    if (strcmp(s->n8n_auth, "header") == 0) {
        return strspn(s->n8n_auth_name, token) == strlen(s->n8n_auth_name)
               ? fn_exchange_header(x, s->n8n_auth_name, s->n8n_auth_secret) : -1;
    }

    /* RFC 7617: the user has no colon. */
    n = snprintf(pair, sizeof(pair), "%s:%s", s->n8n_auth_name, s->n8n_auth_secret);

    if (strchr(s->n8n_auth_name, ':') != NULL || n < 0 || (size_t) n >= sizeof(pair)) {
        return -1;
    }

    memcpy(value, "Basic ", 6);
    EVP_EncodeBlock((unsigned char *) value + 6, (unsigned char *) pair, n);
    rc = fn_exchange_header(x, "Authorization", value);
    OPENSSL_cleanse(pair, sizeof(pair));
    OPENSSL_cleanse(value, sizeof(value));

    return rc;
}


static fn_outcome_e
fn_n8n_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    if (r->transport_error == 0 && r->status >= 200 && r->status <= 299) {
        fn_buf_addf(result, "{\"status\":%ld}", r->status);
        return result->failed ? FN_DEAD : FN_DONE;
    }

    if (r->transport_error == 0 && r->status == 404) {
        c->alert = "n8n: the workflow is not active, or the address of its webhook is wrong";

    } else if (r->transport_error == 0 && (r->status == 401 || r->status == 403)) {
        c->alert = "n8n: n8n_auth is refused";
    }

    return fn_failed(r, c);
}
