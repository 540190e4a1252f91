/* Signed requests: see fn_webhook.h. */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <yajl/yajl_parse.h>

#include "fn_field.h"
#include "fn_utf8.h"
#include "fn_webhook.h"

#define FN_WEBHOOK_AHEAD_S   300
#define FN_WEBHOOK_KEY_MAX   256        /* bytes of a key and of a signature, decoded */
#define FN_WEBHOOK_TIME_MAX  12         /* digits of a time in seconds */

static int fn_webhook_sendgrid(const char *key, const fn_span_t *signature, const fn_span_t *timestamp, const fn_span_t *body, int64_t *at_s);
static EVP_PKEY *fn_webhook_key(const char *key);
static int fn_webhook_base64(unsigned char out[FN_WEBHOOK_KEY_MAX], const char *p, size_t n);
static int fn_webhook_json(const fn_webhook_t *w, const fn_span_t *body);
static int fn_webhook_open(void *depth);
static int fn_webhook_close(void *depth);

static const fn_webhook_t  fn_webhooks[] = {
    /* SendGrid repeats for a day what was not taken, and the database knows what it has taken: mail_events, kept for 30 days */
    { "mail.events", "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp",
      offsetof(fn_settings_t, email_events_key), 86400, '[', "events", fn_webhook_sendgrid },
    { NULL, NULL, NULL, 0, 0, 0, NULL, NULL }
};


const fn_webhook_t *
fn_webhook_find(const char *job)
{
    const fn_webhook_t  *w;

    for (w = fn_webhooks; w->job != NULL; w++) {
        if (strcmp(w->job, job) == 0) {
            return w;
        }
    }

    return NULL;
}


fn_webhook_e
fn_webhook_check(const fn_webhook_t *w, const fn_settings_t *s, const fn_span_t *signature, const fn_span_t *timestamp,
                 const fn_span_t *body, int64_t now_s)
{
    int64_t      at_s;
    const char  *key = *(char *const *) ((const char *) s + w->key);

    if (key == NULL || key[0] == '\0') {
        return FN_WEBHOOK_OFF;
    }

    if (signature->p == NULL || (w->timestamp != NULL && timestamp->p == NULL)) {
        return FN_WEBHOOK_MISSING;
    }

    if (!w->verify(key, signature, timestamp, body, &at_s)) {
        return FN_WEBHOOK_FORGED;
    }

    if (at_s < now_s - w->window_s || at_s > now_s + FN_WEBHOOK_AHEAD_S) {
        return FN_WEBHOOK_OLD;
    }

    return fn_webhook_json(w, body) ? FN_WEBHOOK_GOOD : FN_WEBHOOK_TEXT;
}


/* Twilio SendGrid, "Event Webhook Security Features": ECDSA with P-256 and SHA-256 (FIPS 186-5) over the time and the body. */
static int
fn_webhook_sendgrid(const char *key, const fn_span_t *signature, const fn_span_t *timestamp, const fn_span_t *body, int64_t *at_s)
{
    int             good, n;
    size_t          i;
    EVP_PKEY       *pkey;
    EVP_MD_CTX     *md;
    unsigned char   der[FN_WEBHOOK_KEY_MAX];

    if (timestamp->n == 0 || timestamp->n > FN_WEBHOOK_TIME_MAX) {
        return 0;
    }

    for (i = 0, *at_s = 0; i < timestamp->n; i++) {
        if (timestamp->p[i] < '0' || timestamp->p[i] > '9') {
            return 0;
        }
        *at_s = *at_s * 10 + (timestamp->p[i] - '0');
    }

    n = fn_webhook_base64(der, signature->p, signature->n);
    pkey = n > 0 ? fn_webhook_key(key) : NULL;
    md = pkey != NULL ? EVP_MD_CTX_new() : NULL;

    good = md != NULL
           && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, pkey) == 1
           && EVP_DigestVerifyUpdate(md, timestamp->p, timestamp->n) == 1
           && EVP_DigestVerifyUpdate(md, body->p, body->n) == 1
           && EVP_DigestVerifyFinal(md, der, (size_t) n) == 1;

    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);

    return good;
}


int
fn_webhook_key_valid(const char *key)
{
    EVP_PKEY  *pkey = fn_webhook_key(key);

    EVP_PKEY_free(pkey);

    return pkey != NULL;
}


static EVP_PKEY *
fn_webhook_key(const char *key)
{
    int                   n;
    char                  curve[32];
    EVP_PKEY             *pkey;
    unsigned char         der[FN_WEBHOOK_KEY_MAX];
    const unsigned char  *p = der;

    n = fn_webhook_base64(der, key, strlen(key));
    pkey = n > 0 ? d2i_PUBKEY(NULL, &p, n) : NULL;

    if (pkey != NULL
        && (p != der + n || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC
            || EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), NULL) != 1 || strcmp(curve, "prime256v1") != 0))
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    return pkey;
}


/* RFC 4648 section 4, with its padding and nothing around it. Bytes, or -1. */
static int
fn_webhook_base64(unsigned char out[FN_WEBHOOK_KEY_MAX], const char *p, size_t n)
{
    int     len;
    size_t  pad, i;

    if (n == 0 || n % 4 != 0 || n / 4 * 3 > FN_WEBHOOK_KEY_MAX) {
        return -1;
    }

    pad = p[n - 1] == '=' ? p[n - 2] == '=' ? 2 : 1 : 0;

    for (i = 0; i < n - pad; i++) {
        if (!((p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '+' || p[i] == '/')) {
            return -1;
        }
    }

    len = EVP_DecodeBlock(out, (const unsigned char *) p, (int) n);

    return len < 0 ? -1 : len - (int) pad;
}


/* Whether PostgreSQL can read the body, and it is what the job expects. */
static int
fn_webhook_json(const fn_webhook_t *w, const fn_span_t *body)
{
    int          depth, ok;
    size_t       blank;
    yajl_handle  h;

    static const yajl_callbacks  callbacks = {
        NULL, NULL, NULL, NULL, NULL, NULL, fn_webhook_open, NULL, fn_webhook_close, fn_webhook_open, fn_webhook_close
    };

    for (blank = 0; blank < body->n && memchr(" \t\r\n", body->p[blank], 4) != NULL; blank++) { /* void */ }

    if (blank == body->n || body->p[blank] != w->begins || memchr(body->p, '\0', body->n) != NULL
        || !fn_utf8_valid(body->p, body->n) || !fn_json_escapes_valid(body->p, body->n))
    {
        return 0;
    }

    depth = 0;
    h = yajl_alloc(&callbacks, NULL, &depth);

    ok = h != NULL && yajl_parse(h, (const unsigned char *) body->p, body->n) == yajl_status_ok && yajl_complete_parse(h) == yajl_status_ok;

    if (h != NULL) {
        yajl_free(h);
    }

    return ok;
}


static int
fn_webhook_open(void *depth)
{
    return ++*(int *) depth <= FN_WEBHOOK_DEPTH;
}


static int
fn_webhook_close(void *depth)
{
    --*(int *) depth;

    return 1;
}
