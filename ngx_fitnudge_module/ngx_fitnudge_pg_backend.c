/*
 * Herding the connections of a backend happens here.
 *
 *   up to `connections`   are always open, and come back by themselves, with a growing and jittered delay
 *   up to `max`           are opened when the others have GROW queries each or no room, and closed when
 *                         nobody used them for `idle`
 *
 * When a backend fails several times in a row (lost connections, answers that do not come in time), its breaker opens: all
 * connections are closed, who waits hears of it at once, and nobody is made to wait again.  After the cooldown one connection is
 * made; when it stands, one query is let through, the others wait for how it ends, and with its answer all is as
 * before.  So a server that comes back costs no client anything, and one that only seems to (it accepts
 * connections, but a lock stops all statements) costs one.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg_backend.h"
#include "ngx_fitnudge_metrics.h"


#define GROW  8     /* queries on every connection, above which another one is opened */


static void ngx_fitnudge_pg_backend_wait(ngx_fitnudge_pg_backend_t *backend, ngx_fitnudge_op_t *op);
static void ngx_fitnudge_pg_backend_grow(ngx_fitnudge_pg_backend_t *backend);
static void ngx_fitnudge_pg_backend_fill(ngx_fitnudge_pg_backend_t *backend);
static ngx_fitnudge_pg_conn_t *ngx_fitnudge_pg_backend_best(ngx_fitnudge_pg_backend_t *backend);
static ngx_uint_t ngx_fitnudge_pg_backend_starting(const ngx_fitnudge_pg_backend_t *backend);
static void ngx_fitnudge_pg_backend_failure(ngx_fitnudge_pg_backend_t *backend);
static void ngx_fitnudge_pg_backend_released(ngx_fitnudge_op_t *op);
static void ngx_fitnudge_pg_backend_trip_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_backend_probe_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_backend_wake_handler(ngx_event_t *ev);


ngx_int_t
ngx_fitnudge_pg_backend_start(ngx_fitnudge_pg_backend_t *backend, const ngx_fitnudge_pg_server_t *server,
    const fn_breaker_policy_t *policy)
{
    ngx_uint_t    i;
    ngx_event_t  *ev[3];

    ngx_memzero(backend, sizeof(ngx_fitnudge_pg_backend_t));

    backend->server = server;
    backend->policy = policy;

    ngx_queue_init(&backend->waiting);

    backend->trip.handler = ngx_fitnudge_pg_backend_trip_handler;
    backend->probe.handler = ngx_fitnudge_pg_backend_probe_handler;
    backend->wake.handler = ngx_fitnudge_pg_backend_wake_handler;

    ev[0] = &backend->trip;
    ev[1] = &backend->probe;
    ev[2] = &backend->wake;

    for (i = 0; i < 3; i++) {
        ev[i]->data = backend;
        ev[i]->log = ngx_cycle->log;
        ev[i]->cancelable = 1;
    }

    backend->conns = ngx_calloc(server->max * sizeof(ngx_fitnudge_pg_conn_t), ngx_cycle->log);
    if (backend->conns == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < server->max; i++) {
        if (ngx_fitnudge_pg_conn_init(&backend->conns[i], backend, server, i) != NGX_OK) {
            return NGX_ERROR;
        }

        backend->nconns = i + 1;
    }

    ngx_fitnudge_pg_backend_fill(backend);

    return NGX_OK;
}


/*
 * Until here the connections stayed open for requests that were still on their way; they do not hold
 * the process, its timers of ops do.
 */
void
ngx_fitnudge_pg_backend_stop(ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t          i;
    ngx_queue_t        *q;
    ngx_fitnudge_op_t  *op;

    if (backend->conns == NULL) {
        return;
    }

    for (i = 0; i < backend->nconns; i++) {
        ngx_fitnudge_pg_conn_stop(&backend->conns[i]);
    }

    while (!ngx_queue_empty(&backend->waiting)) {
        q = ngx_queue_head(&backend->waiting);
        ngx_queue_remove(q);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        ngx_free(op->backend);
        ngx_fitnudge_op_free(op);
    }

    if (backend->probe.timer_set) {
        ngx_del_timer(&backend->probe);
    }

    if (backend->trip.posted) {
        ngx_delete_posted_event(&backend->trip);
    }

    if (backend->wake.posted) {
        ngx_delete_posted_event(&backend->wake);
    }

    ngx_free(backend->conns);
    backend->conns = NULL;
    backend->nconns = 0;
}


ngx_int_t
ngx_fitnudge_pg_backend_query(ngx_fitnudge_pg_backend_t *backend, ngx_fitnudge_op_t *op)
{
    ngx_int_t                 rc;
    ngx_fitnudge_pg_conn_t   *best;
    ngx_fitnudge_pg_query_t  *query = op->backend;

    query->backend = backend;
    query->conn = NULL;
    op->released = ngx_fitnudge_pg_backend_released;

    /* a connection that turns out to be broken declines, and is not found again */
    while ((best = ngx_fitnudge_pg_backend_best(backend)) != NULL && best->nops < backend->server->queue) {

        if (!fn_breaker_allow(&backend->breaker, backend->policy, ngx_current_msec)) {
            break;
        }

        rc = ngx_fitnudge_pg_conn_query(best, op);

        if (rc == NGX_OK) {
            if (best->nops >= ngx_min(GROW, backend->server->queue)) {
                ngx_fitnudge_pg_backend_grow(backend);
            }

            return NGX_OK;
        }

        fn_breaker_cancelled(&backend->breaker);
    }

    if (best == NULL) {
        ngx_fitnudge_pg_backend_grow(backend);
    }

    /* the first connection is being made, or a probe is on its way */
    if (backend->nwaiting < backend->server->queue
        && (best == NULL ? ngx_fitnudge_pg_backend_starting(backend)
                         : backend->breaker.state == FN_BREAKER_HALF_OPEN))
    {
        ngx_fitnudge_pg_backend_wait(backend, op);
        return NGX_OK;
    }

    op->released = NULL;

    return NGX_DECLINED;
}


ngx_uint_t
ngx_fitnudge_pg_backend_up(const ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t  i;

    for (i = 0; i < backend->nconns; i++) {
        if (backend->conns[i].state == NGX_FITNUDGE_PG_READY) {
            return 1;
        }
    }

    return ngx_fitnudge_pg_backend_starting(backend);
}


ngx_uint_t
ngx_fitnudge_pg_backend_well(const ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t  i;

    for (i = 0; i < backend->nconns; i++) {
        if (backend->conns[i].state == NGX_FITNUDGE_PG_READY && !backend->conns[i].broken.posted
            && backend->conns[i].nops < backend->server->queue)
        {
            return backend->breaker.state == FN_BREAKER_CLOSED;
        }
    }

    return 0;
}


void
ngx_fitnudge_pg_backend_ready(ngx_fitnudge_pg_conn_t *conn)
{
    ngx_fitnudge_pg_backend_t  *backend = conn->backend;

    /* the connection itself was the probe until here; now a query has to succeed */
    fn_breaker_cancelled(&backend->breaker);

    ngx_post_event(&backend->wake, &ngx_posted_events);
}


ngx_msec_t
ngx_fitnudge_pg_backend_lost(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_pg_state_e was)
{
    ngx_msec_t                  delay;
    ngx_fitnudge_pg_backend_t  *backend = conn->backend;

    ngx_post_event(&backend->wake, &ngx_posted_events);

    delay = conn->backoff / 2 + (ngx_msec_t) ngx_random() % (conn->backoff / 2 + 1);
    conn->backoff = ngx_min(conn->backoff * 2, NGX_FITNUDGE_PG_BACKOFF_MAX);

    /* one more that could not be had, while others serve, says nothing of the server */
    if (was == NGX_FITNUDGE_PG_READY || ngx_fitnudge_pg_backend_best(backend) == NULL) {
        ngx_fitnudge_pg_backend_failure(backend);
    }

    if (backend->breaker.state != FN_BREAKER_CLOSED || conn->number >= backend->server->connections) {
        return NGX_TIMER_INFINITE;
    }

    return delay;
}


void
ngx_fitnudge_pg_backend_answered(ngx_fitnudge_op_t *op, ngx_int_t rc)
{
    ngx_uint_t                  failed;
    const char                 *state;
    ngx_fitnudge_pg_query_t    *query = op->backend;
    ngx_fitnudge_pg_backend_t  *backend = query->backend;

    /* an answer that came too late was a failure already */
    if (!op->timedout) {
        failed = rc == NGX_ERROR;

        if (rc == NGX_DECLINED) {
            state = PQresultErrorField(query->result, PG_DIAG_SQLSTATE);

            /* statement_timeout; no resources; shutting down */
            failed = state == NULL || ngx_strcmp(state, "57014") == 0 || ngx_strncmp(state, "53", 2) == 0
                     || ngx_strncmp(state, "57P", 3) == 0;
        }

        if (failed) {
            ngx_fitnudge_pg_backend_failure(backend);

        } else if (fn_breaker_success(&backend->breaker, backend->policy, ngx_current_msec)) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "fitnudge: postgres %s: answers again",
                          backend->server->name);

            ngx_fitnudge_pg_backend_fill(backend);
            ngx_post_event(&backend->wake, &ngx_posted_events);
        }
    }

    ngx_fitnudge_pg_answered(op, rc);
}


static void
ngx_fitnudge_pg_backend_wait(ngx_fitnudge_pg_backend_t *backend, ngx_fitnudge_op_t *op)
{
    ngx_queue_insert_tail(&backend->waiting, &op->queue);
    backend->nwaiting++;
}


/* Opens what is always open. */
static void
ngx_fitnudge_pg_backend_fill(ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t               i;
    ngx_fitnudge_pg_conn_t  *conn;

    for (i = 0; i < backend->server->connections && backend->breaker.state == FN_BREAKER_CLOSED; i++) {
        conn = &backend->conns[i];

        if (conn->state == NGX_FITNUDGE_PG_AWAY && !conn->retry.timer_set) {
            ngx_fitnudge_pg_conn_connect(conn);
        }
    }
}


/* One connection at a time, and not sooner than its last failure allows. */
static void
ngx_fitnudge_pg_backend_grow(ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t               i;
    ngx_fitnudge_pg_conn_t  *conn, *next;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    /* the probe's connection is made by its timer; but it may have been closed meanwhile, as nobody used it */
    if (backend->breaker.state != FN_BREAKER_CLOSED
        && (backend->breaker.state == FN_BREAKER_OPEN || ngx_fitnudge_pg_backend_best(backend) != NULL))
    {
        return;
    }

    next = NULL;

    for (i = 0; i < backend->nconns; i++) {
        conn = &backend->conns[i];

        if (conn->state == NGX_FITNUDGE_PG_CONNECTING) {
            return;
        }

        if (next == NULL && i >= backend->server->connections && conn->state == NGX_FITNUDGE_PG_AWAY
            && (!conn->outage || ngx_current_msec - conn->lost >= conn->backoff))
        {
            next = conn;
        }
    }

    if (next != NULL) {
        ngx_fitnudge_pg_conn_connect(next);
    }
}


static ngx_fitnudge_pg_conn_t *
ngx_fitnudge_pg_backend_best(ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t               i;
    ngx_fitnudge_pg_conn_t  *conn, *best;

    best = NULL;

    for (i = 0; i < backend->nconns; i++) {
        conn = &backend->conns[i];

        if (conn->state == NGX_FITNUDGE_PG_READY && !conn->broken.posted
            && (best == NULL || conn->nops < best->nops))
        {
            best = conn;
        }
    }

    return best;
}


/*
 * No connection stands, but one is being made for the first time: a process that has just started answers
 * requests before that.
 */
static ngx_uint_t
ngx_fitnudge_pg_backend_starting(const ngx_fitnudge_pg_backend_t *backend)
{
    ngx_uint_t                     i, starting;
    const ngx_fitnudge_pg_conn_t  *conn;

    starting = 0;

    for (i = 0; i < backend->nconns; i++) {
        conn = &backend->conns[i];

        if (conn->state == NGX_FITNUDGE_PG_READY) {
            return 0;
        }

        if (conn->state == NGX_FITNUDGE_PG_CONNECTING && !conn->outage) {
            starting = 1;
        }
    }

    return starting;
}


static void
ngx_fitnudge_pg_backend_failure(ngx_fitnudge_pg_backend_t *backend)
{
    if (fn_breaker_failure(&backend->breaker, backend->policy, ngx_current_msec)) {
        ngx_post_event(&backend->trip, &ngx_posted_events);
    }
}


/* Nobody waits for this op any more. */
static void
ngx_fitnudge_pg_backend_released(ngx_fitnudge_op_t *op)
{
    ngx_fitnudge_pg_query_t    *query = op->backend;
    ngx_fitnudge_pg_backend_t  *backend = query->backend;

    if (query->conn == NULL) {
        ngx_queue_remove(&op->queue);
        backend->nwaiting--;

        ngx_free(query);
        ngx_fitnudge_op_free(op);
        return;
    }

    if (!op->timedout) {
        return;
    }

    if (query->lag) {
        /* a replica that is silent: what was asked of it is better asked elsewhere, and now */
        if (backend->server->max_lag != 0) {
            ngx_fitnudge_pg_conn_break(query->conn, "no answer in time");
        }

        return;
    }

    ngx_fitnudge_pg_backend_failure(backend);
}


static void
ngx_fitnudge_pg_backend_trip_handler(ngx_event_t *ev)
{
    ngx_uint_t                  i;
    ngx_msec_t                  delay;
    ngx_fitnudge_pg_conn_t     *conn;
    ngx_fitnudge_pg_backend_t  *backend = ev->data;

    ngx_fitnudge_count(NGX_FITNUDGE_M_PG_OPENED, 1);

    delay = (ngx_msec_t) backend->policy->cooldown_ms;
    delay += (ngx_msec_t) ngx_random() % (delay / 4 + 1);

    if (!ngx_exiting && !ngx_terminate) {
        ngx_add_timer(&backend->probe, delay);
    }

    for (i = 0; i < backend->nconns; i++) {
        conn = &backend->conns[i];

        if (conn->state != NGX_FITNUDGE_PG_AWAY || conn->retry.timer_set) {
            ngx_fitnudge_pg_conn_fail(conn, "the server does not answer");
        }
    }
}


static void
ngx_fitnudge_pg_backend_probe_handler(ngx_event_t *ev)
{
    ngx_fitnudge_pg_backend_t  *backend = ev->data;

    if (!ngx_exiting && !ngx_terminate && fn_breaker_allow(&backend->breaker, backend->policy, ngx_current_msec)
        && backend->conns[0].state == NGX_FITNUDGE_PG_AWAY)
    {
        ngx_fitnudge_pg_conn_connect(&backend->conns[0]);
    }
}


/*
 * A connection became ready or was lost, or a probe succeeded: who waits is sent, or goes on waiting, or
 * hears that it is in vain.
 */
static void
ngx_fitnudge_pg_backend_wake_handler(ngx_event_t *ev)
{
    ngx_queue_t                *q, woken;
    ngx_fitnudge_op_t          *op;
    ngx_fitnudge_pg_backend_t  *backend = ev->data;

    if (ngx_queue_empty(&backend->waiting)) {
        return;
    }

    ngx_queue_init(&woken);
    ngx_queue_add(&woken, &backend->waiting);
    ngx_queue_init(&backend->waiting);

    while (!ngx_queue_empty(&woken)) {
        q = ngx_queue_head(&woken);
        ngx_queue_remove(q);
        backend->nwaiting--;

        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        if (ngx_fitnudge_pg_backend_query(backend, op) != NGX_OK) {
            ngx_fitnudge_pg_again(op);
        }
    }
}
