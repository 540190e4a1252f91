/* SPF, DMARC and DKIM: see fn_mail_records.h. */
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fn_mail_records.h"

#define FN_DKIM_KEY_MAX      1024       /* bytes */
#define FN_DKIM_BITS_LEAST   1024       /* RFC 8301 section 3.2 */
#define FN_DKIM_BITS_GOOD    2048

static unsigned fn_record_find(const fn_span_t *texts, unsigned n, const char *begin, const char *ends, const fn_span_t **found);
static int fn_record_tag(const fn_span_t *text, const char *name, fn_span_t *value);
static int fn_record_is(const fn_span_t *value, const char *word);
static void fn_dkim_rsa(fn_record_t *r, const fn_span_t *key);
static int fn_dkim_base64(unsigned char out[FN_DKIM_KEY_MAX], const fn_span_t *key);

#define fn_record_say(r, v, f, t)  do { (r)->verdict = (v); (r)->found = (f); (r)->todo = (t); } while (0)


void
fn_mail_spf(fn_record_t *r, const fn_span_t *texts, unsigned n)
{
    size_t            i, len;
    unsigned          count;
    const char       *p;
    const fn_span_t  *spf;

    count = fn_record_find(texts, n, "v=spf1", " ", &spf);

    if (count == 0) {
        fn_record_say(r, FN_RECORD_MISSING, "there is no SPF record", "publish a TXT record v=spf1 that names the mail server, or mails go to spam");
        return;
    }

    if (count > 1) {
        fn_record_say(r, FN_RECORD_BAD, "there are several SPF records, and receivers take none of them", "join them to one");
        return;
    }

    /* the last mechanism says what becomes of all others */
    fn_record_say(r, FN_RECORD_WEAK, "the SPF record does not say what to do with other servers", "end the record with ~all or -all");

    for (i = 0; i < spf->n; i += len + 1) {
        p = spf->p + i;

        for (len = 0; i + len < spf->n && p[len] != ' '; len++) { /* void */ }

        if (len == 4 && (*p == '~' || *p == '-') && strncasecmp(p + 1, "all", 3) == 0) {
            fn_record_say(r, FN_RECORD_GOOD, "an SPF record names the servers", NULL);

        } else if (len > 9 && strncasecmp(p, "redirect=", 9) == 0) {
            fn_record_say(r, FN_RECORD_GOOD, "an SPF record leads to that of another domain", NULL);

        } else if ((len == 3 && strncasecmp(p, "all", 3) == 0) || (len == 4 && *p == '+' && strncasecmp(p + 1, "all", 3) == 0)) {
            fn_record_say(r, FN_RECORD_BAD, "the SPF record lets everybody send as this domain", "end the record with ~all or -all");
            return;
        }
    }
}


void
fn_mail_dmarc(fn_record_t *r, const fn_span_t *texts, unsigned n)
{
    unsigned          count;
    fn_span_t         policy;
    const fn_span_t  *dmarc;

    count = fn_record_find(texts, n, "v=DMARC1", "; ", &dmarc);

    if (count == 0) {
        fn_record_say(r, FN_RECORD_MISSING, "there is no DMARC record", "publish a TXT record v=DMARC1 with p=quarantine, or mails go to spam");

    } else if (count > 1) {
        fn_record_say(r, FN_RECORD_BAD, "there are several DMARC records, and receivers take none of them", "leave one");

    } else if (!fn_record_tag(dmarc, "p", &policy)) {
        fn_record_say(r, FN_RECORD_BAD, "the DMARC record has no policy", "add p=quarantine");

    } else if (fn_record_is(&policy, "quarantine") || fn_record_is(&policy, "reject")) {
        fn_record_say(r, FN_RECORD_GOOD, "a DMARC record has a policy", NULL);

    } else if (fn_record_is(&policy, "none")) {
        fn_record_say(r, FN_RECORD_WEAK, "the DMARC policy is none: others may send as this domain", "when its reports look right, set p=quarantine");

    } else {
        fn_record_say(r, FN_RECORD_BAD, "the DMARC policy is none that there is", "set p=quarantine");
    }
}


void
fn_mail_dkim(fn_record_t *r, const fn_span_t *texts, unsigned n)
{
    size_t           i;
    unsigned         k, count;
    fn_span_t        key, value;
    unsigned char    raw[FN_DKIM_KEY_MAX];
    const fn_span_t *dkim;

    for (k = 0, count = 0, dkim = NULL; k < n; k++) {
        if (fn_record_tag(&texts[k], "p", &value)
            && (!fn_record_tag(&texts[k], "v", &value) || fn_record_is(&value, "DKIM1")))
        {
            dkim = &texts[k];
            count++;
        }
    }

    if (count == 0) {
        fn_record_say(r, FN_RECORD_MISSING, "there is no DKIM key", "publish the key of the mail server here, or set smtp_dkim_selector to the server's selector");
        return;
    }

    if (count > 1) {
        fn_record_say(r, FN_RECORD_BAD, "there are several DKIM keys under one selector", "leave the one that the mail server signs with");
        return;
    }

    if (!fn_record_tag(dkim, "p", &key)) {
        key.n = 0;
    }

    for (i = 0; i < key.n && key.p[i] == ' '; i++) { /* void */ }

    if (i == key.n) {
        fn_record_say(r, FN_RECORD_BAD, "the DKIM key is revoked", "publish the key that the mail server signs with");
        return;
    }

    if (fn_record_tag(dkim, "k", &value) && fn_record_is(&value, "ed25519")) {
        if (fn_dkim_base64(raw, &key) == 32) {
            fn_record_say(r, FN_RECORD_WEAK, "the DKIM key is an Ed25519 key, which many receivers do not know", "publish an RSA key as well, under another selector");
        } else {
            fn_record_say(r, FN_RECORD_BAD, "the DKIM key is damaged", "publish it again, whole");
        }

    } else {
        fn_dkim_rsa(r, &key);
    }

    /* y: testing, RFC 6376 section 3.6.1 */
    if (r->verdict == FN_RECORD_GOOD && fn_record_tag(dkim, "t", &value) && memchr(value.p, 'y', value.n) != NULL) {
        fn_record_say(r, FN_RECORD_WEAK, "the DKIM key is marked as a test: receivers pass over it", "take t=y out");
    }
}


static void
fn_dkim_rsa(fn_record_t *r, const fn_span_t *key)
{
    int                   n, bits;
    EVP_PKEY             *pkey;
    unsigned char         der[FN_DKIM_KEY_MAX];
    const unsigned char  *p = der;

    n = fn_dkim_base64(der, key);
    pkey = n > 0 ? d2i_PUBKEY(NULL, &p, n) : NULL;
    bits = pkey != NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA ? EVP_PKEY_get_bits(pkey) : 0;
    EVP_PKEY_free(pkey);

    if (bits == 0) {
        fn_record_say(r, FN_RECORD_BAD, "the DKIM key is damaged", "publish it again, whole: long keys are several strings of one record");

    } else if (bits < FN_DKIM_BITS_LEAST) {
        fn_record_say(r, FN_RECORD_BAD, "the DKIM key is so short that receivers pass over it", "make a key of 2048 bits");

    } else if (bits < FN_DKIM_BITS_GOOD) {
        fn_record_say(r, FN_RECORD_WEAK, "the DKIM key is short", "make a key of 2048 bits");

    } else {
        fn_record_say(r, FN_RECORD_GOOD, "a DKIM key is published", NULL);
    }
}


/* Base64 with blanks anywhere. Bytes, or -1. */
static int
fn_dkim_base64(unsigned char out[FN_DKIM_KEY_MAX], const fn_span_t *key)
{
    int            n;
    size_t         i, len, pad;
    unsigned char  text[FN_DKIM_KEY_MAX / 3 * 4 + 4];

    for (i = 0, len = 0; i < key->n; i++) {
        if (key->p[i] == ' ' || key->p[i] == '\t') {
            continue;
        }
        if (len == FN_DKIM_KEY_MAX / 3 * 4) {
            return -1;
        }
        text[len++] = (unsigned char) key->p[i];
    }

    if (len == 0 || len % 4 != 0) {
        return -1;
    }

    pad = text[len - 1] == '=' ? text[len - 2] == '=' ? 2 : 1 : 0;
    n = EVP_DecodeBlock(out, text, (int) len);

    return n < 0 ? -1 : n - (int) pad;
}


/* How many texts begin so, followed by one of `ends` or nothing; the last of them. */
static unsigned
fn_record_find(const fn_span_t *texts, unsigned n, const char *begin, const char *ends, const fn_span_t **found)
{
    size_t    len = strlen(begin);
    unsigned  i, count;

    for (i = 0, count = 0, *found = NULL; i < n; i++) {
        if (texts[i].n >= len && strncasecmp(texts[i].p, begin, len) == 0
            && (texts[i].n == len || (texts[i].p[len] != '\0' && strchr(ends, texts[i].p[len]) != NULL)))
        {
            *found = &texts[i];
            count++;
        }
    }

    return count;
}


/* A tag of a list "a=1; b=2" (RFC 6376 section 3.2), without blanks around its value. 1 or 0. */
static int
fn_record_tag(const fn_span_t *text, const char *name, fn_span_t *value)
{
    size_t       len = strlen(name), n;
    const char  *p = text->p, *end = text->p + text->n, *stop, *q;

    for ( ; p < end; p = stop + 1) {
        stop = memchr(p, ';', (size_t) (end - p));
        stop = stop != NULL ? stop : end;

        while (p < stop && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if ((size_t) (stop - p) <= len || strncasecmp(p, name, len) != 0) {
            continue;
        }

        for (q = p + len; q < stop && (*q == ' ' || *q == '\t'); q++) { /* void */ }

        if (q == stop || *q != '=') {
            continue;
        }

        for (q++; q < stop && (*q == ' ' || *q == '\t'); q++) { /* void */ }
        for (n = (size_t) (stop - q); n > 0 && (q[n - 1] == ' ' || q[n - 1] == '\t'); n--) { /* void */ }

        value->p = q;
        value->n = n;

        return 1;
    }

    return 0;
}


static int
fn_record_is(const fn_span_t *value, const char *word)
{
    return value->n == strlen(word) && strncasecmp(value->p, word, value->n) == 0;
}
