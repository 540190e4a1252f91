/*
 * Keys that verify tokens: JSON Web Key Sets, RFC 7517, with the keys of RFC 7518 section 6 (RSA, EC, oct) and
 * RFC 8037 section 2 (OKP).  A key carries the algorithms it may verify, so that a token cannot choose:
 * a secret knows HMAC only, a public key never does.
 */
#ifndef FN_JWK_H
#define FN_JWK_H

#include <stddef.h>

#define FN_JWKS_MAX_BYTES   65536       /* of a document */
#define FN_JWKS_MAX         32          /* keys that are kept of it */
#define FN_KID_MAX          255         /* bytes */

typedef enum {
    FN_ALG_NONE = 0,            /* no algorithm that is known here */
    FN_ALG_HS256, FN_ALG_HS384, FN_ALG_HS512,
    FN_ALG_RS256, FN_ALG_RS384, FN_ALG_RS512,
    FN_ALG_PS256, FN_ALG_PS384, FN_ALG_PS512,
    FN_ALG_ES256, FN_ALG_ES384,
    FN_ALG_EDDSA                /* Ed25519 only */
} fn_alg_e;

#define FN_ALG_BIT(alg)  (1u << (alg))
#define FN_ALG_HMAC      (FN_ALG_BIT(FN_ALG_HS256) | FN_ALG_BIT(FN_ALG_HS384) | FN_ALG_BIT(FN_ALG_HS512))

typedef struct {
    char                  kid[FN_KID_MAX + 1];
    size_t                kid_len;          /* 0: none */
    unsigned              algs;             /* set of FN_ALG_BIT; never a mixture of HMAC and others */
    struct evp_pkey_st   *pkey;             /* or NULL: a secret */
    const unsigned char  *secret;           /* owned by the set; a key made by hand owns its own */
    size_t                secret_len;
} fn_jwk_t;

typedef struct {
    unsigned     n;
    unsigned     skipped;                   /* keys of the document that are of no use */
    const char  *why;                       /* the first of them was not, or NULL; static */
    fn_jwk_t     keys[FN_JWKS_MAX];
} fn_jwks_t;

/* Secrets are only taken from where nobody else can read. */
typedef enum { FN_JWKS_PUBLIC, FN_JWKS_SECRETS } fn_jwks_trust_e;

/*
 * Reads a document. Keys of other kinds, for encryption, weak or malformed are skipped, RFC 7517 section 5; one that
 * holds a private part is, too. NULL when it is no key set, has no key of use, or memory is short: *err is a static text.
 */
fn_jwks_t *fn_jwks_parse(const char *p, size_t n, fn_jwks_trust_e trust, const char **err);
void fn_jwks_free(fn_jwks_t *set);

/* "RS256" and so on, case-sensitive, RFC 7518 section 3.1. */
fn_alg_e fn_alg_find(const char *p, size_t n);
const char *fn_alg_name(fn_alg_e alg);

/* 1 when `sig`, in the form of RFC 7518 section 3, is this key's signature of `data`; 0 for any other reason. */
int fn_jwk_verify(const fn_jwk_t *key, fn_alg_e alg, const void *data, size_t n, const void *sig, size_t sig_len);

#endif
