/*
 * One connection to PostgreSQL: libpq in pipeline mode inside nginx's event loop.  Connects, prepares,
 * sends, lines up results with queries, and notices silence.  When it is to come back, its backend says.
 * Private to the pg module.
 */
#ifndef NGX_FITNUDGE_PG_CONN_H
#define NGX_FITNUDGE_PG_CONN_H

#include <ngx_event.h>
#include "ngx_fitnudge_pg.h"

typedef struct ngx_fitnudge_pg_backend_s  ngx_fitnudge_pg_backend_t;
typedef struct ngx_fitnudge_pg_conn_s  ngx_fitnudge_pg_conn_t;

/* Statements of the configuration. */
typedef struct {
    const char  *sql;
    ngx_uint_t   nparams;
    char         name[16];
} ngx_fitnudge_pg_statement_t;

/* What the connections to one server have in common; owned by the configuration. */
typedef struct {
    char                                name[16];       /* for logs: "primary", "slow", "replica 1" */
    const char                         *conninfo;
    const char                         *password;       /* or NULL */
    ngx_uint_t                          connections;    /* always open */
    ngx_uint_t                          max;            /* under load */
    ngx_msec_t                          idle;           /* those above `connections` are closed after */
    ngx_msec_t                          connect_timeout;
    ngx_msec_t                          timeout;        /* of one read; the server gives up by itself then */
    ngx_uint_t                          queue;          /* queries a connection */
    ngx_msec_t                          max_lag;        /* of a replica; 0: it is none */
    ngx_uint_t                          weight;         /* of a replica */
    const ngx_fitnudge_pg_statement_t  *statements;
    ngx_uint_t                          nstatements;
} ngx_fitnudge_pg_server_t;

/* A query: op->backend. Its values follow in the same block, so that it can be sent again. */
typedef struct {
    ngx_uint_t                  statement;
    ngx_uint_t                  nparams;
    PGresult                   *result;     /* until its Sync has come */
    ngx_fitnudge_pg_backend_t  *backend;    /* that has it */
    ngx_fitnudge_pg_conn_t     *conn;       /* that it was sent on; NULL: it waits for one */
    unsigned                    prepares:1; /* a PREPARE was sent with it */
    unsigned                    prepared:1; /* ... and has been answered */
    unsigned                    retried:1;
    unsigned                    lag:1;      /* asked by the module itself, to know how old a replica is */
    const char                 *values[];
} ngx_fitnudge_pg_query_t;

typedef enum {
    NGX_FITNUDGE_PG_AWAY = 0,
    NGX_FITNUDGE_PG_CONNECTING,
    NGX_FITNUDGE_PG_READY
} ngx_fitnudge_pg_state_e;

struct ngx_fitnudge_pg_conn_s {
    ngx_fitnudge_pg_backend_t       *backend;
    const ngx_fitnudge_pg_server_t  *server;
    ngx_uint_t                       number;        /* in its backend */
    ngx_fitnudge_pg_state_e          state;

    PGconn                          *pg;
    ngx_connection_t                *connection;    /* watches the socket, which belongs to libpq */

    ngx_queue_t                      fifo;          /* ops whose results are to come, oldest first */
    ngx_uint_t                       nops;
    u_char                          *prepared;      /* by statement: 1 = the server was told */

    ngx_event_t                      retry;         /* timer: connecting has to end, or to be tried again */
    ngx_event_t                      watch;         /* timer: the oldest op waits too long */
    ngx_event_t                      idle;          /* timer: of a connection above the backend's minimum */
    ngx_event_t                      broken;        /* posted: close, when it cannot be done on the spot */
    const char                      *reason;        /* of broken; NULL: libpq's */
    ngx_msec_t                       backoff;       /* of the next time it is lost */
    ngx_msec_t                       used;          /* when the last query was sent */
    ngx_msec_t                       lost;          /* when it was lost last */

    uint32_t                         said;          /* hash of the reason logged last */
    unsigned                         outage:1;      /* was logged */
    unsigned                         stopped:1;
};

/* Makes it, away. NGX_ERROR: no memory. */
ngx_int_t ngx_fitnudge_pg_conn_init(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_pg_backend_t *backend,
    const ngx_fitnudge_pg_server_t *server, ngx_uint_t number);

/* Connects; of one that is away only. It may have failed on return. */
void ngx_fitnudge_pg_conn_connect(ngx_fitnudge_pg_conn_t *conn);

/* Closes for good and frees; ops are freed without a word. */
void ngx_fitnudge_pg_conn_stop(ngx_fitnudge_pg_conn_t *conn);

/* Loses it: closes, tells the backend, and has its ops answered elsewhere. `reason` is for the log. Not in the middle of its results. */
void ngx_fitnudge_pg_conn_fail(ngx_fitnudge_pg_conn_t *conn, const char *reason);

/* The same, soon, from wherever. reason is static, or NULL for what libpq says. */
void ngx_fitnudge_pg_conn_break(ngx_fitnudge_pg_conn_t *conn, const char *reason);

/*
 * Sends the op's query; the op is the connection's from then on. NGX_DECLINED: not ready or full, and the op is still the
 * caller's.
 */
ngx_int_t ngx_fitnudge_pg_conn_query(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_op_t *op);

/* The backend: a connection has become ready. */
void ngx_fitnudge_pg_backend_ready(ngx_fitnudge_pg_conn_t *conn);

#define NGX_FITNUDGE_PG_BACKOFF_MIN  100       /* ms */
#define NGX_FITNUDGE_PG_BACKOFF_MAX  2000

/*
 * The backend: a connection was lost, `was` says from which state. Returns ms after which it tries again, or NGX_TIMER_INFINITE when
 * the backend will start it.
 */
ngx_msec_t ngx_fitnudge_pg_backend_lost(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_pg_state_e was);

/* The backend: an op was answered; rc as in done(). */
void ngx_fitnudge_pg_backend_answered(ngx_fitnudge_op_t *op, ngx_int_t rc);

/* The pg module: an op was answered, is to be answered elsewhere, or has come to its end (rc as in done()). */
void ngx_fitnudge_pg_answered(ngx_fitnudge_op_t *op, ngx_int_t rc);
void ngx_fitnudge_pg_again(ngx_fitnudge_op_t *op);
void ngx_fitnudge_pg_finish(ngx_fitnudge_op_t *op, ngx_int_t rc);

#endif
