/*
 * The net process: one epoll loop over curl_multi, hundreds of exchanges with outside services in flight.
 *
 * A job's ":call" step is a list of exchanges (provider.h) and has a delivery slot of its own, so that each is handed on as soon as
 * it ends; net_state() is the one door between its states. All that ended in one turn of the loop is sent, and all free slots are
 * filled, in one trip to Redis. Whatever the provider does, a job somebody waits for ends before the edge stops waiting: then without
 * a result, and its commit falls back. What a provider sends and understands is in providers/; what is true of all of them is
 * here (time, tries), in net_service.c (breakers, pauses, alerts) and in net_curl.c (the wire).
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
#define FN_NET_AFTER_MAX    120000          /* with somebody waiting, a longer pause is not believed */
#define FN_NET_SLEEP_MAX    5000            /* without, a longer pause is spent in Redis, not in a slot */
#define FN_NET_DELAY_MAX    (24 * 3600 * 1000)
#define FN_NET_BUSY_MAX     (24 * 3600 * 1000)  /* a job older than that is not put off for nothing */
#define FN_NET_TICK_MS      250
#define FN_NET_WAIT_MS      2000            /* delivery's wait ends by itself about then */
#define FN_NET_REARM_MS     100
#define FN_NET_AGAIN        3               /* times a list may begin again */
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
static void net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state);
static void net_due(fn_net_t *n);
static void net_begin(fn_net_t *n, fn_net_exchange_t *x);
static void net_pair(fn_net_exchange_t *x, const fn_pair_t *pair);
static void net_call(fn_net_t *n, fn_net_exchange_t *x);
static void net_refused(fn_net_t *n, fn_net_exchange_t *x, fn_service_may_e may, uint64_t wait_ms);
static void net_completed(fn_net_t *n);
static void net_tried(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r);
static void net_failed(fn_net_t *n, fn_net_exchange_t *x, fn_outcome_e outcome);
static void net_log(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r, fn_outcome_e outcome);
static int net_again(fn_net_t *n, fn_net_exchange_t *x);
static int net_sleep(fn_net_t *n, fn_net_exchange_t *x, uint64_t delay);
static void net_delay(fn_net_t *n, fn_net_exchange_t *x, unsigned attempt, uint64_t delay);
static void net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len);
static void net_give_up(fn_net_t *n, fn_net_exchange_t *x, const char *why);
static void net_dead(fn_net_t *n, fn_net_exchange_t *x, const char *why);
static void net_job(fn_net_t *n, fn_net_exchange_t *x);
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
        net_completed(n);
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
        (void) fn_finish(n->delivery, n->finish, NULL);
        net_sent(n);
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
            net_state(n, x, FN_NET_HELD);

        } else {
            net_state(n, x, FN_NET_RUNNING);
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
        net_begin(n, &n->exchange[begin[i]]);
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

            net_end(n, x, NULL, 0);
        }
    }

    if (ids != NULL) {
        freeReplyObject(ids);
    }
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
        net_state(n, x, FN_NET_FREE);
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

    net_state(n, x, FN_NET_WAITING);
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

    net_state(n, x, FN_NET_FREE);
}


static void
net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state)
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
            net_state(n, x, FN_NET_RUNNING);
            net_call(n, x);
        }

        if (x->state == FN_NET_HELD && n->alone == NULL
            && n->count[FN_NET_RUNNING] + n->count[FN_NET_SLEEPING] + n->count[FN_NET_ENDED] == 0)
        {
            snprintf(n->child->entry->job, sizeof(n->child->entry->job), "%.*s", (int) x->task.env.id.n, x->task.env.id.p);
            n->alone = x;
            net_state(n, x, FN_NET_RUNNING);
            net_begin(n, x);
        }
    }
}


/* x is RUNNING; on return it may have ENDED already, when the job needed no call. */
static void
net_begin(fn_net_t *n, fn_net_exchange_t *x)
{
    uint64_t  now;

    x->started_ms = fn_mono_ms();
    x->limit_ms = 0;
    x->begun_again = 0;
    x->steps = NULL;
    snprintf(x->id, sizeof(x->id), "%.*s", (int) x->task.env.id.n, x->task.env.id.p);

    if (x->task.job != NULL && x->task.step == 'c') {
        x->steps = fn_steps_find(x->task.job->name, strlen(x->task.job->name));
    }

    if (x->steps == NULL || x->steps->call == NULL || x->steps->joined == NULL
        || fn_step_body_parse(x->task.env.body.p, x->task.env.body.n, &x->req, &x->ctx) != 0)
    {
        net_dead(n, x, "its step cannot work");
        return;
    }

    /* the commit is told the same, and ends the job */
    if (x->task.cancelled) {
        net_end(n, x, NULL, 0);
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

    memset(&x->call, 0, sizeof(x->call));
    x->call.settings = n->settings;
    x->call.ctx = x->ctx.p;
    x->call.ctx_len = x->ctx.n;
    x->call.job_id = x->id;
    x->call.process = n->process;
    x->unanswered = fn_net_marked(x->ctx);
    fn_buf_reset(&x->result);

    net_pair(x, x->steps->call->pairs);
    net_call(n, x);
}


/* The next exchange of the list. */
static void
net_pair(fn_net_exchange_t *x, const fn_pair_t *pair)
{
    x->pair = pair;
    x->tried = 0;
    x->result_at = x->result.len;
}


/* Builds and sends the pair's request, or that of the first after it which is needed; after the last the job has its result. */
static void
net_call(fn_net_t *n, fn_net_exchange_t *x)
{
    int               built;
    uint64_t          wait_ms;
    fn_service_may_e  may;

    for ( ;; net_pair(x, x->pair + 1)) {
        if (x->pair->service == NULL) {
            net_end(n, x, x->result.data, x->result.len);
            return;
        }

        x->call.now_ms = fn_now_ms();
        built = fn_net_prepare(n, x);

        if (built == FN_SKIP) {
            continue;
        }

        if (built != FN_BUILT) {
            net_give_up(n, x, "what is to be sent cannot be made: a setting is missing or wrong, or its content");
            return;
        }

        if (x->method == FN_METHOD_MAIL && x->task.suspect > x->unanswered) {
            fn_net_mark(x, x->task.suspect);       /* who died may have sent it just before */
        }

        if (x->unanswered >= FN_NET_MAIL_MAX) {
            net_end(n, x, NULL, 0);
            return;
        }

        may = fn_net_ask(n, x, &wait_ms);

        if (may != FN_SERVICE_GO) {
            net_refused(n, x, may, wait_ms);

        } else if (fn_net_try(n, x) != 0) {
            fn_net_said(n, x, NULL);
            net_give_up(n, x, "no memory for its call");
        }

        return;
    }
}


/* The service is not to be asked: who waits gets something else, at once or when the pause is too long; what nobody waits for waits. */
static void
net_refused(fn_net_t *n, fn_net_exchange_t *x, fn_service_may_e may, uint64_t wait_ms)
{
    wait_ms += fn_random((unsigned) (wait_ms < 10000 ? wait_ms / 4 + 10 : 2500));     /* not all at once */

    if (x->limit_ms != 0) {
        if (may == FN_SERVICE_OPEN || wait_ms > FN_NET_AFTER_MAX || net_sleep(n, x, wait_ms) != 0) {
            net_end(n, x, NULL, 0);
        }

    } else if (wait_ms > FN_NET_SLEEP_MAX || net_sleep(n, x, wait_ms) != 0) {
        net_delay(n, x, x->task.env.attempt, wait_ms);
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
    size_t        at;
    fn_outcome_e  outcome;

    x->call.now_ms = fn_now_ms();
    x->call.wait_ms = -1;
    x->call.again = 0;
    x->call.alert = NULL;
    at = x->result.len;

    /* What is larger than the provider wants is of no use, and would not be smaller the next time. */
    outcome = x->too_large ? FN_DEAD : fn_call_parse(x->pair, r, &x->call, &x->result);

    took = 0;
    (void) curl_easy_getinfo(x->easy, CURLINFO_TOTAL_TIME_T, &took);
    fn_count_call(x->pair->service, outcome, (uint64_t) took / 1000);

    fn_net_said(n, x, r);

    if (x->call.alert != NULL) {
        fn_net_alert(n, x, x->call.alert);
    }

    if (x->result.failed) {
        outcome = outcome == FN_DONE ? FN_DEAD : outcome;
        x->result_at = 0;

    } else if (outcome == FN_RETRY || outcome == FN_BUSY) {
        x->result.len = at;
    }

    if (fn_net_sent(x) && r->transport_error != 0 && r->status < 400) {
        fn_net_mark(x, x->unanswered + 1);
    }

    if (outcome == FN_DONE) {
        net_pair(x, x->pair + 1);
        net_call(n, x);
        return;
    }

    net_log(n, x, r, outcome);
    net_failed(n, x, outcome);
}


static void
net_failed(fn_net_t *n, fn_net_exchange_t *x, fn_outcome_e outcome)
{
    unsigned  attempt;
    uint64_t  delay;

    if (x->unanswered >= FN_NET_MAIL_MAX) {
        net_end(n, x, NULL, 0);
        return;
    }

    if (outcome == FN_DEAD && x->call.alert != NULL && x->task.job->deadline_ms == 0) {
        net_give_up(n, x, x->call.alert);
        return;
    }

    if (outcome == FN_DEAD) {
        /* What a refusal cost, or whom it concerns, is part of its result. */
        net_end(n, x, x->result.len > x->result_at ? x->result.data : NULL, x->result.len);
        return;
    }

    if (x->call.again && x->begun_again < FN_NET_AGAIN) {
        x->begun_again++;
        fn_buf_reset(&x->result);
        fn_buf_reset(&x->call.carried);
        net_pair(x, x->steps->call->pairs);
        net_call(n, x);
        return;
    }

    if (net_again(n, x)) {
        return;
    }

    /* Nobody waits: later, as long as the job's row allows. Being busy spends nothing. */
    attempt = x->task.env.attempt + (outcome == FN_BUSY && fn_now_ms() - x->task.env.enqueued_ms < FN_NET_BUSY_MAX ? 0 : 1);

    if (x->limit_ms == 0 && attempt <= x->task.job->retries) {
        delay = 1000 + fn_backoff_ms(x->task.job, x->task.env.attempt);

        if (x->call.wait_ms > 0 && delay < (uint64_t) x->call.wait_ms) {
            delay = (uint64_t) x->call.wait_ms + fn_random(1000);
        }

        net_delay(n, x, attempt, delay);
        return;
    }

    net_give_up(n, x, x->call.alert != NULL ? x->call.alert : "its service did not do it, as often as it was tried");
}


static void
net_log(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r, fn_outcome_e outcome)
{
    char  rid[80], trace[FN_TRACE_ID_LEN + 1], status[16], tried[16], ms[24];

    n->child->entry->failures++;

    fn_request_id(&x->task, rid, sizeof(rid));
    snprintf(status, sizeof(status), "%ld", r->status);
    snprintf(tried, sizeof(tried), "%u", x->tried);
    snprintf(ms, sizeof(ms), "%llu", (unsigned long long) (fn_mono_ms() - x->started_ms));

    fn_log(FN_LOG_WARN, outcome == FN_DEAD ? "provider refused" : "provider failed",
           "provider", x->steps->call->name, "service", x->pair->service, "job_id", x->id, "request_id", rid[0] ? rid : NULL,
           "trace_id", fn_trace_id(&x->task, trace), "status", status, "tried", tried, "ms", ms,
           "error", x->too_large ? "the answer is too large"
                                 : r->transport_error != 0 ? curl_easy_strerror((CURLcode) r->transport_error) : NULL, NULL);
}


/* 1 when there will be another try soon: then the exchange sleeps until its time. */
static int
net_again(fn_net_t *n, fn_net_exchange_t *x)
{
    uint64_t  delay;

    if (x->tried >= x->attempts) {
        return 0;
    }

    if (x->call.wait_ms > 0) {
        delay = (uint64_t) x->call.wait_ms;

        if (delay > (x->limit_ms != 0 ? FN_NET_AFTER_MAX : FN_NET_SLEEP_MAX)) {
            return 0;
        }

    } else {
        delay = x->tried > 5 ? FN_NET_BACKOFF_CAP : (uint64_t) FN_NET_BACKOFF_MS << (x->tried - 1);
        delay = delay > FN_NET_BACKOFF_CAP ? FN_NET_BACKOFF_CAP : delay;
        delay -= fn_random_below((unsigned) (delay / 4 + 1));
    }

    return net_sleep(n, x, delay) == 0;
}


/* 0, or -1 when there would be no time for a try after it. */
static int
net_sleep(fn_net_t *n, fn_net_exchange_t *x, uint64_t delay)
{
    uint64_t  now;

    now = fn_mono_ms();

    if (x->limit_ms != 0 && now + delay + FN_NET_LEAST_MS > x->limit_ms) {
        return -1;
    }

    x->due_ms = now + delay;
    net_state(n, x, FN_NET_SLEEPING);

    return 0;
}


/* The job waits in Redis. */
static void
net_delay(fn_net_t *n, fn_net_exchange_t *x, unsigned attempt, uint64_t delay)
{
    net_job(n, x);
    fn_finish_again(n->finish, &x->task, attempt, (unsigned) (delay < FN_NET_DELAY_MAX ? delay : FN_NET_DELAY_MAX));
    net_state(n, x, FN_NET_ENDED);
}


/* The call is over, with a result or without: on to the job's commit. */
static void
net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len)
{
    FN_FAULT("net.after_call");

    fn_buf_reset(&n->commit);
    fn_buf_reset(&n->body);

    net_job(n, x);

    if (x->steps->joined(x->ctx.p, x->ctx.n, len > 0 ? result : NULL, result != NULL ? len : 0, n->settings, &n->commit) == 0) {
        fn_step_body_format(&n->body, x->req.p, x->req.n, n->commit.data, n->commit.len);
        fn_finish_next(n->finish, &x->task, ":commit", n->body.data, n->body.len);
    } else {
        x->task.why = "its provider's answer cannot be passed on";
        fn_finish_dead(n->finish, &x->task);
    }

    net_state(n, x, FN_NET_ENDED);
}


/*
 * There is no result. Jobs that a client may have sent have a fallback in their commit; the others wait among the dead letters for
 * somebody who mends what was wrong, unless it is a mail that may have been sent.
 */
static void
net_give_up(fn_net_t *n, fn_net_exchange_t *x, const char *why)
{
    if (x->task.job->deadline_ms != 0 || x->unanswered > 0) {
        net_end(n, x, NULL, 0);
    } else {
        net_dead(n, x, why);
    }
}


static void
net_dead(fn_net_t *n, fn_net_exchange_t *x, const char *why)
{
    char      rid[80], trace[FN_TRACE_ID_LEN + 1];
    uint64_t  now;

    now = fn_now_ms();
    fn_request_id(&x->task, rid, sizeof(rid));
    fn_log(FN_LOG_ERROR, "job is dead", "job", x->task.job != NULL ? x->task.job->name : "unknown", "job_id", x->id,
           "request_id", rid[0] ? rid : NULL, "trace_id", fn_trace_id(&x->task, trace), "reason", why, NULL);
    fn_count_job(x->task.job, FN_RESULT_DEAD, now > x->task.env.enqueued_ms ? now - x->task.env.enqueued_ms : 1);

    net_job(n, x);
    x->task.why = why;
    fn_finish_dead(n->finish, &x->task);
    net_state(n, x, FN_NET_ENDED);
}


/* The next job in n->finish. */
static void
net_job(fn_net_t *n, fn_net_exchange_t *x)
{
    if (n->count[FN_NET_ENDED] == FN_BATCH_MAX) {
        (void) fn_finish(n->delivery, n->finish, NULL);
        net_sent(n);
    }

    fn_finish_job(n->finish, &x->task);
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
            net_delay(n, x, x->task.env.attempt, 0);
        }
    }

    if (n->count[FN_NET_ENDED] > 0) {
        (void) fn_finish(n->delivery, n->finish, NULL);
        net_sent(n);
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
        net_state(n, x, FN_NET_FREE);
    }
}
