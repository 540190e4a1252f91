/* Addresses in the storage: see fn_r2.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* memmem */
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fn_r2.h"

#define FN_R2_MARK      "url\":\"r2:"
#define FN_R2_BEFORE    5               /* bytes of it before the value's quote */
#define FN_R2_PUT       "put:"
#define FN_R2_VALUE_MAX (FN_OBJECT_KEY_MAX + 192)
#define FN_R2_SAME      4               /* an address is the same for this part of its life */

static int fn_r2_set(const char *s);
static int fn_r2_value(fn_buf_t *url, const fn_settings_t *s, char *value, uint64_t now_ms);
static char *fn_r2_word(char **rest);


int
fn_r2_configured(const fn_settings_t *s)
{
    return (fn_r2_set(s->r2_endpoint) || fn_r2_set(s->r2_account))
           && fn_r2_set(s->r2_bucket) && fn_r2_set(s->r2_access_key) && fn_r2_set(s->r2_secret_key);
}


static int
fn_r2_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}


int
fn_r2_sign(fn_buf_t *url, const fn_settings_t *s, const fn_sigv4_request_t *r)
{
    char        endpoint[128];
    fn_sigv4_t  k;

    if (!fn_r2_configured(s)) {
        return -1;
    }

    k.access_key = s->r2_access_key;
    k.secret_key = s->r2_secret_key;
    k.bucket = s->r2_bucket;
    k.region = "auto";
    k.endpoint = s->r2_endpoint;

    if (!fn_r2_set(s->r2_endpoint)) {
        if (strspn(s->r2_account, "0123456789abcdef") != strlen(s->r2_account)) {
            return -1;
        }
        (void) snprintf(endpoint, sizeof(endpoint), "https://%s.r2.cloudflarestorage.com", s->r2_account);
        k.endpoint = endpoint;
    }

    return fn_sigv4_presign(url, &k, r);
}


int
fn_r2_presign(fn_buf_t *url, const fn_settings_t *s, const char *method, const char *key,
              const char *content_type, int64_t content_length, uint64_t now_ms)
{
    fn_sigv4_request_t  r = { method, key, content_type, content_length, (int64_t) (now_ms / 1000), s->r2_url_ttl_ms / 1000 };

    return key != NULL ? fn_r2_sign(url, s, &r) : -1;
}


int
fn_r2_sign_urls(fn_buf_t *out, const fn_settings_t *s, const char *body, size_t len, uint64_t now_ms)
{
    char         value[FN_R2_VALUE_MAX];
    size_t       n;
    fn_buf_t     url = FN_BUF_INIT;
    const char  *p, *end, *mark, *quote;

    end = body + len;

    for (p = body; (mark = memmem(p, (size_t) (end - p), FN_R2_MARK, sizeof(FN_R2_MARK) - 1)) != NULL; p = quote + 1) {
        fn_buf_add(out, p, (size_t) (mark + FN_R2_BEFORE - p));
        mark += sizeof(FN_R2_MARK) - 1;
        quote = memchr(mark, '"', (size_t) (end - mark));

        if (quote == NULL) {
            quote = end - 1;                /* this was no JSON */
        }

        n = (size_t) (quote - mark);
        fn_buf_reset(&url);

        if (n < sizeof(value)) {
            memcpy(value, mark, n);
            value[n] = '\0';
        }

        if (n < sizeof(value) && strlen(value) == n && fn_r2_value(&url, s, value, now_ms) == 0) {
            fn_buf_add_json_string(out, url.data, url.len);

        } else {
            fn_buf_adds(out, "null");
        }
    }

    fn_buf_add(out, p, (size_t) (end - p));
    fn_buf_free(&url);

    return out->failed ? -1 : 0;
}


/* The address that a value stands for; takes it apart. 0, or -1: there is none. */
static int
fn_r2_value(fn_buf_t *url, const fn_settings_t *s, char *value, uint64_t now_ms)
{
    char                *until, *bytes;
    int64_t              same_ms;
    fn_sigv4_request_t   r = { "GET", value, NULL, -1, 0, s->r2_url_ttl_ms / 1000 };

    if (strncmp(value, FN_R2_PUT, sizeof(FN_R2_PUT) - 1) != 0) {
        same_ms = s->r2_url_ttl_ms / FN_R2_SAME;
        r.now_s = (int64_t) ((now_ms - (same_ms > 0 ? now_ms % (uint64_t) same_ms : 0)) / 1000);
        return fn_r2_sign(url, s, &r);
    }

    value += sizeof(FN_R2_PUT) - 1;
    until = fn_r2_word(&value);
    bytes = fn_r2_word(&value);
    r.content_type = fn_r2_word(&value);

    if (r.content_type == NULL) {
        return -1;
    }

    r.method = "PUT";
    r.key = value;
    r.content_length = strtoll(bytes, NULL, 10);
    r.now_s = (int64_t) (now_ms / 1000);
    r.ttl_s = strtoll(until, NULL, 10) - r.now_s;

    return fn_r2_sign(url, s, &r);          /* refuses what is over */
}


/* What stands before the next colon, which ends it; NULL when there is none. */
static char *
fn_r2_word(char **rest)
{
    char  *word = *rest, *colon;

    colon = word != NULL ? strchr(word, ':') : NULL;
    *rest = colon != NULL ? colon + 1 : NULL;

    if (colon == NULL) {
        return NULL;
    }

    *colon = '\0';

    return word;
}
