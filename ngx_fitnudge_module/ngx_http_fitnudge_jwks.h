/* The key sets that tokens are verified with: from files, or fetched through locations. Private to the jwt module. */
#ifndef NGX_HTTP_FITNUDGE_JWKS_H
#define NGX_HTTP_FITNUDGE_JWKS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../worker/libfitnudge/fn_jwt.h"

#define NGX_HTTP_FITNUDGE_JWKS_MAX  4       /* fitnudge_jwks directives */

/* One fitnudge_jwks, const at request time. */
typedef struct {
    ngx_str_t             name;         /* as written: file:/path or /uri */
    ngx_http_conf_ctx_t  *conf_ctx;     /* server whose location it is; NULL: a file */
    fn_jwks_t            *keys;         /* of the file */
    char                 *issuer;       /* NULL: that of our own tokens */
    char                 *audience;     /* NULL: the same */
    ngx_msec_t            ttl;
    ngx_msec_t            cooldown;     /* between fetches for unknown ids */
    ngx_msec_t            timeout;      /* of a fetch, and of who waits for one */
    uint64_t              hash;         /* of name, issuer and place */
} ngx_http_fitnudge_jwks_source_t;

/* Reads the arguments of the n-th directive into a zeroed element. */
char *ngx_http_fitnudge_jwks_configure(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source, ngx_uint_t n);

/* The zone in which fetched documents outlive a process. */
ngx_shm_zone_t *ngx_http_fitnudge_jwks_add_zone(ngx_conf_t *cf);

/*
 * Worker process: trusts are those of `n` sources and of our own keys, `own`, which come last. Begins to fetch what is
 * not there.
 */
void ngx_http_fitnudge_jwks_start(ngx_shm_zone_t *zone, const ngx_http_fitnudge_jwks_source_t *sources, ngx_uint_t n,
    const fn_jwt_trust_t *own);

/* The trusts as they are now; *generation changes with any of their keys. Returns how many. */
ngx_uint_t ngx_http_fitnudge_jwks_trusts(const fn_jwt_trust_t **trusts, uint64_t *generation);

/*
 * No key is known for the token of a request in a phase before content. NGX_AGAIN: the phase is run again when that may
 * have changed. NGX_DECLINED: there is no such key. NGX_ERROR: that cannot be found out now.
 * *deadline: of the request, 0 at first.
 */
ngx_int_t ngx_http_fitnudge_jwks_wait(ngx_http_request_t *r, const fn_jwt_t *t, ngx_msec_t *deadline, void (*woken)(ngx_http_request_t *r));

#endif
