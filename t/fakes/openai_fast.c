/*
 * An OpenAI for benchmarks: answers every POST with one fixed completion after a fixed delay, keep-alive, one epoll loop.
 *
 *     openai_fast PORT [delay_ms]
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4096
#define REQUEST_MAX (64 * 1024)

typedef struct {
    size_t    n, size;
    char     *in;
    uint64_t  due;      /* us; 0 = no answer owed */
} connection_t;

static const char  answer[] =
    "{\"id\":\"chatcmpl-fast\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt-5\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"You came back, and that is what counts. Breathe in, lace up and give "
    "today ten honest minutes. Tonight you will be proud of the person who kept going!\",\"refusal\":null},"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":210,\"completion_tokens\":42,\"total_tokens\":252}}";

static connection_t  connections[CONNECTIONS];
static int           queue[CONNECTIONS];    /* descriptors by due time: the delay is fixed, so it is a ring */
static unsigned      head, tail;
static char          response[2048];
static size_t        response_len;


static uint64_t
now_us(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}


static void
drop(int fd)
{
    free(connections[fd].in);
    memset(&connections[fd], 0, sizeof(connections[fd]));
    close(fd);
}


/* Bytes of the first whole request in the buffer, 0 = not yet. */
static size_t
whole(const connection_t *c)
{
    char   *end, *length;
    size_t  n;

    end = memmem(c->in, c->n, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }

    *end = '\0';
    length = strcasestr(c->in, "content-length:");
    n = (size_t) (end - c->in) + 4 + (length != NULL ? strtoul(length + 15, NULL, 10) : 0);
    *end = '\r';

    return n <= c->n ? n : 0;
}


static void
receive(int fd, uint64_t delay_us)
{
    ssize_t        got;
    connection_t  *c = &connections[fd];

    if (c->size - c->n < 4096) {
        char  *p = c->size < REQUEST_MAX ? realloc(c->in, c->size + 8192) : NULL;

        if (p == NULL) {
            drop(fd);
            return;
        }
        c->in = p;
        c->size += 8192;
    }

    got = read(fd, c->in + c->n, c->size - c->n - 1);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            drop(fd);
        }
        return;
    }

    c->n += (size_t) got;
    c->in[c->n] = '\0';

    if (c->due == 0 && whole(c) > 0) {
        c->due = now_us() + delay_us;
        queue[tail++ % CONNECTIONS] = fd;
    }
}


/* Sends what is due; the time until the next, NULL = nothing owed. Milliseconds would be too coarse: answers would wait for each other. */
static const struct timespec *
send_due(uint64_t delay_us)
{
    static struct timespec  left;

    int            fd;
    size_t         n;
    uint64_t       now;
    connection_t  *c;

    now = now_us();

    while (head != tail) {
        fd = queue[head % CONNECTIONS];
        c = &connections[fd];

        if (c->due > now) {
            left.tv_sec = (time_t) ((c->due - now) / 1000000);
            left.tv_nsec = (long) ((c->due - now) % 1000000) * 1000;
            return &left;
        }

        head++;

        if (c->due == 0) {
            continue;               /* the client has gone */
        }

        n = whole(c);
        memmove(c->in, c->in + n, c->n - n);
        c->n -= n;
        c->due = 0;

        if (write(fd, response, response_len) != (ssize_t) response_len) {
            drop(fd);
        } else if (c->n > 0 && whole(c) > 0) {
            c->due = now + delay_us;
            queue[tail++ % CONNECTIONS] = fd;
        }
    }

    return NULL;
}


int
main(int argc, char **argv)
{
    int                  listener, poller, fd, i, n, on = 1;
    uint64_t             delay_us;
    struct rlimit        limit = { CONNECTIONS, CONNECTIONS };
    struct sockaddr_in   sin;
    struct epoll_event   ev, events[256];

    if (argc < 2) {
        fprintf(stderr, "usage: %s PORT [delay_ms]\n", argv[0]);
        return 2;
    }

    delay_us = argc > 2 ? strtoul(argv[2], NULL, 10) * 1000 : 0;
    response_len = (size_t) snprintf(response, sizeof(response),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof(answer) - 1, answer);

    (void) setrlimit(RLIMIT_NOFILE, &limit);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) strtoul(argv[1], NULL, 10));

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    poller = epoll_create1(0);
    (void) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (listener == -1 || poller == -1 || bind(listener, (struct sockaddr *) &sin, sizeof(sin)) == -1 || listen(listener, 1024) == -1) {
        perror("listen");
        return 1;
    }

    memset(&ev, 0, sizeof(ev));
    ev.events = EPOLLIN;
    ev.data.fd = listener;
    (void) epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev);

    for ( ;; ) {
        n = epoll_pwait2(poller, events, 256, send_due(delay_us), NULL);

        for (i = 0; i < n; i++) {
            fd = events[i].data.fd;

            if (fd != listener) {
                receive(fd, delay_us);
                continue;
            }

            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) != -1) {
                if (fd >= CONNECTIONS) {
                    close(fd);
                    continue;
                }
                (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                ev.events = EPOLLIN;
                ev.data.fd = fd;
                (void) epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev);
            }
        }
    }
}
