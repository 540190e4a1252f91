/*
 * The wire of the net process: libcurl's multi interface on epoll (curl_multi_socket_action), so that a turn costs
 * only what the ready sockets cost, however many exchanges wait. Easy handles stay with their exchange, connections
 * with the multi handle. Responses and header values are bounded; redirects are never followed. Called by net.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "libfitnudge/fn_time.h"
#include "net.h"

#define FN_NET_BODY_MAX     (1024 * 1024)   /* bytes of a response */
#define FN_NET_BODY_KEEP    (8 * 1024)      /* a larger buffer is given back after the exchange */
#define FN_NET_LINES_MAX    (16 * 1024)     /* bytes of a response's header lines that are kept */
#define FN_NET_EVENTS       128
#define FN_NET_BUFFER       4096L           /* curl's receive buffer, per exchange in flight */

static int net_headers(fn_net_exchange_t *x, const fn_exchange_t *b);
static int net_add_header(fn_net_exchange_t *x, const char *line);
static int net_options(fn_net_exchange_t *x, const char *url);
static int net_method(fn_net_exchange_t *x);
static int net_mail(fn_net_exchange_t *x, const fn_mail_t *mail);
static size_t net_on_read(char *p, size_t size, size_t count, void *data);
static int net_on_seek(void *data, curl_off_t to, int origin);
static size_t net_on_body(char *p, size_t size, size_t count, void *data);
static size_t net_on_header(char *p, size_t size, size_t count, void *data);
static const char *net_header(const char *line, const char *name);
static int net_on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known);
static int net_on_timer(CURLM *multi, long timeout_ms, void *data);


int
fn_net_curl_open(fn_net_t *n)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return -1;
    }

    n->multi = curl_multi_init();
    n->epoll = epoll_create1(EPOLL_CLOEXEC);

    if (n->multi == NULL || n->epoll == -1) {
        return -1;
    }

    curl_multi_setopt(n->multi, CURLMOPT_SOCKETFUNCTION, net_on_socket);
    curl_multi_setopt(n->multi, CURLMOPT_SOCKETDATA, n);
    curl_multi_setopt(n->multi, CURLMOPT_TIMERFUNCTION, net_on_timer);
    curl_multi_setopt(n->multi, CURLMOPT_TIMERDATA, n);
    curl_multi_setopt(n->multi, CURLMOPT_MAXCONNECTS, (long) n->slots);
    curl_multi_setopt(n->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);

    return 0;
}


void
fn_net_curl_close(fn_net_t *n)
{
    unsigned            i;
    fn_net_exchange_t  *x;

    for (i = 0; n->exchange != NULL && i < n->slots; i++) {
        x = &n->exchange[i];

        if (x->easy != NULL) {
            fn_net_stop(n, x);
            curl_easy_cleanup(x->easy);
        }

        curl_slist_free_all(x->headers);
        curl_slist_free_all(x->rcpt);
        fn_buf_free(&x->sent);
        fn_buf_free(&x->received);
        fn_buf_free(&x->lines);
    }

    if (n->multi != NULL) {
        curl_multi_cleanup(n->multi);
    }

    if (n->epoll != -1) {
        close(n->epoll);
    }

    curl_global_cleanup();
}


void
fn_net_events(fn_net_t *n, int timeout_ms)
{
    int                 i, got, running, mask;
    struct epoll_event  ev[FN_NET_EVENTS];

    n->child->entry->busy_since_ms = 0;
    got = epoll_wait(n->epoll, ev, FN_NET_EVENTS, timeout_ms);
    n->child->entry->busy_since_ms = fn_mono_ms();

    for (i = 0; i < got; i++) {
        if (ev[i].data.fd == n->wait_fds[0] || ev[i].data.fd == n->wait_fds[1]) {
            n->ready = 1;
            continue;
        }

        mask = ((ev[i].events & (EPOLLIN | EPOLLHUP)) ? CURL_CSELECT_IN : 0)
               | ((ev[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0)
               | ((ev[i].events & EPOLLERR) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(n->multi, ev[i].data.fd, mask, &running);
    }

    if (n->curl_due_ms != 0 && n->curl_due_ms <= fn_mono_ms()) {
        n->curl_due_ms = 0;
        curl_multi_socket_action(n->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}


int
fn_net_prepare(fn_net_t *n, fn_net_exchange_t *x)
{
    int             rc;
    fn_exchange_t  *b;

    b = &n->build;
    fn_buf_reset(&b->body);
    b->nheaders = 0;

    rc = x->pair->build(b, &x->call);

    if (rc != FN_BUILT) {
        return rc;
    }

    if (b->body.failed || net_headers(x, b) != 0) {
        return FN_OFF;
    }

    /* libcurl reads the body where it is. */
    fn_buf_free(&x->sent);
    x->sent = b->body;
    x->sent_at = 0;
    memset(&b->body, 0, sizeof(b->body));
    x->method = b->method == FN_METHOD_BODY ? (x->sent.len > 0 ? FN_METHOD_POST : FN_METHOD_GET) : b->method;
    x->response_max = b->response_max > 0 ? b->response_max : FN_NET_BODY_MAX;
    x->timeout_ms = b->timeout_ms;
    x->attempts = b->attempts;

    if (x->easy == NULL) {
        x->easy = curl_easy_init();
        if (x->easy == NULL) {
            return FN_OFF;
        }
    } else {
        curl_easy_reset(x->easy);
    }

    if (net_options(x, b->url) != 0 || (x->method == FN_METHOD_MAIL ? net_mail(x, &b->mail) : net_method(x)) != 0) {
        return FN_OFF;
    }

    return FN_BUILT;
}


static int
net_headers(fn_net_exchange_t *x, const fn_exchange_t *b)
{
    int       bad;
    char      rid[80], line[160];
    unsigned  i;

    curl_slist_free_all(x->headers);
    x->headers = NULL;
    bad = 0;

    for (i = 0; i < b->nheaders; i++) {
        bad |= net_add_header(x, b->headers[i]);
    }

    /* No pause before the body of a large request, and no type of curl's own. */
    bad |= net_add_header(x, "Expect:");

    if (b->plain) {
        return bad;
    }

    fn_request_id(&x->task, rid, sizeof(rid));

    if (rid[0] != '\0') {
        snprintf(line, sizeof(line), "X-Request-Id: %s", rid);
        bad |= net_add_header(x, line);
    }

    if (x->task.env.traceparent.n > 0) {
        snprintf(line, sizeof(line), "traceparent: %.*s", (int) x->task.env.traceparent.n, x->task.env.traceparent.p);
        bad |= net_add_header(x, line);
    }

    return bad;
}


static int
net_add_header(fn_net_exchange_t *x, const char *line)
{
    struct curl_slist  *headers;

    headers = curl_slist_append(x->headers, line);
    if (headers == NULL) {
        return -1;
    }

    x->headers = headers;

    return 0;
}


static int
net_options(fn_net_exchange_t *x, const char *url)
{
    curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE, FN_NET_BUFFER);
    curl_easy_setopt(x->easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, x->method == FN_METHOD_MAIL ? "smtp,smtps" : "http,https");
    curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(x->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "fitnudge");
    curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, net_on_body);
    curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, net_on_header);
    curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);

    /* Many exchanges then share a few HTTP/2 connections instead of opening one each. */
    curl_easy_setopt(x->easy, CURLOPT_PIPEWAIT, strncmp(url, "https:", 6) == 0 ? 1L : 0L);

    return curl_easy_setopt(x->easy, CURLOPT_URL, url) == CURLE_OK ? 0 : -1;
}


static int
net_method(fn_net_exchange_t *x)
{
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);

    switch (x->method) {

    case FN_METHOD_GET:
        return 0;

    case FN_METHOD_HEAD:
        return curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L) == CURLE_OK ? 0 : -1;

    case FN_METHOD_DELETE:
        return curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "DELETE") == CURLE_OK ? 0 : -1;

    default:
        break;
    }

    curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) x->sent.len);

    if (x->method == FN_METHOD_PUT) {
        curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "PUT");
    }

    return curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->sent.len > 0 ? x->sent.data : "") == CURLE_OK ? 0 : -1;
}


static int
net_mail(fn_net_exchange_t *x, const fn_mail_t *mail)
{
    curl_slist_free_all(x->rcpt);
    x->rcpt = curl_slist_append(NULL, mail->to);

    if (x->rcpt == NULL) {
        return -1;
    }

    curl_easy_setopt(x->easy, CURLOPT_MAIL_RCPT, x->rcpt);
    curl_easy_setopt(x->easy, CURLOPT_USE_SSL, mail->starttls ? (long) CURLUSESSL_ALL : (long) CURLUSESSL_NONE);
    curl_easy_setopt(x->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(x->easy, CURLOPT_READFUNCTION, net_on_read);
    curl_easy_setopt(x->easy, CURLOPT_READDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_SEEKFUNCTION, net_on_seek);
    curl_easy_setopt(x->easy, CURLOPT_SEEKDATA, x);

    if (mail->username != NULL
        && (curl_easy_setopt(x->easy, CURLOPT_USERNAME, mail->username) != CURLE_OK
            || curl_easy_setopt(x->easy, CURLOPT_PASSWORD, mail->password) != CURLE_OK))
    {
        return -1;
    }

    return curl_easy_setopt(x->easy, CURLOPT_MAIL_FROM, mail->from) == CURLE_OK ? 0 : -1;
}


int
fn_net_try(fn_net_t *n, fn_net_exchange_t *x)
{
    long      timeout;
    uint64_t  now;

    now = fn_mono_ms();
    timeout = x->timeout_ms;

    if (x->limit_ms != 0) {
        if (x->limit_ms < now + FN_NET_LEAST_MS) {
            return -1;
        }

        if (timeout <= 0 || (uint64_t) timeout > x->limit_ms - now) {
            timeout = (long) (x->limit_ms - now);
        }
    }

    x->clipped = timeout < x->timeout_ms / 2;
    x->tried++;
    x->too_large = 0;
    x->retry_after_ms = -1;
    x->should_retry = -1;
    fn_buf_reset(&x->received);
    fn_buf_reset(&x->lines);

    curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, timeout);

    return curl_multi_add_handle(n->multi, x->easy) == CURLM_OK ? 0 : -1;
}


fn_net_exchange_t *
fn_net_completed(fn_net_t *n, fn_response_t *r)
{
    int                 left;
    char               *private;
    CURLMsg            *msg;
    CURLcode            code;
    fn_net_exchange_t  *x;

    do {
        msg = curl_multi_info_read(n->multi, &left);
        if (msg == NULL) {
            return NULL;
        }
    } while (msg->msg != CURLMSG_DONE);

    private = NULL;
    code = msg->data.result;
    curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
    x = (fn_net_exchange_t *) (void *) private;

    memset(r, 0, sizeof(*r));
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &r->status);
    fn_net_stop(n, x);

    /* Cut off by us, not by the network: another try would bring the same. */
    r->transport_error = x->too_large ? 0 : (int) code;
    r->body = x->received.len > 0 ? x->received.data : "";
    r->body_len = x->received.len;
    r->retry_after_ms = x->retry_after_ms;
    r->should_retry = x->should_retry;
    r->headers = x->lines.len > 0 ? x->lines.data : NULL;
    r->headers_len = x->lines.len;

    return x;
}


void
fn_net_stop(fn_net_t *n, fn_net_exchange_t *x)
{
    /* Harmless for a handle that is not in the multi handle. */
    if (x->easy != NULL) {
        (void) curl_multi_remove_handle(n->multi, x->easy);
    }
}


void
fn_net_trim(fn_net_exchange_t *x)
{
    if (x->received.size > FN_NET_BODY_KEEP) {
        fn_buf_free(&x->received);
    }

    if (x->lines.size > FN_NET_BODY_KEEP) {
        fn_buf_free(&x->lines);
    }

    if (x->envelope.size > FN_NET_BODY_KEEP) {
        fn_buf_free(&x->envelope);
    }

    fn_buf_free(&x->sent);
    fn_buf_free(&x->marked);
    fn_buf_free(&x->result);
    fn_buf_free(&x->call.carried);
}


static size_t
net_on_read(char *p, size_t size, size_t count, void *data)
{
    size_t              n;
    fn_net_exchange_t  *x = data;

    n = x->sent.len - x->sent_at;
    n = n < size * count ? n : size * count;
    memcpy(p, x->sent.data + x->sent_at, n);
    x->sent_at += n;

    return n;
}


static int
net_on_seek(void *data, curl_off_t to, int origin)
{
    fn_net_exchange_t  *x = data;

    if (origin != SEEK_SET || to < 0 || (size_t) to > x->sent.len) {
        return CURL_SEEKFUNC_FAIL;
    }

    x->sent_at = (size_t) to;

    return CURL_SEEKFUNC_OK;
}


static size_t
net_on_body(char *p, size_t size, size_t count, void *data)
{
    fn_net_exchange_t  *x = data;

    if (x->received.len + size * count > x->response_max) {
        x->too_large = 1;
        return 0;
    }

    fn_buf_add(&x->received, p, size * count);

    return x->received.failed ? 0 : size * count;
}


static size_t
net_on_header(char *p, size_t size, size_t count, void *data)
{
    char                line[128];
    char               *end;
    double              d;
    time_t              t;
    const char         *v;
    fn_net_exchange_t  *x = data;

    /* What does not fit is missing, not the end of the exchange. */
    if (x->lines.len + size * count <= FN_NET_LINES_MAX) {
        fn_buf_add(&x->lines, p, size * count);
    }

    /* The ones that matter are short. */
    if (size * count >= sizeof(line)) {
        return size * count;
    }

    memcpy(line, p, size * count);
    line[size * count] = '\0';

    if ((v = net_header(line, "retry-after-ms")) != NULL) {
        d = strtod(v, &end);
        if (end != v && d >= 0 && d < 1e9) {
            x->retry_after_ms = (long) d;
        }

    } else if ((v = net_header(line, "retry-after")) != NULL && x->retry_after_ms == -1) {
        d = strtod(v, &end);

        if (end != v && d >= 0 && d < 1e6) {
            x->retry_after_ms = (long) (d * 1000);

        } else if ((t = curl_getdate(v, NULL)) != -1) {
            d = (double) t * 1000 - (double) fn_now_ms();
            x->retry_after_ms = d < 0 ? 0 : d > 1e9 ? 1000000000L : (long) d;
        }

    } else if ((v = net_header(line, "x-should-retry")) != NULL) {
        x->should_retry = strncasecmp(v, "true", 4) == 0 ? 1 : strncasecmp(v, "false", 5) == 0 ? 0 : -1;
    }

    return size * count;
}


/* The value when the line is the header `name`, else NULL. Both of the value's ends may have spaces. */
static const char *
net_header(const char *line, const char *name)
{
    size_t  n;

    n = strlen(name);

    return strncasecmp(line, name, n) == 0 && line[n] == ':' ? line + n + 1 + strspn(line + n + 1, " \t") : NULL;
}


static int
net_on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
    fn_net_t            *n = data;
    struct epoll_event   ev;

    (void) easy;

    if (what == CURL_POLL_REMOVE) {
        (void) epoll_ctl(n->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }

    memset(&ev, 0, sizeof(ev));
    ev.data.fd = fd;
    ev.events = ((what & CURL_POLL_IN) ? (uint32_t) EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? (uint32_t) EPOLLOUT : 0);

    if (epoll_ctl(n->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == -1) {
        if (epoll_ctl(n->epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) == -1) {
            return -1;
        }
    }

    curl_multi_assign(n->multi, fd, n);

    return 0;
}


static int
net_on_timer(CURLM *multi, long timeout_ms, void *data)
{
    fn_net_t  *n = data;

    (void) multi;

    n->curl_due_ms = timeout_ms < 0 ? 0 : fn_mono_ms() + (uint64_t) timeout_ms;

    return 0;
}
