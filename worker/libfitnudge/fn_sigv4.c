/* Presigned addresses: see fn_sigv4.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fn_sigv4.h"
#include "fn_utf8.h"

#define FN_SIGV4_MAC  32

static int fn_sigv4_host(const char *endpoint, const char **host, size_t *len);
static int fn_sigv4_sign(char out[65], const fn_sigv4_t *k, const char *date, const char *scope, const fn_buf_t *canonical,
                         char hash[65]);
static int fn_sigv4_mac(unsigned char *out, const void *key, size_t key_len, const char *text, size_t n);
static void fn_sigv4_hex(char out[65], const unsigned char *md);
static int fn_sigv4_line(const char *s, size_t max);


int
fn_object_key_valid(const char *key, size_t len)
{
    size_t  i, from, n;

    if (len == 0 || len > FN_OBJECT_KEY_MAX || !fn_utf8_valid(key, len)) {
        return 0;
    }

    for (i = 0, from = 0; i <= len; i++) {
        if (i < len && ((unsigned char) key[i] < 0x20 || key[i] == 0x7f || key[i] == '\\')) {
            return 0;
        }

        if (i < len && key[i] != '/') {
            continue;
        }

        n = i - from;

        if (n == 0 || (key[from] == '.' && (n == 1 || (n == 2 && key[from + 1] == '.')))) {
            return 0;
        }

        from = i + 1;
    }

    return 1;
}


int
fn_sigv4_presign(fn_buf_t *url, const fn_sigv4_t *k, const fn_sigv4_request_t *r)
{
    char  hash[65];

    return fn_sigv4_presign_hash(url, k, r, hash);
}


int
fn_sigv4_presign_hash(fn_buf_t *url, const fn_sigv4_t *k, const fn_sigv4_request_t *r, char hash[65])
{
    int          rc;
    char         date[17], scope[64], signature[65];
    size_t       host_len;
    time_t       now = (time_t) r->now_s;
    fn_buf_t     path = FN_BUF_INIT, query = FN_BUF_INIT, canonical = FN_BUF_INIT;
    struct tm    tm;
    const char  *host, *headers;

    if (!fn_sigv4_line(k->access_key, 128) || !fn_sigv4_line(k->secret_key, 256)
        || !fn_sigv4_line(k->region, 32) || !fn_sigv4_line(k->bucket, 63) || strchr(k->bucket, '/') != NULL
        || !fn_object_key_valid(k->bucket, strlen(k->bucket))
        || (r->key != NULL && !fn_object_key_valid(r->key, strlen(r->key)))
        || (r->content_type != NULL && !fn_sigv4_line(r->content_type, 128))
        || r->ttl_s < 1 || r->ttl_s > FN_SIGV4_TTL_MAX
        || fn_sigv4_host(k->endpoint, &host, &host_len) != 0
        || gmtime_r(&now, &tm) == NULL || strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm) != 16
        || snprintf(scope, sizeof(scope), "%.8s/%s/s3/aws4_request", date, k->region) >= (int) sizeof(scope))
    {
        return -1;
    }

    rc = -1;
    headers = r->content_type != NULL ? (r->content_length >= 0 ? "content-length;content-type;host" : "content-type;host")
                                      : (r->content_length >= 0 ? "content-length;host" : "host");

    /* S3 encodes the path once, other services twice. */
    fn_buf_adds(&path, "/");
    fn_percent_encode(&path, k->bucket, strlen(k->bucket), 0);

    if (r->key != NULL) {
        fn_buf_adds(&path, "/");
        fn_percent_encode(&path, r->key, strlen(r->key), 1);
    }

    /* In the order of the names. */
    fn_buf_adds(&query, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
    fn_percent_encode(&query, k->access_key, strlen(k->access_key), 0);
    fn_buf_adds(&query, "%2F");
    fn_percent_encode(&query, scope, strlen(scope), 0);
    fn_buf_addf(&query, "&X-Amz-Date=%s&X-Amz-Expires=%lld&X-Amz-SignedHeaders=", date, (long long) r->ttl_s);
    fn_percent_encode(&query, headers, strlen(headers), 0);

    if (path.failed || query.failed) {
        goto done;
    }

    fn_buf_addf(&canonical, "%s\n%s\n%s\n", r->method, path.data, query.data);
    if (r->content_length >= 0) {
        fn_buf_addf(&canonical, "content-length:%lld\n", (long long) r->content_length);
    }
    if (r->content_type != NULL) {
        fn_buf_addf(&canonical, "content-type:%s\n", r->content_type);
    }
    fn_buf_addf(&canonical, "host:%.*s\n\n%s\nUNSIGNED-PAYLOAD", (int) host_len, host, headers);

    if (canonical.failed || fn_sigv4_sign(signature, k, date, scope, &canonical, hash) != 0) {
        goto done;
    }

    fn_buf_add(url, k->endpoint, (size_t) (host - k->endpoint) + host_len);
    fn_buf_addf(url, "%s?%s&X-Amz-Signature=%s", path.data, query.data, signature);
    rc = url->failed ? -1 : 0;

done:

    fn_buf_free(&path);
    fn_buf_free(&query);
    fn_buf_free(&canonical);

    return rc;
}


void
fn_percent_encode(fn_buf_t *b, const char *s, size_t n, int slash)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
            || c == '-' || c == '.' || c == '_' || c == '~' || (slash && c == '/'))
        {
            fn_buf_add(b, s + i, 1);
        } else {
            fn_buf_addf(b, "%%%02X", c);
        }
    }
}


/* The host with its port, as the Host header will have it: the endpoint must have nothing behind it but slashes. */
static int
fn_sigv4_host(const char *endpoint, const char **host, size_t *len)
{
    size_t  n;

    if (endpoint == NULL) {
        return -1;
    }

    *host = strncmp(endpoint, "https://", 8) == 0 ? endpoint + 8 : strncmp(endpoint, "http://", 7) == 0 ? endpoint + 7 : NULL;
    if (*host == NULL) {
        return -1;
    }

    /* Lower case, as clients send it. */
    n = strspn(*host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]");
    *len = n;

    return n > 0 && n <= 255 && (*host)[n + strspn(*host + n, "/")] == '\0' ? 0 : -1;
}


/* The signature, and the hash of the canonical request. */
static int
fn_sigv4_sign(char out[65], const fn_sigv4_t *k, const char *date, const char *scope, const fn_buf_t *canonical, char hash[65])
{
    int            rc;
    char           text[256], secret[4 + 256 + 1];
    unsigned       n;
    unsigned char  md[EVP_MAX_MD_SIZE];

    if (EVP_Digest(canonical->data, canonical->len, md, &n, EVP_sha256(), NULL) != 1) {
        return -1;
    }

    fn_sigv4_hex(hash, md);
    snprintf(secret, sizeof(secret), "AWS4%s", k->secret_key);

    rc = -1;

    if (snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash) < (int) sizeof(text)
        && fn_sigv4_mac(md, secret, strlen(secret), date, 8) == 0
        && fn_sigv4_mac(md, md, FN_SIGV4_MAC, k->region, strlen(k->region)) == 0
        && fn_sigv4_mac(md, md, FN_SIGV4_MAC, "s3", 2) == 0
        && fn_sigv4_mac(md, md, FN_SIGV4_MAC, "aws4_request", 12) == 0
        && fn_sigv4_mac(md, md, FN_SIGV4_MAC, text, strlen(text)) == 0)
    {
        fn_sigv4_hex(out, md);
        rc = 0;
    }

    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(md, sizeof(md));

    return rc;
}


/* out may be the key. */
static int
fn_sigv4_mac(unsigned char *out, const void *key, size_t key_len, const char *text, size_t n)
{
    unsigned       len;
    unsigned char  md[EVP_MAX_MD_SIZE];

    if (HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text, n, md, &len) == NULL || len != FN_SIGV4_MAC) {
        return -1;
    }

    memcpy(out, md, FN_SIGV4_MAC);

    return 0;
}


static void
fn_sigv4_hex(char out[65], const unsigned char *md)
{
    unsigned           i;
    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < FN_SIGV4_MAC; i++) {
        out[2 * i] = hex[md[i] >> 4];
        out[2 * i + 1] = hex[md[i] & 15];
    }

    out[64] = '\0';
}


/* 1 when s is a line of printable ASCII of 1 to max bytes that neither begins nor ends with a blank. */
static int
fn_sigv4_line(const char *s, size_t max)
{
    size_t  i;

    if (s == NULL || s[0] == '\0' || s[0] == ' ') {
        return 0;
    }

    for (i = 0; s[i] != '\0'; i++) {
        if (i == max || (unsigned char) s[i] < 0x20 || (unsigned char) s[i] > 0x7e) {
            return 0;
        }
    }

    return s[i - 1] != ' ';
}
