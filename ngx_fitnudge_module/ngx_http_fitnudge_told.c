/*
 * Jobs beside an answer: what the pool is told of reads (FN_R_TOLD), since that somebody has seen something is a change, and of links of
 * mails.  Nobody waits for them; if Redis is away they are lost, and the answer is the same.
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


static void ngx_http_fitnudge_told_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);


void
ngx_http_fitnudge_tell(ngx_http_request_t *r, const char *job, const char *const *values, const char *text)
{
    char                                  key[64];
    size_t                                lens[3];
    fn_buf_t                              body = FN_BUF_INIT, envelope = FN_BUF_INIT;
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    const char                           *argv[3];
    const fn_field_t                     *f;
    ngx_fitnudge_op_t                    *op;
    ngx_http_fitnudge_forward_t           fw;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    ngx_memzero(&fw, sizeof(fw));

    fw.request = r;
    fw.ctx = ngx_http_fitnudge_ctx(r);
    fw.route = ngx_http_fitnudge_route_of(r)->route;
    fw.job = fn_job_find(job, ngx_strlen(job));
    fw.if_match = -1;
    fw.async = 1;

    for (f = fw.route->params, i = 0; values != NULL && f != NULL && f->name != NULL; f++, i++) {
        fw.values[i] = values[i];
    }

    rc = NGX_ERROR;
    fn_buf_adds(&body, text);

    if (fw.ctx != NULL && fw.job != NULL && ngx_http_fitnudge_forward_envelope(&fw, &body, &envelope) == NGX_OK) {
        fmcf = ngx_http_fitnudge_main_conf(r);
        op = ngx_fitnudge_op_create(NULL, fmcf->redis_timeout, ngx_http_fitnudge_told_done, NULL);

        if (op != NULL) {
            argv[0] = "LPUSH";
            argv[1] = key;
            argv[2] = envelope.data;
            lens[0] = 5;
            lens[1] = snprintf(key, sizeof(key), FN_K_QUEUE, fw.job->lane, fw.job->prio);
            lens[2] = envelope.len;

            rc = ngx_fitnudge_redis_command(op, 3, argv, lens);
        }
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0, "fitnudge: the pool cannot be told by \"%s\"", job);
    }

    fn_buf_free(&body);
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
