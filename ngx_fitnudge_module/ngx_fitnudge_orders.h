/*
 * Whether a lane of the pool takes more: an operator may have stopped it, too much may wait in it already, or what waits has waited too
 * long. Each process knows by itself, from the change channel and from what Redis answers to its own writes; nobody asks for a
 * request. How old the oldest job is, is asked while others wait: at most once a second, and ten times while writes are refused for it.
 */
#ifndef NGX_FITNUDGE_ORDERS_H
#define NGX_FITNUDGE_ORDERS_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../worker/libfitnudge/fn_jobs.h"

/* 0: any number, any age. */
typedef struct {
    ngx_int_t   depth;          /* of jobs that wait in a lane */
    ngx_msec_t  age;            /* of the client's job that is next in the queue */
} ngx_fitnudge_queue_limits_t;

/* The change channel's connection: somebody's word about lanes has changed, or may have; and the tick in which it is asked for. */
void ngx_fitnudge_orders_changed(void);
void ngx_fitnudge_orders_load(ngx_msec_t timeout);

/* 1: a write that would become this job is to be refused. */
ngx_uint_t ngx_fitnudge_orders_refuse(const fn_job_t *job, const ngx_fitnudge_queue_limits_t *limits);

/* So many jobs waited in the job's queue after it was added. */
void ngx_fitnudge_orders_added(const fn_job_t *job, long long depth, const ngx_fitnudge_queue_limits_t *limits);

#endif
