/* What other services send and publish: signed requests, DNS records; and bodies in which objects are named. The first byte says which. */
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fn_mail_records.h"
#include "fn_r2.h"
#include "fn_webhook.h"

#define NOW  1600112502

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fn_settings_t   settings;
static EVP_PKEY       *own;


static void
begin(void)
{
    int                   n;
    static char           key[256];
    unsigned char        *der = NULL;

    own = EVP_EC_gen("P-256");
    n = i2d_PUBKEY(own, &der);
    EVP_EncodeBlock((unsigned char *) key, der, n);
    OPENSSL_free(der);

    settings.email_events_key = key;
    settings.r2_endpoint = "https://r2.example";
    settings.r2_access_key = "AK";
    settings.r2_secret_key = "SK";
    settings.r2_bucket = "media";
    settings.r2_url_ttl_ms = 3600000;
}


/* A good signature, so that the body is read. */
static void
signed_body(const char *p, size_t n)
{
    char           text[256];
    size_t         len;
    fn_span_t      signature, timestamp = { "1600112502", 10 }, body = { p, n };
    EVP_MD_CTX    *md;
    unsigned char  mac[128];

    len = sizeof(mac);
    md = EVP_MD_CTX_new();

    if (EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, own) != 1 || EVP_DigestSignUpdate(md, timestamp.p, timestamp.n) != 1
        || EVP_DigestSignUpdate(md, p, n) != 1 || EVP_DigestSignFinal(md, mac, &len) != 1)
    {
        abort();
    }

    EVP_MD_CTX_free(md);
    EVP_EncodeBlock((unsigned char *) text, mac, (int) len);
    signature.p = text;
    signature.n = strlen(text);

    switch (fn_webhook_check(fn_webhook_find("mail.events"), &settings, &signature, &timestamp, &body, NOW)) {
    case FN_WEBHOOK_GOOD:
    case FN_WEBHOOK_TEXT:
        break;
    default:
        abort();
    }
}


/* Up to 16 lines. */
static unsigned
lines(const char *p, size_t n, fn_span_t *out)
{
    unsigned     i;
    const char  *end = p + n, *stop;

    for (i = 0; i < 16 && p < end; i++, p = stop + 1) {
        stop = memchr(p, '\n', (size_t) (end - p));
        stop = stop != NULL ? stop : end;
        out[i].p = p;
        out[i].n = (size_t) (stop - p);
    }

    return i;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t        i;
    fn_buf_t      out = FN_BUF_INIT;
    unsigned      n;
    fn_span_t     line[16], body;
    fn_record_t   r;
    const char   *p = (const char *) data + 1;

    static const fn_record_pt  judges[] = { fn_mail_spf, fn_mail_dmarc, fn_mail_dkim };

    if (own == NULL) {
        begin();
    }

    if (size == 0) {
        return 0;
    }

    size--;
    n = lines(p, size, line);

    switch (data[0]) {

    case 'w':
        signed_body(p, size);
        break;

    case 's':
        if (n >= 3) {
            body.p = line[2].p;
            body.n = (size_t) (p + size - line[2].p);
            (void) fn_webhook_check(fn_webhook_find("mail.events"), &settings, &line[1], &line[0], &body, NOW);
        }
        break;

    case 'r':
        for (i = 0; i < sizeof(judges) / sizeof(judges[0]); i++) {
            judges[i](&r, line, n);
            if (r.found == NULL || (r.todo == NULL) != (r.verdict == FN_RECORD_GOOD)) {
                abort();
            }
        }
        break;

    default:
        if (fn_r2_sign_urls(&out, &settings, p, size, NOW * 1000ull) != 0) {
            abort();
        }
    }

    fn_buf_free(&out);

    return 0;
}
