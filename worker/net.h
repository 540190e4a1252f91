/* What the parts of the net process share: net.c (the loop), net_job.c, net_curl.c (the wire), net_service.c and net_mail.c. */
#ifndef FN_NET_H
#define FN_NET_H

#include <curl/curl.h>

#include "delivery.h"
#include "providers/exchange.h"
#include "providers/process.h"
#include "steps.h"

#define FN_NET_LEAST_MS     100     /* a try shorter than this is not worth making */
#define FN_NET_MAIL_MAX     2       /* times a mail may have been sent without a reply */

typedef enum {
    FN_NET_FREE,
    FN_NET_WAITING,     /* its slot is armed: a job may arrive */
    FN_NET_HELD,        /* has a job that must run alone, and cannot yet */
    FN_NET_RUNNING,     /* in curl's hands */
    FN_NET_SLEEPING,    /* before the next try */
    FN_NET_ENDED,       /* its result is in n->finish, not sent yet */
    FN_NET_STATES
} fn_net_state_e;

typedef struct {
    unsigned              slot;
    fn_net_state_e        state;
    fn_buf_t              envelope;
    fn_task_t             task;             /* spans into envelope */
    fn_span_t             req, ctx;
    fn_buf_t              marked;           /* of an unanswered mail: the step's body, in which req and ctx are then */
    unsigned              unanswered;       /* MAIL: times it was sent, and nobody knows whether it was taken */
    const fn_steps_t     *steps;

    const fn_pair_t      *pair;             /* the one at work */
    fn_service_t         *service;          /* whose it is */
    fn_breaker_policy_t   policy;
    unsigned              ticket;           /* RUNNING: of fn_service_ask() */
    fn_call_t             call;
    char                  id[FN_UUID_LEN + 1];
    fn_buf_t              result;
    size_t                result_at;        /* where this pair's part begins */
    unsigned              begun_again;

    CURL                 *easy;             /* kept for the next exchange */
    struct curl_slist    *headers, *rcpt;
    fn_method_e           method;
    fn_buf_t              sent;
    size_t                sent_at;          /* MAIL: how much of it is read */
    fn_buf_t              received, lines;  /* body, header lines */
    size_t                response_max;
    int                   too_large;
    long                  retry_after_ms;
    int                   should_retry;
    long                  timeout_ms;       /* one try, as the provider wants it */
    int                   clipped;          /* this try has less than half of that, because the job's deadline is near */
    unsigned              attempts, tried;
    uint64_t              started_ms;       /* monotonic, as are the next two */
    uint64_t              limit_ms;         /* the exchange is over by then, 0 = nobody waits: it may also be delayed */
    uint64_t              due_ms;           /* SLEEPING: the next try */
} fn_net_exchange_t;

typedef struct {
    fn_child_t           *child;
    const fn_settings_t  *settings;
    fn_delivery_t        *delivery;
    fn_finish_t          *finish;
    fn_process_t         *process;          /* what all calls share */
    CURLM                *multi;
    int                   epoll;
    uint64_t              curl_due_ms;      /* 0 = none */
    fn_net_exchange_t    *exchange;
    unsigned              slots;
    unsigned              count[FN_NET_STATES];
    unsigned             *free;             /* slot numbers, a stack */
    unsigned              ask;              /* for how many slots the next take asks */
    fn_net_exchange_t    *waited;           /* FREE, but its wait may have delivered: the next take looks */
    unsigned              swept;            /* where in the stack the last look for forgotten jobs ended */
    uint64_t              swept_ms;
    uint64_t              cancelled_ms;     /* when jobs that are to end were last looked for */
    fn_net_exchange_t    *ended[FN_BATCH_MAX];
    fn_net_exchange_t    *waiting;          /* the slot that is armed */
    int                   wait_fds[2];
    uint64_t              waiting_since_ms;
    int                   ready;            /* the wait may have delivered */
    uint64_t              rearm_ms;         /* not before, after a lost connection */
    fn_net_exchange_t    *alone;            /* running: nothing else is begun */
    int                   leaving;          /* no job is taken any more */
    fn_exchange_t         build;            /* work areas */
    fn_batch_t            batch;
    fn_buf_t              commit, body;
} fn_net_t;

/* net.c */

/* From one state to another, and nothing but this changes it. */
void fn_net_state(fn_net_t *n, fn_net_exchange_t *x, fn_net_state_e state);

/* Sends what is in n->finish; the ended exchanges are free. */
void fn_net_hand_on(fn_net_t *n);

/* net_job.c */

/* Begins the job in x, which is RUNNING; on return it may have ENDED already, when it needed no call. */
void fn_net_begin(fn_net_t *n, fn_net_exchange_t *x);

/* Builds and sends the pair's request, or that of the first after it which is needed; after the last the job has its result. */
void fn_net_call(fn_net_t *n, fn_net_exchange_t *x);

/* Looks at the tries that are over. */
void fn_net_tries(fn_net_t *n);

/* The call is over, with a result or without (NULL): on to the job's commit. */
void fn_net_end(fn_net_t *n, fn_net_exchange_t *x, const char *result, size_t len);

/* The job waits in Redis. */
void fn_net_delay(fn_net_t *n, fn_net_exchange_t *x, unsigned attempt, uint64_t delay_ms);

/* net_curl.c */

/* 0, or -1: no memory or descriptors. */
int  fn_net_curl_open(fn_net_t *n);
void fn_net_curl_close(fn_net_t *n);

/*
 * Sleeps until something happens or timeout_ms is over, then lets curl read and write.
 * Sets n->ready when one of wait_fds is readable.
 */
void fn_net_events(fn_net_t *n, int timeout_ms);

/* Builds the pair's request and sets it on the exchange's handle. FN_BUILT, FN_SKIP, or FN_OFF, also when memory is short. */
int  fn_net_prepare(fn_net_t *n, fn_net_exchange_t *x);

/* Starts one try of the RUNNING exchange. 0, or -1 when there is no time left or no memory. */
int  fn_net_try(fn_net_t *n, fn_net_exchange_t *x);

/* The next exchange whose try is over, with what came of it; NULL = none. The response points into the exchange. */
fn_net_exchange_t *fn_net_completed(fn_net_t *n, fn_response_t *r);

/* Drops a try that is under way. */
void fn_net_stop(fn_net_t *n, fn_net_exchange_t *x);

/* Gives back what the exchange needs no more. */
void fn_net_trim(fn_net_exchange_t *x);

/* net_mail.c: no mail is sent more often than FN_NET_MAIL_MAX times without an answer. */

/* All of it was sent: without the server's last reply it may have been taken, or not. */
int  fn_net_sent(const fn_net_exchange_t *x);

/* How often the mail of this context was sent without a reply. */
unsigned fn_net_marked(fn_span_t ctx);

/* Writes that into the context, for the tries that come, in whatever process, and for the commit. */
void fn_net_mark(fn_net_exchange_t *x, unsigned unanswered);

/* net_service.c: what the host knows of services, and the operators who have to act. */

/* May the exchange's pair be tried? As fn_service_ask(). */
fn_service_may_e fn_net_ask(fn_net_t *n, fn_net_exchange_t *x, uint64_t *wait_ms);

/* What the try says of its service. r NULL: it was not made, or nobody waited for its end. */
void fn_net_said(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r);

/* Tells an operator that this service needs one: in the log, and by a job "alert.send". */
void fn_net_alert(fn_net_t *n, fn_net_exchange_t *x, const char *text);

/* Four times a second, by one net process of a host: hears of breakers that others opened or closed, and says how ours are. */
void fn_net_services(fn_net_t *n);

#endif
