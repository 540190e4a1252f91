/*
 * One connection to PostgreSQL: libpq in pipeline mode inside nginx's event loop.  Connects, prepares,
 * sends, lines up results with queries, notices silence, and comes back by itself.  Private to the pg module.
 */
#ifndef NGX_FITNUDGE_PG_CONN_H
#define NGX_FITNUDGE_PG_CONN_H

#include <ngx_event.h>
#include "ngx_fitnudge_pg.h"

/* Statements of the configuration. */
typedef struct {
    const char  *sql;
    ngx_uint_t   nparams;
    char         name[16];
} ngx_fitnudge_pg_statement_t;

/* What the connections of a process have in common; texts are owned by the configuration. */
typedef struct {
    const char                         *conninfo;
    const char                         *password;       /* or NULL */
    ngx_msec_t                          timeout;        /* of one read; the server gives up by itself then */
    ngx_uint_t                          queue;          /* queries a connection */
    const ngx_fitnudge_pg_statement_t  *statements;
    ngx_uint_t                          nstatements;
} ngx_fitnudge_pg_server_t;

/* A query: op->backend. Its values follow in the same block, so that it can be sent again. */
typedef struct {
    ngx_uint_t    statement;
    ngx_uint_t    nparams;
    PGresult     *result;               /* until its Sync has come */
    unsigned      prepares:1;           /* a PREPARE was sent with it */
    unsigned      prepared:1;           /* ... and has been answered */
    unsigned      retried:1;
    const char   *values[];
} ngx_fitnudge_pg_query_t;

typedef enum {
    NGX_FITNUDGE_PG_AWAY = 0,
    NGX_FITNUDGE_PG_CONNECTING,
    NGX_FITNUDGE_PG_READY
} ngx_fitnudge_pg_state_e;

typedef struct {
    const ngx_fitnudge_pg_server_t  *server;
    ngx_uint_t                       number;        /* for logs */
    ngx_fitnudge_pg_state_e          state;

    PGconn                          *pg;
    ngx_connection_t                *connection;    /* watches the socket, which belongs to libpq */

    ngx_queue_t                      fifo;          /* ops whose results are to come, oldest first */
    ngx_uint_t                       nops;
    u_char                          *prepared;      /* by statement: 1 = the server was told */

    ngx_event_t                      retry;         /* timer: connecting has to end, or to be tried again */
    ngx_event_t                      watch;         /* timer: the oldest op waits too long */
    ngx_event_t                      broken;        /* posted: close, when it cannot be done on the spot */
    ngx_msec_t                       backoff;

    unsigned                         outage:1;      /* was logged */
    unsigned                         stopped:1;
} ngx_fitnudge_pg_conn_t;

/* Starts to connect. NGX_ERROR: no memory. */
ngx_int_t ngx_fitnudge_pg_conn_start(ngx_fitnudge_pg_conn_t *conn, const ngx_fitnudge_pg_server_t *server,
    ngx_uint_t number);

/* Closes for good and frees; ops are freed without a word. */
void ngx_fitnudge_pg_conn_stop(ngx_fitnudge_pg_conn_t *conn);

/*
 * Sends the op's query; the op is the connection's from then on. NGX_DECLINED: not ready or full, and the op is still the
 * caller's.
 */
ngx_int_t ngx_fitnudge_pg_conn_query(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_op_t *op);

/* The pg module: has the op answered on another connection, or tells the asker (rc as in done()). */
void ngx_fitnudge_pg_again(ngx_fitnudge_op_t *op);
void ngx_fitnudge_pg_finish(ngx_fitnudge_op_t *op, ngx_int_t rc);

/* The pg module: a connection has become ready, or was lost. */
void ngx_fitnudge_pg_changed(void);

#endif
