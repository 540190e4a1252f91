/* What the two halves of the net process share: net.c (jobs) and net_curl.c (the wire). */
#ifndef FN_NET_H
#define FN_NET_H

#include <curl/curl.h>

#include "delivery.h"
#include "steps.h"

#define FN_NET_LEAST_MS     100     /* a try shorter than this is not worth making */

typedef enum {
    FN_NET_FREE,
    FN_NET_WAITING,     /* its slot is armed: a job may arrive */
    FN_NET_TAKEN,       /* has a job, not begun */
    FN_NET_HELD,        /* the same, until it can run alone */
    FN_NET_RUNNING,     /* in curl's hands */
    FN_NET_SLEEPING,    /* before the next try */
    FN_NET_STATES
} fn_net_state_e;

typedef struct {
    unsigned              slot;
    fn_net_state_e        state;
    fn_task_t             task;             /* spans into memory */
    void                 *memory;
    fn_span_t             req, ctx;
    const fn_steps_t     *steps;
    CURL                 *easy;             /* kept for the next exchange */
    struct curl_slist    *headers;
    fn_buf_t              sent;
    fn_buf_t              received;
    int                   too_large;
    long                  retry_after_ms;
    int                   should_retry;
    long                  timeout_ms;       /* one try */
    unsigned              attempts, tried;
    uint64_t              started_ms;       /* monotonic, as are the next two */
    uint64_t              limit_ms;         /* the exchange is over by then, 0 = no limit */
    uint64_t              due_ms;           /* SLEEPING: the next try */
} fn_net_exchange_t;

typedef struct {
    fn_child_t           *child;
    const fn_settings_t  *settings;
    fn_delivery_t        *delivery;
    fn_finish_t          *finish;
    CURLM                *multi;
    int                   epoll;
    uint64_t              curl_due_ms;      /* 0 = none */
    fn_net_exchange_t    *exchange;
    unsigned              slots;
    unsigned              count[FN_NET_STATES];
    unsigned             *free;             /* slot numbers, a stack */
    fn_net_exchange_t    *waiting;          /* the slot that is armed */
    int                   wait_fds[2];
    uint64_t              waiting_since_ms;
    int                   ready;            /* the wait may have delivered */
    uint64_t              rearm_ms;         /* not before, after a lost connection */
    fn_net_exchange_t    *alone;            /* held or running: nothing else is begun */
    int                   leaving;          /* no job is taken any more */
    fn_exchange_t         build;            /* work areas */
    fn_batch_t            batch, old;
    fn_buf_t              result, commit, body;
} fn_net_t;

/* 0, or -1: no memory or descriptors. */
int  fn_net_curl_open(fn_net_t *n);
void fn_net_curl_close(fn_net_t *n);

/*
 * Sleeps until something happens or timeout_ms is over, then lets curl read and write.
 * Sets n->ready when one of wait_fds is readable.
 */
void fn_net_events(fn_net_t *n, int timeout_ms);

/* Builds the request and sets it on the exchange's handle. 0, or -1: the provider is off or memory is short. */
int  fn_net_prepare(fn_net_t *n, fn_net_exchange_t *x);

/* Starts one try of the RUNNING exchange. 0, or -1 when there is no time left or no memory. */
int  fn_net_try(fn_net_t *n, fn_net_exchange_t *x);

/* The next exchange whose try is over, with what came of it; NULL = none. The response points into the exchange. */
fn_net_exchange_t *fn_net_completed(fn_net_t *n, fn_response_t *r);

/* Drops a try that is under way. */
void fn_net_stop(fn_net_t *n, fn_net_exchange_t *x);

/* Gives back what the exchange needs no more. */
void fn_net_trim(fn_net_exchange_t *x);

#endif
