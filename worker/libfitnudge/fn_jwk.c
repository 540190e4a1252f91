/*
 * Reading key sets.  OpenSSL's error queue is left empty: nginx would take what is in it for
 * an error of its own.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <yajl/yajl_parse.h>

#include "fn_base64.h"
#include "fn_jwk.h"
#include "fn_utf8.h"

#define FN_JWK_RSA_MIN      2048        /* bits, RFC 7518 section 3.3 */
#define FN_JWK_RSA_MAX      8192
#define FN_JWK_NUMBER       1024        /* bytes of the largest number or secret */
#define FN_JWK_TEXT         6144        /* bytes of a key's members together */
#define FN_JWK_DEPTH        8

enum {
    FN_JWK_KTY, FN_JWK_USE, FN_JWK_ALG, FN_JWK_KID, FN_JWK_CRV, FN_JWK_N, FN_JWK_E, FN_JWK_X, FN_JWK_Y, FN_JWK_K,
    FN_JWK_MEMBERS
};

static const char *const  fn_jwk_members[FN_JWK_MEMBERS] = { "kty", "use", "alg", "kid", "crv", "n", "e", "x", "y", "k" };
static const char *const  fn_jwk_private[] = { "d", "p", "q", "dp", "dq", "qi", "oth" };

#define FN_ALG_RSA  (FN_ALG_BIT(FN_ALG_RS256) | FN_ALG_BIT(FN_ALG_RS384) | FN_ALG_BIT(FN_ALG_RS512)                     \
                     | FN_ALG_BIT(FN_ALG_PS256) | FN_ALG_BIT(FN_ALG_PS384) | FN_ALG_BIT(FN_ALG_PS512))


typedef struct {
    fn_jwks_t        *set;
    fn_jwks_trust_e   trust;
    const char       *err;

    int               depth;            /* 1: in the document's object, 2: in "keys", 3: in a key, 4: in "key_ops" */
    int               in_keys;          /* the array at depth 2 is "keys" */
    int               seen_keys;
    int               at_keys;          /* the next value of depth 1 is that of "keys" */

    const char       *bad;              /* why the current key is of no use */
    int               member;           /* of the current key, -1: another one */
    int               ops;              /* its current member is key_ops */
    int               has_ops, may_verify;
    const char       *value[FN_JWK_MEMBERS];
    size_t            len[FN_JWK_MEMBERS];
    size_t            used;
    char              text[FN_JWK_TEXT];
} fn_jwk_reader_t;


/* --- from numbers to OpenSSL's keys ------------------------------------- */

static EVP_PKEY *
fn_jwk_from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY      *pkey = NULL;
    OSSL_PARAM    *params;
    EVP_PKEY_CTX  *ctx;

    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;

    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1
        && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);

    return pkey;
}


static EVP_PKEY *
fn_jwk_rsa(const unsigned char *n, size_t n_len, const unsigned char *e, size_t e_len, const char **bad)
{
    BIGNUM          *bn, *be;
    EVP_PKEY        *pkey = NULL;
    OSSL_PARAM_BLD  *bld;

    bn = BN_bin2bn(n, (int) n_len, NULL);
    be = BN_bin2bn(e, (int) e_len, NULL);
    bld = OSSL_PARAM_BLD_new();

    if (bn == NULL || be == NULL || bld == NULL) {
        *bad = "no memory";

    } else if (BN_num_bits(bn) < FN_JWK_RSA_MIN || BN_num_bits(bn) > FN_JWK_RSA_MAX || !BN_is_odd(bn)) {
        *bad = "an RSA key must have 2048 to 8192 bits";

    } else if (BN_num_bits(be) < 2 || BN_num_bits(be) > 33 || !BN_is_odd(be)) {
        *bad = "the exponent of an RSA key is not usable";      /* 1 would make every message its own signature */

    } else if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1
               && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1)
    {
        pkey = fn_jwk_from_params("RSA", bld);
    }

    OSSL_PARAM_BLD_free(bld);
    BN_free(bn);
    BN_free(be);

    return pkey;
}


/* OpenSSL refuses a point that is not on the curve, and the one at infinity has no such form. */

static EVP_PKEY *
fn_jwk_ec(const char *group, const unsigned char *x, const unsigned char *y, size_t len)
{
    EVP_PKEY        *pkey = NULL;
    unsigned char    point[1 + 2 * 48];
    EVP_PKEY_CTX    *ctx;
    OSSL_PARAM_BLD  *bld;

    point[0] = 4;       /* uncompressed */
    memcpy(point + 1, x, len);
    memcpy(point + 1 + len, y, len);

    bld = OSSL_PARAM_BLD_new();

    if (bld != NULL && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1
        && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len) == 1)
    {
        pkey = fn_jwk_from_params("EC", bld);
    }

    OSSL_PARAM_BLD_free(bld);

    ctx = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;

    if (pkey != NULL && (ctx == NULL || EVP_PKEY_public_check(ctx) != 1)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


/* --- one key ------------------------------------------------------------ */

static int
fn_jwk_is(const fn_jwk_reader_t *j, int member, const char *text)
{
    return j->value[member] != NULL && strlen(text) == j->len[member] && memcmp(text, j->value[member], j->len[member]) == 0;
}


/* The bytes of a member: how many, -1 when it is absent, malformed or longer than `size`. */

static long
fn_jwk_bytes(const fn_jwk_reader_t *j, int member, unsigned char *out, size_t size)
{
    return j->value[member] ? fn_base64url_decode(out, size, j->value[member], j->len[member]) : -1;
}


static const char *
fn_jwk_build_rsa(const fn_jwk_reader_t *j, fn_jwk_t *key)
{
    long            n, e;
    const char     *bad = "an RSA key is malformed";
    unsigned char   modulus[FN_JWK_NUMBER + 1], exponent[8];

    n = fn_jwk_bytes(j, FN_JWK_N, modulus, sizeof(modulus));
    e = fn_jwk_bytes(j, FN_JWK_E, exponent, sizeof(exponent));

    if (n <= 0 || e <= 0) {
        return bad;
    }

    key->algs = FN_ALG_RSA;
    key->pkey = fn_jwk_rsa(modulus, (size_t) n, exponent, (size_t) e, &bad);

    return key->pkey ? NULL : bad;
}


static const char *
fn_jwk_build_ec(const fn_jwk_reader_t *j, fn_jwk_t *key)
{
    size_t          len;
    const char     *group;
    unsigned char   x[48], y[48];

    if (fn_jwk_is(j, FN_JWK_CRV, "P-256")) {
        len = 32;
        group = "prime256v1";
        key->algs = FN_ALG_BIT(FN_ALG_ES256);

    } else if (fn_jwk_is(j, FN_JWK_CRV, "P-384")) {
        len = 48;
        group = "secp384r1";
        key->algs = FN_ALG_BIT(FN_ALG_ES384);

    } else {
        return "the curve of an EC key is not supported";
    }

    /* with all their zeros, RFC 7518 section 6.2.1.2 */
    if (fn_jwk_bytes(j, FN_JWK_X, x, len) != (long) len || fn_jwk_bytes(j, FN_JWK_Y, y, len) != (long) len) {
        return "an EC key is malformed";
    }

    key->pkey = fn_jwk_ec(group, x, y, len);

    return key->pkey ? NULL : "the point of an EC key is not on its curve";
}


static const char *
fn_jwk_build_okp(const fn_jwk_reader_t *j, fn_jwk_t *key)
{
    unsigned char  x[32];

    if (!fn_jwk_is(j, FN_JWK_CRV, "Ed25519")) {
        return "the curve of an OKP key is not supported";
    }

    if (fn_jwk_bytes(j, FN_JWK_X, x, sizeof(x)) != (long) sizeof(x)) {
        return "an OKP key is malformed";
    }

    key->algs = FN_ALG_BIT(FN_ALG_EDDSA);
    key->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));

    return key->pkey ? NULL : "an OKP key is malformed";
}


static const char *
fn_jwk_build_oct(const fn_jwk_reader_t *j, fn_jwk_t *key)
{
    long            n;
    unsigned char   secret[FN_JWK_NUMBER], *copy;

    if (j->trust != FN_JWKS_SECRETS) {
        return "a secret is only taken from a file";
    }

    n = fn_jwk_bytes(j, FN_JWK_K, secret, sizeof(secret));

    /* as long as the hash at least, RFC 7518 section 3.2 */
    key->algs = n >= 64 ? FN_ALG_HMAC
                : n >= 48 ? FN_ALG_BIT(FN_ALG_HS256) | FN_ALG_BIT(FN_ALG_HS384)
                : n >= 32 ? FN_ALG_BIT(FN_ALG_HS256) : 0;

    if (key->algs == 0) {
        return n < 0 ? "a secret is malformed" : "a secret has less than 32 bytes";
    }

    copy = malloc((size_t) n);

    if (copy != NULL) {
        memcpy(copy, secret, (size_t) n);
        key->secret = copy;
        key->secret_len = (size_t) n;
    }

    OPENSSL_cleanse(secret, sizeof(secret));

    return copy ? NULL : "no memory";
}


/* Adds the key that was read. NULL, or why it is of no use. */

static const char *
fn_jwk_build(const fn_jwk_reader_t *j, fn_jwk_t *key)
{
    unsigned     bit;
    fn_alg_e     alg;
    const char  *bad;

    memset(key, 0, sizeof(*key));

    if (j->bad != NULL) {
        return j->bad;
    }

    if ((j->value[FN_JWK_USE] != NULL && !fn_jwk_is(j, FN_JWK_USE, "sig")) || (j->has_ops && !j->may_verify)) {
        return "a key is not for signatures";
    }

    if (j->len[FN_JWK_KID] > FN_KID_MAX) {
        return "the id of a key is too long";
    }

    if (fn_jwk_is(j, FN_JWK_KTY, "RSA")) {
        bad = fn_jwk_build_rsa(j, key);

    } else if (fn_jwk_is(j, FN_JWK_KTY, "EC")) {
        bad = fn_jwk_build_ec(j, key);

    } else if (fn_jwk_is(j, FN_JWK_KTY, "OKP")) {
        bad = fn_jwk_build_okp(j, key);

    } else if (fn_jwk_is(j, FN_JWK_KTY, "oct")) {
        bad = fn_jwk_build_oct(j, key);

    } else {
        bad = "the kind of a key is not supported";
    }

    if (bad != NULL) {
        return bad;
    }

    if (j->value[FN_JWK_ALG] != NULL) {
        alg = fn_alg_find(j->value[FN_JWK_ALG], j->len[FN_JWK_ALG]);

        /* RFC 9864 has a name for the curve, too */
        if (fn_jwk_is(j, FN_JWK_ALG, "Ed25519")) {
            alg = FN_ALG_EDDSA;
        }

        bit = alg == FN_ALG_NONE ? 0 : FN_ALG_BIT(alg);

        if (!(key->algs & bit)) {
            return "the algorithm of a key is not supported, or not one of its kind";
        }

        key->algs = bit;
    }

    if (j->value[FN_JWK_KID] != NULL) {
        memcpy(key->kid, j->value[FN_JWK_KID], j->len[FN_JWK_KID]);
        key->kid_len = j->len[FN_JWK_KID];
    }

    return NULL;
}


static void
fn_jwk_clear(fn_jwk_t *key)
{
    EVP_PKEY_free(key->pkey);

    if (key->secret != NULL) {
        OPENSSL_cleanse((void *) key->secret, key->secret_len);
        free((void *) key->secret);
    }

    memset(key, 0, sizeof(*key));
}


/* --- the document ------------------------------------------------------- */

static int
fn_jwks_stop(fn_jwk_reader_t *j, const char *err)
{
    j->err = err;

    return 0;
}


static void
fn_jwk_spoil(fn_jwk_reader_t *j, const char *why)
{
    if (j->bad == NULL) {
        j->bad = why;
    }
}


/* A value that is no string. */

static int
fn_jwk_other(fn_jwk_reader_t *j)
{
    if (j->depth == 0) {
        return fn_jwks_stop(j, "is no JSON object");
    }

    if (j->at_keys) {
        return fn_jwks_stop(j, "its member \"keys\" is no array");
    }

    if (j->depth == 2 && j->in_keys) {
        j->set->skipped++;
        j->set->why = j->set->why ? j->set->why : "a key is no object";
    }

    if (j->depth == 3 && j->in_keys && (j->member >= 0 || j->ops)) {
        fn_jwk_spoil(j, "a member of a key is no string");
    }

    return 1;
}


static int
fn_jwk_null(void *ctx)
{
    return fn_jwk_other(ctx);
}


static int
fn_jwk_boolean(void *ctx, int value)
{
    (void) value;

    return fn_jwk_other(ctx);
}


static int
fn_jwk_number(void *ctx, const char *p, size_t n)
{
    (void) p;
    (void) n;

    return fn_jwk_other(ctx);
}


static int
fn_jwk_string(void *ctx, const unsigned char *p, size_t n)
{
    fn_jwk_reader_t  *j = ctx;

    if (j->in_keys && j->depth == 4 && j->ops) {
        j->may_verify |= n == 6 && memcmp(p, "verify", 6) == 0;
        return 1;
    }

    if (!j->in_keys || j->depth != 3 || j->member < 0) {
        return fn_jwk_other(j);
    }

    if (j->value[j->member] != NULL) {
        fn_jwk_spoil(j, "a key has a member twice");
        return 1;
    }

    if (n > sizeof(j->text) - j->used) {
        fn_jwk_spoil(j, "a key is too large");
        return 1;
    }

    memcpy(j->text + j->used, p, n);
    j->value[j->member] = j->text + j->used;
    j->len[j->member] = n;
    j->used += n;

    return 1;
}


static int
fn_jwk_name(void *ctx, const unsigned char *p, size_t n)
{
    int               i;
    size_t            k;
    fn_jwk_reader_t  *j = ctx;

    if (j->depth == 1) {
        j->at_keys = n == 4 && memcmp(p, "keys", 4) == 0;

        return j->at_keys && j->seen_keys++ ? fn_jwks_stop(j, "has the member \"keys\" twice") : 1;
    }

    if (j->depth != 3 || !j->in_keys) {
        return 1;
    }

    j->member = -1;
    j->ops = 0;

    for (i = 0; i < FN_JWK_MEMBERS; i++) {
        if (strlen(fn_jwk_members[i]) == n && memcmp(fn_jwk_members[i], p, n) == 0) {
            j->member = i;
            return 1;
        }
    }

    if (n == 7 && memcmp(p, "key_ops", 7) == 0) {
        j->ops = 1;

        if (j->has_ops) {
            fn_jwk_spoil(j, "a key has a member twice");
        }

        return 1;
    }

    for (k = 0; k < sizeof(fn_jwk_private) / sizeof(fn_jwk_private[0]); k++) {
        if (strlen(fn_jwk_private[k]) == n && memcmp(fn_jwk_private[k], p, n) == 0) {
            fn_jwk_spoil(j, "a key holds its private part");
        }
    }

    return 1;
}


static int
fn_jwk_open(fn_jwk_reader_t *j)
{
    return ++j->depth > FN_JWK_DEPTH ? fn_jwks_stop(j, "is nested too deeply") : 1;
}


static int
fn_jwk_open_object(void *ctx)
{
    fn_jwk_reader_t  *j = ctx;

    if (j->in_keys && j->depth == 2) {
        j->bad = NULL;
        j->member = -1;
        j->ops = 0;
        j->has_ops = 0;
        j->may_verify = 0;
        j->used = 0;
        memset(j->value, 0, sizeof(j->value));
        memset(j->len, 0, sizeof(j->len));

    } else if (j->depth != 0 && !fn_jwk_other(j)) {
        return 0;
    }

    return fn_jwk_open(j);
}


static int
fn_jwk_open_array(void *ctx)
{
    fn_jwk_reader_t  *j = ctx;

    if (j->depth == 1 && j->at_keys) {
        j->in_keys = 1;
        j->at_keys = 0;
        return fn_jwk_open(j);
    }

    if (j->in_keys && j->depth == 3 && j->ops) {
        j->has_ops = 1;
        return fn_jwk_open(j);
    }

    return fn_jwk_other(j) && fn_jwk_open(j);
}


static int
fn_jwk_close_object(void *ctx)
{
    fn_jwk_t          key;
    const char       *why;
    fn_jwk_reader_t  *j = ctx;

    j->depth--;

    if (!j->in_keys || j->depth != 2) {
        return 1;
    }

    why = fn_jwk_build(j, &key);

    if (why == NULL && j->set->n == FN_JWKS_MAX) {
        why = "there are too many keys";
    }

    if (why == NULL) {
        j->set->keys[j->set->n++] = key;
        return 1;
    }

    fn_jwk_clear(&key);

    j->set->skipped++;
    j->set->why = j->set->why ? j->set->why : why;

    return 1;
}


static int
fn_jwk_close_array(void *ctx)
{
    fn_jwk_reader_t  *j = ctx;

    if (--j->depth == 1) {
        j->in_keys = 0;
    }

    return 1;
}


fn_jwks_t *
fn_jwks_parse(const char *p, size_t n, fn_jwks_trust_e trust, const char **err)
{
    int               ok;
    fn_jwks_t        *set;
    yajl_handle       h;
    fn_jwk_reader_t   j;

    static const yajl_callbacks  callbacks = {
        fn_jwk_null, fn_jwk_boolean, NULL, NULL, fn_jwk_number, fn_jwk_string,
        fn_jwk_open_object, fn_jwk_name, fn_jwk_close_object, fn_jwk_open_array, fn_jwk_close_array
    };

    if (n > FN_JWKS_MAX_BYTES) {
        *err = "is larger than 64 KB";
        return NULL;
    }

    *err = "cannot be read: no memory";

    set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return NULL;
    }

    memset(&j, 0, offsetof(fn_jwk_reader_t, text));
    j.set = set;
    j.trust = trust;
    j.member = -1;

    h = yajl_alloc(&callbacks, NULL, &j);
    if (h == NULL) {
        free(set);
        return NULL;
    }

    ok = fn_utf8_valid(p, n)
         && yajl_parse(h, (const unsigned char *) p, n) == yajl_status_ok && yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);

    OPENSSL_cleanse(j.text, sizeof(j.text));
    ERR_clear_error();

    if (ok && j.seen_keys && set->n > 0) {
        *err = NULL;
        return set;
    }

    *err = j.err ? j.err
           : !ok ? "is no JSON"
           : !j.seen_keys ? "has no member \"keys\""
           : set->why ? set->why : "has no key";

    fn_jwks_free(set);

    return NULL;
}


void
fn_jwks_free(fn_jwks_t *set)
{
    unsigned  i;

    if (set != NULL) {
        for (i = 0; i < set->n; i++) {
            fn_jwk_clear(&set->keys[i]);
        }

        free(set);
    }
}
