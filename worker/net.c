/*
 * The net process: one epoll loop over curl_multi, hundreds of exchanges with outside services in flight.
 *
 * An exchange is a job's ":call" step and has a delivery slot of its own, so that each is handed on the moment it
 * ends; net_state() is the one door between its states. Whatever the provider does, an exchange ends before the edge
 * stops waiting: then without a result, and the job's commit falls back. What a provider sends and understands is in
 * providers/; what is true of all of them is here (time, tries) and in net_curl.c (the wire).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fault.h"
#include "jobs/digest.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "net.h"

#define FN_NET_MARGIN_MS    1500            /* left of the job's deadline for its commit */
#define FN_NET_BACKOFF_MS   500
#define FN_NET_BACKOFF_CAP  8000
#define FN_NET_AFTER_MAX    120000          /* a longer Retry-After is not believed */
#define FN_NET_TICK_MS      1000
#define FN_NET_WAIT_MS      2000            /* delivery's wait ends by itself about then */
#define FN_NET_REARM_MS     100

static int net_open(fn_net_t *n, fn_child_t *child);
static void net_close(fn_net_t *n);
static int net_timeout(const fn_net_t *n);
static void net_fill(fn_net_t *n);
static void net_wait_end(fn_net_t *n);
static void net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state);
static int net_accept(fn_net_t *n, fn_net_exchange_t *x);
static void net_due(fn_net_t *n);
static void net_begin(fn_net_t *n, fn_net_exchange_t *x);
static void net_completed(fn_net_t *n);
static void net_tried(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r);
static void net_log(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r, fn_outcome_e outcome);
static int net_again(fn_net_t *n, fn_net_exchange_t *x);
static void net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len);
static void net_send(fn_net_t *n, fn_net_exchange_t *x);
static void net_giveback(fn_net_t *n);
static void net_forget(fn_net_t *n, fn_net_exchange_t *x);


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

        net_fill(n);

        if (n->leaving && n->count[FN_NET_FREE] == n->slots) {
            break;
        }

        fn_net_events(n, net_timeout(n));
        net_completed(n);
        net_due(n);
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

    if (n->exchange == NULL || n->free == NULL || n->finish == NULL || fn_net_curl_open(n) != 0) {
        fn_log(FN_LOG_ERROR, "net process cannot start: out of memory or descriptors", NULL);
        return -1;
    }

    /* The lowest number on top: a quiet process keeps to few handles. */
    for (i = 0; i < n->slots; i++) {
        n->exchange[i].slot = i;
        n->free[i] = n->slots - 1 - i;
    }

    n->count[FN_NET_FREE] = n->slots;
    n->delivery = fn_delivery_open(child);

    return n->delivery == NULL ? -1 : 0;
}


static void
net_close(fn_net_t *n)
{
    fn_net_curl_close(n);

    if (n->delivery != NULL) {
        fn_delivery_close(n->delivery);
    }

    if (n->finish != NULL) {
        fn_finish_free(n->finish);
    }

    fn_buf_free(&n->build.body);
    fn_buf_free(&n->result);
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

    if (n->count[FN_NET_TAKEN] > 0) {
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


/* Takes what there is for the free slots, then arms one of them to wait for more. */
static void
net_fill(fn_net_t *n)
{
    int                 i;
    uint64_t            now;
    fn_net_exchange_t  *x;
    struct epoll_event  ev;

    now = fn_mono_ms();

    if (n->waiting != NULL) {
        if (!n->leaving && (n->alone != NULL || (!n->ready && now - n->waiting_since_ms < FN_NET_WAIT_MS))) {
            return;
        }
        net_wait_end(n);
    }

    while (!n->leaving && n->alone == NULL && n->count[FN_NET_FREE] > 0 && now >= n->rearm_ms) {
        x = &n->exchange[n->free[n->count[FN_NET_FREE] - 1]];

        if (fn_take(n->delivery, x->slot, 1, &n->batch) != 0) {
            return;
        }

        if (net_accept(n, x)) {
            continue;
        }

        if (fn_wait_begin(n->delivery, x->slot) != 0) {
            n->rearm_ms = now + FN_NET_REARM_MS;
            return;
        }

        net_state(n, x, FN_NET_WAITING);
        n->waiting = x;
        n->waiting_since_ms = now;
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

        return;
    }
}


/* Disarms; a job that has come meanwhile lies in the slot and is taken next, or goes back when we are leaving. */
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
    fn_wait_end(n->delivery);
    n->waiting = NULL;
    n->ready = 0;

    if (n->leaving || fn_quit == 2) {
        fn_giveback(n->delivery, x->slot);
    }

    net_state(n, x, FN_NET_FREE);
}


static void
net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state)
{
    if (state == FN_NET_FREE) {
        n->free[n->count[FN_NET_FREE]] = x->slot;
    }

    /* The slot that leaves FREE is always the one on top of the stack. */
    n->count[x->state]--;
    n->count[state]++;
    x->state = state;
}


/* Moves the taken job, if any, into the free exchange x. 1, or 0 when nothing was taken. */
static int
net_accept(fn_net_t *n, fn_net_exchange_t *x)
{
    if (n->batch.n == 0) {
        fn_batch_free(&n->batch);
        return 0;
    }

    x->task = n->batch.task[0];
    x->memory = n->batch.memory;
    n->batch.memory = NULL;
    n->batch.n = 0;

    if (x->task.suspect) {
        n->alone = x;
    }

    net_state(n, x, x->task.suspect ? FN_NET_HELD : FN_NET_TAKEN);

    return 1;
}


/* Begins what was taken, starts the tries whose time has come, and a held job once nothing else is in flight. */
static void
net_due(fn_net_t *n)
{
    unsigned            i, idle;
    uint64_t            now;
    fn_net_exchange_t  *x;

    if (n->count[FN_NET_TAKEN] + n->count[FN_NET_SLEEPING] + n->count[FN_NET_HELD] == 0) {
        return;
    }

    now = fn_mono_ms();

    for (i = 0; i < n->slots && fn_quit != 2; i++) {
        x = &n->exchange[i];

        switch (x->state) {

        case FN_NET_TAKEN:
            net_begin(n, x);
            break;

        case FN_NET_HELD:
            idle = n->count[FN_NET_TAKEN] + n->count[FN_NET_RUNNING] + n->count[FN_NET_SLEEPING] == 0;
            if (idle) {
                net_begin(n, x);
            }
            break;

        case FN_NET_SLEEPING:
            if (x->due_ms > now) {
                break;
            }
            net_state(n, x, FN_NET_RUNNING);
            if (fn_net_try(n, x) != 0) {
                net_end(n, x, NULL, 0);
            }
            break;

        default:
            break;
        }
    }
}


/* From here on x is not free; it may be again on return, when the job needed no call. */
static void
net_begin(fn_net_t *n, fn_net_exchange_t *x)
{
    uint64_t  now;

    net_state(n, x, FN_NET_RUNNING);

    if (x == n->alone) {
        snprintf(n->child->entry->job, sizeof(n->child->entry->job), "%.*s", (int) x->task.env.id.n, x->task.env.id.p);
    }

    x->tried = 0;
    x->started_ms = fn_mono_ms();
    x->limit_ms = 0;
    x->steps = NULL;

    if (x->task.job != NULL && x->task.step == 'c') {
        x->steps = fn_steps_find(x->task.job->name, strlen(x->task.job->name));
    }

    if (x->steps == NULL || x->steps->call == NULL || x->steps->joined == NULL
        || fn_step_body_parse(x->task.env.body.p, x->task.env.body.n, &x->req, &x->ctx) != 0)
    {
        fn_finish_start(n->finish);
        fn_finish_job(n->finish, &x->task);
        fn_finish_dead(n->finish, &x->task);
        net_send(n, x);
        return;
    }

    if (x->task.env.deadline_ms != 0) {
        now = fn_now_ms() + FN_NET_MARGIN_MS + FN_NET_LEAST_MS;

        if (x->task.env.deadline_ms <= now) {
            net_end(n, x, NULL, 0);
            return;
        }

        x->limit_ms = x->started_ms + (x->task.env.deadline_ms - now) + FN_NET_LEAST_MS;
    }

    if (fn_net_prepare(n, x) != 0 || fn_net_try(n, x) != 0) {
        net_end(n, x, NULL, 0);
    }
}


static void
net_completed(fn_net_t *n)
{
    fn_response_t       r;
    fn_net_exchange_t  *x;

    while (fn_quit != 2 && (x = fn_net_completed(n, &r)) != NULL) {
        net_tried(n, x, &r);
    }
}


/* A try is over: the provider says what it was worth. */
static void
net_tried(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r)
{
    curl_off_t    took;
    fn_outcome_e  outcome;

    fn_buf_reset(&n->result);
    outcome = x->steps->call->parse(r, n->settings, &n->result);
    took = 0;
    (void) curl_easy_getinfo(x->easy, CURLINFO_TOTAL_TIME_T, &took);
    fn_count_call(x->steps->call->name, outcome, (uint64_t) took / 1000);

    if (outcome != FN_DONE) {
        net_log(n, x, r, outcome);
    }

    if ((outcome == FN_RETRY || outcome == FN_BUSY) && net_again(n, x)) {
        return;
    }

    /* What a refusal cost is part of its result. */
    if (n->result.len > 0 && !n->result.failed && (outcome == FN_DONE || outcome == FN_DEAD)) {
        net_end(n, x, n->result.data, n->result.len);
    } else {
        net_end(n, x, NULL, 0);
    }
}


static void
net_log(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r, fn_outcome_e outcome)
{
    char  id[FN_UUID_LEN + 1], rid[80], status[16], tried[16], ms[24];

    n->child->entry->failures++;

    fn_request_id(&x->task, rid, sizeof(rid));
    snprintf(id, sizeof(id), "%.*s", (int) x->task.env.id.n, x->task.env.id.p);
    snprintf(status, sizeof(status), "%ld", r->status);
    snprintf(tried, sizeof(tried), "%u", x->tried);
    snprintf(ms, sizeof(ms), "%llu", (unsigned long long) (fn_mono_ms() - x->started_ms));

    fn_log(FN_LOG_WARN, outcome == FN_DEAD ? "provider refused" : "provider failed",
           "provider", x->steps->call->name, "job_id", id, "request_id", rid, "status", status, "tried", tried, "ms", ms,
           "error", r->transport_error != 0 ? curl_easy_strerror((CURLcode) r->transport_error) : NULL, NULL);
}


/* 1 when there will be another try: then the exchange sleeps until its time. */
static int
net_again(fn_net_t *n, fn_net_exchange_t *x)
{
    uint64_t  delay, now;

    if (x->tried >= x->attempts) {
        return 0;
    }

    if (x->retry_after_ms > 0) {
        if (x->retry_after_ms > FN_NET_AFTER_MAX) {
            return 0;
        }
        delay = (uint64_t) x->retry_after_ms;

    } else {
        delay = x->tried > 5 ? FN_NET_BACKOFF_CAP : (uint64_t) FN_NET_BACKOFF_MS << (x->tried - 1);
        delay = delay > FN_NET_BACKOFF_CAP ? FN_NET_BACKOFF_CAP : delay;
        delay -= fn_random_below((unsigned) (delay / 4 + 1));
    }

    now = fn_mono_ms();

    if (x->limit_ms != 0 && now + delay + FN_NET_LEAST_MS > x->limit_ms) {
        return 0;
    }

    x->due_ms = now + delay;
    net_state(n, x, FN_NET_SLEEPING);

    return 1;
}


/* The exchange is over, with a result or without: on to the job's commit. */
static void
net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len)
{
    FN_FAULT("net.after_call");

    fn_buf_reset(&n->commit);
    fn_buf_reset(&n->body);

    fn_finish_start(n->finish);
    fn_finish_job(n->finish, &x->task);

    if (x->steps->joined(x->ctx.p, x->ctx.n, result, len, n->settings, &n->commit) == 0) {
        fn_step_body_format(&n->body, x->req.p, x->req.n, n->commit.data, n->commit.len);
        fn_finish_next(n->finish, &x->task, ":commit", n->body.data, n->body.len);
    } else {
        fn_finish_dead(n->finish, &x->task);
    }

    net_send(n, x);
}


/* Sends what n->finish holds and frees the exchange; takes the next job for it in the same trip. */
static void
net_send(fn_net_t *n, fn_net_exchange_t *x)
{
    int            rc, take;
    unsigned char  lost;

    take = !n->leaving && !fn_quit && n->alone == NULL;

    if (take) {
        rc = fn_finish_take(n->delivery, x->slot, n->finish, &lost, 1, &n->batch);
    } else {
        rc = fn_finish(n->delivery, x->slot, n->finish, &lost);
    }

    FN_FAULT("net.after_finish");

    net_forget(n, x);

    if (x == n->alone) {
        n->alone = NULL;
        n->child->entry->job[0] = '\0';
    }

    n->child->entry->jobs++;
    fn_net_trim(x);
    net_state(n, x, FN_NET_FREE);

    if (rc == 0 && take) {
        (void) net_accept(n, x);

    } else if (n->leaving) {
        fn_giveback(n->delivery, x->slot);  /* two waits can have delivered into one slot */
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

        if (x->state == FN_NET_FREE) {
            continue;
        }

        if (x->state == FN_NET_RUNNING) {
            fn_net_stop(n, x);
        }

        fn_giveback(n->delivery, x->slot);
        net_forget(n, x);
        net_state(n, x, FN_NET_FREE);
    }
}


/* Frees the memory behind the exchange's job. */
static void
net_forget(fn_net_t *n, fn_net_exchange_t *x)
{
    n->old.n = 1;
    n->old.task[0] = x->task;
    n->old.memory = x->memory;
    fn_batch_free(&n->old);
    x->memory = NULL;
}
