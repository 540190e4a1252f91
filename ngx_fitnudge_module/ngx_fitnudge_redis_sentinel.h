/*
 * Asks Sentinels where the master is.  One question at a time for each connection to Redis, on a connection of its own, which never
 * blocks: a Sentinel that refuses, closes or does not know the master gives way to the next; for one that is silent the asker has a timer.
 */
#ifndef NGX_FITNUDGE_REDIS_SENTINEL_H
#define NGX_FITNUDGE_REDIS_SENTINEL_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <hiredis/hiredis.h>

#include "fn_sentinel.h"

/* What the configuration says; n 0: there are no Sentinels. */
typedef struct {
    ngx_uint_t                   n;
    ngx_addr_t                   addrs[FN_SENTINELS_MAX];
    ngx_str_t                    name;          /* of the master, NUL-terminated */
    const char                  *password;      /* or NULL */
} ngx_fitnudge_redis_sentinels_t;

typedef struct ngx_fitnudge_redis_ask_s  ngx_fitnudge_redis_ask_t;

/* address NULL: none of them knows, for this reason. Called once for each question, never before ask() has returned. */
typedef void (*ngx_fitnudge_redis_ask_pt)(void *data, const ngx_addr_t *address, const char *reason);

/* Zeroed memory is one that asks nothing. */
struct ngx_fitnudge_redis_ask_s {
    const ngx_fitnudge_redis_sentinels_t  *sentinels;
    ngx_fitnudge_redis_ask_pt              handler;
    void                                  *data;

    ngx_connection_t                      *connection;
    redisReader                           *reader;
    ngx_event_t                            again;           /* posted: the next Sentinel */
    ngx_uint_t                             current;         /* which is asked, or answered last */
    ngx_uint_t                             tries;
    ngx_uint_t                             awaited;         /* replies before the one that counts */
    const char                            *reason;

    ngx_addr_t                             master;
    ngx_sockaddr_t                         sockaddr;
    u_char                                 text[NGX_SOCKADDR_STRLEN];

    unsigned                               asking:1;
    unsigned                               sent:1;
};

void ngx_fitnudge_redis_ask(ngx_fitnudge_redis_ask_t *ask, const ngx_fitnudge_redis_sentinels_t *sentinels,
    ngx_fitnudge_redis_ask_pt handler, void *data);

/* Drops a question; its handler is not called. The next one begins with another Sentinel. */
void ngx_fitnudge_redis_ask_cancel(ngx_fitnudge_redis_ask_t *ask);

#endif
