/*
 * The C steps of auth.signup, auth.login and auth.refresh: hashing before the commit, tokens after it.
 *
 * Nothing secret is stored: the database has the password's hash and the refresh token's SHA-256, and the
 * tokens are made in render, from the job's id, so that a job delivered twice gives the same session.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "../libfitnudge/fn_jwt.h"
#include "../libfitnudge/fn_key_pair.h"
#include "../libfitnudge/fn_time.h"
#include "../libfitnudge/fn_uuid.h"
#include "digest.h"
#include "jobs.h"
#include "json_get.h"
#include "password.h"

#define FN_REFRESH_LABEL  "fitnudge refresh token\n"
#define FN_REFRESH_PATH   "/api/v1/auth"

static int fn_auth_refresh_token(fn_buf_t *b, const fn_settings_t *s, const fn_span_t *id);
static int fn_auth_add_common(fn_buf_t *ctx, const fn_settings_t *s, const fn_span_t *id);
static int fn_auth_pair(const fn_settings_t *s, const fn_jwk_t **pair);
static int fn_auth_access_token(fn_buf_t *b, const fn_settings_t *s, const char *user, const fn_json_field_t *session);
static void fn_auth_add_cookie(fn_buf_t *b, const char *name, const fn_buf_t *value, const char *path,
                               int64_t ttl_ms, int secure);
static void fn_auth_wipe(fn_buf_t *b);

enum { FN_SESSION_USER, FN_SESSION_USER_ID, FN_SESSION_ID, FN_SESSION_ROLE, FN_SESSION_PLAN };


fn_step_e
fn_auth_signup_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                     const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    char             hash[FN_PASSWORD_HASH_MAX];
    fn_step_e        step;
    fn_json_field_t  req[] = { FN_JSON_FIELD("body.password"), FN_JSON_END };

    (void) prepared;
    (void) prepared_len;
    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_json_get(env->body.p, env->body.n, req) == 0
        && req[0].type == FN_JSON_STRING
        && fn_password_hash(hash, fn_json_text(&req[0]), req[0].text.len) == 0)
    {
        fn_buf_adds(ctx, "{\"password_hash\":");
        fn_buf_add_json_string(ctx, hash, strlen(hash));
        fn_buf_adds(ctx, ",");

        if (fn_code_add_hash(ctx, s, &env->id) == 0) {
            fn_buf_adds(ctx, ",");

            if (fn_auth_add_common(ctx, s, &env->id) == 0) {
                step = FN_STEP_COMMIT;
            }
        }
    }

    fn_json_free(req);

    return step;
}


fn_step_e
fn_auth_login_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                    const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    int              ok, rehash;
    char             hash[FN_PASSWORD_HASH_MAX];
    fn_step_e        step;
    fn_json_field_t  req[] = { FN_JSON_FIELD("body.password"), FN_JSON_END };
    fn_json_field_t  known[] = { FN_JSON_FIELD("user_id"), FN_JSON_FIELD("hash"), FN_JSON_END };

    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_json_get(env->body.p, env->body.n, req) != 0
        || req[0].type != FN_JSON_STRING
        || fn_json_get(prepared, prepared_len, known) != 0)
    {
        goto done;
    }

    /* Also for an unknown address: it takes as long as a wrong password. */
    ok = fn_password_verify(fn_json_text(&known[1]), fn_json_text(&req[0]), req[0].text.len, &rehash);

    if (known[0].type != FN_JSON_STRING) {
        ok = 0;
    }

    hash[0] = '\0';

    /* A failed rehash is no reason to refuse the sign-in: the old hash stays. */
    if (ok && rehash) {
        (void) fn_password_hash(hash, fn_json_text(&req[0]), req[0].text.len);
    }

    fn_buf_addf(ctx, "{\"ok\":%s,\"user_id\":", ok ? "true" : "false");
    fn_json_add_raw(ctx, &known[0]);
    fn_buf_adds(ctx, ",\"hash\":");
    fn_json_add_raw(ctx, &known[1]);
    fn_buf_adds(ctx, ",\"rehash\":");

    if (hash[0] != '\0') {
        fn_buf_add_json_string(ctx, hash, strlen(hash));
    } else {
        fn_buf_adds(ctx, "null");
    }

    fn_buf_adds(ctx, ",");

    if (fn_auth_add_common(ctx, s, &env->id) == 0) {
        step = FN_STEP_COMMIT;
    }

done:

    fn_json_free(req);
    fn_json_free(known);

    return step;
}


fn_step_e
fn_auth_refresh_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                      const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    char             presented[FN_SHA256_HEX + 1];
    fn_step_e        step;
    fn_json_field_t  req[] = { FN_JSON_FIELD("body.refresh_token"), FN_JSON_END };

    (void) prepared;
    (void) prepared_len;
    (void) cache;

    step = FN_STEP_DEAD;

    /* Without a token the digest of nothing is looked up, and SQL answers as for any unknown one. */
    if (fn_json_get(env->body.p, env->body.n, req) == 0
        && fn_sha256_hex(presented, fn_json_text(&req[0]), req[0].text.len) == 0)
    {
        fn_buf_addf(ctx, "{\"presented_hash\":\"%s\",", presented);

        if (fn_auth_add_common(ctx, s, &env->id) == 0) {
            step = FN_STEP_COMMIT;
        }
    }

    fn_json_free(req);

    return step;
}


int
fn_auth_render(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len,
               const fn_settings_t *s, fn_cache_t *cache, const char *commit_ctx, size_t commit_ctx_len,
               fn_buf_t *out_body, fn_buf_t *out_headers)
{
    int              rc, cookie, secure;
    fn_buf_t         access = FN_BUF_INIT, refresh = FN_BUF_INIT;
    fn_json_field_t  meta[] = { FN_JSON_FIELD("meta.cookie"), FN_JSON_FIELD("meta.tls"), FN_JSON_END };
    fn_json_field_t  got[] = {
        FN_JSON_FIELD("user"), FN_JSON_FIELD("user.id"),
        FN_JSON_FIELD("session.id"), FN_JSON_FIELD("session.role"), FN_JSON_FIELD("session.plan"), FN_JSON_END
    };

    (void) cache;
    (void) commit_ctx;
    (void) commit_ctx_len;

    if (status < 200 || status > 299) {
        fn_buf_add(out_body, body, body_len);
        return out_body->failed ? -1 : 0;
    }

    rc = -1;

    if (fn_json_get(env->body.p, env->body.n, meta) != 0
        || fn_json_get(body, body_len, got) != 0
        || got[FN_SESSION_USER].type != FN_JSON_OBJECT
        || fn_auth_refresh_token(&refresh, s, &env->id) != 0
        || fn_auth_access_token(&access, s, fn_json_text(&got[FN_SESSION_USER_ID]), &got[FN_SESSION_ID]) != 0)
    {
        goto done;
    }

    cookie = meta[0].type == FN_JSON_BOOL && meta[0].number;
    secure = meta[1].type == FN_JSON_BOOL && meta[1].number;

    fn_buf_adds(out_body, "{\"user\":");
    fn_json_add_raw(out_body, &got[FN_SESSION_USER]);

    if (cookie) {
        fn_auth_add_cookie(out_headers, "access_token", &access, "/", s->access_ttl_ms, secure);
        fn_auth_add_cookie(out_headers, "refresh_token", &refresh, FN_REFRESH_PATH, s->refresh_ttl_ms, secure);

    } else {
        /* Both tokens are base64url with dots: nothing to escape. */
        fn_buf_addf(out_body, ",\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"token_type\":\"Bearer\"",
                    access.data, refresh.data);
    }

    fn_buf_addf(out_body, ",\"expires_in\":%lld}", (long long) (s->access_ttl_ms / 1000));

    rc = out_body->failed || out_headers->failed ? -1 : 0;

done:

    fn_auth_wipe(&access);
    fn_auth_wipe(&refresh);
    fn_json_free(meta);
    fn_json_free(got);

    return rc;
}


/* base64url(HMAC-SHA256(jwt_secret, label || job id)): 43 characters, the same for every delivery of the job. */
static int
fn_auth_refresh_token(fn_buf_t *b, const fn_settings_t *s, const fn_span_t *id)
{
    char           text[sizeof(FN_REFRESH_LABEL) + FN_UUID_LEN];
    unsigned       n;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    if (s->jwt_secret == NULL || id->n != FN_UUID_LEN) {
        return -1;
    }

    memcpy(text, FN_REFRESH_LABEL, sizeof(FN_REFRESH_LABEL) - 1);
    memcpy(text + sizeof(FN_REFRESH_LABEL) - 1, id->p, id->n);

    if (HMAC(EVP_sha256(), s->jwt_secret, (int) strlen(s->jwt_secret),
             (unsigned char *) text, sizeof(FN_REFRESH_LABEL) - 1 + id->n, mac, &n) == NULL)
    {
        return -1;
    }

    fn_base64url_encode(b, mac, n);
    OPENSSL_cleanse(mac, sizeof(mac));

    return b->failed ? -1 : 0;
}


/* The end of every context: the new token's hash and how long the tokens live. Closes the object. */
static int
fn_auth_add_common(fn_buf_t *ctx, const fn_settings_t *s, const fn_span_t *id)
{
    int       rc;
    char      hash[FN_SHA256_HEX + 1];
    fn_buf_t  token = FN_BUF_INIT;

    rc = -1;

    if (fn_auth_refresh_token(&token, s, id) == 0 && fn_sha256_hex(hash, token.data, token.len) == 0) {
        fn_buf_addf(ctx, "\"token_hash\":\"%s\",\"refresh_ttl_s\":%lld,\"access_ttl_s\":%lld}", hash,
                    (long long) (s->refresh_ttl_ms / 1000), (long long) (s->access_ttl_ms / 1000));
        rc = ctx->failed ? -1 : 0;
    }

    fn_auth_wipe(&token);

    return rc;
}


/* The key pair that signs, NULL: the secret does. Read once: a process keeps its settings. 0 or -1. */
static int
fn_auth_pair(const fn_settings_t *s, const fn_jwk_t **pair)
{
    const char         *err;
    static fn_jwks_t   *pairs;
    static const char  *from;

    *pair = NULL;

    if (s->jwt_keys == NULL) {
        return 0;
    }

    if (from != s->jwt_keys) {
        fn_jwks_free(pairs);
        pairs = fn_key_pairs_parse(s->jwt_keys, &err);
        from = pairs ? s->jwt_keys : NULL;
    }

    if (pairs == NULL) {
        return -1;
    }

    *pair = &pairs->keys[0];

    return 0;
}


/* `session` points to the fields id, role, plan. */
static int
fn_auth_access_token(fn_buf_t *b, const fn_settings_t *s, const char *user, const fn_json_field_t *session)
{
    uint64_t          now;
    const fn_jwk_t   *pair;
    fn_jwt_claims_t   claims;
    fn_jwt_policy_t   policy;

    memset(&claims, 0, sizeof(claims));
    memset(&policy, 0, sizeof(policy));

    now = fn_now_ms();

    if (fn_uuid_v7(claims.jti, now) != 0 || strlen(user) != FN_UUID_LEN
        || strlen(fn_json_text(&session[0])) != FN_UUID_LEN)
    {
        return -1;
    }

    snprintf(claims.sub, sizeof(claims.sub), "%s", user);
    snprintf(claims.session_id, sizeof(claims.session_id), "%s", fn_json_text(&session[0]));
    snprintf(claims.role, sizeof(claims.role), "%s", fn_json_text(&session[1]));
    snprintf(claims.plan, sizeof(claims.plan), "%s", fn_json_text(&session[2]));

    claims.iat = (int64_t) (now / 1000);
    claims.exp = claims.iat + s->access_ttl_ms / 1000;

    policy.key = s->jwt_secret;
    policy.key_len = strlen(s->jwt_secret);
    policy.issuer = s->jwt_issuer;
    policy.audience = s->jwt_audience;

    if (fn_auth_pair(s, &pair) != 0) {
        return -1;
    }

    return fn_jwt_sign_with(b, &policy, pair, &claims) == 0 && !b->failed ? 0 : -1;
}


static void
fn_auth_add_cookie(fn_buf_t *b, const char *name, const fn_buf_t *value, const char *path, int64_t ttl_ms, int secure)
{
    fn_buf_addf(b, "Set-Cookie: %s=%s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Strict%s\n",
                name, value->data, path, (long long) (ttl_ms / 1000), secure ? "; Secure" : "");
}


static void
fn_auth_wipe(fn_buf_t *b)
{
    if (b->data != NULL) {
        OPENSSL_cleanse(b->data, b->size);
    }

    fn_buf_free(b);
}
