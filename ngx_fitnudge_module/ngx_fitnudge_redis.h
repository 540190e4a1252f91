/*
 * Redis, native nginx connections with hiredis as the codec. Three a worker process: commands (pipelined FIFO),
 * replies (BLMPOP on this process's own list) and changes (SUBSCRIBE). All reconnect by themselves with jittered backoff.
 */
#ifndef NGX_FITNUDGE_REDIS_H
#define NGX_FITNUDGE_REDIS_H

#include <hiredis/hiredis.h>
#include "ngx_fitnudge_op.h"

/* done(NGX_OK, redisReply *), freed after the call; an error reply arrives as NGX_OK with type REDIS_REPLY_ERROR.
 * Returns NGX_OK, or NGX_DECLINED when Redis is away (op freed, done not called). */
ngx_int_t ngx_fitnudge_redis_command(ngx_fitnudge_op_t *op, int argc, const char **argv, const size_t *argvlen);

/* 1 when the command connection AND the reply connection of this process are ready. */
ngx_uint_t ngx_fitnudge_redis_up(void);

/* 1 while this process hears of changes; what others did meanwhile has been made up for. */
ngx_uint_t ngx_fitnudge_redis_subscribed(void);

/* Sets the gauges of this process. */
void ngx_fitnudge_redis_gauges(void);

/* Name of this process's reply list without prefix ("<host>:<pid>:<start ms>"), for reply_to. */
const ngx_str_t *ngx_fitnudge_redis_incarnation(void);

/*
 * Waits for the reply of job `id` (36 chars). The op is indexed by id and completed with an fn_reply_env_t *
 * (spans valid during the call) when the reply list delivers it; the tags have been applied to shared memory before.
 * A reply nobody waits for is dropped. Several ops may wait for one id.
 * A Redis outage does not fail waiters: their own timeout does.
 */
ngx_int_t ngx_fitnudge_redis_wait(ngx_fitnudge_op_t *op, const u_char *id);

#endif
