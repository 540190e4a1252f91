/*
 * Who is asking: verifies access tokens in the preaccess phase, before the limits, and in the access phase refuses
 * those who may not, and those who come with cookies without their CSRF token.  Routes for anyone are let through unread.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_shm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>


/* Double submit (docs/api.md): base64url(random || first half of HMAC-SHA256(secret, "csrf" || random)). */
#define CSRF_RANDOM     16
#define CSRF_MAC        16
#define CSRF_TOKEN_LEN  43

#define LEEWAY_S        5


static ngx_int_t ngx_http_fitnudge_jwt_identify(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_jwt_authorize(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_jwt_token(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    ngx_str_t *token);
static ngx_int_t ngx_http_fitnudge_csrf_mac(const char *secret, const u_char *random, u_char *mac);
static ngx_uint_t ngx_http_fitnudge_csrf_valid(ngx_http_request_t *r, const ngx_str_t *token);
static ngx_int_t ngx_http_fitnudge_csrf_make(ngx_http_request_t *r, ngx_str_t *token);
static ngx_int_t ngx_http_fitnudge_jwt_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_fitnudge_jwt_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_fitnudge_jwt_init,            /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_jwt_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_jwt_module_ctx,     /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* PREACCESS, before the limits: who it is.  A token that is not good is only noted; the limits then count the address. */

static ngx_int_t
ngx_http_fitnudge_jwt_identify(ngx_http_request_t *r)
{
    fn_jwt_e                              e;
    ngx_str_t                             token;
    const fn_route_match_t               *m;
    ngx_http_fitnudge_ctx_t              *ctx;
    const ngx_http_fitnudge_loc_conf_t   *flcf;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL || ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->authenticated = 0;
    ctx->by_cookie = 0;
    ctx->token = NGX_FITNUDGE_TOKEN_NONE;

    if (m->route == NULL || m->route->who == FN_ANYONE || ngx_http_fitnudge_jwt_token(r, ctx, &token) != NGX_OK) {
        return NGX_DECLINED;
    }

    fmcf = ngx_http_fitnudge_main_conf(r);

    e = fn_jwt_verify(&ctx->claims, &fmcf->jwt, (const char *) token.data, token.len, ngx_time());

    if (e == FN_JWT_EXPIRED) {
        ctx->token = NGX_FITNUDGE_TOKEN_EXPIRED;
        ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_EXPIRED, 1);
        return NGX_DECLINED;
    }

    if (e != FN_JWT_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "fitnudge: access token refused: %s", fn_jwt_strerror(e));

        ctx->token = NGX_FITNUDGE_TOKEN_INVALID;
        ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_INVALID, 1);
        return NGX_DECLINED;
    }

    if (ctx->claims.session_id[0] != '\0'
        && ngx_fitnudge_shm_revoked((u_char *) ctx->claims.session_id, ngx_time()))
    {
        ctx->token = NGX_FITNUDGE_TOKEN_REVOKED;
        ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_REVOKED, 1);
        return NGX_DECLINED;
    }

    ctx->token = NGX_FITNUDGE_TOKEN_VALID;
    ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_VALID, 1);
    ctx->authenticated = 1;

    return NGX_DECLINED;
}


/* ACCESS: whether it may. */

static ngx_int_t
ngx_http_fitnudge_jwt_authorize(ngx_http_request_t *r)
{
    const fn_route_match_t              *m;
    ngx_http_fitnudge_ctx_t             *ctx;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (m->route == NULL || m->route->who == FN_ANYONE) {
        return NGX_DECLINED;
    }

    switch (ctx->token) {

    case NGX_FITNUDGE_TOKEN_VALID:
        break;

    case NGX_FITNUDGE_TOKEN_AMBIGUOUS:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, "Authorization", "duplicate_field",
                                        "Only one Authorization header is allowed.");

    case NGX_FITNUDGE_TOKEN_EXPIRED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "expired",
                                        "The access token has expired.");

    case NGX_FITNUDGE_TOKEN_REVOKED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "revoked",
                                        "The session has ended; sign in again.");

    case NGX_FITNUDGE_TOKEN_INVALID:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "invalid",
                                        "The access token is not valid.");

    default:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "required", NULL);
    }

    if (ctx->by_cookie && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS))
        && ngx_http_fitnudge_csrf_check(r) != NGX_OK)
    {
        return ngx_http_fitnudge_reject(r, NGX_HTTP_FORBIDDEN, NULL, "csrf",
                                        "X-CSRF-Token is missing or does not match its cookie.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_jwt_token(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx, ngx_str_t *token)
{
    u_char  *p, *last;

    /* two of them: who is meant is anybody's guess, and proxies guess differently */
    if (ctx->nauthorization > 1) {
        ctx->token = NGX_FITNUDGE_TOKEN_AMBIGUOUS;
        return NGX_DECLINED;
    }

    if (ctx->nauthorization == 1 && r->headers_in.authorization != NULL) {
        p = r->headers_in.authorization->value.data;
        last = p + r->headers_in.authorization->value.len;

        if (last - p > 7 && ngx_strncasecmp(p, (u_char *) "Bearer ", 7) == 0) {
            p += 7;

            while (p < last && *p == ' ') {
                p++;
            }

            token->data = p;
            token->len = last - p;

            return NGX_OK;
        }
    }

    if (ngx_http_fitnudge_cookie(r, "access_token", token) == NGX_OK && token->len > 0) {
        ctx->by_cookie = 1;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_fitnudge_csrf_check(ngx_http_request_t *r)
{
    ngx_str_t         cookie;
    ngx_table_elt_t  *h;

    h = ngx_http_fitnudge_find_header(r, "x-csrf-token");

    if (h == NULL || h->value.len != CSRF_TOKEN_LEN
        || ngx_http_fitnudge_cookie(r, "csrf_token", &cookie) != NGX_OK
        || cookie.len != CSRF_TOKEN_LEN
        || CRYPTO_memcmp(cookie.data, h->value.data, CSRF_TOKEN_LEN) != 0
        || !ngx_http_fitnudge_csrf_valid(r, &cookie))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_csrf_mac(const char *secret, const u_char *random, u_char *mac)
{
    u_char    text[4 + CSRF_RANDOM], digest[EVP_MAX_MD_SIZE];
    unsigned  len;

    ngx_memcpy(text, "csrf", 4);
    ngx_memcpy(text + 4, random, CSRF_RANDOM);

    if (HMAC(EVP_sha256(), secret, ngx_strlen(secret), text, sizeof(text), digest, &len) == NULL
        || len < CSRF_MAC)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(mac, digest, CSRF_MAC);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_fitnudge_csrf_valid(ngx_http_request_t *r, const ngx_str_t *token)
{
    u_char                                bytes[CSRF_TOKEN_LEN], mac[CSRF_MAC];
    ngx_str_t                             src, dst;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    if (fmcf->settings.csrf_secret == NULL || token->len != CSRF_TOKEN_LEN) {
        return 0;
    }

    src = *token;
    dst.data = bytes;

    return ngx_decode_base64url(&dst, &src) == NGX_OK
           && dst.len == CSRF_RANDOM + CSRF_MAC
           && ngx_http_fitnudge_csrf_mac(fmcf->settings.csrf_secret, bytes, mac) == NGX_OK
           && CRYPTO_memcmp(mac, bytes + CSRF_RANDOM, CSRF_MAC) == 0;
}


static ngx_int_t
ngx_http_fitnudge_csrf_make(ngx_http_request_t *r, ngx_str_t *token)
{
    u_char                                bytes[CSRF_RANDOM + CSRF_MAC];
    ngx_str_t                             src;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    if (RAND_bytes(bytes, CSRF_RANDOM) != 1
        || ngx_http_fitnudge_csrf_mac(fmcf->settings.csrf_secret, bytes, bytes + CSRF_RANDOM) != NGX_OK)
    {
        return NGX_ERROR;
    }

    token->data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(sizeof(bytes)));
    if (token->data == NULL) {
        return NGX_ERROR;
    }

    src.data = bytes;
    src.len = sizeof(bytes);

    ngx_encode_base64url(token, &src);

    return NGX_OK;
}


ngx_int_t
ngx_http_fitnudge_csrf_handler(ngx_http_request_t *r)
{
    u_char                               *p;
    size_t                                size;
    ngx_str_t                             token, body, cookie;
    const char                           *secure;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    if (fmcf->settings.csrf_secret == NULL) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL,
                                       "Sign-in by cookies is not set up here.");
    }

    /* a token that is still good is kept, or a second tab would break the first */

    if (ngx_http_fitnudge_cookie(r, "csrf_token", &token) != NGX_OK
        || !ngx_http_fitnudge_csrf_valid(r, &token))
    {
        if (ngx_http_fitnudge_csrf_make(r, &token) != NGX_OK) {
            return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
        }
    }

    secure = "";

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        secure = "; Secure";
    }
#endif

    size = 2 * token.len + 128;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = ngx_snprintf(p, size, "{\"csrf_token\":\"%V\"}", &token) - p;

    cookie.data = p + body.len;
    cookie.len = ngx_slprintf(cookie.data, p + size, "csrf_token=%V; Path=/; SameSite=Strict%s",
                              &token, secure)
                 - cookie.data;

    if (ngx_http_fitnudge_header(r, "Set-Cookie", cookie.data, cookie.len) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, &body, 0);
}


static ngx_int_t
ngx_http_fitnudge_jwt_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt            *h;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    /* the base module has seen to it that there is a secret */
    fmcf->jwt.key = fmcf->settings.jwt_secret;
    fmcf->jwt.key_len = ngx_strlen(fmcf->settings.jwt_secret);
    fmcf->jwt.issuer = fmcf->settings.jwt_issuer;
    fmcf->jwt.audience = "authenticated";
    fmcf->jwt.leeway_s = LEEWAY_S;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_jwt_identify;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_jwt_authorize;

    return NGX_OK;
}
