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
    X(LIMIT_PASSED, "fitnudge_limit_requests_total", "result=\"passed\"", "Requests by what the rate limits said.") \
    X(LIMIT_BYPASSED, "fitnudge_limit_requests_total", "result=\"bypassed\"", "")                             \
    X(LIMIT_DRY_RUN, "fitnudge_limit_requests_total", "result=\"dry_run\"", "")                               \
    X(LIMIT_REJECTED, "fitnudge_limit_requests_total", "result=\"rejected\"", "")                             \
    X(LIMIT_REFUSED_ANONYMOUS, "fitnudge_limit_refused_total", "class=\"anonymous\"", "Refusals by the class that refused, dry runs included.") \
    X(LIMIT_REFUSED_AUTH, "fitnudge_limit_refused_total", "class=\"auth\"", "")                               \
    X(LIMIT_REFUSED_USER, "fitnudge_limit_refused_total", "class=\"user\"", "")                               \
    X(LIMIT_REFUSED_USER_HOUR, "fitnudge_limit_refused_total", "class=\"user_hour\"", "")                     \
    X(LIMIT_REFUSED_AI, "fitnudge_limit_refused_total", "class=\"ai\"", "")                                   \
    X(LIMIT_REFUSED_UPLOADS, "fitnudge_limit_refused_total", "class=\"uploads\"", "")                         \
    X(LIMIT_EVICTED, "fitnudge_limit_evicted_total", "", "Keys given up although they were not idle: fitnudge_limit_zone is too small.") \
    X(LIMIT_SYNCED, "fitnudge_limit_exchanged_total", "result=\"ok\"", "Keys whose limits were exchanged with Redis.") \
    X(LIMIT_SYNC_FAILED, "fitnudge_limit_exchanged_total", "result=\"failed\"", "")                    \
    X(PG_PRIMARY, "fitnudge_postgres_reads_total", "by=\"primary\"", "Reads by who was asked first.")         \
    X(PG_REPLICA, "fitnudge_postgres_reads_total", "by=\"replica\"", "")                                      \
    X(PG_SLOW, "fitnudge_postgres_reads_total", "by=\"slow\"", "")                                            \
    X(PG_REFUSED, "fitnudge_postgres_refused_total", "", "Reads refused, as no connection had room.")         \
    X(PG_TIMEOUTS, "fitnudge_postgres_timeouts_total", "", "Reads not answered in time.")                     \
    X(PG_AGAIN, "fitnudge_postgres_retries_total", "", "Reads sent once more, elsewhere.")                    \
    X(PG_LOST, "fitnudge_postgres_connections_lost_total", "", "Connections lost, or not had.")               \
    X(PG_OPENED, "fitnudge_postgres_breaker_opened_total", "", "Times a server was found not to answer.")     \
    X(CACHE_HIT, "fitnudge_cache_requests_total", "result=\"hit\"", "Reads of routes that are cached, by how they were answered.") \
    X(CACHE_MISS, "fitnudge_cache_requests_total", "result=\"miss\"", "")                                     \
    X(CACHE_COLLAPSED, "fitnudge_cache_requests_total", "result=\"collapsed\"", "")                           \
    X(CACHE_REVALIDATE, "fitnudge_cache_requests_total", "result=\"updating\"", "")                           \
    X(CACHE_STALE, "fitnudge_cache_requests_total", "result=\"stale\"", "")                                   \
    X(CACHE_BYPASS, "fitnudge_cache_requests_total", "result=\"bypass\"", "")                                 \
    X(CACHE_STORED, "fitnudge_cache_stored_total", "", "Answers put into the cache.")                         \
    X(CACHE_REFUSED, "fitnudge_cache_refused_total", "", "Answers that were too large for the cache, found no room, or came without the change subscription.") \
    X(CACHE_COMPRESSED, "fitnudge_cache_compressed_total", "", "Gzip variants made.")                         \
    X(CACHE_EVICTED, "fitnudge_cache_evicted_total", "", "Entries that gave way to others.")                                      \
    X(PREFLIGHTS_ALLOWED, "fitnudge_cors_preflights_total", "origin=\"allowed\"", "CORS preflights by origin.") \
    X(PREFLIGHTS_REFUSED, "fitnudge_cors_preflights_total", "origin=\"refused\"", "")                         \
    X(MAINTENANCE, "fitnudge_maintenance_refused_total", "", "Requests refused because of maintenance.")

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
