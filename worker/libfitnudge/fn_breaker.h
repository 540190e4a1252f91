/*
 * A circuit breaker: stops asking a service that does not answer, and finds out with a few questions when it does again.
 *
 *   closed     everything is allowed; `failures` failures in a row, all within `window_ms`, open it
 *   open       nothing is allowed for `cooldown_ms`
 *   half-open  `probes` questions at a time are allowed: as many answers in a row close it, one failure opens it again
 *
 * Who was allowed reports exactly one of success, failure or cancelled.  A probe that nobody reports is given up after another
 * cooldown.  Times are milliseconds of any clock that does not run backwards, given by the caller; one thread only.
 */
#ifndef FN_BREAKER_H
#define FN_BREAKER_H

#include <stdint.h>

#define FN_BREAKER_FAILURES_MAX  32

typedef enum { FN_BREAKER_CLOSED = 0, FN_BREAKER_OPEN, FN_BREAKER_HALF_OPEN } fn_breaker_state_e;

typedef struct {
    unsigned            failures;       /* 1..FN_BREAKER_FAILURES_MAX */
    unsigned            probes;         /* at least 1 */
    uint64_t            window_ms;      /* 0: however long ago */
    uint64_t            cooldown_ms;
} fn_breaker_policy_t;

/* All zero: closed. */
typedef struct {
    fn_breaker_state_e  state;
    unsigned            failures;       /* in a row */
    unsigned            probing;        /* half-open: probes without a report */
    unsigned            answered;       /* half-open: probes that succeeded */
    uint64_t            since;          /* open: when it opened; half-open: of the last probe */
    uint64_t            at[FN_BREAKER_FAILURES_MAX];    /* when the last failures were, a ring */
} fn_breaker_t;

/* 1 when the question may be asked. An open breaker that has cooled down becomes half-open here. */
int fn_breaker_allow(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now);

/* 1 when this report closed the breaker. What comes while it is open was asked before and changes nothing. */
int fn_breaker_success(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now);

/* 1 when this report opened the breaker. */
int fn_breaker_failure(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now);

/* The question was not asked after all, or nobody waited for its answer: a probe's place is free again. */
void fn_breaker_cancelled(fn_breaker_t *b);

/* Milliseconds until something may be asked; 0: now. For Retry-After and timers. */
uint64_t fn_breaker_wait(const fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now);

#endif
