/* Inside the forward module: a write on its way from the client to a queue. */
#ifndef NGX_HTTP_FITNUDGE_FORWARD_H
#define NGX_HTTP_FITNUDGE_FORWARD_H

#include "ngx_http_fitnudge.h"
#include "../worker/libfitnudge/fn_query.h"
#include "../worker/libfitnudge/fn_uuid.h"

/* Lives in r->pool. `finished` is set by whoever finalizes; what arrives later is ignored. */
typedef struct {
    ngx_http_request_t       *request;
    ngx_http_fitnudge_ctx_t  *ctx;
    const fn_route_t         *route;
    const fn_job_t           *job;
    const char               *values[FN_PARAMS_MAX];    /* of route->params */
    ngx_str_t                 key;              /* Idempotency-Key or empty */
    ngx_int_t                 if_match;         /* version, or -1 */
    char                      id[FN_UUID_LEN + 1];
    ngx_uint_t                acks;             /* Redis answers still to come before the 202 */
    unsigned                  cookie:1;         /* tokens of the answer become cookies */
    unsigned                  preferred:1;      /* Prefer: respond-async */
    unsigned                  async:1;          /* that, or the deadline has passed */
    unsigned                  sending:1;
    unsigned                  failed:1;
    unsigned                  finished:1;
} ngx_http_fitnudge_forward_t;

/*
 * ngx_http_fitnudge_forward_request.c: from the request to the envelope.
 * Each returns NGX_OK, or NGX_DECLINED after an error was sent, with its result in *rc.
 */
ngx_int_t ngx_http_fitnudge_forward_headers(ngx_http_fitnudge_forward_t *fw, ngx_int_t *rc);
ngx_int_t ngx_http_fitnudge_forward_body(ngx_http_fitnudge_forward_t *fw, fn_buf_t *body, ngx_int_t *rc);

/* Chooses the id and appends the envelope of a normalised body. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_fitnudge_forward_envelope(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *body, fn_buf_t *out);

/* ngx_http_fitnudge_told.c: queues a job that nobody waits for; fw is zeroed but for the values of route->params, which become the job's. */
void ngx_http_fitnudge_tell(ngx_http_request_t *r, ngx_http_fitnudge_forward_t *fw, const fn_route_t *route, const char *job, const fn_buf_t *body);

#endif
