/*
 * One connection to Redis: connects, introduces itself, sends, parses, notices silence, and
 * comes back by itself.  What the answers mean is the business of its role.  Private to the redis module.
 */
#ifndef NGX_FITNUDGE_REDIS_CONN_H
#define NGX_FITNUDGE_REDIS_CONN_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <hiredis/hiredis.h>

#include "ngx_fitnudge_redis_sentinel.h"

#define NGX_FITNUDGE_REDIS_GREETINGS  3
#define NGX_FITNUDGE_REDIS_TEXTS      8

typedef struct ngx_fitnudge_redis_conn_s  ngx_fitnudge_redis_conn_t;

typedef struct {
    const char   *name;                                     /* of the role, for logs and CLIENT SETNAME */
    void        (*ready)(ngx_fitnudge_redis_conn_t *conn);  /* introduced: may send from now on */
    /* One reply, freed afterwards. 1: it answers a command, 0: the server sent it unasked. May fail the connection. */
    ngx_uint_t  (*reply)(ngx_fitnudge_redis_conn_t *conn, redisReply *reply);
    void        (*idle)(ngx_fitnudge_redis_conn_t *conn);   /* every few seconds while ready and nothing is awaited; or NULL */
    void        (*lost)(ngx_fitnudge_redis_conn_t *conn);   /* it was closed; nothing more will be answered */
    ngx_uint_t    probe;                                    /* only a writable server will do */
    ngx_uint_t    number;                                   /* 0 commands, 1 replies, 2 changes: as in the table of metrics */
} ngx_fitnudge_redis_role_t;

/* What the connections of a process have in common; texts are owned by the configuration. */
typedef struct {
    const ngx_addr_t  *addr;            /* unless there are Sentinels */
    const ngx_fitnudge_redis_sentinels_t  *sentinels;
    const char        *password;        /* or NULL */
    const ngx_str_t   *incarnation;
    ngx_str_t          probe_key;       /* key of the reply list: what the probe touches */
    ngx_msec_t         timeout;         /* to connect and introduce itself */
} ngx_fitnudge_redis_server_t;

typedef enum {
    NGX_FITNUDGE_REDIS_AUTH,
    NGX_FITNUDGE_REDIS_SETNAME,
    NGX_FITNUDGE_REDIS_PROBE
} ngx_fitnudge_redis_greeting_e;

struct ngx_fitnudge_redis_conn_s {
    const ngx_fitnudge_redis_role_t    *role;
    const ngx_fitnudge_redis_server_t  *server;

    ngx_connection_t                   *connection;     /* NULL: away, or a Sentinel is asked */
    ngx_fitnudge_redis_ask_t            ask;
    const ngx_addr_t                   *addr;           /* of the server, or NULL before a Sentinel has said it */
    redisReader                        *reader;

    u_char                             *out, *pos, *last, *end;
    ngx_event_t                         flush;          /* posted: one write for all commands of a loop iteration */

    ngx_event_t                         retry;          /* timer: connecting has to end, or to be tried again */
    ngx_event_t                         watch;          /* timer: silence while something is awaited */
    ngx_event_t                         tick;           /* timer: idle */
    ngx_msec_t                          patience;       /* of silence, ms */
    ngx_msec_t                          backoff;
    ngx_uint_t                          awaited;        /* replies */

    ngx_fitnudge_redis_greeting_e       greetings[NGX_FITNUDGE_REDIS_GREETINGS];
    ngx_uint_t                          ngreetings, greeted;

    unsigned                            established:1;
    unsigned                            ready:1;        /* introduced */
    uint32_t                            said;           /* hash of the reason logged last */
    unsigned                            outage:1;       /* was logged */
    unsigned                            stopped:1;      /* for good */
};

/* Starts to connect. */
void ngx_fitnudge_redis_conn_start(ngx_fitnudge_redis_conn_t *conn, const ngx_fitnudge_redis_role_t *role,
    const ngx_fitnudge_redis_server_t *server, ngx_msec_t patience);

/* Closes for good and frees; role->lost is not called. */
void ngx_fitnudge_redis_conn_stop(ngx_fitnudge_redis_conn_t *conn);

/* Closes, calls role->lost, and connects again later. err: errno or 0. */
void ngx_fitnudge_redis_conn_fail(ngx_fitnudge_redis_conn_t *conn, ngx_err_t err, const char *reason);

/*
 * Usable: ready, or connecting for the first time.  A process that has just started answers requests before its
 * connections stand: their commands wait behind the greetings.
 */
#define ngx_fitnudge_redis_conn_usable(conn)  ((conn)->ready \
    || (((conn)->connection != NULL || (conn)->ask.asking) && !(conn)->outage))

/* Appends a command to what is sent at the end of this loop iteration. NGX_OK, or NGX_ERROR: away, or no memory. */
ngx_int_t ngx_fitnudge_redis_conn_send(ngx_fitnudge_redis_conn_t *conn, int argc, const char *const *argv,
    const size_t *argvlen);

/* The same for at most NGX_FITNUDGE_REDIS_TEXTS NUL-terminated arguments. */
ngx_int_t ngx_fitnudge_redis_conn_send_texts(ngx_fitnudge_redis_conn_t *conn, int argc, const char *const *argv);

/* Logs something that should not be, and that may come with every message: once a minute. */
void ngx_fitnudge_redis_complain(const char *what);

#endif
