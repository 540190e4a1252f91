/*
 * A blocking Redis connection that comes back by itself, and the pool's scripts (worker/lua).
 * Whatever goes wrong on a connection, it is thrown away and made anew: its protocol state is not to be trusted.
 */
#ifndef FN_REDIS_H
#define FN_REDIS_H

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "libfitnudge/fn_settings.h"

typedef enum {
    FN_SCRIPT_TAKE, FN_SCRIPT_FINISH, FN_SCRIPT_PROMOTE, FN_SCRIPT_REAP, FN_SCRIPT_LEAD, FN_SCRIPTS
} fn_script_e;

typedef struct {
    const fn_settings_t  *settings;
    redisContext         *c;                /* NULL = not connected */
    unsigned              sentinel;         /* the Sentinel that answered last */
    unsigned              timeout_ms;       /* of one answer */
    unsigned              failures;         /* connects failed in a row */
    uint64_t              retry_ms;         /* fn_mono_ms() before which no connect is tried */
    long long             client_id;
    const char           *lane;             /* who CLIENT LIST says it is, or NULL */
} fn_redis_t;

extern const char  *fn_scripts[FN_SCRIPTS];     /* made from worker/lua at build */

void fn_redis_init(fn_redis_t *r, const fn_settings_t *s, unsigned timeout_ms);
void fn_redis_close(fn_redis_t *r);

/* One try, unless it is too soon after the last (full jitter, 100 ms .. 2 s). 0 = connected, -1. */
int fn_redis_connect(fn_redis_t *r);

/* The next answer of the pipeline. NULL: the connection was lost and is closed. The caller frees. */
redisReply *fn_redis_reply(fn_redis_t *r);

/* One command, one answer; NULL = connection lost. */
redisReply *fn_redis_command(fn_redis_t *r, const char *fmt, ...);

/* Queues a script call: keys first, then the other arguments. 0 or -1 = lost. */
int fn_redis_script(fn_redis_t *r, fn_script_e script, unsigned nkeys, unsigned n, const char **v, const size_t *len);

/* What an error answer asks for. */
int fn_redis_noscript(const redisReply *a);     /* the script is not loaded */
int fn_redis_moved(const redisReply *a);        /* this server is not the master, or not yet: connect anew */
int fn_redis_again(const redisReply *a);        /* a state of the server that passes: LOADING, MISCONF, OOM, READONLY, ... */

/* Loads the scripts; fn_redis_connect does it too. 0 or -1 = lost. */
int fn_redis_load(fn_redis_t *r);

/* 0 .. bound-1 */
unsigned fn_random(unsigned bound);
/* Sleeps; a signal ends it early. */
void fn_sleep_ms(unsigned ms);

#endif
