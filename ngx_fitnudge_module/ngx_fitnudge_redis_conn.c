/*
 * The life of a connection to Redis.  States: away (connection NULL, retry timer), asking a Sentinel for the address and connecting
 * (commands are taken already, behind the greetings), greeting (established), ready.
 * ngx_fitnudge_redis_conn_fail() is the only way back to away.
 */
#include "ngx_fitnudge_redis_conn.h"
#include "ngx_fitnudge_metrics.h"


#define READ_SIZE       65536
#define READER_KEEP     (256 * 1024)        /* of the parser's buffer, when it is empty */
#define OUT_MIN         16384
#define OUT_MAX         (64 * 1024 * 1024)
#define BACKOFF_MIN     100                 /* ms */
#define BACKOFF_MAX     2000
#define TICK            5000                /* ms */
#define COMPLAIN_INTERVAL  60               /* s */
#define PROBE_TTL       "60"                /* s; what the pool gives a reply list, too */


static void ngx_fitnudge_redis_conn_connect(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_conn_located(void *data, const ngx_addr_t *address, const char *reason);
static void ngx_fitnudge_redis_conn_dial(ngx_fitnudge_redis_conn_t *conn);
static const ngx_str_t *ngx_fitnudge_redis_conn_address(const ngx_fitnudge_redis_conn_t *conn);
static ngx_int_t ngx_fitnudge_redis_conn_register(ngx_fitnudge_redis_conn_t *conn, ngx_socket_t s);
static void ngx_fitnudge_redis_conn_close(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_conn_established(ngx_fitnudge_redis_conn_t *conn);
static ngx_int_t ngx_fitnudge_redis_conn_greet(ngx_fitnudge_redis_conn_t *conn);
static ngx_int_t ngx_fitnudge_redis_conn_greeting(ngx_fitnudge_redis_conn_t *conn,
    ngx_fitnudge_redis_greeting_e what, int argc, const char **argv);
static void ngx_fitnudge_redis_conn_greeted(ngx_fitnudge_redis_conn_t *conn, redisReply *reply);
static void ngx_fitnudge_redis_conn_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_fitnudge_redis_conn_parse(ngx_fitnudge_redis_conn_t *conn, const u_char *p, size_t n);
static void ngx_fitnudge_redis_conn_write_handler(ngx_event_t *wev);
static void ngx_fitnudge_redis_conn_flush_handler(ngx_event_t *ev);
static void ngx_fitnudge_redis_conn_retry_handler(ngx_event_t *ev);
static void ngx_fitnudge_redis_conn_watch_handler(ngx_event_t *ev);
static void ngx_fitnudge_redis_conn_tick_handler(ngx_event_t *ev);
static ngx_int_t ngx_fitnudge_redis_conn_reserve(ngx_fitnudge_redis_conn_t *conn, size_t n);


void
ngx_fitnudge_redis_conn_start(ngx_fitnudge_redis_conn_t *conn, const ngx_fitnudge_redis_role_t *role,
    const ngx_fitnudge_redis_server_t *server, ngx_msec_t patience)
{
    ngx_uint_t    i;
    ngx_event_t  *ev[4];

    ngx_memzero(conn, sizeof(ngx_fitnudge_redis_conn_t));

    conn->role = role;
    conn->server = server;
    conn->patience = patience;
    conn->backoff = BACKOFF_MIN;

    conn->flush.handler = ngx_fitnudge_redis_conn_flush_handler;
    conn->retry.handler = ngx_fitnudge_redis_conn_retry_handler;
    conn->watch.handler = ngx_fitnudge_redis_conn_watch_handler;
    conn->tick.handler = ngx_fitnudge_redis_conn_tick_handler;

    ev[0] = &conn->flush;
    ev[1] = &conn->retry;
    ev[2] = &conn->watch;
    ev[3] = &conn->tick;

    for (i = 0; i < 4; i++) {
        ev[i]->data = conn;
        ev[i]->log = ngx_cycle->log;
        ev[i]->cancelable = 1;
    }

    ngx_add_timer(&conn->tick, TICK);

    ngx_fitnudge_redis_conn_connect(conn);
}


void
ngx_fitnudge_redis_conn_stop(ngx_fitnudge_redis_conn_t *conn)
{
    if (conn->role == NULL) {
        return;
    }

    conn->stopped = 1;

    ngx_fitnudge_redis_conn_close(conn);

    if (conn->tick.timer_set) {
        ngx_del_timer(&conn->tick);
    }

    if (conn->out != NULL) {
        ngx_free(conn->out);
        conn->out = NULL;
    }
}


void
ngx_fitnudge_redis_conn_fail(ngx_fitnudge_redis_conn_t *conn, ngx_err_t err, const char *reason)
{
    uint32_t    hash;
    ngx_msec_t  delay;

    ngx_fitnudge_count(NGX_FITNUDGE_M_REDIS_FAILURES_COMMANDS + conn->role->number, 1);

    hash = ngx_crc32_short((u_char *) reason, ngx_strlen(reason));

    /* once an outage, and once more when another reason keeps it away */
    if (!conn->outage || hash != conn->said) {
        conn->outage = 1;
        conn->said = hash;
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, err, "fitnudge: redis %s: connection to %V failed: %s",
                      conn->role->name, ngx_fitnudge_redis_conn_address(conn), reason);
    }

    ngx_fitnudge_redis_conn_close(conn);

    /* a process that is leaving finishes what it can without it */
    if (!conn->stopped && !ngx_exiting && !ngx_terminate) {
        delay = conn->backoff / 2 + (ngx_msec_t) ngx_random() % (conn->backoff / 2 + 1);
        conn->backoff = ngx_min(conn->backoff * 2, BACKOFF_MAX);
        ngx_add_timer(&conn->retry, delay);
    }

    conn->role->lost(conn);
}


ngx_int_t
ngx_fitnudge_redis_conn_send(ngx_fitnudge_redis_conn_t *conn, int argc, const char *const *argv,
    const size_t *argvlen)
{
    int      i;
    size_t   n;
    u_char  *p;

    if (conn->connection == NULL && !conn->ask.asking) {
        return NGX_ERROR;
    }

    n = sizeof("*\r\n") + NGX_INT_T_LEN;

    for (i = 0; i < argc; i++) {
        n += sizeof("$\r\n\r\n") + NGX_INT_T_LEN + argvlen[i];
    }

    if (ngx_fitnudge_redis_conn_reserve(conn, n) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(conn->last, "*%d\r\n", argc);

    for (i = 0; i < argc; i++) {
        p = ngx_sprintf(p, "$%uz\r\n", argvlen[i]);
        p = ngx_cpymem(p, argv[i], argvlen[i]);
        *p++ = CR;
        *p++ = LF;
    }

    conn->last = p;
    conn->awaited++;

    if (!conn->established) {
        return NGX_OK;
    }

    if (!conn->flush.posted) {
        ngx_post_event(&conn->flush, &ngx_posted_events);
    }

    if (!conn->watch.timer_set) {
        ngx_add_timer(&conn->watch, conn->patience);
    }

    return NGX_OK;
}


ngx_int_t
ngx_fitnudge_redis_conn_send_texts(ngx_fitnudge_redis_conn_t *conn, int argc, const char *const *argv)
{
    int     i;
    size_t  lens[NGX_FITNUDGE_REDIS_TEXTS];

    for (i = 0; i < argc; i++) {
        lens[i] = ngx_strlen(argv[i]);
    }

    return ngx_fitnudge_redis_conn_send(conn, argc, argv, lens);
}


void
ngx_fitnudge_redis_complain(const char *what)
{
    static time_t  next;

    if (ngx_time() >= next) {
        next = ngx_time() + COMPLAIN_INTERVAL;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: redis: %s", what);
    }
}


static ngx_int_t
ngx_fitnudge_redis_conn_reserve(ngx_fitnudge_redis_conn_t *conn, size_t n)
{
    size_t   used, size;
    u_char  *p;

    if ((size_t) (conn->end - conn->last) >= n) {
        return NGX_OK;
    }

    used = conn->last - conn->pos;
    size = ngx_max(OUT_MIN, (size_t) (conn->end - conn->out));

    while (size < used + n) {
        size *= 2;
    }

    if (size > OUT_MAX) {
        return NGX_ERROR;
    }

    p = ngx_alloc(size, ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (conn->out != NULL) {
        ngx_memcpy(p, conn->pos, used);
        ngx_free(conn->out);
    }

    conn->out = p;
    conn->pos = p;
    conn->last = p + used;
    conn->end = p + size;

    return NGX_OK;
}


static const ngx_str_t *
ngx_fitnudge_redis_conn_address(const ngx_fitnudge_redis_conn_t *conn)
{
    if (conn->addr != NULL) {
        return &conn->addr->name;
    }

    return conn->server->sentinels->n ? &conn->server->sentinels->name : &conn->server->addr->name;
}


static void
ngx_fitnudge_redis_conn_connect(ngx_fitnudge_redis_conn_t *conn)
{
    if (conn->server->sentinels->n == 0) {
        conn->addr = conn->server->addr;
        ngx_fitnudge_redis_conn_dial(conn);
        return;
    }

    /* where the master was before a failover says nothing */
    conn->addr = NULL;
    ngx_add_timer(&conn->retry, conn->server->timeout);
    ngx_fitnudge_redis_ask(&conn->ask, conn->server->sentinels, ngx_fitnudge_redis_conn_located, conn);

    if (ngx_fitnudge_redis_conn_greet(conn) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
    }
}


static void
ngx_fitnudge_redis_conn_located(void *data, const ngx_addr_t *address, const char *reason)
{
    ngx_fitnudge_redis_conn_t  *conn = data;

    if (address == NULL) {
        ngx_fitnudge_redis_conn_fail(conn, 0, reason);
        return;
    }

    conn->addr = address;
    ngx_fitnudge_redis_conn_dial(conn);
}


static void
ngx_fitnudge_redis_conn_dial(ngx_fitnudge_redis_conn_t *conn)
{
    int               rc, on;
    ngx_err_t         err;
    ngx_socket_t      s;
    struct sockaddr  *sa;

    sa = conn->addr->sockaddr;

    s = ngx_socket(sa->sa_family, SOCK_STREAM, 0);
    if (s == (ngx_socket_t) -1) {
        ngx_fitnudge_redis_conn_fail(conn, ngx_socket_errno, "no socket");
        return;
    }

    if (ngx_nonblocking(s) == -1 || ngx_fitnudge_redis_conn_register(conn, s) != NGX_OK) {
        if (conn->connection == NULL && ngx_close_socket(s) == -1) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_socket_errno, ngx_close_socket_n " failed");
        }

        ngx_fitnudge_redis_conn_fail(conn, 0, "no connection is free");
        return;
    }

    if (sa->sa_family != AF_UNIX) {
        on = 1;
        (void) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));
    }

    ngx_add_timer(&conn->retry, conn->server->timeout);

    rc = connect(s, sa, conn->addr->socklen);

    err = rc == -1 ? ngx_socket_errno : 0;

    if (rc == -1 && err != NGX_EINPROGRESS) {
        ngx_fitnudge_redis_conn_fail(conn, err, "connect");
        return;
    }

    /* with Sentinels the greetings are there already, before what was sent while they were asked */
    if (conn->server->sentinels->n == 0 && ngx_fitnudge_redis_conn_greet(conn) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
        return;
    }

    if (rc == 0) {
        conn->connection->write->ready = 1;
        ngx_fitnudge_redis_conn_established(conn);
    }
}


static void
ngx_fitnudge_redis_conn_established(ngx_fitnudge_redis_conn_t *conn)
{
    conn->established = 1;

    ngx_post_event(&conn->flush, &ngx_posted_events);
    ngx_add_timer(&conn->watch, conn->patience);
}


static ngx_int_t
ngx_fitnudge_redis_conn_register(ngx_fitnudge_redis_conn_t *conn, ngx_socket_t s)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(s, ngx_cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = conn;
    c->log = ngx_cycle->log;
    c->log_error = NGX_ERROR_INFO;
    c->read->log = c->log;
    c->write->log = c->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->read->handler = ngx_fitnudge_redis_conn_read_handler;
    c->write->handler = ngx_fitnudge_redis_conn_write_handler;

    conn->connection = c;

    conn->reader = redisReaderCreate();
    if (conn->reader == NULL) {
        return NGX_ERROR;
    }

    conn->reader->maxbuf = READER_KEEP;

    if (ngx_add_conn) {
        return ngx_add_conn(c);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_handle_write_event(c->write, 0);
}


static void
ngx_fitnudge_redis_conn_close(ngx_fitnudge_redis_conn_t *conn)
{
    conn->established = 0;
    conn->ready = 0;
    conn->awaited = 0;

    if (conn->flush.posted) {
        ngx_delete_posted_event(&conn->flush);
    }

    if (conn->retry.timer_set) {
        ngx_del_timer(&conn->retry);
    }

    if (conn->watch.timer_set) {
        ngx_del_timer(&conn->watch);
    }

    ngx_fitnudge_redis_ask_cancel(&conn->ask);

    if (conn->connection != NULL) {
        ngx_close_connection(conn->connection);
        conn->connection = NULL;
    }

    if (conn->reader != NULL) {
        redisReaderFree(conn->reader);
        conn->reader = NULL;
    }

    conn->pos = conn->out;
    conn->last = conn->out;
}


static ngx_int_t
ngx_fitnudge_redis_conn_greet(ngx_fitnudge_redis_conn_t *conn)
{
    u_char                             *p, name[128];
    ngx_int_t                           rc;
    const char                         *argv[3];
    const ngx_fitnudge_redis_server_t  *server = conn->server;

    conn->ngreetings = 0;
    conn->greeted = 0;
    rc = NGX_OK;

    if (server->password != NULL) {
        argv[0] = "AUTH";
        argv[1] = server->password;
        rc = ngx_fitnudge_redis_conn_greeting(conn, NGX_FITNUDGE_REDIS_AUTH, 2, argv);
    }

    p = ngx_snprintf(name, sizeof(name) - 1, "fitnudge:%V:%s", server->incarnation, conn->role->name);
    *p = '\0';

    argv[0] = "CLIENT";
    argv[1] = "SETNAME";
    argv[2] = (char *) name;

    if (rc == NGX_OK) {
        rc = ngx_fitnudge_redis_conn_greeting(conn, NGX_FITNUDGE_REDIS_SETNAME, 3, argv);
    }

    /* a write that changes nothing: a replica refuses it, and so does a server that is still loading */
    argv[0] = "EXPIRE";
    argv[1] = (char *) server->probe_key.data;
    argv[2] = PROBE_TTL;

    if (rc == NGX_OK && conn->role->probe) {
        rc = ngx_fitnudge_redis_conn_greeting(conn, NGX_FITNUDGE_REDIS_PROBE, 3, argv);
    }

    return rc;
}


static ngx_int_t
ngx_fitnudge_redis_conn_greeting(ngx_fitnudge_redis_conn_t *conn, ngx_fitnudge_redis_greeting_e what, int argc,
    const char **argv)
{
    conn->greetings[conn->ngreetings++] = what;

    return ngx_fitnudge_redis_conn_send_texts(conn, argc, argv);
}


static void
ngx_fitnudge_redis_conn_greeted(ngx_fitnudge_redis_conn_t *conn, redisReply *reply)
{
    ngx_fitnudge_redis_greeting_e  what;

    what = conn->greetings[conn->greeted++];

    /* a user who may not name the connection may still use it */
    if (reply->type == REDIS_REPLY_ERROR && what != NGX_FITNUDGE_REDIS_SETNAME) {
        ngx_fitnudge_redis_conn_fail(conn, 0, reply->str);
        return;
    }

    if (conn->greeted < conn->ngreetings) {
        return;
    }

    conn->ready = 1;
    conn->backoff = BACKOFF_MIN;
    ngx_fitnudge_count(NGX_FITNUDGE_M_REDIS_CONNECTS_COMMANDS + conn->role->number, 1);

    if (conn->retry.timer_set) {
        ngx_del_timer(&conn->retry);
    }

    if (conn->outage) {
        conn->outage = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "fitnudge: redis %s: connected to %V again",
                      conn->role->name, ngx_fitnudge_redis_conn_address(conn));
    }

    conn->role->ready(conn);
}


static void
ngx_fitnudge_redis_conn_read_handler(ngx_event_t *rev)
{
    ssize_t                     n;
    ngx_connection_t           *c;
    ngx_fitnudge_redis_conn_t  *conn;
    static u_char               buf[READ_SIZE];

    c = rev->data;
    conn = c->data;

    /* worker_shutdown_timeout is over */
    if (c->close || c->error) {
        conn->stopped = 1;
        ngx_fitnudge_redis_conn_fail(conn, 0, "the worker process is shutting down");
        return;
    }

    if (!conn->established) {
        /* the write handler learns how connect() ended */
        return;
    }

    do {
        n = c->recv(c, buf, READ_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0) {
            ngx_fitnudge_redis_conn_fail(conn, 0, "the server closed it");
            return;
        }

        if (n < 0) {
            ngx_fitnudge_redis_conn_fail(conn, ngx_socket_errno, "recv");
            return;
        }

        if (ngx_fitnudge_redis_conn_parse(conn, buf, (size_t) n) != NGX_OK) {
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "event");
        return;
    }

    /* the server lives: its silence begins anew */
    if (conn->awaited > 0) {
        ngx_add_timer(&conn->watch, conn->patience);

    } else if (conn->watch.timer_set) {
        ngx_del_timer(&conn->watch);
    }
}


/* NGX_OK, or NGX_DECLINED when the connection is gone. */
static ngx_int_t
ngx_fitnudge_redis_conn_parse(ngx_fitnudge_redis_conn_t *conn, const u_char *p, size_t n)
{
    void              *reply;
    ngx_uint_t         answer;
    ngx_connection_t  *c = conn->connection;

    if (redisReaderFeed(conn->reader, (const char *) p, n) != REDIS_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
        return NGX_DECLINED;
    }

    for ( ;; ) {
        reply = NULL;

        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            ngx_fitnudge_redis_conn_fail(conn, 0, "protocol error");
            return NGX_DECLINED;
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        if (conn->greeted < conn->ngreetings) {
            conn->awaited--;
            ngx_fitnudge_redis_conn_greeted(conn, reply);

        } else {
            answer = conn->role->reply(conn, reply);

            if (answer && conn->connection == c && conn->awaited > 0) {
                conn->awaited--;
            }
        }

        freeReplyObject(reply);

        if (conn->connection != c) {
            return NGX_DECLINED;
        }
    }
}


static void
ngx_fitnudge_redis_conn_write_handler(ngx_event_t *wev)
{
    int                         err;
    socklen_t                   len;
    ngx_connection_t           *c;
    ngx_fitnudge_redis_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (c->close || c->error) {
        conn->stopped = 1;
        ngx_fitnudge_redis_conn_fail(conn, 0, "the worker process is shutting down");
        return;
    }

    if (conn->established) {
        ngx_fitnudge_redis_conn_flush_handler(&conn->flush);
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_fitnudge_redis_conn_fail(conn, err, "connect");
        return;
    }

    ngx_fitnudge_redis_conn_established(conn);
}


static void
ngx_fitnudge_redis_conn_flush_handler(ngx_event_t *ev)
{
    ssize_t                     n;
    ngx_connection_t           *c;
    ngx_fitnudge_redis_conn_t  *conn;

    conn = ev->data;
    c = conn->connection;

    while (conn->pos < conn->last && c->write->ready) {
        n = c->send(c, conn->pos, (size_t) (conn->last - conn->pos));

        if (n == NGX_ERROR) {
            ngx_fitnudge_redis_conn_fail(conn, ngx_socket_errno, "send");
            return;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        conn->pos += n;
    }

    if (conn->pos == conn->last) {
        conn->pos = conn->out;
        conn->last = conn->out;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "event");
    }
}


static void
ngx_fitnudge_redis_conn_retry_handler(ngx_event_t *ev)
{
    ngx_fitnudge_redis_conn_t  *conn = ev->data;

    if (conn->connection != NULL || conn->ask.asking) {
        ngx_fitnudge_redis_conn_fail(conn, NGX_ETIMEDOUT, "connect");
        return;
    }

    if (!ngx_exiting && !ngx_terminate) {
        ngx_fitnudge_redis_conn_connect(conn);
    }
}


static void
ngx_fitnudge_redis_conn_watch_handler(ngx_event_t *ev)
{
    ngx_fitnudge_redis_conn_fail(ev->data, NGX_ETIMEDOUT, "no answer");
}


static void
ngx_fitnudge_redis_conn_tick_handler(ngx_event_t *ev)
{
    ngx_fitnudge_redis_conn_t  *conn = ev->data;

    if (conn->ready && conn->role->idle != NULL) {
        conn->role->idle(conn);
    }

    ngx_add_timer(ev, TICK);
}
