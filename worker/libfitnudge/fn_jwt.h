/*
 * JSON Web Tokens, RFC 7519, with HMAC-SHA256 (RFC 7515, RFC 7518 section 3.2).
 * The key decides the algorithm: a token whose header names another one is refused,
 * whatever it carries.  Signatures are compared in constant time.
 */
#ifndef FN_JWT_H
#define FN_JWT_H

#include "fn_buf.h"
#include "fn_envelope.h"

#define FN_JWT_MAX      4096        /* bytes of a token */

typedef enum {
    FN_JWT_OK = 0,
    FN_JWT_MALFORMED,       /* not three base64url parts of JSON objects, too long, duplicate claims */
    FN_JWT_ALGORITHM,       /* alg is not HS256, or crit / b64 is present */
    FN_JWT_SIGNATURE,
    FN_JWT_EXPIRED,         /* exp, with leeway */
    FN_JWT_NOT_YET,         /* nbf or iat in the future, with leeway */
    FN_JWT_CLAIMS           /* sub no UUID, aud/iss/role/session_id wrong or missing */
} fn_jwt_e;

typedef struct {
    const char *key;            /* raw key bytes; not owned */
    size_t      key_len;
    const char *issuer;         /* NULL: not checked */
    const char *audience;       /* NULL: not checked; matches a string or a member of an array */
    unsigned    leeway_s;       /* clock skew allowed, s */
} fn_jwt_policy_t;

typedef struct {
    char        sub[37];            /* UUID, lower case */
    char        role[33];
    char        plan[33];           /* "" when absent */
    char        session_id[37];     /* "" when absent (Supabase tokens may lack it) */
    char        jti[65];
    int64_t     iat, exp;           /* unix s */
} fn_jwt_claims_t;

/* Verifies and fills `out` (only valid on FN_JWT_OK). No allocation but yajl's own. */
fn_jwt_e fn_jwt_verify(fn_jwt_claims_t *out, const fn_jwt_policy_t *policy,
                       const char *token, size_t len, int64_t now_s);

/* Appends a signed token to `b`. aud and iss come from the policy. 0 or -1. */
int fn_jwt_sign(fn_buf_t *b, const fn_jwt_policy_t *policy, const fn_jwt_claims_t *claims);

const char *fn_jwt_strerror(fn_jwt_e e);

/* base64url without padding, RFC 4648 section 5. Decoding is strict (alphabet, no padding, zero trailing bits); returns bytes or -1. */
void fn_base64url_encode(fn_buf_t *b, const void *p, size_t n);
long fn_base64url_decode(void *out, size_t out_size, const char *s, size_t n);

#endif
