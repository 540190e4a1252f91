/*
 * The life of an op: from the asker to a backend and back.  The rules are in the header; what this
 * file adds is that whoever comes first, the answer, the timeout or the end of the
 * request, takes the op away from the other two.
 */
#include "ngx_fitnudge_op.h"
#include "ngx_fitnudge_metrics.h"


/* What is counted and measured of a kind. */
typedef struct {
    ngx_fitnudge_histogram_e  duration;
    ngx_fitnudge_counter_e    ok, rejected, lost, timeout, abandoned;
} ngx_fitnudge_op_metrics_t;


static void ngx_fitnudge_op_deliver(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_fitnudge_op_measure(const ngx_fitnudge_op_t *op, ngx_int_t rc);
static void ngx_fitnudge_op_detach(ngx_fitnudge_op_t *op);
static void ngx_fitnudge_op_timeout_handler(ngx_event_t *ev);
static void ngx_fitnudge_op_cleanup(void *data);


static const ngx_fitnudge_op_metrics_t  ngx_fitnudge_op_metrics[] = {

    [NGX_FITNUDGE_OP_POSTGRES] = {
        NGX_FITNUDGE_H_POSTGRES, NGX_FITNUDGE_M_POSTGRES_OK, NGX_FITNUDGE_M_POSTGRES_REJECTED,
        NGX_FITNUDGE_M_POSTGRES_LOST, NGX_FITNUDGE_M_POSTGRES_TIMEOUT, NGX_FITNUDGE_M_POSTGRES_ABANDONED },

    /* an error is an answer like any other here; who reads it counts it */
    [NGX_FITNUDGE_OP_REDIS] = {
        NGX_FITNUDGE_H_REDIS, NGX_FITNUDGE_M_REDIS_OK, NGX_FITNUDGE_M_REDIS_OK,
        NGX_FITNUDGE_M_REDIS_LOST, NGX_FITNUDGE_M_REDIS_TIMEOUT, NGX_FITNUDGE_M_REDIS_ABANDONED },

    /* a wait ends with a reply or with its time */
    [NGX_FITNUDGE_OP_WRITE] = {
        NGX_FITNUDGE_H_WRITE, NGX_FITNUDGE_M_WRITES_ANSWERED, NGX_FITNUDGE_M_WRITES_ANSWERED,
        NGX_FITNUDGE_M_WRITES_DEADLINE, NGX_FITNUDGE_M_WRITES_DEADLINE, NGX_FITNUDGE_M_WRITES_ABANDONED }
};


ngx_fitnudge_op_t *
ngx_fitnudge_op_create(ngx_http_request_t *r, ngx_msec_t timeout, ngx_fitnudge_op_pt done, void *data)
{
    ngx_fitnudge_op_t   *op;
    ngx_http_cleanup_t  *cln;

    op = ngx_calloc(sizeof(ngx_fitnudge_op_t), ngx_cycle->log);
    if (op == NULL) {
        return NULL;
    }

    if (r != NULL) {
        cln = ngx_http_cleanup_add(r, 0);
        if (cln == NULL) {
            ngx_free(op);
            return NULL;
        }

        cln->handler = ngx_fitnudge_op_cleanup;
        cln->data = op;

        op->cleanup = cln;
        op->request = r;
    }

    op->done = done;
    op->data = data;
    op->start_ns = ngx_fitnudge_now_ns();

    ngx_queue_init(&op->queue);

    /* the op may outlive its client: the log of the connection must not be used here */
    op->timeout.handler = ngx_fitnudge_op_timeout_handler;
    op->timeout.data = op;
    op->timeout.log = ngx_cycle->log;

    ngx_add_timer(&op->timeout, timeout);

    return op;
}


void
ngx_fitnudge_op_complete(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    if (op->timeout.timer_set) {
        ngx_del_timer(&op->timeout);
    }

    if (!op->detached) {
        ngx_fitnudge_op_measure(op, rc);
        ngx_fitnudge_op_deliver(op, rc, reply);
    }

    ngx_fitnudge_op_free(op);
}


void
ngx_fitnudge_op_free(ngx_fitnudge_op_t *op)
{
    ngx_fitnudge_op_detach(op);

    if (op->timeout.timer_set) {
        ngx_del_timer(&op->timeout);
    }

    ngx_free(op);
}


static void
ngx_fitnudge_op_deliver(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = op->request;
    c = NULL;

    ngx_fitnudge_op_detach(op);

    if (r != NULL) {
        /* the asker may look at op->request, and the request may be gone when it returns */
        c = r->connection;
        op->request = r;
        ngx_http_set_log_request(c->log, r);
    }

    if (op->done != NULL) {
        op->done(op, rc, reply);
    }

    op->request = NULL;

    if (c != NULL) {
        ngx_http_run_posted_requests(c);
    }
}


/* Once for an op that its backend has taken: when somebody stops waiting for it. */
static void
ngx_fitnudge_op_measure(const ngx_fitnudge_op_t *op, ngx_int_t rc)
{
    const ngx_fitnudge_op_metrics_t  *m;

    if (op->kind == NGX_FITNUDGE_OP_UNMEASURED) {
        return;
    }

    m = &ngx_fitnudge_op_metrics[op->kind];

    switch (rc) {
    case NGX_OK:
    case NGX_DECLINED:
        ngx_fitnudge_count(rc == NGX_OK ? m->ok : m->rejected, 1);
        ngx_fitnudge_observe(m->duration, ngx_fitnudge_now_ns() - op->start_ns);
        break;

    case NGX_ETIMEDOUT:
        ngx_fitnudge_count(m->timeout, 1);
        break;

    case NGX_ABORT:
        ngx_fitnudge_count(m->abandoned, 1);
        break;

    default:
        ngx_fitnudge_count(m->lost, 1);
    }
}


static void
ngx_fitnudge_op_detach(ngx_fitnudge_op_t *op)
{
    /* a cleanup cannot be taken off its request, but it can be made to do nothing */
    if (op->cleanup != NULL) {
        op->cleanup->handler = NULL;
        op->cleanup = NULL;
    }

    op->detached = 1;
    op->request = NULL;
}


static void
ngx_fitnudge_op_timeout_handler(ngx_event_t *ev)
{
    ngx_fitnudge_op_t  *op = ev->data;

    op->timedout = 1;

    if (!op->detached) {
        ngx_fitnudge_op_measure(op, NGX_ETIMEDOUT);
        ngx_fitnudge_op_deliver(op, NGX_ETIMEDOUT, NULL);
    }

    if (op->released != NULL) {
        op->released(op);
    }
}


/* The request is ending while the backend still works. */
static void
ngx_fitnudge_op_cleanup(void *data)
{
    ngx_fitnudge_op_t  *op = data;

    ngx_fitnudge_op_measure(op, NGX_ABORT);
    ngx_fitnudge_op_detach(op);

    /* nobody waits, so the worker process need not either */
    if (op->timeout.timer_set) {
        ngx_del_timer(&op->timeout);
    }

    if (op->released != NULL) {
        op->released(op);
    }
}
