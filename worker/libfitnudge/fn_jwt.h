/*
 * JSON Web Tokens, RFC 7519, as signed objects in their compact form, RFC 7515.
 * The key decides which algorithms are accepted (fn_jwk.h): a token whose header names another one is refused, whatever
 * it carries.  Keys that a header brings along or points to (jwk, jku, x5c, x5u) are not looked at.  No byte of the
 * payload is parsed before the signature was verified.
 */
#ifndef FN_JWT_H
#define FN_JWT_H

#include "fn_base64.h"
#include "fn_buf.h"
#include "fn_envelope.h"
#include "fn_jwk.h"

#define FN_JWT_MAX      4096        /* bytes of a token */

typedef enum {
    FN_JWT_OK = 0,
    FN_JWT_MALFORMED,       /* not three base64url parts of JSON objects, too long, duplicate claims */
    FN_JWT_ALGORITHM,       /* alg is not one of the key's, or crit / b64 is present */
    FN_JWT_SIGNATURE,
    FN_JWT_EXPIRED,         /* exp, with leeway */
    FN_JWT_NOT_YET,         /* nbf or iat in the future, with leeway */
    FN_JWT_CLAIMS,          /* sub no UUID, aud/iss/role/session_id wrong or missing, or a required one missing */
    FN_JWT_KEY,             /* no key of that id and algorithm */
    FN_JWT_TYPE             /* typ says that it is no access token */
} fn_jwt_e;

typedef struct {
    const char *key;            /* raw key bytes of HS256, or NULL; not owned */
    size_t      key_len;
    const char *issuer;         /* NULL: not checked */
    const char *audience;       /* NULL: not checked; matches a string or a member of an array */
    unsigned    leeway_s;       /* clock skew allowed, s */
    int         app_metadata;   /* role and plan may be in "app_metadata", as Supabase has them */
    const char *const *required;    /* further claims that must be there, ends with NULL; or NULL */
} fn_jwt_policy_t;

typedef struct {
    char        sub[37];            /* UUID, lower case */
    char        role[33];
    char        plan[33];           /* "" when absent */
    char        session_id[37];     /* "" when absent (Supabase tokens may lack it) */
    char        jti[65];
    int64_t     iat, exp, nbf;      /* unix s; iat and nbf 0 when absent */
} fn_jwt_claims_t;

/* A token taken apart; its texts point into what was given. */
typedef struct {
    fn_alg_e    alg;                /* FN_ALG_NONE: none that is known */
    char        kid[FN_KID_MAX + 1];
    size_t      kid_len;            /* 0: none */
    fn_span_t   input;              /* what is signed: header "." payload */
    fn_span_t   payload;            /* base64url */
    fn_span_t   signature;          /* base64url */
} fn_jwt_t;

/* Keys that are trusted, and what is asked of their tokens. */
typedef struct {
    fn_jwt_policy_t     policy;
    const fn_jwks_t    *keys;       /* besides policy.key; or NULL */
} fn_jwt_trust_t;

/* Takes a token apart and reads its header. */
fn_jwt_e fn_jwt_open(fn_jwt_t *t, const char *token, size_t len);

/*
 * Finds the key among those of `n` trusts, verifies the signature and fills `out` (only valid on FN_JWT_OK).
 * A key with an id verifies the tokens that name it, one without any of its algorithm; a token without an id is tried
 * with all keys of its algorithm. FN_JWT_KEY: the key may be one that was not seen yet.
 */
fn_jwt_e fn_jwt_accept(fn_jwt_claims_t *out, const fn_jwt_t *t, const fn_jwt_trust_t *trusts, size_t n, int64_t now_s);

/* Verifies with the policy's own key and fills `out` (only valid on FN_JWT_OK). No allocation but yajl's own. */
fn_jwt_e fn_jwt_verify(fn_jwt_claims_t *out, const fn_jwt_policy_t *policy,
                       const char *token, size_t len, int64_t now_s);

/* Whether a token that was accepted once is so now: FN_JWT_OK, EXPIRED or NOT_YET. */
fn_jwt_e fn_jwt_times(const fn_jwt_claims_t *claims, unsigned leeway_s, int64_t now_s);

/*
 * The text of a claim (a string, a number as it is written, true or false) of a token that was accepted: appended to `b`.
 * 0, or -1: there is none, or it is of another type.
 */
int fn_jwt_claim(fn_buf_t *b, const char *token, size_t len, const char *name, size_t name_len);

/* Appends a token signed with the policy's key to `b`. aud and iss come from the policy. 0 or -1. */
int fn_jwt_sign(fn_buf_t *b, const fn_jwt_policy_t *policy, const fn_jwt_claims_t *claims);

/* The same, signed with a key pair of ours (fn_key_pair.h), which the header names. NULL: with the policy's key. */
int fn_jwt_sign_with(fn_buf_t *b, const fn_jwt_policy_t *policy, const fn_jwk_t *pair, const fn_jwt_claims_t *claims);

const char *fn_jwt_strerror(fn_jwt_e e);

#endif
