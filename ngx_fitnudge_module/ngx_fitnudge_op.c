/*
 * The life of an op: from the asker to a backend and back.  The rules are in the header; what this
 * file adds is that whoever comes first, the answer, the timeout or the end of the
 * request, takes the op away from the other two.
 */
#include "ngx_fitnudge_op.h"


static void ngx_fitnudge_op_deliver(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_fitnudge_op_detach(ngx_fitnudge_op_t *op);
static void ngx_fitnudge_op_timeout_handler(ngx_event_t *ev);
static void ngx_fitnudge_op_cleanup(void *data);


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

    ngx_fitnudge_op_detach(op);

    /* nobody waits, so the worker process need not either */
    if (op->timeout.timer_set) {
        ngx_del_timer(&op->timeout);
    }

    if (op->released != NULL) {
        op->released(op);
    }
}
