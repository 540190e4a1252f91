/*
 * Whether a lane of the pool takes more: an operator may have stopped it, or too much may wait in it already.  Each process knows by
 * itself, from the change channel and from what Redis answers to its own writes; nobody asks for it.
 */
#ifndef NGX_FITNUDGE_ORDERS_H
#define NGX_FITNUDGE_ORDERS_H

#include <ngx_config.h>
#include <ngx_core.h>

/* The change channel's connection: somebody's word about lanes has changed, or may have; and the tick in which it is asked for. */
void ngx_fitnudge_orders_changed(void);
void ngx_fitnudge_orders_load(ngx_msec_t timeout);

/* 1: a write for the lane is to be refused. max: of jobs that wait, 0: any number. */
ngx_uint_t ngx_fitnudge_orders_refuse(const char *lane, ngx_uint_t max);

/* So many jobs waited in the lane after one was added. */
void ngx_fitnudge_orders_depth(const char *lane, long long depth);

#endif
