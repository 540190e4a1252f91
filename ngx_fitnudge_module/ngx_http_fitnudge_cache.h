/* Between the query module, which asks, and the cache module, which asks only when it has to. */
#ifndef NGX_HTTP_FITNUDGE_CACHE_H
#define NGX_HTTP_FITNUDGE_CACHE_H

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg.h"

/* A read, ready to be sent. */
typedef struct {
    const fn_route_t         *route;
    ngx_fitnudge_pg_target_e  target;
    ngx_int_t                 statement;
    ngx_uint_t                n;
    const char *const        *values;       /* the user, then route->params; NUL-terminated or NULL */
} ngx_http_fitnudge_question_t;

/*
 * Answers a read from the cache or, when that is not possible, makes one process ask PostgreSQL once. Returns what a content handler
 * returns; NGX_DECLINED: this read is not cached here, ask for it.
 */
ngx_int_t ngx_http_fitnudge_cache_handler(ngx_http_request_t *r, const ngx_http_fitnudge_question_t *q);

/* query module: as ngx_http_fitnudge_query_result, but the result stays the caller's. */
ngx_int_t ngx_http_fitnudge_query_look(ngx_http_request_t *r, ngx_int_t rc, void *reply, ngx_str_t *body);

#endif
