/*
 * The second layer of the response cache: answers that instances share through Redis (docs/internals.md, "The response cache").
 *
 * A key holds "<unix ms> <generations>\n<body>".  The generations are those of the tags, which the pool bumps in Redis together with its
 * reply, and one of all tags, which every process bumps when it has subscribed to the change channel: a Redis that was restarted may have
 * forgotten the last second, so nothing from before is believed.
 */
#ifndef NGX_FITNUDGE_CACHE_SHARED_H
#define NGX_FITNUDGE_CACHE_SHARED_H

#include "fn_cache_store.h"
#include "fn_routes.h"
#include "ngx_fitnudge_redis.h"

#define NGX_FITNUDGE_SHARED_NAME    256         /* bytes of a key's name */
#define NGX_FITNUDGE_SHARED_STAMP   (24 * (FN_CACHE_TAGS + 2))

/* What Redis said, and what is needed to tell it the answer later. */
typedef struct {
    size_t    name_len;
    size_t    stamp_len;                        /* 0: it said nothing of use */
    u_char    name[NGX_FITNUDGE_SHARED_NAME];
    u_char    stamp[NGX_FITNUDGE_SHARED_STAMP]; /* generations as they were before PostgreSQL was asked */
} ngx_fitnudge_cache_shared_t;

/* Only the change channel's connection calls these: it was lost or has just subscribed; and the tick in which what failed is tried again. */
void ngx_fitnudge_cache_shared_stale(void);
void ngx_fitnudge_cache_shared_load(ngx_msec_t timeout);

/* 1 when this process may use it. */
ngx_uint_t ngx_fitnudge_cache_shared_ready(void);

/*
 * Asks for the answer to `key`. values[0] is the user, then route->params. NGX_OK, or NGX_DECLINED: Redis is away or the key is of no use;
 * the op is freed.
 */
ngx_int_t ngx_fitnudge_cache_shared_ask(ngx_fitnudge_cache_shared_t *shared, ngx_fitnudge_op_t *op, const fn_route_t *route,
    const char *const *values, const u_char *key, size_t key_len);

/* Reads its reply. NGX_OK: body (the reply's memory) and its age in ms. NGX_DECLINED: PostgreSQL has to be asked. */
ngx_int_t ngx_fitnudge_cache_shared_read(ngx_fitnudge_cache_shared_t *shared, const redisReply *reply, uint64_t ttl_ms,
    ngx_str_t *body, uint64_t *age_ms);

/* Tells the others what PostgreSQL said. Nobody waits for it. */
void ngx_fitnudge_cache_shared_write(const ngx_fitnudge_cache_shared_t *shared, const ngx_str_t *body, unsigned ttl_s,
    ngx_msec_t timeout);

#endif
