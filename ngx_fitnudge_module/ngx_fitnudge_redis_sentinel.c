/* A question to Sentinel: connect, write, read one or two replies, close. */
#include "ngx_fitnudge_redis_sentinel.h"


#define READ_SIZE      4096
#define QUESTION_SIZE  4096


static void ngx_fitnudge_redis_ask_next(ngx_event_t *ev);
static void ngx_fitnudge_redis_ask_connect(ngx_fitnudge_redis_ask_t *ask);
static void ngx_fitnudge_redis_ask_close(ngx_fitnudge_redis_ask_t *ask);
static void ngx_fitnudge_redis_ask_fail(ngx_fitnudge_redis_ask_t *ask, const char *reason);
static void ngx_fitnudge_redis_ask_write(ngx_event_t *wev);
static void ngx_fitnudge_redis_ask_read(ngx_event_t *rev);
static void ngx_fitnudge_redis_ask_reply(ngx_fitnudge_redis_ask_t *ask, const redisReply *reply);
static ngx_int_t ngx_fitnudge_redis_ask_address(ngx_fitnudge_redis_ask_t *ask, const redisReply *reply);


void
ngx_fitnudge_redis_ask(ngx_fitnudge_redis_ask_t *ask, const ngx_fitnudge_redis_sentinels_t *sentinels,
    ngx_fitnudge_redis_ask_pt handler, void *data)
{
    ask->sentinels = sentinels;
    ask->handler = handler;
    ask->data = data;
    ask->tries = 0;
    ask->reason = "no Sentinel";
    ask->asking = 1;

    ask->again.handler = ngx_fitnudge_redis_ask_next;
    ask->again.data = ask;
    ask->again.log = ngx_cycle->log;

    ngx_post_event(&ask->again, &ngx_posted_events);
}


void
ngx_fitnudge_redis_ask_cancel(ngx_fitnudge_redis_ask_t *ask)
{
    if (!ask->asking) {
        return;
    }

    ngx_fitnudge_redis_ask_close(ask);

    if (ask->again.posted) {
        ngx_delete_posted_event(&ask->again);
    }

    ask->asking = 0;
    ask->current++;
}


static void
ngx_fitnudge_redis_ask_close(ngx_fitnudge_redis_ask_t *ask)
{
    if (ask->connection != NULL) {
        ngx_close_connection(ask->connection);
        ask->connection = NULL;
    }

    if (ask->reader != NULL) {
        redisReaderFree(ask->reader);
        ask->reader = NULL;
    }
}


static void
ngx_fitnudge_redis_ask_next(ngx_event_t *ev)
{
    ngx_fitnudge_redis_ask_t  *ask = ev->data;

    if (ask->tries == ask->sentinels->n) {
        ask->asking = 0;
        ask->handler(ask->data, NULL, ask->reason);
        return;
    }

    ask->tries++;
    ngx_fitnudge_redis_ask_connect(ask);
}


/* On to the next, by way of the event loop: whoever asked may not be called back from inside his own call. */
static void
ngx_fitnudge_redis_ask_fail(ngx_fitnudge_redis_ask_t *ask, const char *reason)
{
    ngx_fitnudge_redis_ask_close(ask);

    ask->reason = reason;
    ask->current++;

    ngx_post_event(&ask->again, &ngx_posted_events);
}


static void
ngx_fitnudge_redis_ask_connect(ngx_fitnudge_redis_ask_t *ask)
{
    int                rc;
    ngx_int_t          added;
    ngx_socket_t       s;
    const ngx_addr_t  *addr;
    ngx_connection_t  *c;

    addr = &ask->sentinels->addrs[ask->current % ask->sentinels->n];
    ask->sent = 0;
    ask->awaited = ask->sentinels->password != NULL;

    s = ngx_socket(addr->sockaddr->sa_family, SOCK_STREAM, 0);
    if (s == (ngx_socket_t) -1) {
        ngx_fitnudge_redis_ask_fail(ask, "no socket for a Sentinel");
        return;
    }

    c = ngx_nonblocking(s) == -1 ? NULL : ngx_get_connection(s, ngx_cycle->log);
    if (c == NULL) {
        (void) ngx_close_socket(s);
        ngx_fitnudge_redis_ask_fail(ask, "no connection is free for a Sentinel");
        return;
    }

    c->data = ask;
    c->log = ngx_cycle->log;
    c->log_error = NGX_ERROR_INFO;
    c->read->log = c->log;
    c->write->log = c->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->read->handler = ngx_fitnudge_redis_ask_read;
    c->write->handler = ngx_fitnudge_redis_ask_write;

    ask->connection = c;
    ask->reader = redisReaderCreate();

    if (ngx_add_conn) {
        added = ngx_add_conn(c);

    } else {
        added = ngx_handle_read_event(c->read, 0);
        added = added == NGX_OK ? ngx_handle_write_event(c->write, 0) : added;
    }

    if (ask->reader == NULL || added != NGX_OK) {
        ngx_fitnudge_redis_ask_fail(ask, "no memory");
        return;
    }

    rc = connect(s, addr->sockaddr, addr->socklen);

    if (rc == -1 && ngx_socket_errno != NGX_EINPROGRESS) {
        ngx_fitnudge_redis_ask_fail(ask, "connect to a Sentinel");
        return;
    }

    /* when it stands already, the event of writing says so */
}


static void
ngx_fitnudge_redis_ask_write(ngx_event_t *wev)
{
    int                                    err;
    u_char                                *p, question[QUESTION_SIZE];
    ssize_t                                n;
    socklen_t                              len;
    ngx_connection_t                      *c = wev->data;
    ngx_fitnudge_redis_ask_t              *ask = c->data;
    const ngx_fitnudge_redis_sentinels_t  *s = ask->sentinels;

    if (ask->sent) {
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1 || err != 0) {
        ngx_fitnudge_redis_ask_fail(ask, "connect to a Sentinel");
        return;
    }

    p = question;

    if (s->password != NULL) {
        p = ngx_snprintf(p, QUESTION_SIZE / 2, "*2" CRLF "$4" CRLF "AUTH" CRLF "$%uz" CRLF "%s" CRLF,
                         ngx_strlen(s->password), s->password);
    }

    p = ngx_snprintf(p, QUESTION_SIZE / 2, "*3" CRLF "$8" CRLF "SENTINEL" CRLF "$23" CRLF "get-master-addr-by-name" CRLF
                     "$%uz" CRLF "%V" CRLF, s->name.len, &s->name);

    /* a new socket takes so much at once */
    n = c->send(c, question, (size_t) (p - question));
    ngx_memzero(question, (size_t) (p - question));

    if (n != p - question) {
        ngx_fitnudge_redis_ask_fail(ask, "send to a Sentinel");
        return;
    }

    ask->sent = 1;

    if (ngx_handle_write_event(wev, 0) != NGX_OK || ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_fitnudge_redis_ask_fail(ask, "event");
    }
}


static void
ngx_fitnudge_redis_ask_read(ngx_event_t *rev)
{
    void                      *reply;
    u_char                     buf[READ_SIZE];
    ssize_t                    n;
    ngx_connection_t          *c = rev->data;
    ngx_fitnudge_redis_ask_t  *ask = c->data;

    /* worker_shutdown_timeout is over */
    if (c->close || c->error) {
        ask->tries = ask->sentinels->n;
        ngx_fitnudge_redis_ask_fail(ask, "the worker process is shutting down");
        return;
    }

    if (!ask->sent) {
        return;                             /* the write handler learns how connect() ended */
    }

    do {
        n = c->recv(c, buf, READ_SIZE);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_fitnudge_redis_ask_fail(ask, "event");
            }

            return;
        }

        if (n <= 0 || redisReaderFeed(ask->reader, (const char *) buf, (size_t) n) != REDIS_OK) {
            ngx_fitnudge_redis_ask_fail(ask, "a Sentinel closed the connection");
            return;
        }

        for ( ;; ) {
            reply = NULL;

            if (redisReaderGetReply(ask->reader, &reply) != REDIS_OK) {
                ngx_fitnudge_redis_ask_fail(ask, "protocol error of a Sentinel");
                return;
            }

            if (reply == NULL) {
                break;
            }

            ngx_fitnudge_redis_ask_reply(ask, reply);
            freeReplyObject(reply);

            if (ask->connection != c) {
                return;
            }
        }

    } while (rev->ready);
}


static void
ngx_fitnudge_redis_ask_reply(ngx_fitnudge_redis_ask_t *ask, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_fitnudge_redis_ask_fail(ask, ask->awaited ? "a Sentinel refused the password" : "a Sentinel answered with an error");
        return;
    }

    if (ask->awaited) {
        ask->awaited--;
        return;
    }

    if (ngx_fitnudge_redis_ask_address(ask, reply) != NGX_OK) {
        ngx_fitnudge_redis_ask_fail(ask, "a Sentinel does not know the master");
        return;
    }

    ngx_fitnudge_redis_ask_close(ask);
    ask->asking = 0;
    ask->handler(ask->data, &ask->master, NULL);
}


static ngx_int_t
ngx_fitnudge_redis_ask_address(ngx_fitnudge_redis_ask_t *ask, const redisReply *reply)
{
    ngx_int_t          port;
    const redisReply  *host, *number;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return NGX_ERROR;
    }

    host = reply->element[0];
    number = reply->element[1];

    if (host->type != REDIS_REPLY_STRING || number->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    port = ngx_atoi((u_char *) number->str, number->len);
    if (port < 1 || port > 65535) {
        return NGX_ERROR;
    }

    ngx_memzero(&ask->sockaddr, sizeof(ngx_sockaddr_t));

    ask->sockaddr.sockaddr_in.sin_addr.s_addr = ngx_inet_addr((u_char *) host->str, host->len);

    if (ask->sockaddr.sockaddr_in.sin_addr.s_addr != INADDR_NONE) {
        ask->sockaddr.sockaddr_in.sin_family = AF_INET;
        ask->master.socklen = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)
    } else if (ngx_inet6_addr((u_char *) host->str, host->len, ask->sockaddr.sockaddr_in6.sin6_addr.s6_addr) == NGX_OK) {
        ask->sockaddr.sockaddr_in6.sin6_family = AF_INET6;
        ask->master.socklen = sizeof(struct sockaddr_in6);
#endif

    } else {
        return NGX_ERROR;                   /* a name: Sentinels give those only when told to */
    }

    ask->master.sockaddr = &ask->sockaddr.sockaddr;
    ngx_inet_set_port(ask->master.sockaddr, (in_port_t) port);

    ask->master.name.data = ask->text;
    ask->master.name.len = ngx_sock_ntop(ask->master.sockaddr, ask->master.socklen, ask->text, NGX_SOCKADDR_STRLEN, 1);

    return NGX_OK;
}
