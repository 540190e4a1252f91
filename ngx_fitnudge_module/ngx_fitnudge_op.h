/*
 * The op: one question of one request (or of the module itself) to a backend.
 * It lives on the heap, so that a client may vanish while the backend works:
 * the request's cleanup detaches it, the backend still gets its answer in order.
 *
 *   create -> handed to pg or redis (which owns it from then on) -> done() exactly once
 *   while the request lives -> freed by the backend when it lets go.
 *
 * done() is never called for a detached op.  It may finalize the request; the
 * backend takes the op off its queues before calling and touches it no more but to free it.
 * The op's timer is not cancelable: it keeps a worker that shuts down alive until the answer.
 */
#ifndef NGX_FITNUDGE_OP_H
#define NGX_FITNUDGE_OP_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

typedef struct ngx_fitnudge_op_s  ngx_fitnudge_op_t;

/* rc: NGX_OK with `reply` (type given by the backend, valid during the call unless said otherwise);
 * NGX_ERROR backend failed or is away; NGX_ETIMEDOUT; reply is NULL then. */
typedef void (*ngx_fitnudge_op_pt)(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);

typedef enum {
    NGX_FITNUDGE_OP_UNMEASURED = 0,
    NGX_FITNUDGE_OP_POSTGRES,
    NGX_FITNUDGE_OP_REDIS,
    NGX_FITNUDGE_OP_WRITE               /* waits for the pool's reply */
} ngx_fitnudge_op_kind_e;

struct ngx_fitnudge_op_s {
    ngx_queue_t          queue;         /* backend FIFO */
    ngx_http_request_t  *request;       /* NULL once detached, or when the module itself asks */
    ngx_event_t          timeout;
    ngx_fitnudge_op_pt   done;
    void                *data;          /* of the asker */
    void                *backend;       /* of the backend */
    void               (*released)(ngx_fitnudge_op_t *op);  /* of the backend: nobody waits any more; it may free the op */
    ngx_http_cleanup_t  *cleanup;       /* of the request; NULL once detached */
    u_char               id[36];        /* of the backend: the job a waiter waits for */
    uint64_t             start_ns;
    ngx_fitnudge_op_kind_e  kind;       /* of the backend: as what it is measured */
    unsigned             detached:1;    /* nobody wants the answer */
    unsigned             timedout:1;
    unsigned             queued:1;
    unsigned             skip:1;        /* backend: the answer is consumed silently */
};

/* r may be NULL. NULL when memory is short. timeout in ms, armed at once. */
ngx_fitnudge_op_t *ngx_fitnudge_op_create(ngx_http_request_t *r, ngx_msec_t timeout,
    ngx_fitnudge_op_pt done, void *data);
/* For backends: deliver once (no-op for detached ops), then release memory. Runs the posted requests of the connection. */
void ngx_fitnudge_op_complete(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
void ngx_fitnudge_op_free(ngx_fitnudge_op_t *op);

#endif
