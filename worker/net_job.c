/*
 * What becomes of a job's ":call" step: its exchanges one after the other, each tried as often as there is time and sense. Whatever the
 * provider does, a job somebody waits for ends before the edge stops waiting: then without a result, and its commit falls back. What a
 * provider sends and understands is in providers/; what is true of all of them, time and tries, is here.
 */
#include <stdio.h>
#include <string.h>

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
#define FN_NET_AGAIN        3               /* times a list may begin again */

static void net_pair(fn_net_exchange_t *x, const fn_pair_t *pair);
static void net_refused(fn_net_t *n, fn_net_exchange_t *x, fn_service_may_e may, uint64_t wait_ms);
static void net_tried(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r);
static void net_failed(fn_net_t *n, fn_net_exchange_t *x, fn_outcome_e outcome);
static void net_log(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r, fn_outcome_e outcome);
static int net_again(fn_net_t *n, fn_net_exchange_t *x);
static int net_sleep(fn_net_t *n, fn_net_exchange_t *x, uint64_t delay);
static void net_give_up(fn_net_t *n, fn_net_exchange_t *x, const char *why);
static void net_dead(fn_net_t *n, fn_net_exchange_t *x, const char *why);
static void net_job(fn_net_t *n, fn_net_exchange_t *x);


/* x is RUNNING; on return it may have ENDED already, when the job needed no call. */
void
fn_net_begin(fn_net_t *n, fn_net_exchange_t *x)
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
        fn_net_end(n, x, NULL, 0);
        return;
    }

    if (x->task.env.deadline_ms != 0) {
        now = fn_now_ms() + FN_NET_MARGIN_MS + FN_NET_LEAST_MS;

        if (x->task.env.deadline_ms <= now) {
            fn_net_end(n, x, NULL, 0);
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
    fn_net_call(n, x);
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
void
fn_net_call(fn_net_t *n, fn_net_exchange_t *x)
{
    int               built;
    uint64_t          wait_ms;
    fn_service_may_e  may;

    for ( ;; net_pair(x, x->pair + 1)) {
        if (x->pair->service == NULL) {
            fn_net_end(n, x, x->result.data, x->result.len);
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
            fn_net_end(n, x, NULL, 0);
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
            fn_net_end(n, x, NULL, 0);
        }

    } else if (wait_ms > FN_NET_SLEEP_MAX || net_sleep(n, x, wait_ms) != 0) {
        fn_net_delay(n, x, x->task.env.attempt, wait_ms);
    }
}


void
fn_net_tries(fn_net_t *n)
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
        fn_net_call(n, x);
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
        fn_net_end(n, x, NULL, 0);
        return;
    }

    if (outcome == FN_DEAD && x->call.alert != NULL && x->task.job->deadline_ms == 0) {
        net_give_up(n, x, x->call.alert);
        return;
    }

    if (outcome == FN_DEAD) {
        /* What a refusal cost, or whom it concerns, is part of its result. */
        fn_net_end(n, x, x->result.len > x->result_at ? x->result.data : NULL, x->result.len);
        return;
    }

    if (x->call.again && x->begun_again < FN_NET_AGAIN) {
        x->begun_again++;
        fn_buf_reset(&x->result);
        fn_buf_reset(&x->call.carried);
        net_pair(x, x->steps->call->pairs);
        fn_net_call(n, x);
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

        fn_net_delay(n, x, attempt, delay);
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
    fn_net_state(n, x, FN_NET_SLEEPING);

    return 0;
}


/* The job waits in Redis. */
void
fn_net_delay(fn_net_t *n, fn_net_exchange_t *x, unsigned attempt, uint64_t delay)
{
    net_job(n, x);
    fn_finish_again(n->finish, &x->task, attempt, (unsigned) (delay < FN_NET_DELAY_MAX ? delay : FN_NET_DELAY_MAX));
    fn_net_state(n, x, FN_NET_ENDED);
}


/* The call is over, with a result or without: on to the job's commit. */
void
fn_net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len)
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

    fn_net_state(n, x, FN_NET_ENDED);
}


/*
 * There is no result. Jobs that a client may have sent have a fallback in their commit; the others wait among the dead letters for
 * somebody who mends what was wrong, unless it is a mail that may have been sent.
 */
static void
net_give_up(fn_net_t *n, fn_net_exchange_t *x, const char *why)
{
    if (x->task.job->deadline_ms != 0 || x->unanswered > 0) {
        fn_net_end(n, x, NULL, 0);
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
    fn_net_state(n, x, FN_NET_ENDED);
}


/* The next job in n->finish. */
static void
net_job(fn_net_t *n, fn_net_exchange_t *x)
{
    if (n->count[FN_NET_ENDED] == FN_BATCH_MAX) {
        fn_net_hand_on(n);
    }

    fn_finish_job(n->finish, &x->task);
}
