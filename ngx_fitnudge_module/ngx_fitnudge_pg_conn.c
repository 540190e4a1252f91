/*
 * The life of a connection to PostgreSQL.  States: away (perhaps with a retry timer), connecting, ready.
 * ngx_fitnudge_pg_conn_fail() is the only way back to away.
 *
 * Every query ends with its own Sync, so that its error aborts nothing but itself.  A statement is
 * prepared in front of its first query; those behind count on that, and when it failed they are
 * sent once more.
 *
 * libpq owns the socket and may exchange it while it connects: nginx watches it level-triggered, forgets
 * it before each PQconnectPoll() and before libpq closes it.
 */
#include <openssl/ssl.h>

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg_conn.h"
#include "ngx_fitnudge_metrics.h"


#define WATCH_SLACK         500         /* ms after which a server that should have given up is away */
#define UNKNOWN_STATEMENT   "26000"     /* SQLSTATE invalid_sql_statement_name */


static void ngx_fitnudge_pg_conn_poll(ngx_fitnudge_pg_conn_t *conn);
static ngx_int_t ngx_fitnudge_pg_conn_adopt(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_ready(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_close(ngx_fitnudge_pg_conn_t *conn);
static ngx_int_t ngx_fitnudge_pg_conn_watch(ngx_fitnudge_pg_conn_t *conn, ngx_uint_t in, ngx_uint_t out);
static void ngx_fitnudge_pg_conn_forget(ngx_fitnudge_pg_conn_t *conn);
static ngx_int_t ngx_fitnudge_pg_conn_flush(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_handler(ngx_event_t *ev);
static ngx_uint_t ngx_fitnudge_pg_conn_decrypted(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_results(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_result(ngx_fitnudge_pg_conn_t *conn, PGresult *result);
static void ngx_fitnudge_pg_conn_synced(ngx_fitnudge_pg_conn_t *conn);
static void ngx_fitnudge_pg_conn_retry_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_conn_watch_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_conn_idle_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_conn_broken_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_conn_notice(void *data, const PGresult *result);


ngx_int_t
ngx_fitnudge_pg_conn_init(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_pg_backend_t *backend,
    const ngx_fitnudge_pg_server_t *server, ngx_uint_t number)
{
    ngx_uint_t    i;
    ngx_event_t  *ev[4];

    ngx_memzero(conn, sizeof(ngx_fitnudge_pg_conn_t));

    conn->backend = backend;
    conn->server = server;
    conn->number = number;
    conn->backoff = NGX_FITNUDGE_PG_BACKOFF_MIN;

    ngx_queue_init(&conn->fifo);

    conn->retry.handler = ngx_fitnudge_pg_conn_retry_handler;
    conn->watch.handler = ngx_fitnudge_pg_conn_watch_handler;
    conn->idle.handler = ngx_fitnudge_pg_conn_idle_handler;
    conn->broken.handler = ngx_fitnudge_pg_conn_broken_handler;

    ev[0] = &conn->retry;
    ev[1] = &conn->watch;
    ev[2] = &conn->idle;
    ev[3] = &conn->broken;

    for (i = 0; i < 4; i++) {
        ev[i]->data = conn;
        ev[i]->log = ngx_cycle->log;
        ev[i]->cancelable = 1;
    }

    conn->prepared = ngx_calloc(server->nstatements + 1, ngx_cycle->log);

    return conn->prepared == NULL ? NGX_ERROR : NGX_OK;
}


void
ngx_fitnudge_pg_conn_stop(ngx_fitnudge_pg_conn_t *conn)
{
    ngx_queue_t              *q;
    ngx_fitnudge_op_t        *op;
    ngx_fitnudge_pg_query_t  *query;

    conn->stopped = 1;

    ngx_fitnudge_pg_conn_close(conn);

    while (!ngx_queue_empty(&conn->fifo)) {
        q = ngx_queue_head(&conn->fifo);
        ngx_queue_remove(q);

        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);
        query = op->backend;

        PQclear(query->result);
        ngx_free(query);
        ngx_fitnudge_op_free(op);
    }

    if (conn->prepared != NULL) {
        ngx_free(conn->prepared);
        conn->prepared = NULL;
    }
}


ngx_int_t
ngx_fitnudge_pg_conn_query(ngx_fitnudge_pg_conn_t *conn, ngx_fitnudge_op_t *op)
{
    ngx_fitnudge_pg_query_t            *query = op->backend;
    const ngx_fitnudge_pg_statement_t  *statement;

    if (conn->state != NGX_FITNUDGE_PG_READY || conn->broken.posted || conn->nops >= conn->server->queue) {
        return NGX_DECLINED;
    }

    statement = &conn->server->statements[query->statement];

    query->prepares = 0;
    query->prepared = 0;

    if (!conn->prepared[query->statement]) {
        if (!PQsendPrepare(conn->pg, statement->name, statement->sql, (int) statement->nparams, NULL)) {
            goto broken;
        }

        conn->prepared[query->statement] = 1;
        query->prepares = 1;
    }

    if (!PQsendQueryPrepared(conn->pg, statement->name, (int) query->nparams, query->values, NULL, NULL, 0)
        || !PQpipelineSync(conn->pg)
        || ngx_fitnudge_pg_conn_flush(conn) != NGX_OK)
    {
        goto broken;
    }

    if (ngx_queue_empty(&conn->fifo)) {
        ngx_add_timer(&conn->watch, conn->server->timeout + WATCH_SLACK);
    }

    ngx_queue_insert_tail(&conn->fifo, &op->queue);
    conn->nops++;
    conn->used = ngx_current_msec;
    query->conn = conn;

    return NGX_OK;

broken:

    /* the caller may be in the middle of this connection's results */
    ngx_fitnudge_pg_conn_break(conn, NULL);

    return NGX_DECLINED;
}


void
ngx_fitnudge_pg_conn_break(ngx_fitnudge_pg_conn_t *conn, const char *reason)
{
    if (conn->state != NGX_FITNUDGE_PG_AWAY && !conn->broken.posted) {
        conn->reason = reason;
        ngx_post_event(&conn->broken, &ngx_posted_events);
    }
}


/*
 * What libpq does in here without asking the event loop: it reads the files of certificates that are configured, and with a password
 * (SCRAM) computes some thousand hashes, a few ms of one core.  Both belong to connecting, not to requests.
 */
void
ngx_fitnudge_pg_conn_connect(ngx_fitnudge_pg_conn_t *conn)
{
    int          n;
    u_char       options[64];
    const char  *keys[8], *values[8];

    n = 0;

    /* expanded by libpq; what follows overrides it */
    keys[n] = "dbname";
    values[n++] = conn->server->conninfo;

    if (conn->server->password != NULL) {
        keys[n] = "password";
        values[n++] = conn->server->password;
    }

    *ngx_snprintf(options, sizeof(options) - 1, "-c statement_timeout=%M", conn->server->timeout) = '\0';

    keys[n] = "options";
    values[n++] = (char *) options;
    keys[n] = "application_name";
    values[n++] = "fitnudge-edge";
    keys[n] = "client_encoding";
    values[n++] = "UTF8";
    keys[n] = "gssencmode";
    values[n++] = "disable";
    keys[n] = NULL;
    values[n] = NULL;

    conn->state = NGX_FITNUDGE_PG_CONNECTING;

    conn->pg = PQconnectStartParams(keys, values, 1);

    if (conn->pg == NULL) {
        ngx_fitnudge_pg_conn_fail(conn, "no memory");
        return;
    }

    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    PQsetNoticeReceiver(conn->pg, ngx_fitnudge_pg_conn_notice, conn);

    ngx_add_timer(&conn->retry, conn->server->connect_timeout);

    /* as if PQconnectPoll() had returned PGRES_POLLING_WRITING, says libpq's manual */
    if (ngx_fitnudge_pg_conn_adopt(conn) != NGX_OK || ngx_fitnudge_pg_conn_watch(conn, 0, 1) != NGX_OK) {
        ngx_fitnudge_pg_conn_fail(conn, "no connection is free");
    }
}


/* Makes nginx's connection for the socket libpq uses now. */
static ngx_int_t
ngx_fitnudge_pg_conn_adopt(ngx_fitnudge_pg_conn_t *conn)
{
    int                fd;
    ngx_connection_t  *c;

    fd = PQsocket(conn->pg);

    if (conn->connection != NULL) {
        if (conn->connection->fd == fd) {
            return NGX_OK;
        }

        ngx_close_connection(conn->connection);
        conn->connection = NULL;
    }

    if (fd < 0) {
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    /* nginx closes nothing here: the socket is libpq's */
    c->shared = 1;
    c->data = conn;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->read->handler = ngx_fitnudge_pg_conn_handler;
    c->write->handler = ngx_fitnudge_pg_conn_handler;

    conn->connection = c;

    return NGX_OK;
}


static void
ngx_fitnudge_pg_conn_poll(ngx_fitnudge_pg_conn_t *conn)
{
    ngx_uint_t                 in, out;
    PostgresPollingStatusType  status;

    /* the socket may be another one afterwards, even under the same number */
    ngx_fitnudge_pg_conn_forget(conn);

    status = PQconnectPoll(conn->pg);

    if (status == PGRES_POLLING_FAILED) {
        ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    in = status != PGRES_POLLING_WRITING;
    out = status == PGRES_POLLING_WRITING;

    if (ngx_fitnudge_pg_conn_adopt(conn) != NGX_OK || ngx_fitnudge_pg_conn_watch(conn, in, out) != NGX_OK) {
        ngx_fitnudge_pg_conn_fail(conn, "no connection is free");
        return;
    }

    if (status == PGRES_POLLING_OK) {
        ngx_fitnudge_pg_conn_ready(conn);
    }
}


static void
ngx_fitnudge_pg_conn_ready(ngx_fitnudge_pg_conn_t *conn)
{
    if (PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg)) {
        ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    conn->state = NGX_FITNUDGE_PG_READY;
    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_CONNECTS, 1);
    conn->backoff = NGX_FITNUDGE_PG_BACKOFF_MIN;
    ngx_memzero(conn->prepared, conn->server->nstatements);

    if (conn->retry.timer_set) {
        ngx_del_timer(&conn->retry);
    }

    if (conn->outage) {
        conn->outage = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "fitnudge: postgres %s: connection %ui is back",
                      conn->server->name, conn->number);
    }

    if (conn->number >= conn->server->connections) {
        conn->used = ngx_current_msec;
        ngx_add_timer(&conn->idle, conn->server->idle);
    }

    ngx_fitnudge_pg_backend_ready(conn);
}


static void
ngx_fitnudge_pg_conn_close(ngx_fitnudge_pg_conn_t *conn)
{
    conn->state = NGX_FITNUDGE_PG_AWAY;

    if (conn->retry.timer_set) {
        ngx_del_timer(&conn->retry);
    }

    if (conn->watch.timer_set) {
        ngx_del_timer(&conn->watch);
    }

    if (conn->idle.timer_set) {
        ngx_del_timer(&conn->idle);
    }

    if (conn->broken.posted) {
        ngx_delete_posted_event(&conn->broken);
    }

    ngx_fitnudge_pg_conn_forget(conn);

    if (conn->pg != NULL) {
        PQfinish(conn->pg);
        conn->pg = NULL;
    }

    if (conn->connection != NULL) {
        ngx_close_connection(conn->connection);
        conn->connection = NULL;
    }
}


void
ngx_fitnudge_pg_conn_fail(ngx_fitnudge_pg_conn_t *conn, const char *reason)
{
    uint32_t                 hash;
    ngx_str_t                text;
    ngx_msec_t               delay;
    ngx_queue_t              lost, *q;
    ngx_fitnudge_op_t       *op;
    ngx_fitnudge_pg_state_e  was;

    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_FAILURES, 1);

    /* the first line of libpq's text, which may be of several */
    text.data = (u_char *) reason;
    text.len = strcspn(reason, "\n");
    hash = ngx_crc32_short(text.data, text.len);

    /* once an outage, and once more when another reason keeps it away */
    if (!conn->outage || hash != conn->said) {
        conn->outage = 1;
        conn->said = hash;

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "fitnudge: postgres %s: connection %ui failed: %V",
                      conn->server->name, conn->number, &text);
    }

    was = conn->state;
    ngx_fitnudge_pg_conn_close(conn);

    conn->lost = ngx_current_msec;
    delay = ngx_fitnudge_pg_backend_lost(conn, was);

    /* a process that is leaving finishes what it can without it */
    if (delay != NGX_TIMER_INFINITE && !conn->stopped && !ngx_exiting && !ngx_terminate) {
        ngx_add_timer(&conn->retry, delay);
    }

    ngx_queue_init(&lost);

    if (!ngx_queue_empty(&conn->fifo)) {
        ngx_queue_add(&lost, &conn->fifo);
        ngx_queue_init(&conn->fifo);
    }

    conn->nops = 0;

    while (!ngx_queue_empty(&lost)) {
        q = ngx_queue_head(&lost);
        ngx_queue_remove(q);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        ngx_fitnudge_pg_again(op);
    }
}


/* Watches the socket, level-triggered, for exactly what is asked. */
static ngx_int_t
ngx_fitnudge_pg_conn_watch(ngx_fitnudge_pg_conn_t *conn, ngx_uint_t in, ngx_uint_t out)
{
    ngx_event_t  *rev, *wev;

    rev = conn->connection->read;
    wev = conn->connection->write;

    if (in && !rev->active && ngx_add_event(rev, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        return NGX_ERROR;
    }

    if (out && !wev->active && ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!in && rev->active && ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!out && wev->active && ngx_del_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_fitnudge_pg_conn_forget(ngx_fitnudge_pg_conn_t *conn)
{
    ngx_connection_t  *c = conn->connection;

    if (c == NULL) {
        return;
    }

    /* libpq has closed a connection that was lost, and with that the kernel forgot the socket */
    if (PQsocket(conn->pg) != c->fd) {
        c->read->active = 0;
        c->write->active = 0;
        return;
    }

    (void) ngx_fitnudge_pg_conn_watch(conn, 0, 0);
}


/* Sends what libpq holds; what does not fit into the socket is sent when it is writable. */
static ngx_int_t
ngx_fitnudge_pg_conn_flush(ngx_fitnudge_pg_conn_t *conn)
{
    int  rc;

    rc = PQflush(conn->pg);

    return rc == -1 ? NGX_ERROR : ngx_fitnudge_pg_conn_watch(conn, 1, rc == 1);
}


/* Readable, writable, or to be closed. */
static void
ngx_fitnudge_pg_conn_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_fitnudge_pg_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    /* worker_shutdown_timeout is over */
    if (c->close || c->error) {
        conn->stopped = 1;
        ngx_fitnudge_pg_conn_fail(conn, "the worker process is shutting down");
        return;
    }

    if (conn->state == NGX_FITNUDGE_PG_CONNECTING) {
        ngx_fitnudge_pg_conn_poll(conn);
        return;
    }

    /* input first: a server that waits for us to read does not read either */
    do {
        if (!PQconsumeInput(conn->pg)) {
            ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
            return;
        }

        ngx_fitnudge_pg_conn_results(conn);

        /* what TLS has decrypted already makes no socket readable */
    } while (conn->state == NGX_FITNUDGE_PG_READY && !conn->broken.posted && ngx_fitnudge_pg_conn_decrypted(conn));

    if (conn->state == NGX_FITNUDGE_PG_READY && !conn->broken.posted
        && ngx_fitnudge_pg_conn_flush(conn) != NGX_OK)
    {
        ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
    }
}


static ngx_uint_t
ngx_fitnudge_pg_conn_decrypted(ngx_fitnudge_pg_conn_t *conn)
{
    SSL  *ssl;

    ssl = PQsslStruct(conn->pg, "OpenSSL");

    return ssl != NULL && SSL_pending(ssl) > 0;
}


static void
ngx_fitnudge_pg_conn_results(ngx_fitnudge_pg_conn_t *conn)
{
    PGresult    *result;
    ngx_uint_t   nulls;

    nulls = 0;

    while (!ngx_queue_empty(&conn->fifo) && nulls < 2 && !PQisBusy(conn->pg)) {
        result = PQgetResult(conn->pg);

        /* a lost connection shows as the error of a statement: that one did nothing wrong */
        if (PQstatus(conn->pg) == CONNECTION_BAD) {
            PQclear(result);
            break;
        }

        /* one NULL ends the results of a statement; two in a row: libpq knows of nothing more */
        nulls = result == NULL ? nulls + 1 : 0;

        if (result != NULL) {
            ngx_fitnudge_pg_conn_result(conn, result);
        }
    }

    /* parses, too, what a server says unasked before it closes */
    (void) PQisBusy(conn->pg);

    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        ngx_fitnudge_pg_conn_fail(conn, PQerrorMessage(conn->pg));
    }
}


static void
ngx_fitnudge_pg_conn_result(ngx_fitnudge_pg_conn_t *conn, PGresult *result)
{
    ngx_fitnudge_op_t        *op;
    ngx_fitnudge_pg_query_t  *query;

    op = ngx_queue_data(ngx_queue_head(&conn->fifo), ngx_fitnudge_op_t, queue);
    query = op->backend;

    switch (PQresultStatus(result)) {

    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        ngx_fitnudge_pg_conn_synced(conn);
        return;

    case PGRES_COMMAND_OK:
        query->prepared = 1;
        break;

    case PGRES_TUPLES_OK:
        if (query->result == NULL) {
            query->result = result;
            return;
        }

        break;

    case PGRES_FATAL_ERROR:
        if (query->prepares && !query->prepared) {
            conn->prepared[query->statement] = 0;
        }

        if (query->result == NULL) {
            query->result = result;
            return;
        }

        break;

    default:
        /* PGRES_PIPELINE_ABORTED: follows the error that matters */
        break;
    }

    PQclear(result);
}


/* All results of the oldest op have come. */
static void
ngx_fitnudge_pg_conn_synced(ngx_fitnudge_pg_conn_t *conn)
{
    ngx_int_t                 rc;
    const char               *state;
    ngx_queue_t              *q;
    ngx_fitnudge_op_t        *op;
    ngx_fitnudge_pg_query_t  *query;

    q = ngx_queue_head(&conn->fifo);
    ngx_queue_remove(q);
    conn->nops--;

    op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);
    query = op->backend;

    if (ngx_queue_empty(&conn->fifo)) {
        ngx_del_timer(&conn->watch);

    } else {
        /* cheap: nginx leaves a timer alone that moves by less than 300 ms */
        ngx_add_timer(&conn->watch, conn->server->timeout + WATCH_SLACK);
    }

    rc = NGX_ERROR;

    if (query->result != NULL) {
        rc = PQresultStatus(query->result) == PGRES_TUPLES_OK ? NGX_OK : NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        state = PQresultErrorField(query->result, PG_DIAG_SQLSTATE);

        if (state != NULL && ngx_strcmp(state, UNKNOWN_STATEMENT) == 0 && !query->retried) {
            /* it counted on a PREPARE that failed, or somebody threw the statement away */
            conn->prepared[query->statement] = 0;
            ngx_fitnudge_pg_again(op);
            return;
        }
    }

    ngx_fitnudge_pg_backend_answered(op, rc);
}


static void
ngx_fitnudge_pg_conn_retry_handler(ngx_event_t *ev)
{
    ngx_fitnudge_pg_conn_t  *conn = ev->data;

    if (conn->state != NGX_FITNUDGE_PG_AWAY) {
        ngx_fitnudge_pg_conn_fail(conn, "no connection in time");
        return;
    }

    if (!ngx_exiting && !ngx_terminate) {
        ngx_fitnudge_pg_conn_connect(conn);
    }
}


static void
ngx_fitnudge_pg_conn_watch_handler(ngx_event_t *ev)
{
    ngx_fitnudge_pg_conn_fail(ev->data, "no answer");
}


static void
ngx_fitnudge_pg_conn_broken_handler(ngx_event_t *ev)
{
    ngx_fitnudge_pg_conn_t  *conn = ev->data;

    ngx_fitnudge_pg_conn_fail(conn, conn->reason != NULL ? conn->reason : PQerrorMessage(conn->pg));
}


/* The timer is left alone by queries, so it may be early. */
static void
ngx_fitnudge_pg_conn_idle_handler(ngx_event_t *ev)
{
    ngx_msec_t               unused;
    ngx_fitnudge_pg_conn_t  *conn = ev->data;

    unused = ngx_current_msec - conn->used;

    if (conn->nops > 0 || unused < conn->server->idle) {
        ngx_add_timer(ev, conn->nops > 0 ? conn->server->idle : conn->server->idle - unused);
        return;
    }

    ngx_fitnudge_pg_conn_close(conn);
}


/* libpq would write to stderr; a notice of SQL may quote data and belongs into the server's log only. */
static void
ngx_fitnudge_pg_conn_notice(void *data, const PGresult *result)
{
    (void) data;
    (void) result;
}
