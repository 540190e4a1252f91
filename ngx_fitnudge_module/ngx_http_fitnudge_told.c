/*
 * Jobs beside an answer: what the pool is told of reads (FN_R_TOLD), since that somebody has seen something is a change, and of links of
 * mails.  Nobody waits for them; if Redis is away they are lost, and the answer is the same.  Only what has to be on record (FN_R_AUDITED) is
 * answered after Redis has the job, or not at all.
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


static ngx_int_t ngx_http_fitnudge_told_send(ngx_http_request_t *r, ngx_fitnudge_op_t *op, const char *job, const char *const *values,
    const char *text);
static void ngx_http_fitnudge_told_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);


void
ngx_http_fitnudge_tell(ngx_http_request_t *r, const char *job, const char *const *values, const char *text)
{
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    op = ngx_fitnudge_op_create(NULL, fmcf->redis_timeout, ngx_http_fitnudge_told_done, NULL);

    if (op == NULL || ngx_http_fitnudge_told_send(r, op, job, values, text) != NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0, "fitnudge: the pool cannot be told by \"%s\"", job);
    }
}


ngx_int_t
ngx_http_fitnudge_tell_first(ngx_http_request_t *r, const char *job, const char *text, ngx_fitnudge_op_pt done, void *data)
{
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    op = ngx_fitnudge_op_create(r, fmcf->redis_timeout, done, data);
    if (op == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_fitnudge_told_send(r, op, job, NULL, text);
}


/* NGX_OK; else the op is gone, and its done is not called. */

static ngx_int_t
ngx_http_fitnudge_told_send(ngx_http_request_t *r, ngx_fitnudge_op_t *op, const char *job, const char *const *values, const char *text)
{
    char                                  key[64];
    size_t                                lens[3];
    fn_buf_t                              body = FN_BUF_INIT, envelope = FN_BUF_INIT;
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    const char                           *argv[3];
    const fn_field_t                     *f;
    ngx_http_fitnudge_forward_t           fw;

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
        argv[0] = "LPUSH";
        argv[1] = key;
        argv[2] = envelope.data;
        lens[0] = 5;
        lens[1] = snprintf(key, sizeof(key), FN_K_QUEUE, fw.job->lane, fw.job->prio);
        lens[2] = envelope.len;

        rc = ngx_fitnudge_redis_command(op, 3, argv, lens);

    } else {
        ngx_fitnudge_op_free(op);
    }

    fn_buf_free(&body);
    fn_buf_free(&envelope);

    return rc;
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
