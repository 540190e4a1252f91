/*
 * Writes: validated, put into an envelope, LPUSHed to their lane; the answer
 * comes back on this process's reply list.  An answer that does not come in time
 * becomes 202 and a job to ask for.
 *
 *   handler -> body read -> wait op + push op -> reply | 503 | deadline -> note job -> 202
 *                        -> push op + note op (respond-async) -> 202 | 503
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_http_fitnudge_query.h"
#include "ngx_fitnudge_pg.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_orders.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


/* Framing of a chunked body shares the buffer with its bytes. */
#define BODY_FRAMES    (16 * 1024)

/* Below it bodies of services may be larger, where nginx.conf has a location for it. */
#define WEBHOOKS       "/api/v1/webhooks"

#define JOB_TTL        "86400"
#define QUEUE_MAX      10000           /* default of fitnudge_queue_max */
#define QUEUE_AGE      60000           /* and of fitnudge_queue_age, ms */


typedef struct {
    ngx_int_t                    job_get;       /* statement */
    ngx_fitnudge_queue_limits_t  queue;
} ngx_http_fitnudge_forward_main_conf_t;


static void ngx_http_fitnudge_forward_received(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_forward_send(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *envelope);
static ngx_int_t ngx_http_fitnudge_forward_wait(ngx_http_fitnudge_forward_t *fw);
static ngx_int_t ngx_http_fitnudge_forward_push(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *envelope);
static ngx_int_t ngx_http_fitnudge_forward_note(ngx_http_fitnudge_forward_t *fw);
static void ngx_http_fitnudge_forward_push_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_http_fitnudge_forward_note_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_http_fitnudge_forward_acknowledged(ngx_http_fitnudge_forward_t *fw, ngx_uint_t ok);
static void ngx_http_fitnudge_forward_wait_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_forward_reply(ngx_http_request_t *r, const fn_reply_env_t *env);
static ngx_int_t ngx_http_fitnudge_forward_accepted(ngx_http_fitnudge_forward_t *fw);
static void ngx_http_fitnudge_forward_finish(ngx_http_fitnudge_forward_t *fw, ngx_int_t rc);
static ngx_int_t ngx_http_fitnudge_unavailable(ngx_http_request_t *r);

static void ngx_http_fitnudge_job_found(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_job_ask_redis(ngx_http_request_t *r, const char *id);
static void ngx_http_fitnudge_job_noted(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_job_send(ngx_http_request_t *r, ngx_uint_t status, const char *id,
    const u_char *state, size_t len);

static void *ngx_http_fitnudge_forward_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_forward_init_main_conf(ngx_conf_t *cf, void *conf);
static char *ngx_http_fitnudge_forward_queue_age(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_forward_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_fitnudge_forward_init(ngx_conf_t *cf);


static ngx_conf_num_bounds_t  ngx_http_fitnudge_queue_max_bounds = { ngx_conf_check_num_bounds, 0, 10000000 };

static ngx_command_t  ngx_http_fitnudge_forward_commands[] = {

    { ngx_string("fitnudge_queue_max"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_forward_main_conf_t, queue.depth),
      &ngx_http_fitnudge_queue_max_bounds },

    { ngx_string("fitnudge_queue_age"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_forward_queue_age,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_forward_main_conf_t, queue.age),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_fitnudge_forward_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_fitnudge_forward_init,        /* postconfiguration */

    ngx_http_fitnudge_forward_create_main_conf, /* create main configuration */
    ngx_http_fitnudge_forward_init_main_conf, /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    ngx_http_fitnudge_forward_merge_loc_conf /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_forward_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_forward_module_ctx, /* module context */
    ngx_http_fitnudge_forward_commands,    /* module directives */
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


ngx_int_t
ngx_http_fitnudge_forward_handler(ngx_http_request_t *r)
{
    ngx_int_t                                     rc;
    const fn_route_match_t                       *m;
    ngx_http_fitnudge_forward_t                  *fw;
    const ngx_http_fitnudge_forward_main_conf_t  *jmcf;

    m = ngx_http_fitnudge_route_of(r);

    fw = ngx_pcalloc(r->pool, sizeof(ngx_http_fitnudge_forward_t));

    if (m == NULL || fw == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    fw->request = r;
    fw->ctx = ngx_http_fitnudge_ctx(r);
    fw->route = m->route;
    fw->job = fn_job_find(m->route->function, ngx_strlen(m->route->function));

    if (fw->job == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "fitnudge: the route table names an unknown job \"%s\"", m->route->function);
        return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
    }

    if (ngx_http_fitnudge_params(r, m, fw->values, &rc) != NGX_OK
        || ngx_http_fitnudge_forward_headers(fw, &rc) != NGX_OK)
    {
        return rc;
    }

    /* before the body is read: who cannot be served should know at once */
    if (!ngx_fitnudge_pg_up() || !ngx_fitnudge_redis_up()) {
        return ngx_http_fitnudge_unavailable(r);
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_forward_module);

    if (ngx_fitnudge_orders_refuse(fw->job, &jmcf->queue)) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_WRITES_REFUSED, 1);
        return ngx_http_fitnudge_unavailable(r);
    }

    /* the main context holds the request's only forward: subrequests never get here */
    ngx_http_set_ctx(r, fw, ngx_http_fitnudge_forward_module);

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_fitnudge_forward_received);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* The reference was taken by the reader: one ngx_http_finalize_request() from here on. */

static void
ngx_http_fitnudge_forward_received(ngx_http_request_t *r)
{
    fn_buf_t                      body = FN_BUF_INIT, envelope = FN_BUF_INIT;
    ngx_int_t                     rc;
    ngx_http_fitnudge_forward_t  *fw;

    fw = ngx_http_get_module_ctx(r, ngx_http_fitnudge_forward_module);

    if (ngx_http_fitnudge_forward_body(fw, &body, &rc) == NGX_OK) {

        if (ngx_http_fitnudge_forward_envelope(fw, &body, &envelope) != NGX_OK) {
            rc = ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);

        } else {
            ngx_http_fitnudge_park(r, 0);

            rc = ngx_http_fitnudge_forward_send(fw, &envelope);
        }
    }

    /* a body may hold a password */

    if (body.data != NULL) {
        ngx_explicit_memzero(body.data, body.len);
    }

    if (envelope.data != NULL) {
        ngx_explicit_memzero(envelope.data, envelope.len);
    }

    fn_buf_free(&body);
    fn_buf_free(&envelope);

    if (rc != NGX_AGAIN) {
        ngx_http_fitnudge_forward_finish(fw, rc);
    }
}


/* NGX_AGAIN: an op will finish the request. */

static ngx_int_t
ngx_http_fitnudge_forward_send(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *envelope)
{
    ngx_int_t  rc;

    /* a backend that fails inside the call must not finish the request under our feet */
    fw->sending = 1;

    if (fw->async) {
        rc = ngx_http_fitnudge_forward_push(fw, envelope);

        if (rc == NGX_OK) {
            rc = ngx_http_fitnudge_forward_note(fw);
        }

    } else {
        /* the waiter first: the pool may be faster than the acknowledgement */
        rc = ngx_http_fitnudge_forward_wait(fw);

        if (rc == NGX_OK) {
            rc = ngx_http_fitnudge_forward_push(fw, envelope);
        }
    }

    fw->sending = 0;

    if (rc != NGX_OK || fw->failed) {
        return ngx_http_fitnudge_unavailable(fw->request);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_fitnudge_forward_wait(ngx_http_fitnudge_forward_t *fw)
{
    ngx_fitnudge_op_t  *op;

    op = ngx_fitnudge_op_create(fw->request, fw->job->deadline_ms,
                                ngx_http_fitnudge_forward_wait_done, fw);
    if (op == NULL) {
        return NGX_ERROR;
    }

    return ngx_fitnudge_redis_wait(op, (u_char *) fw->id);
}


static ngx_int_t
ngx_http_fitnudge_forward_push(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *envelope)
{
    char                                  key[64];
    size_t                                lens[3];
    const char                           *argv[3];
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(fw->request);

    op = ngx_fitnudge_op_create(fw->request, fmcf->redis_timeout,
                                ngx_http_fitnudge_forward_push_done, fw);
    if (op == NULL) {
        return NGX_ERROR;
    }

    argv[0] = "LPUSH";
    argv[1] = key;
    argv[2] = envelope->data;
    lens[0] = 5;
    lens[1] = snprintf(key, sizeof(key), FN_K_QUEUE, fw->job->lane, fw->job->prio);
    lens[2] = envelope->len;

    fw->acks++;

    return ngx_fitnudge_redis_command(op, 3, argv, lens);
}


/* Leaves word of a job that nobody waits for any more. */

static ngx_int_t
ngx_http_fitnudge_forward_note(ngx_http_fitnudge_forward_t *fw)
{
    char                                  key[64], value[64];
    size_t                                lens[5];
    const char                           *argv[5];
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(fw->request);

    op = ngx_fitnudge_op_create(fw->request, fmcf->redis_timeout,
                                ngx_http_fitnudge_forward_note_done, fw);
    if (op == NULL) {
        return NGX_ERROR;
    }

    argv[0] = "SET";
    argv[1] = key;
    argv[2] = value;
    argv[3] = "EX";
    argv[4] = JOB_TTL;
    lens[0] = 3;
    lens[1] = snprintf(key, sizeof(key), FN_K_JOB, fw->id);
    lens[2] = snprintf(value, sizeof(value), "queued %s", fw->ctx->claims.sub);
    lens[3] = 2;
    lens[4] = sizeof(JOB_TTL) - 1;

    fw->acks++;

    return ngx_fitnudge_redis_command(op, 5, argv, lens);
}


static void
ngx_http_fitnudge_forward_push_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    redisReply                                   *rep = reply;
    ngx_http_fitnudge_forward_t                  *fw = op->data;
    const ngx_http_fitnudge_forward_main_conf_t  *jmcf;

    if (rc == NGX_OK && rep->type == REDIS_REPLY_ERROR) {
        ngx_log_error(NGX_LOG_ERR, op->request->connection->log, 0,
                      "fitnudge: redis refused a job: %*s", (size_t) ngx_min(rep->len, 100), rep->str);
    }

    if (rc == NGX_OK && rep->type == REDIS_REPLY_INTEGER) {
        jmcf = ngx_http_get_module_main_conf(op->request, ngx_http_fitnudge_forward_module);
        ngx_fitnudge_orders_added(fw->job, rep->integer, &jmcf->queue);
    }

    ngx_http_fitnudge_forward_acknowledged(fw, rc == NGX_OK && rep->type == REDIS_REPLY_INTEGER);
}


static void
ngx_http_fitnudge_forward_note_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    redisReply  *rep = reply;

    ngx_http_fitnudge_forward_acknowledged(op->data, rc == NGX_OK && rep->type == REDIS_REPLY_STATUS);
}


static void
ngx_http_fitnudge_forward_acknowledged(ngx_http_fitnudge_forward_t *fw, ngx_uint_t ok)
{
    if (fw->finished) {
        return;
    }

    fw->acks--;

    if (!ok) {
        fw->failed = 1;

        if (!fw->sending) {
            ngx_http_fitnudge_forward_finish(fw, ngx_http_fitnudge_unavailable(fw->request));
        }

        return;
    }

    if (fw->async && !fw->sending && fw->acks == 0) {
        ngx_http_fitnudge_forward_finish(fw, ngx_http_fitnudge_forward_accepted(fw));
    }
}


static void
ngx_http_fitnudge_forward_wait_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    ngx_http_request_t           *r = op->request;
    ngx_http_fitnudge_forward_t  *fw = op->data;

    if (fw->finished) {
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_fitnudge_forward_finish(fw, ngx_http_fitnudge_forward_reply(r, reply));
        return;
    }

    if (fw->route->who != FN_ANYONE && rc == NGX_ETIMEDOUT) {

        /* from here on nobody waits */
        fw->async = 1;
        fw->sending = 1;

        rc = ngx_http_fitnudge_forward_note(fw);

        fw->sending = 0;

        if (rc == NGX_OK && !fw->failed) {
            return;
        }
    }

    ngx_http_fitnudge_forward_finish(fw, ngx_http_fitnudge_unavailable(r));
}


/* The reply lives for the length of the call: what is sent is copied. */

static ngx_int_t
ngx_http_fitnudge_forward_reply(ngx_http_request_t *r, const fn_reply_env_t *env)
{
    u_char      *p;
    ngx_str_t    type, body;
    ngx_uint_t   i, status;
    const char  *name;

    status = env->status;

    if (status < 200 || status > 599) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
    }

    /* the only one so far */
    if (status == NGX_HTTP_OK && (ngx_http_fitnudge_route_of(r)->route->flags & FN_R_PAGE)) {
        return ngx_http_fitnudge_mail_unsubscribed(r);
    }

    for (i = 0; i < env->nheaders; i++) {
        p = ngx_pnalloc(r->pool, env->header_names[i].n + env->header_values[i].n + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name = (char *) p;
        p = ngx_cpymem(p, env->header_names[i].p, env->header_names[i].n);
        *p++ = '\0';

        ngx_memcpy(p, env->header_values[i].p, env->header_values[i].n);

        if (ngx_http_fitnudge_header(r, name, p, env->header_values[i].n) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_fitnudge_error_headers(r, status) != NGX_OK) {
        return NGX_ERROR;
    }

    type.len = env->content_type.n;
    body.len = env->body.n;

    type.data = ngx_pnalloc(r->pool, type.len + body.len + 1);
    if (type.data == NULL) {
        return NGX_ERROR;
    }

    body.data = ngx_cpymem(type.data, env->content_type.p, type.len);
    ngx_memcpy(body.data, env->body.p, body.len);

    return ngx_http_fitnudge_send(r, status, type.len > 1 ? &type : NULL, &body, NULL, NULL);
}


static ngx_int_t
ngx_http_fitnudge_forward_accepted(ngx_http_fitnudge_forward_t *fw)
{
    u_char              *p;
    size_t               size;
    ngx_http_request_t  *r = fw->request;

    size = sizeof("/api/v1/jobs/") - 1 + FN_UUID_LEN;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(p, size, "/api/v1/jobs/%s", fw->id);

    if (ngx_http_fitnudge_header(r, "Location", p, size) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fw->preferred
        && ngx_http_fitnudge_header(r, "Preference-Applied", (u_char *) "respond-async", 13) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_fitnudge_job_send(r, NGX_HTTP_ACCEPTED, fw->id, (u_char *) "queued", 6);
}


static void
ngx_http_fitnudge_forward_finish(ngx_http_fitnudge_forward_t *fw, ngx_int_t rc)
{
    fw->finished = 1;

    ngx_http_finalize_request(fw->request, rc);
}


static ngx_int_t
ngx_http_fitnudge_unavailable(ngx_http_request_t *r)
{
    return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
}


/* GET /jobs/{id}: the inbox knows what has run, Redis what has been promised. */

ngx_int_t
ngx_http_fitnudge_job_handler(ngx_http_request_t *r)
{
    ngx_int_t                              rc;
    const char                            *values[1 + FN_PARAMS_MAX];
    ngx_fitnudge_op_t                     *op;
    const fn_route_match_t                *m;
    ngx_http_fitnudge_ctx_t               *ctx;
    ngx_http_fitnudge_forward_main_conf_t *jmcf;

    ctx = ngx_http_fitnudge_ctx(r);
    m = ngx_http_fitnudge_route_of(r);
    jmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_forward_module);

    if (ctx == NULL || m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_fitnudge_params(r, m, values + 1, &rc) != NGX_OK) {
        return rc;
    }

    values[0] = ctx->claims.sub;

    op = ngx_fitnudge_op_create(r, ngx_fitnudge_pg_timeout(NGX_FITNUDGE_PG_PRIMARY), ngx_http_fitnudge_job_found,
                                (void *) values[1]);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_fitnudge_park(r, 1);

    if (ngx_fitnudge_pg_query(op, NGX_FITNUDGE_PG_PRIMARY, jmcf->job_get, 2, values) != NGX_OK) {
        ngx_http_finalize_request(r, ngx_http_fitnudge_unavailable(r));
    }

    return NGX_DONE;
}


static void
ngx_http_fitnudge_job_found(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    ngx_str_t            body;
    const char          *id = op->data;
    ngx_http_request_t  *r = op->request;

    rc = ngx_http_fitnudge_query_result(r, rc, reply, &body);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_fitnudge_job_ask_redis(r, id);

        if (rc == NGX_AGAIN) {
            return;
        }

    } else if (rc == NGX_OK && body.data != NULL) {
        rc = ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, &body, 1);
    }

    ngx_http_finalize_request(r, rc);
}


/* NGX_AGAIN: the op will finalize. */

static ngx_int_t
ngx_http_fitnudge_job_ask_redis(ngx_http_request_t *r, const char *id)
{
    char                                  key[64];
    size_t                                lens[2];
    const char                           *argv[2];
    ngx_fitnudge_op_t                    *op;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    op = ngx_fitnudge_op_create(r, fmcf->redis_timeout, ngx_http_fitnudge_job_noted, (void *) id);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    argv[0] = "GET";
    argv[1] = key;
    lens[0] = 3;
    lens[1] = snprintf(key, sizeof(key), FN_K_JOB, id);

    if (ngx_fitnudge_redis_command(op, 2, argv, lens) != NGX_OK) {
        return ngx_http_fitnudge_unavailable(r);
    }

    return NGX_AGAIN;
}


/* "<state> <user>" */

static void
ngx_http_fitnudge_job_noted(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    u_char                   *state, *last, *user;
    redisReply               *rep = reply;
    const char               *id = op->data;
    ngx_http_request_t       *r = op->request;
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);

    if (rc != NGX_OK || rep->type == REDIS_REPLY_ERROR || ctx == NULL) {
        rc = ngx_http_fitnudge_unavailable(r);
        goto done;
    }

    if (rep->type == REDIS_REPLY_STRING) {
        state = (u_char *) rep->str;
        last = state + rep->len;
        user = ngx_strlchr(state, last, ' ');

        if (user != NULL && (size_t) (last - user - 1) == ngx_strlen(ctx->claims.sub)
            && ngx_memcmp(user + 1, ctx->claims.sub, last - user - 1) == 0)
        {
            rc = ngx_http_fitnudge_job_send(r, NGX_HTTP_OK, id, state, user - state);
            goto done;
        }
    }

    rc = ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);

done:

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_fitnudge_job_send(ngx_http_request_t *r, ngx_uint_t status, const char *id,
    const u_char *state, size_t len)
{
    size_t     size;
    ngx_str_t  body;

    size = sizeof("{\"job\":{\"id\":\"\",\"status\":\"\"}}") + FN_UUID_LEN + len;

    body.data = ngx_pnalloc(r->pool, size);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_snprintf(body.data, size, "{\"job\":{\"id\":\"%s\",\"status\":\"%*s\"}}", id, len, state)
               - body.data;

    return ngx_http_fitnudge_send_json(r, status, &body, 0);
}


static void *
ngx_http_fitnudge_forward_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_forward_main_conf_t  *jmcf;

    jmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_forward_main_conf_t));
    if (jmcf != NULL) {
        jmcf->queue.depth = NGX_CONF_UNSET;
        jmcf->queue.age = NGX_CONF_UNSET_MSEC;
    }

    return jmcf;
}


static char *
ngx_http_fitnudge_forward_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_fitnudge_forward_main_conf_t  *jmcf = conf;

    (void) cf;

    ngx_conf_init_value(jmcf->queue.depth, QUEUE_MAX);
    ngx_conf_init_msec_value(jmcf->queue.age, QUEUE_AGE);

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_forward_queue_age(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                                   *rv;
    ngx_str_t                              *value;
    ngx_http_fitnudge_forward_main_conf_t  *jmcf = conf;

    if (jmcf->queue.age != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        jmcf->queue.age = 0;
        return NGX_CONF_OK;
    }

    rv = ngx_conf_set_msec_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && (jmcf->queue.age < 1000 || jmcf->queue.age > 86400000)) {
        return "must be from 1s to 1d, or off";
    }

    return rv;
}


/*
 * A body must never touch the disk, which would block the process: what is allowed fits
 * the buffer, and what is larger is refused as it arrives.  Locations with a handler of their own keep what they have.
 */

static char *
ngx_http_fitnudge_forward_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    size_t                         max;
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_fitnudge_loc_conf_t  *flcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    flcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_fitnudge_base_module);

    if (flcf->enable != 1 || clcf->handler != NULL) {
        return NGX_CONF_OK;
    }

    max = FN_BODY_MAX;

    if (clcf->name.len >= sizeof(WEBHOOKS) - 1 && ngx_strncmp(clcf->name.data, WEBHOOKS, sizeof(WEBHOOKS) - 1) == 0) {
        max = FN_SEALED_MAX;
    }

    if (clcf->client_body_buffer_size < max + BODY_FRAMES) {
        clcf->client_body_buffer_size = max + BODY_FRAMES;
    }

    if (clcf->client_max_body_size == 0 || clcf->client_max_body_size > (off_t) max) {
        clcf->client_max_body_size = max;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_fitnudge_forward_init(ngx_conf_t *cf)
{
    const fn_route_t                       *route;
    ngx_http_fitnudge_main_conf_t          *fmcf;
    ngx_http_fitnudge_forward_main_conf_t  *jmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);
    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_forward_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    for (route = fn_routes; route->path != NULL; route++) {
        if (route->kind == FN_LOCAL && ngx_strcmp(route->function, "job") == 0) {
            jmcf->job_get = ngx_http_fitnudge_query_statement(cf, "job_get", route->params);

            return jmcf->job_get == NGX_ERROR ? NGX_ERROR : NGX_OK;
        }
    }

    return NGX_OK;
}
