/* The service account of FCM and its tokens: RFC 7515 (RS256), RFC 7523, "Using OAuth 2.0 for Server to Server Applications". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "../jobs/json_get.h"
#include "../libfitnudge/fn_jwt.h"
#include "exchange.h"
#include "fcm.h"

#define FN_FCM_ACCOUNT_MAX  (16 * 1024)
#define FN_FCM_KEY_BITS     2048
#define FN_FCM_SCOPE        "https://www.googleapis.com/auth/firebase.messaging"
#define FN_FCM_LIFE_S       3600            /* of an assertion: the most there can be */

static const char *fn_fcm_account_read(fn_fcm_account_t *a, const fn_json_field_t *f);
static int fn_fcm_copy(char *out, size_t size, const fn_json_field_t *f, const char *extra);
static EVP_PKEY *fn_fcm_key(const fn_json_field_t *f);
static int fn_fcm_no_passphrase(char *buf, int size, int rwflag, void *data);
static int fn_fcm_sign(fn_buf_t *b, EVP_PKEY *key);


fn_fcm_account_t *
fn_fcm_account_new(const char *json, size_t len, const char **problem)
{
    fn_fcm_account_t  *a;
    fn_json_field_t    f[] = {
        FN_JSON_FIELD("type"), FN_JSON_FIELD("project_id"), FN_JSON_FIELD("client_email"), FN_JSON_FIELD("private_key_id"),
        FN_JSON_FIELD("token_uri"), FN_JSON_FIELD("private_key"), FN_JSON_END
    };

    a = calloc(1, sizeof(*a));
    *problem = "no memory";

    if (a != NULL) {
        if (len > FN_FCM_ACCOUNT_MAX) {
            *problem = "is larger than 16 KB";
        } else if (fn_json_get(json, len, f) != 0) {
            *problem = "is not JSON";
        } else {
            *problem = fn_fcm_account_read(a, f);
        }
    }

    fn_json_free(f);

    if (*problem != NULL) {
        fn_fcm_account_free(a);
        return NULL;
    }

    return a;
}


void
fn_fcm_account_free(fn_fcm_account_t *a)
{
    if (a != NULL) {
        EVP_PKEY_free(a->key);
        free(a);
    }
}


/* NULL, or what is wrong. */
static const char *
fn_fcm_account_read(fn_fcm_account_t *a, const fn_json_field_t *f)
{
    if (strcmp(fn_json_text(&f[0]), "service_account") != 0) {
        return "is not the key of a service account";
    }

    /* It becomes a part of an address. */
    if (fn_fcm_copy(a->project, sizeof(a->project), &f[1], "-.:") != 0) {
        return "has no usable project_id";
    }

    if (fn_fcm_copy(a->email, sizeof(a->email), &f[2], "-._@+") != 0) {
        return "has no usable client_email";
    }

    if (fn_fcm_copy(a->key_id, sizeof(a->key_id), &f[3], "-._") != 0) {
        return "has no usable private_key_id";
    }

    /* The assertion must not travel in the clear. */
    if (fn_fcm_copy(a->token_uri, sizeof(a->token_uri), &f[4], "-._:/%~") != 0
        || (strncmp(a->token_uri, "https://", 8) != 0
            && (strncmp(a->token_uri, "http://", 7) != 0 || !fn_url_is_local(a->token_uri))))
    {
        return "has no token_uri with https";
    }

    a->key = fn_fcm_key(&f[5]);

    return a->key == NULL ? "has no private_key of RSA with 2048 bits or more" : NULL;
}


/* 0, or -1: no string, empty, too long, or anything but letters, digits and `extra`. */
static int
fn_fcm_copy(char *out, size_t size, const fn_json_field_t *f, const char *extra)
{
    size_t  i, n;
    char    c;

    n = f->type == FN_JSON_STRING ? f->text.len : 0;

    if (n == 0 || n >= size) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        c = f->text.data[i];

        if (c == '\0'
            || (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && strchr(extra, c) == NULL))
        {
            return -1;
        }
    }

    memcpy(out, f->text.data, n);
    out[n] = '\0';

    return 0;
}


static EVP_PKEY *
fn_fcm_key(const fn_json_field_t *f)
{
    BIO       *bio;
    EVP_PKEY  *key;

    if (f->type != FN_JSON_STRING || f->text.len == 0) {
        return NULL;
    }

    bio = BIO_new_mem_buf(f->text.data, (int) f->text.len);
    if (bio == NULL) {
        return NULL;
    }

    key = PEM_read_bio_PrivateKey(bio, NULL, fn_fcm_no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();

    if (key != NULL && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < FN_FCM_KEY_BITS)) {
        EVP_PKEY_free(key);
        return NULL;
    }

    return key;
}


/* OpenSSL would ask at the terminal. */
static int
fn_fcm_no_passphrase(char *buf, int size, int rwflag, void *data)
{
    (void) buf;
    (void) size;
    (void) rwflag;
    (void) data;

    return -1;
}


int
fn_fcm_assertion(fn_buf_t *b, const fn_fcm_account_t *a, int64_t now_s)
{
    fn_buf_t  part = FN_BUF_INIT;
    fn_buf_t  jwt = FN_BUF_INIT;

    fn_buf_addf(&part, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", a->key_id);
    fn_base64url_encode(&jwt, part.len > 0 ? part.data : "", part.len);
    fn_buf_adds(&jwt, ".");
    jwt.failed |= part.failed;

    fn_buf_reset(&part);
    fn_buf_addf(&part, "{\"iss\":\"%s\",\"scope\":\"" FN_FCM_SCOPE "\",\"aud\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
                a->email, a->token_uri, (long long) now_s, (long long) now_s + FN_FCM_LIFE_S);
    fn_base64url_encode(&jwt, part.len > 0 ? part.data : "", part.len);

    if (part.failed || jwt.failed || fn_fcm_sign(&jwt, a->key) != 0) {
        jwt.failed = 1;
    } else {
        fn_buf_add(b, jwt.data, jwt.len);
    }

    fn_buf_free(&part);

    if (jwt.failed) {
        fn_buf_free(&jwt);
        return -1;
    }

    fn_buf_free(&jwt);

    return b->failed ? -1 : 0;
}


/* Appends "." and the signature (RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 section 3.3) of what is there. */
static int
fn_fcm_sign(fn_buf_t *b, EVP_PKEY *key)
{
    int             rc;
    size_t          n;
    EVP_MD_CTX     *md;
    unsigned char  *signature;

    rc = -1;
    signature = NULL;
    md = EVP_MD_CTX_new();

    if (md != NULL
        && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1
        && EVP_DigestSign(md, NULL, &n, (unsigned char *) b->data, b->len) == 1
        && (signature = malloc(n)) != NULL
        && EVP_DigestSign(md, signature, &n, (unsigned char *) b->data, b->len) == 1)
    {
        fn_buf_adds(b, ".");
        fn_base64url_encode(b, signature, n);
        rc = b->failed ? -1 : 0;
    }

    free(signature);
    EVP_MD_CTX_free(md);

    return rc;
}


int
fn_oauth_valid(const fn_oauth_t *o, uint64_t now_ms)
{
    return o->token[0] != '\0' && now_ms < o->until_ms;
}


void
fn_oauth_clear(fn_oauth_t *o)
{
    OPENSSL_cleanse(o, sizeof(*o));
}
