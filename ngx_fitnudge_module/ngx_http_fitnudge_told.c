/*
 * Reads whose answers the pool is told of (FN_R_TOLD): a read changes nothing, and that somebody has seen an experiment's variant is a
 * change.  Nobody waits for the job; if Redis is away it is lost, and the next answer tells of it again.
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


static void ngx_http_fitnudge_told_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);


void
ngx_http_fitnudge_told(ngx_http_request_t *r, const fn_route_t *route)
{
    ngx_http_fitnudge_forward_t  fw;

    static const fn_buf_t  nothing = { "{}", 2, 3, 0 };

    ngx_memzero(&fw, sizeof(fw));
    ngx_http_fitnudge_tell(r, &fw, route, route->function, &nothing);
}


void
ngx_http_fitnudge_tell(ngx_http_request_t *r, ngx_http_fitnudge_forward_t *fw, const fn_route_t *route, const char *job, const fn_buf_t *body)
{
    char                                  key[64];
    size_t                                lens[3];
    fn_buf_t                              envelope = FN_BUF_INIT;
    const char                           *argv[3];
    ngx_int_t                             rc;
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fw->request = r;
    fw->ctx = ngx_http_fitnudge_ctx(r);
    fw->route = route;
    fw->job = fn_job_find(job, ngx_strlen(job));
    fw->if_match = -1;
    fw->async = 1;

    rc = NGX_ERROR;

    if (fw->ctx != NULL && fw->job != NULL && ngx_http_fitnudge_forward_envelope(fw, body, &envelope) == NGX_OK) {
        fmcf = ngx_http_fitnudge_main_conf(r);
        op = ngx_fitnudge_op_create(NULL, fmcf->redis_timeout, ngx_http_fitnudge_told_done, NULL);

        if (op != NULL) {
            argv[0] = "LPUSH";
            argv[1] = key;
            argv[2] = envelope.data;
            lens[0] = 5;
            lens[1] = snprintf(key, sizeof(key), FN_K_QUEUE, fw->job->lane, fw->job->prio);
            lens[2] = envelope.len;

            rc = ngx_fitnudge_redis_command(op, 3, argv, lens);
        }
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0, "fitnudge: the pool cannot be told of an answer of \"%s\"", route->function);
    }

    fn_buf_free(&envelope);
}


static void
ngx_http_fitnudge_told_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    redisReply  *rep = reply;

    (void) op;

    if (rc != NGX_OK || rep->type != REDIS_REPLY_INTEGER) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "fitnudge: redis did not take word of an answer");
    }
}
