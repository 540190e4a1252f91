/*
 * Cross-site request forgery: who comes with cookies has to show with each write that he can read them.
 * The handler of GET /auth/csrf hands the tokens out; the jwt module asks for the check.
 */
#include "ngx_http_fitnudge.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>


/* Double submit (docs/api.md): base64url(random || first half of HMAC-SHA256(secret, "csrf" || random)). */
#define CSRF_RANDOM     16
#define CSRF_MAC        16
#define CSRF_TOKEN_LEN  43


static ngx_int_t ngx_http_fitnudge_csrf_mac(const char *secret, const u_char *random, u_char *mac);
static ngx_uint_t ngx_http_fitnudge_csrf_valid(ngx_http_request_t *r, const ngx_str_t *token);
static ngx_int_t ngx_http_fitnudge_csrf_make(ngx_http_request_t *r, ngx_str_t *token);


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
