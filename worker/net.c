/*
 * The net process: one epoll loop over curl_multi, hundreds of exchanges with outside services in flight.
 *
 * A job's ":call" step is a list of exchanges (provider.h) and has a delivery slot of its own, so that each is handed on as soon as
 * it ends; fn_net_state() is the one door between its states. All that ended in one turn of the loop is sent, and all free slots are
 * filled, in one trip to Redis. This file has the loop and its slots; what becomes of a job in one of them is in net_job.c, breakers,
 * pauses and alerts are in net_service.c, and the wire is in net_curl.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fault.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "net.h"

#define FN_NET_TICK_MS      250
#define FN_NET_WAIT_MS      2000            /* delivery's wait ends by itself about then */
#define FN_NET_REARM_MS     100
#define FN_NET_ASK          2               /* slots more than it was given that a process asks to fill */
#define FN_NET_CANCEL_MS    500
#define FN_NET_SWEEP_MS     1000            /* after which a take also looks into */
#define FN_NET_SWEEP        16              /* other slots */

static int net_open(fn_net_t *n, fn_child_t *child);
static void net_close(fn_net_t *n);
static void net_complain(const char *problem);
static int net_timeout(const fn_net_t *n);
static void net_trip(fn_net_t *n);
static unsigned net_take(fn_net_t *n);
static unsigned net_slots(fn_net_t *n, unsigned k[FN_BATCH_MAX]);
static void net_accept(fn_net_t *n);
static void net_cancel(fn_net_t *n);
static void net_sent(fn_net_t *n);
static void net_wait_begin(fn_net_t *n);
static void net_wait_end(fn_net_t *n);
static void net_due(fn_net_t *n);
static void net_giveback(fn_net_t *n);


int
fn_net_run(fn_child_t *child)
{
    int        rc;
    fn_net_t  *n;

    n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return 1;
    }

    rc = net_open(n, child);

    while (rc == 0) {
        fn_child_tick(child);

        if (fn_quit == 2) {
            net_giveback(n);
            break;
        }

        /* A new process takes over between two jobs, so that nobody waits for it. */
        child->entry->in_hand = n->slots - n->count[FN_NET_FREE] - n->count[FN_NET_WAITING];
        n->leaving = fn_quit
                     || (fn_child_recycle(child)
                         && n->count[FN_NET_FREE] + n->count[FN_NET_WAITING] == n->slots);

        net_trip(n);

        if (n->leaving && n->count[FN_NET_FREE] == n->slots) {
            break;
        }

        net_due(n);
        fn_net_events(n, net_timeout(n));
        fn_net_tries(n);
        fn_net_services(n);
        net_cancel(n);
    }

    net_close(n);
    free(n);

    return rc == 0 || fn_quit ? 0 : 1;
}


static int
net_open(fn_net_t *n, fn_child_t *child)
{
    unsigned  i;

    n->child = child;
    n->settings = child->settings;
    n->epoll = -1;
    n->wait_fds[0] = n->wait_fds[1] = -1;
    n->slots = (unsigned) child->settings->net_slots;

    if (n->slots > FN_CHILD_SLOTS) {
        n->slots = FN_CHILD_SLOTS;
    }

    n->exchange = calloc(n->slots, sizeof(n->exchange[0]));
    n->free = calloc(n->slots, sizeof(n->free[0]));
    n->finish = fn_finish_new();
    n->process = fn_process_open(n->settings, net_complain);

    if (n->exchange == NULL || n->free == NULL || n->finish == NULL || n->process == NULL || fn_net_curl_open(n) != 0) {
        fn_log(FN_LOG_ERROR, "net process cannot start: out of memory or descriptors", NULL);
        return -1;
    }

    /* The lowest number on top: a quiet process keeps to few handles. */
    for (i = 0; i < n->slots; i++) {
        n->exchange[i].slot = i;
        n->free[i] = n->slots - 1 - i;
    }

    fn_finish_start(n->finish);
    n->ask = FN_NET_ASK;
    n->count[FN_NET_FREE] = n->slots;
    n->delivery = fn_delivery_open(child);

    return n->delivery == NULL ? -1 : 0;
}


static void
net_complain(const char *problem)
{
    fn_log(FN_LOG_ERROR, "a service cannot be used", "problem", problem, NULL);
}


static void
net_close(fn_net_t *n)
{
    unsigned            i;
    fn_net_exchange_t  *x;

    fn_net_curl_close(n);

    for (i = 0; n->exchange != NULL && i < n->slots; i++) {
        x = &n->exchange[i];
        fn_buf_free(&x->envelope);
        fn_buf_free(&x->marked);
        fn_buf_free(&x->result);
        fn_buf_free(&x->call.carried);
    }

    fn_process_close(n->process);

    if (n->delivery != NULL) {
        fn_delivery_close(n->delivery);
    }

    if (n->finish != NULL) {
        fn_finish_free(n->finish);
    }

    fn_buf_free(&n->build.body);
    fn_buf_free(&n->commit);
    fn_buf_free(&n->body);
    free(n->exchange);
    free(n->free);
}


static int
net_timeout(const fn_net_t *n)
{
    unsigned  i;
    uint64_t  now, due;

    if (n->count[FN_NET_ENDED] > 0) {
        return 0;
    }

    now = fn_mono_ms();
    due = now + FN_NET_TICK_MS;

    if (n->curl_due_ms != 0 && n->curl_due_ms < due) {
        due = n->curl_due_ms;
    }

    if (n->waiting == NULL && n->rearm_ms > now && n->rearm_ms < due) {
        due = n->rearm_ms;
    }

    for (i = 0; n->count[FN_NET_SLEEPING] > 0 && i < n->slots; i++) {
        if (n->exchange[i].state == FN_NET_SLEEPING && n->exchange[i].due_ms < due) {
            due = n->exchange[i].due_ms;
        }
    }

    return due > now ? (int) (due - now) : 0;
}


/* Hands on what has ended, takes what there is for the free slots, then arms one of them to wait for more. */
static void
net_trip(fn_net_t *n)
{
    if (n->waiting != NULL
        && (n->leaving || n->ready || n->count[FN_NET_HELD] > 0 || n->alone != NULL
            || fn_mono_ms() - n->waiting_since_ms >= FN_NET_WAIT_MS))
    {
        net_wait_end(n);
    }

    while (n->waiting == NULL && net_take(n) > 0) { /* void */ }

    /* Results alone: while a wait is armed the queues are empty, or it would have ended. */
    if (n->count[FN_NET_ENDED] > 0) {
        fn_net_hand_on(n);
    }
}


/* Asks for jobs, in the same trip as the results. How many it might still get: then call it again. */
static unsigned
net_take(fn_net_t *n)
{
    int       rc, full;
    unsigned  nk, k[FN_BATCH_MAX];

    if (n->leaving || fn_quit || n->alone != NULL || n->count[FN_NET_HELD] > 0 || fn_mono_ms() < n->rearm_ms) {
        return 0;
    }

    nk = net_slots(n, k);

    if (nk == 0) {
        return 0;
    }

    rc = n->count[FN_NET_ENDED] > 0 ? fn_finish_take(n->delivery, n->finish, NULL, k, nk, 1, &n->batch)
                                    : fn_take(n->delivery, k, nk, 1, &n->batch);

    if (n->count[FN_NET_ENDED] > 0) {
        net_sent(n);
    }

    if (rc != 0) {
        return 0;
    }

    n->waited = NULL;
    full = n->batch.n == nk;
    n->ask = full ? nk * 2 : n->batch.n;
    n->ask = n->ask + FN_NET_ASK < FN_BATCH_MAX ? n->ask + FN_NET_ASK : FN_BATCH_MAX;
    net_accept(n);

    if (full) {
        return n->count[FN_NET_FREE] + n->count[FN_NET_ENDED];
    }

    net_wait_begin(n);

    return 0;
}


/* Which slots the next take is to fill, n->ask of them: how many. */
static unsigned
net_slots(fn_net_t *n, unsigned k[FN_BATCH_MAX])
{
    unsigned  i, nk, rest;
    uint64_t  now;

    nk = 0;

    /* Its wait may have delivered. */
    if (n->waited != NULL) {
        k[nk++] = n->waited->slot;
    }

    /* Those of the results are free by the time of the take. */
    for (i = 0; i < n->count[FN_NET_ENDED] && nk < n->ask; i++) {
        k[nk++] = n->ended[i]->slot;
    }

    for (rest = n->count[FN_NET_FREE]; rest > 0 && nk < n->ask; rest--) {
        if (&n->exchange[n->free[rest - 1]] != n->waited) {
            k[nk++] = n->free[rest - 1];
        }
    }

    now = fn_mono_ms();

    if (now - n->swept_ms < FN_NET_SWEEP_MS || rest == 0) {
        return nk;
    }

    n->swept_ms = now;

    /* All the others in turn: a wait whose connection was lost may have delivered after we had stopped to look. */
    for (i = 0; i < FN_NET_SWEEP && i < rest && nk < FN_BATCH_MAX; i++) {
        n->swept = (n->swept + 1) % rest;

        if (&n->exchange[n->free[n->swept]] != n->waited) {
            k[nk++] = n->free[n->swept];
        }
    }

    return nk;
}


/* Moves what was taken into the exchanges of its slots, and begins it. */
static void
net_accept(fn_net_t *n)
{
    unsigned            i, top, moved, low, kept, begin[FN_BATCH_MAX], nbegin;
    fn_net_exchange_t  *x;

    top = n->count[FN_NET_FREE];

    for (i = 0, nbegin = 0; i < n->batch.n; i++) {
        x = &n->exchange[n->batch.task[i].slot];

        if (x->state != FN_NET_FREE) {
            continue;               /* more in a slot than was asked for: it is found when the slot is free */
        }

        fn_buf_reset(&x->envelope);
        fn_buf_add(&x->envelope, n->batch.task[i].raw.p, n->batch.task[i].raw.n);

        if (x->envelope.failed || fn_task_parse(&x->task, x->envelope.data, x->envelope.len) != 0) {
            fn_log(FN_LOG_ERROR, "no memory for jobs", NULL);
            abort();                /* what was taken is reaped */
        }

        x->task.slot = x->slot;
        x->task.suspect = n->batch.task[i].suspect;
        x->task.cancelled = n->batch.task[i].cancelled;

        if (x->task.suspect) {
            fn_net_state(n, x, FN_NET_HELD);

        } else {
            fn_net_state(n, x, FN_NET_RUNNING);
            begin[nbegin++] = x->slot;
        }
    }

    /* The stack without those; they stood near its top. */
    moved = top - n->count[FN_NET_FREE];

    for (low = top; moved > 0; low--) {
        moved -= n->exchange[n->free[low - 1]].state != FN_NET_FREE;
    }

    for (i = kept = low; i < top; i++) {
        if (n->exchange[n->free[i]].state == FN_NET_FREE) {
            n->free[kept++] = n->free[i];
        }
    }

    fn_batch_free(&n->batch);

    for (i = 0; i < nbegin; i++) {
        fn_net_begin(n, &n->exchange[begin[i]]);
    }
}


/* Calls of jobs that are to end are given up; their commits end them. */
static void
net_cancel(fn_net_t *n)
{
    size_t              k;
    unsigned            i;
    uint64_t            now;
    redisReply         *ids;
    fn_net_exchange_t  *x;

    now = fn_mono_ms();

    if (!fn_delivery_cancels(n->delivery) || fn_quit == 2 || now - n->cancelled_ms < FN_NET_CANCEL_MS
        || n->count[FN_NET_RUNNING] + n->count[FN_NET_SLEEPING] == 0)
    {
        return;
    }

    n->cancelled_ms = now;
    ids = fn_cancelled(n->delivery);

    for (i = 0; ids != NULL && i < n->slots; i++) {
        x = &n->exchange[i];

        for (k = 0; k < ids->elements && (x->state == FN_NET_RUNNING || x->state == FN_NET_SLEEPING); k++) {
            if (ids->element[k]->len != x->task.env.id.n || memcmp(ids->element[k]->str, x->task.env.id.p, x->task.env.id.n) != 0) {
                continue;
            }

            if (x->state == FN_NET_RUNNING) {
                fn_net_stop(n, x);
                fn_net_said(n, x, NULL);
            }

            fn_net_end(n, x, NULL, 0);
        }
    }

    if (ids != NULL) {
        freeReplyObject(ids);
    }
}


/* The results go to Redis; what they came from is forgotten. */
void
fn_net_hand_on(fn_net_t *n)
{
    (void) fn_finish(n->delivery, n->finish, NULL);
    net_sent(n);
}


/* The results are on their way: what they came from is forgotten. */
static void
net_sent(fn_net_t *n)
{
    unsigned            i, ended;
    fn_net_exchange_t  *x;

    FN_FAULT("net.after_finish");

    ended = n->count[FN_NET_ENDED];

    for (i = 0; i < ended; i++) {
        x = n->ended[i];
        fn_net_trim(x);
        fn_net_state(n, x, FN_NET_FREE);
    }

    if (n->alone != NULL && n->alone->state == FN_NET_FREE) {
        n->alone = NULL;
        n->child->entry->job[0] = '\0';
    }

    n->child->entry->jobs += ended;
    fn_finish_start(n->finish);
}


static void
net_wait_begin(fn_net_t *n)
{
    int                 i;
    fn_net_exchange_t  *x;
    struct epoll_event  ev;

    if (n->count[FN_NET_FREE] == 0 || n->count[FN_NET_HELD] > 0) {
        return;
    }

    x = &n->exchange[n->free[n->count[FN_NET_FREE] - 1]];

    if (fn_wait_begin(n->delivery, x->slot) != 0) {
        n->rearm_ms = fn_mono_ms() + FN_NET_REARM_MS;
        return;
    }

    fn_net_state(n, x, FN_NET_WAITING);
    n->waiting = x;
    n->waiting_since_ms = fn_mono_ms();
    n->ready = 0;
    fn_wait_fds(n->delivery, n->wait_fds);

    for (i = 0; i < 2; i++) {
        memset(&ev, 0, sizeof(ev));
        ev.events = EPOLLIN;
        ev.data.fd = n->wait_fds[i];

        if (n->wait_fds[i] != -1 && epoll_ctl(n->epoll, EPOLL_CTL_ADD, n->wait_fds[i], &ev) == -1) {
            n->ready = 1;       /* unable to listen: look again at the next turn */
        }
    }
}


/* Disarms; a job that has come meanwhile lies in the slot and is taken next, or goes back when nothing is to be taken. */
static void
net_wait_end(fn_net_t *n)
{
    int                 i;
    fn_net_exchange_t  *x;

    for (i = 0; i < 2; i++) {
        if (n->wait_fds[i] != -1) {
            (void) epoll_ctl(n->epoll, EPOLL_CTL_DEL, n->wait_fds[i], NULL);
            n->wait_fds[i] = -1;
        }
    }

    x = n->waiting;
    n->waiting = NULL;
    n->ready = 0;

    if (n->leaving || fn_quit || n->alone != NULL || n->count[FN_NET_HELD] > 0) {
        fn_wait_end(n->delivery);
        fn_giveback(n->delivery, x->slot);

    } else {
        fn_wait_leave(n->delivery);
        n->waited = x;
    }

    fn_net_state(n, x, FN_NET_FREE);
}


void
fn_net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state)
{
    if (state == FN_NET_FREE) {
        n->free[n->count[FN_NET_FREE]] = x->slot;
    }

    if (state == FN_NET_ENDED) {
        n->ended[n->count[FN_NET_ENDED]] = x;
    }

    /* What leaves FREE is on top of the stack, but for net_accept(), which repairs it. */
    n->count[x->state]--;
    n->count[state]++;
    x->state = state;
}


/* Starts the tries whose time has come, and a held job once nothing else is in flight. */
static void
net_due(fn_net_t *n)
{
    unsigned            i;
    uint64_t            now;
    fn_net_exchange_t  *x;

    if (n->count[FN_NET_SLEEPING] + n->count[FN_NET_HELD] == 0) {
        return;
    }

    now = fn_mono_ms();

    for (i = 0; i < n->slots && fn_quit != 2; i++) {
        x = &n->exchange[i];

        if (x->state == FN_NET_SLEEPING && x->due_ms <= now) {
            fn_net_state(n, x, FN_NET_RUNNING);
            fn_net_call(n, x);
        }

        if (x->state == FN_NET_HELD && n->alone == NULL
            && n->count[FN_NET_RUNNING] + n->count[FN_NET_SLEEPING] + n->count[FN_NET_ENDED] == 0)
        {
            snprintf(n->child->entry->job, sizeof(n->child->entry->job), "%.*s", (int) x->task.env.id.n, x->task.env.id.p);
            n->alone = x;
            fn_net_state(n, x, FN_NET_RUNNING);
            fn_net_begin(n, x);
        }
    }
}


/* Time is up: everything in hand goes back to its queue, and another process makes the calls. */
static void
net_giveback(fn_net_t *n)
{
    unsigned            i;
    fn_net_exchange_t  *x;

    if (n->waiting != NULL) {
        net_wait_end(n);
    }

    for (i = 0; i < n->slots; i++) {
        x = &n->exchange[i];

        if (x->state == FN_NET_RUNNING && fn_net_sent(x)) {
            fn_net_stop(n, x);
            fn_net_said(n, x, NULL);
            fn_net_mark(x, x->unanswered + 1);
            fn_net_delay(n, x, x->task.env.attempt, 0);
        }
    }

    if (n->count[FN_NET_ENDED] > 0) {
        fn_net_hand_on(n);
    }

    for (i = 0; i < n->slots; i++) {
        x = &n->exchange[i];

        if (x->state == FN_NET_FREE) {
            continue;
        }

        if (x->state == FN_NET_RUNNING) {
            fn_net_stop(n, x);
            fn_net_said(n, x, NULL);
        }

        fn_giveback(n->delivery, x->slot);
        fn_net_state(n, x, FN_NET_FREE);
    }
}
