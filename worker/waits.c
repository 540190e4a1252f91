/* Blocked in two BLMOVEs, and out of them again. */
#include "waits.h"

#include <poll.h>
#include <string.h>

#include "libfitnudge/fn_time.h"

#define FN_WAITS_ANSWER_MS  3000
#define FN_WAITS_REFUSED_MS 100

/* What is sent for a wait; the answers come in this order, and nothing before the BLMOVE has ended. */
enum { FN_WAITS_MOVE, FN_WAITS_UNBLOCK, FN_WAITS_EXISTS, FN_WAITS_ANSWERS };

typedef struct {
    redisReply  *job;           /* NULL = none came */
    int          ended;         /* all answers have come: it is not blocked */
    int          both;          /* the other has ended as well, by this one or before it, or does so by the same time */
    int          more;          /* there are marks, or jobs in the queues, or it is not known */
} fn_waits_end_t;


void
fn_waits_init(fn_waits_t *w, const fn_settings_t *s, const char *lane, const char *const queue[3], const char *const mark[3])
{
    unsigned  i;

    memset(w, 0, sizeof(*w));

    for (i = 0; i < 2; i++) {
        fn_redis_init(&w->redis[i], s, FN_WAIT_MS + FN_WAITS_ANSWER_MS);
        w->redis[i].lane = lane;
    }

    for (i = 0; i < 3; i++) {
        w->queue[i] = queue[i];
        w->mark[i] = mark[i];
    }
}


void
fn_waits_close(fn_waits_t *w)
{
    fn_redis_close(&w->redis[0]);
    fn_redis_close(&w->redis[1]);
    w->armed = 0;
}


static int
waits_send(fn_waits_t *w, unsigned i, const char *slot)
{
    int            done;
    redisContext  *c;

    c = w->redis[i].c;

    if (redisAppendCommand(c, "BLMOVE %s %s RIGHT LEFT %d", w->queue[i], slot, FN_WAIT_MS / 1000) != REDIS_OK
        || redisAppendCommand(c, "CLIENT UNBLOCK %lld", w->redis[1 - i].client_id) != REDIS_OK
        || redisAppendCommand(c, "EXISTS %s %s %s %s %s %s", w->mark[0], w->mark[1], w->mark[2], w->queue[0], w->queue[1],
                              w->queue[2]) != REDIS_OK)
    {
        return -1;
    }

    do {
        if (redisBufferWrite(c, &done) != REDIS_OK) {
            return -1;
        }
    } while (!done);

    return 0;
}


int
fn_waits_begin(fn_waits_t *w, const char *slot)
{
    unsigned  i;

    if (fn_mono_ms() < w->retry_ms) {
        return -1;
    }

    for (i = 0; i < 2; i++) {
        if (fn_redis_connect(&w->redis[i]) != 0) {
            return -1;
        }
    }

    for (i = 0; i < 2; i++) {
        if (waits_send(w, i, slot) != 0) {
            fn_redis_close(&w->redis[i]);
            w->retry_ms = fn_mono_ms() + FN_WAITS_REFUSED_MS;
            return -1;
        }

        w->armed |= 1 << i;
    }

    return 0;
}


void
fn_waits_fds(const fn_waits_t *w, int fds[2])
{
    unsigned  i;

    for (i = 0; i < 2; i++) {
        fds[i] = (w->armed & (1 << i)) && w->redis[i].c != NULL ? w->redis[i].c->fd : -1;
    }
}


int
fn_waits_poll(const fn_waits_t *w, int ms)
{
    int            fds[2];
    struct pollfd  p[2];

    fn_waits_fds(w, fds);

    p[0].fd = fds[0];
    p[1].fd = fds[1];
    p[0].events = p[1].events = POLLIN;

    return poll(p, 2, ms) > 0 ? (p[0].revents != 0) | (p[1].revents != 0) << 1 : 0;
}


/* Reads what has come, or comes at once, of a wait that was armed. */
static void
waits_answers(fn_waits_t *w, unsigned i, fn_waits_end_t *e)
{
    unsigned     k;
    redisReply  *a;

    memset(e, 0, sizeof(*e));

    if (!(w->armed & (1 << i))) {
        return;
    }

    w->armed &= ~(1 << i);
    e->more = 1;

    for (k = 0; k < FN_WAITS_ANSWERS; k++) {
        a = fn_redis_reply(&w->redis[i]);

        if (a == NULL) {
            return;
        }

        if (k == FN_WAITS_MOVE && a->type == REDIS_REPLY_STRING) {
            e->job = a;
            continue;
        }

        if (k == FN_WAITS_MOVE && a->type == REDIS_REPLY_NIL) {
            e->both = 1;
        }

        if (a->type == REDIS_REPLY_ERROR && strncmp(a->str, "UNBLOCKED", 9) != 0) {
            w->retry_ms = fn_mono_ms() + FN_WAITS_REFUSED_MS;

            if (fn_redis_moved(a)) {
                fn_redis_close(&w->redis[i]);
            }

        } else if (a->type == REDIS_REPLY_INTEGER && k == FN_WAITS_UNBLOCK) {
            e->both |= a->integer != 0;

        } else if (a->type == REDIS_REPLY_INTEGER) {
            e->more = a->integer != 0;
        }

        freeReplyObject(a);
    }

    e->ended = 1;
}


redisReply *
fn_waits_over(fn_waits_t *w, int ended)
{
    unsigned         first, other;
    redisReply      *job;
    fn_waits_end_t   e[2];

    first = ended & 1 ? 0 : 1;
    other = 1 - first;
    memset(&e[other], 0, sizeof(e[other]));

    waits_answers(w, first, &e[first]);

    /* else it may not have been blocked yet when it was told to end, and would keep us for its whole time */
    if (e[first].both || fn_waits_poll(w, 0)) {
        waits_answers(w, other, &e[other]);
    }

    job = NULL;

    if (e[0].ended && e[1].ended && (e[0].job == NULL) != (e[1].job == NULL) && !e[0].more && !e[1].more) {
        job = e[0].job != NULL ? e[0].job : e[1].job;
        e[0].job = e[1].job = NULL;
    }

    if (e[0].job != NULL) {
        freeReplyObject(e[0].job);
    }

    if (e[1].job != NULL) {
        freeReplyObject(e[1].job);
    }

    return job;
}


unsigned
fn_waits_unblock(fn_waits_t *w, fn_redis_t *by)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < 2; i++) {
        if (!(w->armed & (1 << i))) {
            continue;
        }

        if (by->c == NULL || redisAppendCommand(by->c, "CLIENT UNBLOCK %lld", w->redis[i].client_id) != REDIS_OK) {
            fn_redis_close(by);
            fn_redis_close(&w->redis[i]);   /* the server notices; what it may have moved, a later take returns */
            continue;
        }

        n++;
    }

    return n;
}


void
fn_waits_read(fn_waits_t *w, fn_redis_t *by, unsigned n)
{
    unsigned        i;
    redisReply     *a;
    fn_waits_end_t  e;

    for (i = 0; i < n; i++) {
        a = fn_redis_reply(by);

        if (a != NULL) {
            freeReplyObject(a);
        }
    }

    for (i = 0; i < 2; i++) {
        if (by->c == NULL && (w->armed & (1 << i))) {
            fn_redis_close(&w->redis[i]);   /* it may not have been told */
        }

        waits_answers(w, i, &e);

        if (e.job != NULL) {
            freeReplyObject(e.job);
        }
    }
}
