/*
 * A backend: one PostgreSQL server as a worker process sees it, or one purpose of it: its connections, how many of
 * them, who waits for one, and a breaker that stops asking when nothing answers.  Private to the pg module.
 */
#ifndef NGX_FITNUDGE_PG_BACKEND_H
#define NGX_FITNUDGE_PG_BACKEND_H

#include "ngx_fitnudge_pg_conn.h"
#include "../worker/libfitnudge/fn_breaker.h"

struct ngx_fitnudge_pg_backend_s {
    const ngx_fitnudge_pg_server_t  *server;
    const fn_breaker_policy_t       *policy;
    ngx_fitnudge_pg_conn_t          *conns;         /* server->max */
    ngx_uint_t                       nconns;

    fn_breaker_t                     breaker;
    ngx_event_t                      trip;          /* posted: the breaker has opened */
    ngx_event_t                      probe;         /* timer: it has cooled down */
    ngx_event_t                      wake;          /* posted: who waits may be sent */

    ngx_queue_t                      waiting;       /* ops without a connection, oldest first */
    ngx_uint_t                       nwaiting;

    /* of a replica; all but the first are kept by ngx_fitnudge_pg_lag.c */
    ngx_int_t                        turn;          /* the highest one is next */
    ngx_msec_t                       fresh;         /* it holds what was committed before */
    time_t                           complain;      /* not before, s */
    unsigned                         known:1;       /* fresh is set */
    unsigned                         said:1;        /* used is set, and was logged */
    unsigned                         used:1;        /* was fresh enough when last looked at */
    unsigned                         asked:1;       /* a question is on its way */
    unsigned                         foreign:1;     /* it is a replica of something else */
};

/* Starts to connect. NGX_ERROR: no memory. */
ngx_int_t ngx_fitnudge_pg_backend_start(ngx_fitnudge_pg_backend_t *backend, const ngx_fitnudge_pg_server_t *server,
    const fn_breaker_policy_t *policy);

void ngx_fitnudge_pg_backend_stop(ngx_fitnudge_pg_backend_t *backend);

/* Sends the op, or lets it wait. NGX_DECLINED: neither, and the op is still the caller's. */
ngx_int_t ngx_fitnudge_pg_backend_query(ngx_fitnudge_pg_backend_t *backend, ngx_fitnudge_op_t *op);

/* 1 when a connection is ready, or the first one is just being made. */
ngx_uint_t ngx_fitnudge_pg_backend_up(const ngx_fitnudge_pg_backend_t *backend);

/* 1 when a query would be sent at once: connected, and nothing is wrong. */
ngx_uint_t ngx_fitnudge_pg_backend_well(const ngx_fitnudge_pg_backend_t *backend);

#endif
