/*
 * What the module counts: one table for the code, /metrics and its documentation. Adding is one relaxed atomic
 * addition to memory of this process's own.
 */
#ifndef NGX_FITNUDGE_METRICS_H
#define NGX_FITNUDGE_METRICS_H

#include <ngx_config.h>
#include <ngx_core.h>

/*
 * X(id, name, labels, help), counters only.  Rows of one name stand together and differ in their labels ("" or
 * "key=\"value\",..."); names are complete, with unit and _total.
 */
#define NGX_FITNUDGE_COUNTERS(X)                                                                              \
    X(TOKENS_VALID, "fitnudge_tokens_total", "result=\"valid\"", "Access tokens by what became of them.")     \
    X(TOKENS_EXPIRED, "fitnudge_tokens_total", "result=\"expired\"", "")                                      \
    X(TOKENS_REVOKED, "fitnudge_tokens_total", "result=\"revoked\"", "")                                      \
    X(TOKENS_INVALID, "fitnudge_tokens_total", "result=\"invalid\"", "")                                      \
    X(TOKENS_UNDECIDED, "fitnudge_tokens_total", "result=\"undecided\"", "")                                  \
    X(TOKENS_CACHED, "fitnudge_tokens_cached_total", "", "Valid tokens that were known from before.")         \
    X(KEY_FETCHES, "fitnudge_key_fetches_total", "", "Key sets asked for.")                                   \
    X(KEY_FETCHES_FAILED, "fitnudge_key_fetch_failures_total", "", "Those that did not come.")

#define NGX_FITNUDGE_COUNTER_ID(id, name, labels, help)  NGX_FITNUDGE_M_##id,

typedef enum {
    NGX_FITNUDGE_COUNTERS(NGX_FITNUDGE_COUNTER_ID)
    NGX_FITNUDGE_M_N
} ngx_fitnudge_counter_e;

/* of this process; never NULL */
extern uint64_t  *ngx_fitnudge_counters;

static ngx_inline void
ngx_fitnudge_count(ngx_fitnudge_counter_e id, uint64_t n)
{
    (void) __atomic_fetch_add(&ngx_fitnudge_counters[id], n, __ATOMIC_RELAXED);
}

#endif
