/* Connections are in a table; a request is its first line, all else is read and ignored. */
#define _GNU_SOURCE
#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libfitnudge/fn_time.h"
#include "metrics.h"

#define FN_REQUEST_MAX  4096        /* of request line and headers */
#define FN_PATIENCE_MS  5000        /* for all of a connection */

typedef enum { FN_CONN_FREE, FN_CONN_READS, FN_CONN_WRITES, FN_CONN_ENDS } fn_conn_e;

typedef struct {
    fn_conn_e  state;
    int        fd;
    uint64_t   since_ms;
    size_t     have;
    char       request[FN_REQUEST_MAX];
    fn_buf_t   answer;
    size_t     sent;
} fn_conn_t;

struct fn_http_s {
    int                     listener;
    fn_scoreboard_t        *board;
    fn_conn_t               conn[FN_HTTP_CONNECTIONS];
};


fn_http_t *
fn_http_new(int listener, fn_scoreboard_t *board)
{
    fn_http_t  *h;

    h = calloc(1, sizeof(*h));

    if (h != NULL) {
        h->listener = listener;
        h->board = board;
    }

    return h;
}


static void
fn_conn_close(fn_conn_t *c)
{
    (void) close(c->fd);
    fn_buf_free(&c->answer);
    memset(c, 0, sizeof(*c));
}


void
fn_http_free(fn_http_t *h)
{
    unsigned  i;

    for (i = 0; h != NULL && i < FN_HTTP_CONNECTIONS; i++) {
        if (h->conn[i].state != FN_CONN_FREE) {
            fn_conn_close(&h->conn[i]);
        }
    }

    free(h);
}


static void
fn_conn_answer(fn_conn_t *c, const char *status, const char *type, const char *more, const fn_buf_t *body, int head)
{
    fn_buf_addf(&c->answer, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s"
                "Connection: close\r\n\r\n", status, type, body->len, more);

    if (!head) {
        fn_buf_add(&c->answer, body->data, body->len);
    }

    c->state = c->answer.failed ? FN_CONN_ENDS : FN_CONN_WRITES;
}


static void
fn_conn_refuse(fn_conn_t *c, const char *status, const char *more, int head)
{
    fn_buf_t  body = FN_BUF_INIT;

    fn_buf_addf(&body, "%s\n", status);
    fn_conn_answer(c, status, "text/plain; charset=utf-8", more, &body, head);
    fn_buf_free(&body);
}


/* The request line is NUL-terminated: "GET /metrics HTTP/1.1". */
static void
fn_conn_request(fn_http_t *h, fn_conn_t *c, char *line)
{
    int        head, well;
    char      *path, *version;
    fn_buf_t   body = FN_BUF_INIT;

    path = strchr(line, ' ');
    version = path ? strchr(path + 1, ' ') : NULL;

    if (version == NULL || strncmp(version + 1, "HTTP/1.", 7) != 0 || path[1] != '/') {
        fn_conn_refuse(c, "400 Bad Request", "", 0);
        return;
    }

    *path++ = '\0';
    *version = '\0';
    path[strcspn(path, "?")] = '\0';
    head = strcmp(line, "HEAD") == 0;

    if (strcmp(path, "/metrics") != 0 && strcmp(path, "/health") != 0) {
        fn_conn_refuse(c, "404 Not Found", "", head);
        return;
    }

    if (!head && strcmp(line, "GET") != 0) {
        fn_conn_refuse(c, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", 0);
        return;
    }

    if (path[1] == 'm') {
        fn_metrics_render(&body, h->board);
        fn_conn_answer(c, body.failed ? "500 Internal Server Error" : "200 OK",
                       "text/plain; version=0.0.4; charset=utf-8", "", &body, head);

    } else {
        well = fn_health_render(&body, h->board);
        fn_conn_answer(c, well && !body.failed ? "200 OK" : "503 Service Unavailable", "application/json", "", &body, head);
    }

    fn_buf_free(&body);
}


static void
fn_conn_read(fn_http_t *h, fn_conn_t *c)
{
    char     *end;
    ssize_t   n;

    n = recv(c->fd, c->request + c->have, sizeof(c->request) - 1 - c->have, 0);

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            fn_conn_close(c);
        }

        return;
    }

    c->have += (size_t) n;
    c->request[c->have] = '\0';

    if (strlen(c->request) != c->have) {
        fn_conn_refuse(c, "400 Bad Request", "", 0);        /* a NUL byte */

    } else if (strstr(c->request, "\r\n\r\n") != NULL || strstr(c->request, "\n\n") != NULL) {
        end = strpbrk(c->request, "\r\n");
        *end = '\0';
        fn_conn_request(h, c, c->request);

    } else if (c->have == sizeof(c->request) - 1) {
        fn_conn_refuse(c, "431 Request Header Fields Too Large", "", 0);
    }
}


static void
fn_conn_write(fn_conn_t *c)
{
    ssize_t  n;

    n = send(c->fd, c->answer.data + c->sent, c->answer.len - c->sent, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fn_conn_close(c);
        }

        return;
    }

    c->sent += (size_t) n;

    if (c->sent == c->answer.len) {
        /* what is still on its way to us must not reset the connection before the answer is read */
        (void) shutdown(c->fd, SHUT_WR);
        c->state = FN_CONN_ENDS;
    }
}


static void
fn_conn_end(fn_conn_t *c)
{
    ssize_t  n;

    n = recv(c->fd, c->request, sizeof(c->request), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        fn_conn_close(c);
    }
}


/* A place for a new connection; when all are taken, the one that has been there longest gives way. */
static fn_conn_t *
fn_http_place(fn_http_t *h)
{
    unsigned    i;
    fn_conn_t  *oldest;

    for (i = 0, oldest = &h->conn[0]; i < FN_HTTP_CONNECTIONS; i++) {
        if (h->conn[i].state == FN_CONN_FREE) {
            return &h->conn[i];
        }

        if (h->conn[i].since_ms < oldest->since_ms) {
            oldest = &h->conn[i];
        }
    }

    fn_conn_close(oldest);

    return oldest;
}


static void
fn_http_accept(fn_http_t *h)
{
    int         fd;
    fn_conn_t  *c;

    fd = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd == -1) {
        return;                             /* gone already, or another manager was quicker */
    }

    c = fn_http_place(h);
    c->state = FN_CONN_READS;
    c->fd = fd;
    c->since_ms = fn_mono_ms();
}


int
fn_http_poll(fn_http_t *h, struct pollfd *p)
{
    int       n;
    unsigned  i;

    if (h == NULL) {
        return 0;
    }

    p[0].fd = h->listener;
    p[0].events = POLLIN;

    for (i = 0, n = 1; i < FN_HTTP_CONNECTIONS; i++) {
        if (h->conn[i].state != FN_CONN_FREE) {
            p[n].fd = h->conn[i].fd;
            p[n++].events = h->conn[i].state == FN_CONN_WRITES ? POLLOUT : POLLIN;
        }
    }

    return n;
}


static void
fn_conn_serve(fn_http_t *h, fn_conn_t *c)
{
    switch (c->state) {

    case FN_CONN_READS:
        fn_conn_read(h, c);
        break;

    case FN_CONN_WRITES:
        fn_conn_write(c);
        break;

    case FN_CONN_ENDS:
        fn_conn_end(c);
        break;

    case FN_CONN_FREE:
        break;
    }
}


void
fn_http_serve(fn_http_t *h, const struct pollfd *p, int n)
{
    int       k;
    unsigned  i;

    if (h == NULL || n == 0) {
        return;
    }

    for (k = 1; k < n; k++) {
        for (i = 0; i < FN_HTTP_CONNECTIONS && p[k].revents; i++) {
            if (h->conn[i].state != FN_CONN_FREE && h->conn[i].fd == p[k].fd) {
                fn_conn_serve(h, &h->conn[i]);
                break;
            }
        }
    }

    /* last, since a new connection may get the number of one that was closed */
    if (p[0].revents) {
        fn_http_accept(h);
    }
}


void
fn_http_expire(fn_http_t *h)
{
    unsigned  i;
    uint64_t  now;

    if (h == NULL) {
        return;
    }

    for (i = 0, now = fn_mono_ms(); i < FN_HTTP_CONNECTIONS; i++) {
        if (h->conn[i].state != FN_CONN_FREE && now > h->conn[i].since_ms + FN_PATIENCE_MS) {
            fn_conn_close(&h->conn[i]);
        }
    }
}
