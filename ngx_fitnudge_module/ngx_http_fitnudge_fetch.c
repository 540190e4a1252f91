/*
 * A request without a client: nginx's own subrequest into memory, below a main request on one end of a socket pair on
 * which nobody ever speaks.  The connection is a real one, so that nginx may close it in all the ways it does.
 */
#include "ngx_http_fitnudge_fetch.h"

#include <sys/socket.h>
#include <sys/un.h>


struct ngx_http_fitnudge_fetch_s {
    ngx_http_request_t          *request;       /* NULL: it has ended */
    ngx_socket_t                 silent;        /* the other end */
    ngx_event_t                  timeout;
    ngx_event_t                  end;           /* posted */
    ngx_http_fitnudge_fetch_pt   done;
    void                        *data;
    ngx_uint_t                   status;
    ngx_str_t                    body;          /* on the heap when there is a status */
};


static ngx_connection_t *ngx_http_fitnudge_fetch_connect(ngx_http_fitnudge_fetch_t *fetch, ngx_http_conf_ctx_t *conf_ctx);
static ngx_http_request_t *ngx_http_fitnudge_fetch_request(ngx_http_fitnudge_fetch_t *fetch, ngx_connection_t *c,
    ngx_str_t *uri);
static void ngx_http_fitnudge_fetch_event(ngx_event_t *ev);
static void ngx_http_fitnudge_fetch_expired(ngx_event_t *ev);
static ngx_int_t ngx_http_fitnudge_fetch_answered(ngx_http_request_t *sr, void *data, ngx_int_t rc);
static void ngx_http_fitnudge_fetch_finish(ngx_http_request_t *r);
static void ngx_http_fitnudge_fetch_cleanup(void *data);
static void ngx_http_fitnudge_fetch_end(ngx_event_t *ev);
static u_char *ngx_http_fitnudge_fetch_log(ngx_log_t *log, u_char *buf, size_t len);


ngx_int_t
ngx_http_fitnudge_fetch(ngx_http_conf_ctx_t *conf_ctx, ngx_str_t *uri, ngx_msec_t timeout,
    ngx_http_fitnudge_fetch_pt done, void *data)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_fitnudge_fetch_t  *fetch;

    fetch = ngx_calloc(sizeof(ngx_http_fitnudge_fetch_t), ngx_cycle->log);
    if (fetch == NULL) {
        return NGX_ERROR;
    }

    c = ngx_http_fitnudge_fetch_connect(fetch, conf_ctx);
    if (c == NULL) {
        ngx_free(fetch);
        return NGX_ERROR;
    }

    r = ngx_http_fitnudge_fetch_request(fetch, c, uri);
    if (r == NULL) {
        (void) close(fetch->silent);
        ngx_http_close_connection(c);
        ngx_free(fetch);
        return NGX_ERROR;
    }

    fetch->request = r;
    fetch->done = done;
    fetch->data = data;
    ngx_str_set(&fetch->body, "it was cut off");

    fetch->end.handler = ngx_http_fitnudge_fetch_end;
    fetch->end.data = fetch;
    fetch->end.log = ngx_cycle->log;

    fetch->timeout.handler = ngx_http_fitnudge_fetch_expired;
    fetch->timeout.data = fetch;
    fetch->timeout.log = ngx_cycle->log;

    ngx_add_timer(&fetch->timeout, timeout);

    ngx_http_run_posted_requests(c);

    return NGX_OK;
}


static ngx_connection_t *
ngx_http_fitnudge_fetch_connect(ngx_http_fitnudge_fetch_t *fetch, ngx_http_conf_ctx_t *conf_ctx)
{
    ngx_log_t              *log;
    ngx_pool_t             *pool;
    ngx_socket_t            fd[2];
    struct sockaddr        *sa;
    ngx_connection_t       *c;
    ngx_http_log_ctx_t     *ctx;
    ngx_http_connection_t  *hc;

    if (socketpair(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0, fd) == -1) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_socket_errno, "socketpair() failed");
        return NULL;
    }

    c = ngx_get_connection(fd[0], ngx_cycle->log);
    if (c == NULL) {
        (void) close(fd[0]);
        (void) close(fd[1]);
        return NULL;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);

    log = pool ? ngx_palloc(pool, sizeof(ngx_log_t)) : NULL;
    ctx = pool ? ngx_palloc(pool, sizeof(ngx_http_log_ctx_t)) : NULL;
    hc = pool ? ngx_pcalloc(pool, sizeof(ngx_http_connection_t)) : NULL;
    sa = pool ? ngx_pcalloc(pool, sizeof(struct sockaddr_un)) : NULL;

    if (log == NULL || ctx == NULL || hc == NULL || sa == NULL) {
        (void) close(fd[1]);
        ngx_close_connection(c);

        if (pool != NULL) {
            ngx_destroy_pool(pool);
        }

        return NULL;
    }

    ctx->connection = c;
    ctx->request = NULL;
    ctx->current_request = NULL;

    *log = *ngx_cycle->log;
    log->handler = ngx_http_fitnudge_fetch_log;
    log->data = ctx;
    log->action = NULL;

    sa->sa_family = AF_UNIX;
    hc->conf_ctx = conf_ctx;

    c->pool = pool;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->type = SOCK_STREAM;
    c->start_time = ngx_current_msec;
    c->data = hc;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;
    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    /* variables and limits of the location look at who is asking */
    c->sockaddr = sa;
    c->socklen = sizeof(sa_family_t);
    c->local_sockaddr = sa;
    c->local_socklen = sizeof(sa_family_t);
    ngx_str_set(&c->addr_text, "unix:");

    c->read->handler = ngx_http_fitnudge_fetch_event;
    c->write->handler = ngx_http_fitnudge_fetch_event;
    c->write->ready = 1;

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    fetch->silent = fd[1];

    return c;
}


static ngx_http_request_t *
ngx_http_fitnudge_fetch_request(ngx_http_fitnudge_fetch_t *fetch, ngx_connection_t *c, ngx_str_t *uri)
{
    ngx_http_cleanup_t          *cln;
    ngx_http_request_t          *r, *sr;
    ngx_http_post_subrequest_t  *ps;

    r = ngx_http_create_request(c);
    if (r == NULL) {
        return NULL;
    }

    c->data = r;

    r->logged = 1;
    r->method = NGX_HTTP_GET;
    ngx_str_set(&r->method_name, "GET");
    r->http_version = NGX_HTTP_VERSION_11;
    ngx_str_set(&r->http_protocol, "HTTP/1.1");
    r->uri = *uri;
    r->unparsed_uri = *uri;
    r->valid_unparsed_uri = 1;
    r->internal = 1;
    r->discard_body = 1;
    r->headers_in.content_length_n = 0;
    r->headers_in.connection_type = NGX_HTTP_CONNECTION_CLOSE;
    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    cln = ngx_http_cleanup_add(r, 0);

    if (ps == NULL || cln == NULL
        || ngx_list_init(&r->headers_in.headers, r->pool, 4, sizeof(ngx_table_elt_t)) != NGX_OK)
    {
        goto failed;
    }

    ps->handler = ngx_http_fitnudge_fetch_answered;
    ps->data = fetch;

    if (ngx_http_subrequest(r, uri, NULL, &sr, ps, NGX_HTTP_SUBREQUEST_IN_MEMORY|NGX_HTTP_SUBREQUEST_WAITED) != NGX_OK) {
        goto failed;
    }

    r->write_event_handler = ngx_http_fitnudge_fetch_finish;

    cln->handler = ngx_http_fitnudge_fetch_cleanup;
    cln->data = fetch;

    return r;

failed:

    ngx_http_free_request(r, 0);

    return NULL;
}


/* The other end says nothing: this is the end of a worker process that must not wait. */
static void
ngx_http_fitnudge_fetch_event(ngx_event_t *ev)
{
    ngx_connection_t    *c = ev->data;
    ngx_http_request_t  *r;

    if (c->close) {
        r = c->data;
        ngx_http_finalize_request(r->main, NGX_ERROR);
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_http_fitnudge_fetch_expired(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_fitnudge_fetch_t  *fetch = ev->data;

    if (fetch->request == NULL) {
        return;
    }

    c = fetch->request->connection;
    ngx_str_set(&fetch->body, "no answer in time");

    ngx_http_finalize_request(fetch->request, NGX_ERROR);
    ngx_http_run_posted_requests(c);
}


/* May be called again for what its first result becomes. */
static ngx_int_t
ngx_http_fitnudge_fetch_answered(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    size_t                      len;
    ngx_http_fitnudge_fetch_t  *fetch = data;

    if (fetch->request == NULL || fetch->status != 0) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR || (rc >= NGX_HTTP_SPECIAL_RESPONSE && sr->headers_out.status == 0)) {
        /* nginx has logged why */
        fetch->status = rc >= NGX_HTTP_SPECIAL_RESPONSE ? (ngx_uint_t) rc : NGX_HTTP_BAD_GATEWAY;
        len = 0;

    } else {
        fetch->status = sr->headers_out.status;
        len = sr->out != NULL ? (size_t) (sr->out->buf->last - sr->out->buf->pos) : 0;
    }

    fetch->body.len = 0;
    fetch->body.data = ngx_alloc(len + 1, ngx_cycle->log);

    if (fetch->body.data == NULL) {
        fetch->status = 0;
        ngx_str_set(&fetch->body, "no memory");

    } else if (len > 0) {
        ngx_memcpy(fetch->body.data, sr->out->buf->pos, len);
        fetch->body.len = len;
    }

    /* the main request is woken whatever it was */
    return NGX_OK;
}


/* The subrequest is over. */
static void
ngx_http_fitnudge_fetch_finish(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, NGX_ERROR);
}


static void
ngx_http_fitnudge_fetch_cleanup(void *data)
{
    ngx_http_fitnudge_fetch_t  *fetch = data;

    fetch->request = NULL;
    (void) close(fetch->silent);

    if (fetch->timeout.timer_set) {
        ngx_del_timer(&fetch->timeout);
    }

    ngx_post_event(&fetch->end, &ngx_posted_events);
}


static void
ngx_http_fitnudge_fetch_end(ngx_event_t *ev)
{
    ngx_http_fitnudge_fetch_t  *fetch = ev->data;

    fetch->done(fetch->data, fetch->status, &fetch->body);

    if (fetch->status != 0) {
        ngx_free(fetch->body.data);
    }

    ngx_free(fetch);
}


static u_char *
ngx_http_fitnudge_fetch_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              *p;
    ngx_http_log_ctx_t  *ctx = log->data;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(buf, len, " for fitnudge");
    len -= p - buf;

    if (ctx->request != NULL) {
        return ctx->request->log_handler(ctx->request, ctx->current_request, p, len);
    }

    return p;
}
