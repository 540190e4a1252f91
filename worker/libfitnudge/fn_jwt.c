/* JSON Web Tokens. The signature is checked before a byte of the payload is parsed. */
#include <string.h>
#include <strings.h>

#include <yajl/yajl_parse.h>

#include "fn_jwt.h"
#include "fn_utf8.h"
#include "fn_uuid.h"

#define FN_JWT_MEMBERS  32      /* names remembered to find duplicates */
#define FN_JWT_HEADER   1024    /* bytes of the decoded header, which is parsed before the signature is checked */
#define FN_JWT_ESCAPED  256     /* bytes of names that were written with escapes */
#define FN_JWT_TRIES    8       /* keys that a token is tried with */


typedef struct {
    const char             *names[FN_JWT_MEMBERS];
    size_t                  lens[FN_JWT_MEMBERS];
    unsigned                n;
    int                     depth;
    int                     bad;            /* not an object, duplicate names, text too long */
    const char             *key;            /* current name at depth 1 */
    size_t                  key_len;

    const fn_jwt_policy_t  *policy;         /* of the payload; NULL when the header is read */
    fn_jwt_claims_t        *claims;
    int                     has_exp, wrong, aud_ok, iss_ok;
    uint32_t                nulls;          /* names whose value is null */

    int                     in_metadata;    /* depth 2 is the object "app_metadata" */
    char                   *metadata;       /* where its current member goes, or NULL */
    char                    role[33], plan[33];     /* found there */

    fn_jwt_t               *head;           /* of the header; NULL when the payload is read */
    int                     critical, typed;

    int                     listed;         /* the value at depth 1 is an array */
    const char             *text, *end;     /* what is parsed: most names are remembered where they stand */
    size_t                  copied;
    char                    copies[FN_JWT_ESCAPED];
} fn_jwt_reader_t;


/* --- reading ------------------------------------------------------------ */

static int
fn_jwt_is(const fn_jwt_reader_t *j, const char *name)
{
    return j->depth == 1 && j->key != NULL && strlen(name) == j->key_len && memcmp(name, j->key, j->key_len) == 0;
}


/* A claim that matters has a value of the wrong type. */

static void
fn_jwt_wrong(fn_jwt_reader_t *j)
{
    if (j->head != NULL && (fn_jwt_is(j, "kid") || fn_jwt_is(j, "typ"))) {
        j->bad = 1;
    }

    if (j->policy != NULL && (fn_jwt_is(j, "sub") || fn_jwt_is(j, "role") || fn_jwt_is(j, "plan") || fn_jwt_is(j, "jti")
                              || fn_jwt_is(j, "session_id") || fn_jwt_is(j, "exp") || fn_jwt_is(j, "nbf")
                              || fn_jwt_is(j, "iat")))
    {
        j->wrong = 1;
    }
}


static int
fn_jwt_key(void *ctx, const unsigned char *p, size_t n)
{
    unsigned          i;
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 2 && j->in_metadata) {
        j->metadata = n == 4 && memcmp(p, "role", 4) == 0 ? j->role
                      : n == 4 && memcmp(p, "plan", 4) == 0 ? j->plan : NULL;

        if (j->metadata != NULL && j->metadata[0] != '\0') {
            j->bad = 1;
            return 0;
        }
    }

    if (j->depth != 1) {
        return 1;
    }

    for (i = 0; i < j->n; i++) {
        if (j->lens[i] == n && memcmp(j->names[i], p, n) == 0) {
            j->bad = 1;
            return 0;
        }
    }

    if (j->n == FN_JWT_MEMBERS) {
        j->bad = 1;
        return 0;
    }

    if ((const char *) p >= j->text && (const char *) p < j->end) {
        j->names[j->n] = (const char *) p;

    } else {    /* unescaped by yajl into memory of its own */
        if (n > sizeof(j->copies) - j->copied) {
            j->bad = 1;
            return 0;
        }
        memcpy(j->copies + j->copied, p, n);
        j->names[j->n] = j->copies + j->copied;
        j->copied += n;
    }

    j->lens[j->n] = n;
    j->key = j->names[j->n];
    j->key_len = n;
    j->n++;

    if (j->head != NULL && (fn_jwt_is(j, "crit") || fn_jwt_is(j, "b64"))) {
        j->critical = 1;
    }

    return 1;
}


static int
fn_jwt_copy(char *out, size_t size, const unsigned char *p, size_t n)
{
    size_t  i;

    if (n == 0 || n >= size) {
        return 1;
    }

    for (i = 0; i < n; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f) {
            return 1;
        }
        out[i] = (char) p[i];
    }

    out[n] = '\0';

    return 0;
}


static int
fn_jwt_uuid(char out[37], const unsigned char *p, size_t n)
{
    size_t  i;

    if (!fn_uuid_valid((const char *) p, n)) {
        return 1;
    }

    for (i = 0; i < n; i++) {
        out[i] = (char) (p[i] >= 'A' && p[i] <= 'F' ? p[i] | 0x20 : p[i]);
    }
    out[n] = '\0';

    return 0;
}


static int
fn_jwt_same(const char *want, const unsigned char *p, size_t n)
{
    return strlen(want) == n && memcmp(want, p, n) == 0;
}


/* "JWT" or "at+jwt", in any case, RFC 7515 section 4.1.9 and RFC 9068 section 2.1. */

static int
fn_jwt_type(const unsigned char *p, size_t n)
{
    if (n > 12 && strncasecmp((const char *) p, "application/", 12) == 0) {
        p += 12;
        n -= 12;
    }

    return (n == 3 && strncasecmp((const char *) p, "jwt", 3) == 0) || (n == 6 && strncasecmp((const char *) p, "at+jwt", 6) == 0);
}


static void
fn_jwt_head_string(fn_jwt_reader_t *j, const unsigned char *p, size_t n)
{
    if (fn_jwt_is(j, "alg")) {
        j->head->alg = fn_alg_find((const char *) p, n);

    } else if (fn_jwt_is(j, "typ")) {
        j->typed = !fn_jwt_type(p, n);

    } else if (fn_jwt_is(j, "kid")) {
        if (n == 0 || n > FN_KID_MAX) {
            j->bad = 1;
            return;
        }

        memcpy(j->head->kid, p, n);
        j->head->kid_len = n;
    }
}


static int
fn_jwt_string(void *ctx, const unsigned char *p, size_t n)
{
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 0) {
        j->bad = 1;
        return 0;
    }

    if (j->head != NULL) {
        fn_jwt_head_string(j, p, n);
        return !j->bad;
    }

    if (j->depth == 2 && j->in_metadata) {
        if (j->metadata != NULL) {
            j->wrong |= fn_jwt_copy(j->metadata, sizeof(j->role), p, n);
        }
        return 1;
    }

    /* an audience may also be a list */
    if (j->depth == 2 && j->listed && j->key != NULL && j->key_len == 3 && memcmp(j->key, "aud", 3) == 0 && j->policy->audience) {
        j->aud_ok |= fn_jwt_same(j->policy->audience, p, n);

    } else if (fn_jwt_is(j, "aud")) {
        j->aud_ok |= j->policy->audience != NULL && fn_jwt_same(j->policy->audience, p, n);

    } else if (fn_jwt_is(j, "iss")) {
        j->iss_ok |= j->policy->issuer != NULL && fn_jwt_same(j->policy->issuer, p, n);

    } else if (fn_jwt_is(j, "sub")) {
        j->wrong |= fn_jwt_uuid(j->claims->sub, p, n);

    } else if (fn_jwt_is(j, "session_id")) {
        j->wrong |= fn_jwt_uuid(j->claims->session_id, p, n);

    } else if (fn_jwt_is(j, "role")) {
        j->wrong |= fn_jwt_copy(j->claims->role, sizeof(j->claims->role), p, n);

    } else if (fn_jwt_is(j, "plan")) {
        j->wrong |= fn_jwt_copy(j->claims->plan, sizeof(j->claims->plan), p, n);

    } else if (fn_jwt_is(j, "jti")) {
        j->wrong |= fn_jwt_copy(j->claims->jti, sizeof(j->claims->jti), p, n);

    } else if (fn_jwt_is(j, "exp") || fn_jwt_is(j, "iat") || fn_jwt_is(j, "nbf")) {
        j->wrong = 1;
    }

    return 1;
}


static int
fn_jwt_number(void *ctx, const char *p, size_t n)
{
    size_t            i;
    int64_t           v;
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 0) {
        j->bad = 1;
        return 0;
    }

    if (j->policy == NULL || !(fn_jwt_is(j, "exp") || fn_jwt_is(j, "iat") || fn_jwt_is(j, "nbf"))) {
        fn_jwt_wrong(j);
        return 1;
    }

    for (i = 0, v = 0; i < n && p[i] >= '0' && p[i] <= '9' && i < 15; i++) {
        v = v * 10 + (p[i] - '0');
    }

    /* NumericDate may have a fraction, RFC 7519 section 2; an exponent would make it another number */
    if (i < n && i > 0 && p[i] == '.') {
        for (i++; i < n && p[i] >= '0' && p[i] <= '9'; i++) { /* void */ }
    }

    if (i != n) {
        j->wrong = 1;
        return 1;
    }

    if (fn_jwt_is(j, "exp")) {
        j->claims->exp = v;
        j->has_exp = 1;
    } else if (fn_jwt_is(j, "iat")) {
        j->claims->iat = v;
    } else {
        j->claims->nbf = v;
    }

    return 1;
}


static int
fn_jwt_enter(void *ctx)
{
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 1) {
        j->listed = 0;
        j->in_metadata = j->policy != NULL && j->policy->app_metadata && fn_jwt_is(j, "app_metadata");
        j->metadata = NULL;
        fn_jwt_wrong(j);
    }

    if (++j->depth > 8) {
        j->bad = 1;
        return 0;
    }

    return 1;
}


static int
fn_jwt_open_array(void *ctx)
{
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 0) {
        j->bad = 1;
        return 0;
    }

    if (!fn_jwt_enter(ctx)) {
        return 0;
    }

    if (j->depth == 2) {
        j->listed = 1;
        j->in_metadata = 0;
    }

    return 1;
}


static int
fn_jwt_close(void *ctx)
{
    ((fn_jwt_reader_t *) ctx)->depth--;

    return 1;
}


static int
fn_jwt_other(void *ctx)
{
    fn_jwt_reader_t  *j = ctx;

    if (j->depth == 0) {
        j->bad = 1;
        return 0;
    }

    if (j->head != NULL) {
        fn_jwt_wrong(j);
        return 1;
    }

    if (j->depth == 1 && j->n > 0) {
        j->nulls |= 1u << (j->n - 1);
    }

    /* a claim that matters must not be null or a truth value */
    if (j->policy != NULL && (fn_jwt_is(j, "sub") || fn_jwt_is(j, "exp") || fn_jwt_is(j, "role")
                              || fn_jwt_is(j, "nbf") || fn_jwt_is(j, "iat")))
    {
        j->wrong = 1;
    }

    return 1;
}


static int
fn_jwt_boolean(void *ctx, int value)
{
    fn_jwt_reader_t  *j = ctx;

    (void) value;
    fn_jwt_wrong(j);

    if (!fn_jwt_other(ctx)) {
        return 0;
    }

    if (j->depth == 1 && j->n > 0) {
        j->nulls &= ~(1u << (j->n - 1));
    }

    return 1;
}


static int
fn_jwt_parse(fn_jwt_reader_t *j, const char *p, size_t n)
{
    int          ok;
    yajl_handle  h;

    static const yajl_callbacks  callbacks = {
        fn_jwt_other, fn_jwt_boolean, NULL, NULL, fn_jwt_number, fn_jwt_string,
        fn_jwt_enter, fn_jwt_key, fn_jwt_close, fn_jwt_open_array, fn_jwt_close
    };

    /* yajl lets through what is longer than it needs to be */
    h = fn_utf8_valid(p, n) ? yajl_alloc(&callbacks, NULL, j) : NULL;
    if (h == NULL) {
        return -1;
    }

    j->text = p;
    j->end = p + n;

    ok = yajl_parse(h, (const unsigned char *) p, n) == yajl_status_ok
         && yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);

    return ok && !j->bad && j->depth == 0 ? 0 : -1;
}


static int
fn_jwt_required(const fn_jwt_reader_t *j, const char *name)
{
    unsigned  i;

    for (i = 0; i < j->n; i++) {
        if (strlen(name) == j->lens[i] && memcmp(name, j->names[i], j->lens[i]) == 0) {
            return !(j->nulls & 1u << i);
        }
    }

    return 0;
}


static fn_jwt_e
fn_jwt_check(const fn_jwt_reader_t *j, int64_t now_s)
{
    const char *const      *name;
    const fn_jwt_claims_t  *c = j->claims;
    const fn_jwt_policy_t  *policy = j->policy;

    if (j->wrong || !j->has_exp || c->sub[0] == '\0' || c->role[0] == '\0'
        || (policy->audience && !j->aud_ok) || (policy->issuer && !j->iss_ok))
    {
        return FN_JWT_CLAIMS;
    }

    for (name = policy->required; name != NULL && *name != NULL; name++) {
        if (!fn_jwt_required(j, *name)) {
            return FN_JWT_CLAIMS;
        }
    }

    return fn_jwt_times(c, policy->leeway_s, now_s);
}


fn_jwt_e
fn_jwt_times(const fn_jwt_claims_t *c, unsigned leeway_s, int64_t now_s)
{
    if (c->exp + leeway_s <= now_s) {
        return FN_JWT_EXPIRED;
    }

    if (c->nbf > now_s + leeway_s || c->iat > now_s + leeway_s) {
        return FN_JWT_NOT_YET;
    }

    return FN_JWT_OK;
}


fn_jwt_e
fn_jwt_open(fn_jwt_t *t, const char *token, size_t len)
{
    char              text[FN_JWT_HEADER];
    long              n;
    const char       *dot, *dot2, *end;
    fn_jwt_reader_t   j;

    memset(t, 0, sizeof(*t));

    if (len > FN_JWT_MAX || len == 0) {
        return FN_JWT_MALFORMED;
    }

    end = token + len;
    dot = memchr(token, '.', len);
    dot2 = dot ? memchr(dot + 1, '.', (size_t) (end - dot - 1)) : NULL;
    if (dot2 == NULL || memchr(dot2 + 1, '.', (size_t) (end - dot2 - 1)) != NULL) {
        return FN_JWT_MALFORMED;
    }

    n = fn_base64url_decode(text, sizeof(text), token, (size_t) (dot - token));

    memset(&j, 0, sizeof(j));
    j.head = t;

    if (n <= 0 || fn_jwt_parse(&j, text, (size_t) n) != 0) {
        return FN_JWT_MALFORMED;
    }

    if (t->alg == FN_ALG_NONE || j.critical) {
        return FN_JWT_ALGORITHM;
    }

    if (j.typed) {
        return FN_JWT_TYPE;
    }

    t->input.p = token;
    t->input.n = (size_t) (dot2 - token);
    t->payload.p = dot + 1;
    t->payload.n = (size_t) (dot2 - dot - 1);
    t->signature.p = dot2 + 1;
    t->signature.n = (size_t) (end - dot2 - 1);

    return FN_JWT_OK;
}


/* What a token says whose signature is good. */

static fn_jwt_e
fn_jwt_read(fn_jwt_claims_t *out, const fn_jwt_policy_t *policy, const fn_jwt_t *t, int64_t now_s)
{
    char              text[FN_JWT_MAX];
    long              n;
    fn_jwt_reader_t   j;

    n = fn_base64url_decode(text, sizeof(text), t->payload.p, t->payload.n);

    memset(&j, 0, sizeof(j));
    memset(out, 0, sizeof(*out));
    j.policy = policy;
    j.claims = out;

    if (n <= 0 || fn_jwt_parse(&j, text, (size_t) n) != 0) {
        return FN_JWT_MALFORMED;
    }

    /* what the top level says goes first; there "authenticated" is the role of everybody who signed in */
    if (j.plan[0] != '\0' && out->plan[0] == '\0') {
        memcpy(out->plan, j.plan, sizeof(j.plan));
    }

    if (j.role[0] != '\0' && strcmp(out->role, "authenticated") == 0) {
        memcpy(out->role, j.role, sizeof(j.role));
    }

    return fn_jwt_check(&j, now_s);
}


/* Whether a key is to be tried, and whether the token means it: its id is the token's, or the token has none. */

static int
fn_jwt_fits(const fn_jwt_t *t, const fn_jwk_t *key, int *meant)
{
    int  same;

    same = key->kid_len == t->kid_len && memcmp(key->kid, t->kid, t->kid_len) == 0;

    if (key->kid_len != 0 && t->kid_len != 0 && !same) {
        return 0;
    }

    *meant |= same;

    return (key->algs & FN_ALG_BIT(t->alg)) != 0;
}


fn_jwt_e
fn_jwt_accept(fn_jwt_claims_t *out, const fn_jwt_t *t, const fn_jwt_trust_t *trusts, size_t n, int64_t now_s)
{
    int                     meant, tries;
    long                    len;
    size_t                  i, k, nkeys;
    fn_jwk_t                own;
    fn_jwt_e                refused;
    const fn_jwk_t         *key;
    unsigned char           sig[FN_JWT_MAX];
    const fn_jwt_policy_t  *policy;

    len = fn_base64url_decode(sig, sizeof(sig), t->signature.p, t->signature.n);
    if (len < 0) {
        return FN_JWT_MALFORMED;
    }

    memset(&own, 0, sizeof(own));
    refused = FN_JWT_OK;
    meant = 0;
    tries = 0;

    for (i = 0; i < n; i++) {
        policy = &trusts[i].policy;
        nkeys = trusts[i].keys ? trusts[i].keys->n : 0;

        own.algs = policy->key ? FN_ALG_BIT(FN_ALG_HS256) : 0;
        own.secret = (const unsigned char *) policy->key;
        own.secret_len = policy->key_len;

        for (k = 0; k <= nkeys && tries < FN_JWT_TRIES; k++) {
            key = k < nkeys ? &trusts[i].keys->keys[k] : &own;

            if (key->algs == 0 || !fn_jwt_fits(t, key, &meant)) {
                continue;
            }

            tries++;

            if (!fn_jwk_verify(key, t->alg, t->input.p, t->input.n, sig, (size_t) len)) {
                continue;
            }

            refused = fn_jwt_read(out, policy, t, now_s);

            /* the same key may be trusted for another issuer as well */
            if (refused != FN_JWT_CLAIMS) {
                return refused;
            }

            break;
        }
    }

    if (refused != FN_JWT_OK) {
        return refused;
    }

    if (t->kid_len == 0) {
        return tries == 0 ? FN_JWT_KEY : FN_JWT_SIGNATURE;
    }

    /* the key that the token means was not found; or it was, but is for another algorithm */
    return !meant ? FN_JWT_KEY : tries == 0 ? FN_JWT_ALGORITHM : FN_JWT_SIGNATURE;
}


fn_jwt_e
fn_jwt_verify(fn_jwt_claims_t *out, const fn_jwt_policy_t *policy,
              const char *token, size_t len, int64_t now_s)
{
    fn_jwt_e        e;
    fn_jwt_t        t;
    fn_jwt_trust_t  trust;

    e = fn_jwt_open(&t, token, len);
    if (e != FN_JWT_OK) {
        return e;
    }

    if (t.alg != FN_ALG_HS256) {
        return FN_JWT_ALGORITHM;
    }

    trust.policy = *policy;
    trust.keys = NULL;
    t.kid_len = 0;          /* there is one key only */

    return fn_jwt_accept(out, &t, &trust, 1, now_s);
}


const char *
fn_jwt_strerror(fn_jwt_e e)
{
    switch (e) {
    case FN_JWT_OK:        return "valid";
    case FN_JWT_MALFORMED: return "malformed";
    case FN_JWT_ALGORITHM: return "algorithm not accepted";
    case FN_JWT_SIGNATURE: return "signature does not match";
    case FN_JWT_EXPIRED:   return "expired";
    case FN_JWT_NOT_YET:   return "not valid yet";
    case FN_JWT_CLAIMS:    return "claims missing or not accepted";
    case FN_JWT_KEY:       return "unknown key";
    case FN_JWT_TYPE:      return "type not accepted";
    }

    return "unknown";
}
