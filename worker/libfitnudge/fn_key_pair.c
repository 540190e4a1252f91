/* PEM to key pairs, their public parts as JSON, and signing.  OpenSSL's error queue is left empty, as in fn_jwk.c. */
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "fn_base64.h"
#include "fn_key_pair.h"

#define FN_PEM_BEGIN     "-----BEGIN "
#define FN_PEM_END       "-----END "
#define FN_RSA_MIN       2048           /* bits, RFC 7518 section 3.3 */
#define FN_RSA_MAX       8192
#define FN_SIGNATURE     (FN_RSA_MAX / 8)
#define FN_THUMBPRINT    43             /* SHA-256 in base64url */


static int fn_key_pair_members(fn_buf_t *b, const fn_jwk_t *key, int whole);


/* Nobody is there to be asked. */

static int
fn_key_pair_passphrase(char *buf, int size, int rwflag, void *data)
{
    (void) buf;
    (void) size;
    (void) rwflag;
    (void) data;

    return -1;
}


fn_alg_e
fn_key_pair_alg(const fn_jwk_t *key)
{
    int  alg;

    for (alg = FN_ALG_NONE + 1; alg < FN_ALG_EDDSA && !(key->algs & FN_ALG_BIT(alg)); alg++) { /* void */ }

    return (fn_alg_e) alg;
}


/* What a key may do, 0: nothing. */

static unsigned
fn_key_pair_algs(EVP_PKEY *pkey)
{
    char    group[32];
    size_t  n;

    switch (EVP_PKEY_get_base_id(pkey)) {

    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(pkey) >= FN_RSA_MIN && EVP_PKEY_get_bits(pkey) <= FN_RSA_MAX ? FN_ALG_BIT(FN_ALG_RS256) : 0;

    case EVP_PKEY_ED25519:
        return FN_ALG_BIT(FN_ALG_EDDSA);

    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) != 1) {
            return 0;
        }

        return strcmp(group, SN_X9_62_prime256v1) == 0 ? FN_ALG_BIT(FN_ALG_ES256)
               : strcmp(group, SN_secp384r1) == 0 ? FN_ALG_BIT(FN_ALG_ES384) : 0;

    default:
        return 0;
    }
}


/* One block from its BEGIN to the end of its END. NULL, or what is wrong; a block that is left out leaves pkey NULL. */

static const char *
fn_key_pair_block(fn_jwk_t *key, const char *p, size_t n, int first)
{
    BIO         *bio;
    int          private;
    const char  *label, *end;

    memset(key, 0, sizeof(*key));

    label = p + sizeof(FN_PEM_BEGIN) - 1;
    end = strstr(label, "-----");
    end = end ? end : label;

    /* what openssl ecparam writes before its key */
    if ((size_t) (end - label) == 13 && memcmp(label, "EC PARAMETERS", 13) == 0) {
        return NULL;
    }

    private = end - label >= 11 && memcmp(end - 11, "PRIVATE KEY", 11) == 0;

    if (!private && !((size_t) (end - label) == 10 && memcmp(label, "PUBLIC KEY", 10) == 0)) {
        return "holds something else than keys";
    }

    if (first && !private) {
        return "begins with a public key, which cannot sign";
    }

    bio = BIO_new_mem_buf(p, (int) n);
    if (bio == NULL) {
        return "cannot be read: no memory";
    }

    key->pkey = private ? PEM_read_bio_PrivateKey(bio, NULL, fn_key_pair_passphrase, NULL)
                        : PEM_read_bio_PUBKEY(bio, NULL, fn_key_pair_passphrase, NULL);
    BIO_free(bio);

    if (key->pkey == NULL) {
        return "holds a key that is malformed or has a passphrase";
    }

    key->algs = fn_key_pair_algs(key->pkey);

    return key->algs ? NULL : "holds a key that is neither RSA of 2048 to 8192 bits, P-256, P-384 nor Ed25519";
}


static const char *
fn_key_pairs_add(fn_jwks_t *set, fn_jwk_t *key)
{
    unsigned        i;
    fn_buf_t        b = FN_BUF_INIT;
    const char     *err = NULL;
    unsigned char   hash[SHA256_DIGEST_LENGTH];

    /* RFC 7638 section 3: the members that are needed, in the order of their names, without blanks */
    if (fn_key_pair_members(&b, key, 0) != 0) {
        fn_buf_free(&b);
        return "cannot be read: no memory";
    }

    SHA256((unsigned char *) b.data, b.len, hash);
    fn_buf_reset(&b);
    fn_base64url_encode(&b, hash, sizeof(hash));

    if (b.failed || b.len != FN_THUMBPRINT) {
        fn_buf_free(&b);
        return "cannot be read: no memory";
    }

    memcpy(key->kid, b.data, b.len);
    key->kid_len = b.len;
    fn_buf_free(&b);

    for (i = 0; i < set->n; i++) {
        if (memcmp(set->keys[i].kid, key->kid, FN_THUMBPRINT) == 0) {
            err = "holds a key twice";
        }
    }

    if (err == NULL && set->n == FN_KEY_PAIRS_MAX) {
        err = "holds more than 8 keys";
    }

    if (err == NULL) {
        set->keys[set->n++] = *key;
        key->pkey = NULL;
    }

    return err;
}


fn_jwks_t *
fn_key_pairs_parse(const char *pem, const char **err)
{
    size_t       len;
    fn_jwk_t     key;
    fn_jwks_t   *set;
    const char  *p, *next;

    *err = "cannot be read: no memory";

    set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return NULL;
    }

    *err = NULL;

    for (p = pem; *err == NULL && (p = strstr(p, FN_PEM_BEGIN)) != NULL; p = next) {
        next = strstr(p, FN_PEM_END);
        next = next ? next + strcspn(next, "\n") : p + strlen(p);
        len = (size_t) (next - p);

        *err = fn_key_pair_block(&key, p, len, set->n == 0);

        if (*err == NULL && key.pkey != NULL) {
            *err = fn_key_pairs_add(set, &key);
        }

        EVP_PKEY_free(key.pkey);
    }

    ERR_clear_error();

    if (*err == NULL && set->n == 0) {
        *err = "holds no key in PEM";
    }

    if (*err != NULL) {
        fn_jwks_free(set);
        return NULL;
    }

    return set;
}


/* --- publishing --------------------------------------------------------- */

/* A number as `len` bytes, or as many as it needs when len is 0. */

static int
fn_key_pair_number(fn_buf_t *b, const char *name, EVP_PKEY *pkey, const char *param, size_t len)
{
    BIGNUM         *bn = NULL;
    size_t          size;
    unsigned char   bytes[FN_RSA_MAX / 8];

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1) {
        return -1;
    }

    size = len ? len : (size_t) BN_num_bytes(bn);

    if (size > sizeof(bytes) || BN_bn2binpad(bn, bytes, (int) size) < 0) {
        BN_free(bn);
        return -1;
    }

    BN_free(bn);

    fn_buf_addf(b, "\"%s\":\"", name);
    fn_base64url_encode(b, bytes, size);
    fn_buf_adds(b, "\"");

    return 0;
}


static int
fn_key_pair_rsa(fn_buf_t *b, EVP_PKEY *pkey)
{
    fn_buf_adds(b, "{");

    if (fn_key_pair_number(b, "e", pkey, OSSL_PKEY_PARAM_RSA_E, 0) != 0) {
        return -1;
    }

    fn_buf_adds(b, ",\"kty\":\"RSA\",");

    return fn_key_pair_number(b, "n", pkey, OSSL_PKEY_PARAM_RSA_N, 0);
}


static int
fn_key_pair_ec(fn_buf_t *b, EVP_PKEY *pkey, const char *curve, size_t len)
{
    fn_buf_addf(b, "{\"crv\":\"%s\",\"kty\":\"EC\",", curve);

    if (fn_key_pair_number(b, "x", pkey, OSSL_PKEY_PARAM_EC_PUB_X, len) != 0) {
        return -1;
    }

    fn_buf_adds(b, ",");

    return fn_key_pair_number(b, "y", pkey, OSSL_PKEY_PARAM_EC_PUB_Y, len);
}


static int
fn_key_pair_okp(fn_buf_t *b, EVP_PKEY *pkey)
{
    size_t          n;
    unsigned char   x[32];

    n = sizeof(x);

    if (EVP_PKEY_get_raw_public_key(pkey, x, &n) != 1 || n != sizeof(x)) {
        return -1;
    }

    fn_buf_adds(b, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    fn_base64url_encode(b, x, n);
    fn_buf_adds(b, "\"");

    return 0;
}


/* The public part of a key; `whole`: with what others want to know besides. */

static int
fn_key_pair_members(fn_buf_t *b, const fn_jwk_t *key, int whole)
{
    int       rc;
    fn_alg_e  alg;

    alg = fn_key_pair_alg(key);

    rc = alg == FN_ALG_RS256 ? fn_key_pair_rsa(b, key->pkey)
         : alg == FN_ALG_ES256 ? fn_key_pair_ec(b, key->pkey, "P-256", 32)
         : alg == FN_ALG_ES384 ? fn_key_pair_ec(b, key->pkey, "P-384", 48)
         : fn_key_pair_okp(b, key->pkey);

    if (rc == 0 && whole) {
        fn_buf_addf(b, ",\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"", key->kid, fn_alg_name(alg));
    }

    fn_buf_adds(b, "}");

    return rc == 0 && !b->failed ? 0 : -1;
}


int
fn_key_pairs_publish(fn_buf_t *b, const fn_jwks_t *pairs)
{
    unsigned  i;

    fn_buf_adds(b, "{\"keys\":[");

    for (i = 0; i < pairs->n; i++) {
        fn_buf_adds(b, i ? "," : "");

        if (fn_key_pair_members(b, &pairs->keys[i], 1) != 0) {
            ERR_clear_error();
            return -1;
        }
    }

    fn_buf_adds(b, "]}");

    return b->failed ? -1 : 0;
}


/* --- signing ------------------------------------------------------------ */

/* From OpenSSL's form of an ECDSA signature to r and s, each `len` bytes long. How many bytes, 0: that failed. */

static size_t
fn_key_pair_ecdsa(unsigned char *sig, size_t n, size_t len)
{
    int                   ok;
    ECDSA_SIG            *pair;
    const unsigned char  *der = sig;

    pair = d2i_ECDSA_SIG(NULL, &der, (long) n);

    ok = pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, (int) len) == (int) len
         && BN_bn2binpad(ECDSA_SIG_get0_s(pair), sig + len, (int) len) == (int) len;

    ECDSA_SIG_free(pair);

    return ok ? 2 * len : 0;
}


int
fn_key_pair_sign(fn_buf_t *b, const fn_jwk_t *key, const void *data, size_t n)
{
    size_t          len;
    fn_alg_e        alg;
    EVP_MD_CTX     *ctx;
    const char     *digest;
    unsigned char   sig[FN_SIGNATURE];

    alg = fn_key_pair_alg(key);
    digest = alg == FN_ALG_EDDSA ? NULL : alg == FN_ALG_ES384 ? "SHA384" : "SHA256";
    len = sizeof(sig);

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key->pkey, NULL) != 1
        || EVP_DigestSign(ctx, sig, &len, data, n) != 1)
    {
        len = 0;
    }

    EVP_MD_CTX_free(ctx);

    if (len > 0 && (alg == FN_ALG_ES256 || alg == FN_ALG_ES384)) {
        len = fn_key_pair_ecdsa(sig, len, alg == FN_ALG_ES256 ? 32 : 48);
    }

    ERR_clear_error();

    if (len == 0) {
        return -1;
    }

    fn_base64url_encode(b, sig, len);

    return b->failed ? -1 : 0;
}
