/* The algorithms, and verifying with keys.  OpenSSL's error queue is left empty, as in fn_jwk.c. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "fn_jwk.h"


static const struct {
    const char  *name;
    const char  *digest;        /* NULL: the signature has its own */
} fn_algs[] = {
    { "", NULL },
    { "HS256", "SHA256" }, { "HS384", "SHA384" }, { "HS512", "SHA512" },
    { "RS256", "SHA256" }, { "RS384", "SHA384" }, { "RS512", "SHA512" },
    { "PS256", "SHA256" }, { "PS384", "SHA384" }, { "PS512", "SHA512" },
    { "ES256", "SHA256" }, { "ES384", "SHA384" },
    { "EdDSA", NULL }
};

#define FN_ALGS  (sizeof(fn_algs) / sizeof(fn_algs[0]))


fn_alg_e
fn_alg_find(const char *p, size_t n)
{
    size_t  i;

    for (i = 1; i < FN_ALGS; i++) {
        if (strlen(fn_algs[i].name) == n && memcmp(fn_algs[i].name, p, n) == 0) {
            return (fn_alg_e) i;
        }
    }

    return FN_ALG_NONE;
}


const char *
fn_alg_name(fn_alg_e alg)
{
    return fn_algs[alg].name;
}


static int
fn_jwk_hmac(const fn_jwk_t *key, const char *digest, const void *data, size_t n, const void *sig, size_t sig_len)
{
    int             ok;
    unsigned        len;
    unsigned char   mac[EVP_MAX_MD_SIZE];
    const EVP_MD   *md;

    md = digest[3] == '2' ? EVP_sha256() : digest[3] == '3' ? EVP_sha384() : EVP_sha512();

    ok = HMAC(md, key->secret, (int) key->secret_len, data, n, mac, &len) != NULL
         && len == sig_len && CRYPTO_memcmp(mac, sig, len) == 0;

    OPENSSL_cleanse(mac, sizeof(mac));

    return ok;
}


/* r and s, each as long as the curve's order, RFC 7518 section 3.4, as OpenSSL wants them: how many bytes, 0 = they are not. */

static size_t
fn_jwk_ecdsa_der(unsigned char *der, size_t size, const unsigned char *sig, size_t sig_len, size_t want)
{
    int         n = 0;
    BIGNUM     *r, *s;
    ECDSA_SIG  *pair;

    if (sig_len != 2 * want) {
        return 0;
    }

    pair = ECDSA_SIG_new();
    r = BN_bin2bn(sig, (int) want, NULL);
    s = BN_bin2bn(sig + want, (int) want, NULL);

    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = NULL;
        s = NULL;
        n = i2d_ECDSA_SIG(pair, NULL);
        n = n > 0 && (size_t) n <= size ? i2d_ECDSA_SIG(pair, &der) : 0;
    }

    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);

    return n > 0 ? (size_t) n : 0;
}


int
fn_jwk_verify(const fn_jwk_t *key, fn_alg_e alg, const void *data, size_t n, const void *sig, size_t sig_len)
{
    int             ok;
    EVP_MD_CTX     *ctx;
    EVP_PKEY_CTX   *pctx;
    unsigned char   der[128];

    if (alg == FN_ALG_NONE || !(key->algs & FN_ALG_BIT(alg))) {
        return 0;
    }

    if (FN_ALG_BIT(alg) & FN_ALG_HMAC) {
        return key->secret != NULL && key->pkey == NULL && fn_jwk_hmac(key, fn_algs[alg].digest, data, n, sig, sig_len);
    }

    if (key->pkey == NULL) {
        return 0;
    }

    if (alg == FN_ALG_ES256 || alg == FN_ALG_ES384) {
        sig_len = fn_jwk_ecdsa_der(der, sizeof(der), sig, sig_len, alg == FN_ALG_ES256 ? 32 : 48);
        sig = der;

        if (sig_len == 0) {
            ERR_clear_error();
            return 0;
        }
    }

    ctx = EVP_MD_CTX_new();

    ok = ctx != NULL
         && EVP_DigestVerifyInit_ex(ctx, &pctx, fn_algs[alg].digest, NULL, NULL, key->pkey, NULL) == 1
         && (alg < FN_ALG_PS256 || alg > FN_ALG_PS512
             || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1
                 && EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1))
         && EVP_DigestVerify(ctx, sig, sig_len, data, n) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();

    return ok;
}
