/*
 * What the module counts and measures: the tables are the only place where a metric is described; code, /metrics, its
 * documentation and their test follow from them.
 *
 * Counters and histograms are in shared memory, a block for each worker process number (two processes share one during a
 * reload), so that any process can tell the sum and a reload or a crash loses nothing.  Adding is one relaxed atomic addition.
 * Gauges belong to a process: it writes its own once a second, and those of a process that is gone do not count.
 * Before a process has found its block, and where there is none, all goes to memory of its own.
 */
#ifndef NGX_FITNUDGE_METRICS_H
#define NGX_FITNUDGE_METRICS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>

#include "fn_metrics.h"

#define NGX_FITNUDGE_VERSION  "1.0.0"

/*
 * X(id, name, labels, help), counters only.  Rows of one name stand together and differ in their labels ("" or
 * "key=\"value\",..."); names are complete, with unit and _total.
 */
#define NGX_FITNUDGE_COUNTERS(X)                                                                              \
    X(TOKENS_VALID, "fitnudge_tokens_total", "result=\"valid\"", "Access tokens by what became of them.")     \
    X(TOKENS_EXPIRED, "fitnudge_tokens_total", "result=\"expired\"", "")                                      \
    X(TOKENS_REVOKED, "fitnudge_tokens_total", "result=\"revoked\"", "")                                      \
    X(TOKENS_BARRED, "fitnudge_tokens_total", "result=\"barred\"", "")                                        \
    X(TOKENS_INVALID, "fitnudge_tokens_total", "result=\"invalid\"", "")                                      \
    X(TOKENS_UNDECIDED, "fitnudge_tokens_total", "result=\"undecided\"", "")                                  \
    X(TOKENS_MALFORMED, "fitnudge_tokens_refused_total", "reason=\"malformed\"", "Invalid tokens by what is wrong with them.") \
    X(TOKENS_ALGORITHM, "fitnudge_tokens_refused_total", "reason=\"algorithm\"", "")                          \
    X(TOKENS_SIGNATURE, "fitnudge_tokens_refused_total", "reason=\"signature\"", "")                          \
    X(TOKENS_NOT_YET, "fitnudge_tokens_refused_total", "reason=\"not_yet\"", "")                              \
    X(TOKENS_CLAIMS, "fitnudge_tokens_refused_total", "reason=\"claims\"", "")                                \
    X(TOKENS_KEY, "fitnudge_tokens_refused_total", "reason=\"key\"", "")                                      \
    X(TOKENS_TYPE, "fitnudge_tokens_refused_total", "reason=\"type\"", "")                                    \
    X(TOKENS_VERIFIED, "fitnudge_token_verifications_total", "", "Tokens whose signature was checked.")       \
    X(TOKENS_CACHED, "fitnudge_tokens_cached_total", "", "Valid tokens that were known from before.")         \
    X(KEY_FETCHES, "fitnudge_key_fetches_total", "", "Key sets asked for.")                                   \
    X(KEY_FETCHES_FAILED, "fitnudge_key_fetch_failures_total", "", "Those that did not come.") \
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
    X(PG_OPENED, "fitnudge_postgres_breaker_opened_total", "", "Times a server was found not to answer.")     \
    X(CACHE_HIT, "fitnudge_cache_requests_total", "result=\"hit\"", "Reads of routes that are cached, by how they were answered.") \
    X(CACHE_MISS, "fitnudge_cache_requests_total", "result=\"miss\"", "")                                     \
    X(CACHE_COLLAPSED, "fitnudge_cache_requests_total", "result=\"collapsed\"", "")                           \
    X(CACHE_REVALIDATE, "fitnudge_cache_requests_total", "result=\"updating\"", "")                           \
    X(CACHE_STALE, "fitnudge_cache_requests_total", "result=\"stale\"", "")                                   \
    X(CACHE_BYPASS, "fitnudge_cache_requests_total", "result=\"bypass\"", "")                                 \
    X(CACHE_SHARED_HIT, "fitnudge_cache_shared_total", "result=\"hit\"", "Misses for which Redis was asked, by what it said.") \
    X(CACHE_SHARED_MISS, "fitnudge_cache_shared_total", "result=\"miss\"", "")                                \
    X(CACHE_SHARED_FAILED, "fitnudge_cache_shared_total", "result=\"failed\"", "")                            \
    X(CACHE_STORED, "fitnudge_cache_stored_total", "", "Answers put into the cache.")                         \
    X(CACHE_REFUSED, "fitnudge_cache_refused_total", "", "Answers that were too large for the cache, found no room, or came without the change subscription.") \
    X(CACHE_COMPRESSED, "fitnudge_cache_compressed_total", "", "Compressed variants made.")                         \
    X(CACHE_EVICTED, "fitnudge_cache_evicted_total", "", "Entries that gave way to others.")                                      \
    X(PREFLIGHTS_ALLOWED, "fitnudge_cors_preflights_total", "origin=\"allowed\"", "CORS preflights by origin.") \
    X(PREFLIGHTS_REFUSED, "fitnudge_cors_preflights_total", "origin=\"refused\"", "")                         \
    X(MAINTENANCE, "fitnudge_maintenance_refused_total", "", "Requests refused because of maintenance.") \
                                                                                                              \
    X(POSTGRES_OK, "fitnudge_postgres_queries_total", "result=\"ok\"",                                        \
      "Reads asked of PostgreSQL by how they ended.")                                                         \
    X(POSTGRES_REJECTED, "fitnudge_postgres_queries_total", "result=\"rejected\"", "")                        \
    X(POSTGRES_LOST, "fitnudge_postgres_queries_total", "result=\"lost\"", "")                                \
    X(POSTGRES_TIMEOUT, "fitnudge_postgres_queries_total", "result=\"timeout\"", "")                          \
    X(POSTGRES_ABANDONED, "fitnudge_postgres_queries_total", "result=\"abandoned\"", "")                      \
    X(POSTGRES_UNAVAILABLE, "fitnudge_postgres_queries_total", "result=\"unavailable\"", "")                  \
    X(POSTGRES_RETRIES, "fitnudge_postgres_retries_total", "",                                                \
      "Reads sent once more, after their connection was lost.")                                               \
    X(POSTGRES_CONNECTS, "fitnudge_postgres_connects_total", "", "Connections to PostgreSQL that were made.") \
    X(POSTGRES_FAILURES, "fitnudge_postgres_connection_failures_total", "",                                   \
      "Connections to PostgreSQL that were lost or could not be made.")                                       \
                                                                                                              \
    X(REDIS_OK, "fitnudge_redis_commands_total", "result=\"ok\"", "Commands sent to Redis by how they ended.") \
    X(REDIS_LOST, "fitnudge_redis_commands_total", "result=\"lost\"", "")                                     \
    X(REDIS_TIMEOUT, "fitnudge_redis_commands_total", "result=\"timeout\"", "")                               \
    X(REDIS_ABANDONED, "fitnudge_redis_commands_total", "result=\"abandoned\"", "")                           \
    X(REDIS_UNAVAILABLE, "fitnudge_redis_commands_total", "result=\"unavailable\"", "")                       \
    X(REDIS_ERRORS, "fitnudge_redis_errors_total", "", "Commands that Redis answered with an error.")         \
    X(REDIS_CONNECTS_COMMANDS, "fitnudge_redis_connects_total", "role=\"commands\"",                          \
      "Connections to Redis that were made.")                                                                 \
    X(REDIS_CONNECTS_REPLIES, "fitnudge_redis_connects_total", "role=\"replies\"", "")                        \
    X(REDIS_CONNECTS_CHANGES, "fitnudge_redis_connects_total", "role=\"changes\"", "")                        \
    X(REDIS_FAILURES_COMMANDS, "fitnudge_redis_connection_failures_total", "role=\"commands\"",               \
      "Connections to Redis that were lost or could not be made.")                                            \
    X(REDIS_FAILURES_REPLIES, "fitnudge_redis_connection_failures_total", "role=\"replies\"", "")             \
    X(REDIS_FAILURES_CHANGES, "fitnudge_redis_connection_failures_total", "role=\"changes\"", "")             \
                                                                                                              \
    X(WRITES_ANSWERED, "fitnudge_writes_total", "result=\"answered\"",                                        \
      "Writes that waited for the pool's reply by how the wait ended.")                                       \
    X(WRITES_REFUSED, "fitnudge_writes_total", "result=\"refused\"", "")                                    \
    X(WRITES_DEADLINE, "fitnudge_writes_total", "result=\"deadline\"", "")                                    \
    X(WRITES_ABANDONED, "fitnudge_writes_total", "result=\"abandoned\"", "")                                  \
    X(REPLIES_UNCLAIMED, "fitnudge_replies_unclaimed_total", "",                                              \
      "Replies of the pool that nobody waited for any more.")                                                 \
                                                                                                              \
    X(CHANGES_MESSAGES, "fitnudge_changes_messages_total", "",                                                \
      "Messages on the change channel, counted by each process that heard them.")                             \
    X(CHANGES_SUBSCRIPTIONS, "fitnudge_changes_subscriptions_total", "",                                      \
      "Times a process subscribed to the change channel; each one makes everything cached stale.")            \
    X(REVOCATIONS, "fitnudge_revocations_total", "", "Ended sessions that were put into the table.")          \
    X(REVOCATIONS_EVICTED, "fitnudge_revocations_evicted_total", "",                                          \
      "Ended sessions that were forgotten too early, as the table was full.")

/* X(id, name, labels, help), durations in seconds. */
#define NGX_FITNUDGE_HISTOGRAMS(X)                                                                            \
    X(POSTGRES, "fitnudge_postgres_query_duration_seconds", "",                                               \
      "From asking PostgreSQL to its answer, waiting for a connection and a retry included.")                 \
    X(REDIS, "fitnudge_redis_command_duration_seconds", "", "From asking Redis to its answer.")               \
    X(WRITE, "fitnudge_write_reply_duration_seconds", "",                                                     \
      "From sending a write to the pool to its reply.")

/* X(id, name, labels, how, help): the processes' values are added (SUM), or the largest one counts (MAX_MS: set in ms, shown in s). */
#define NGX_FITNUDGE_GAUGES(X)                                                                                \
    X(POSTGRES_READY, "fitnudge_postgres_connections", "state=\"ready\"", SUM,                                \
      "Connections to PostgreSQL of all processes.")                                                          \
    X(POSTGRES_CONNECTING, "fitnudge_postgres_connections", "state=\"connecting\"", SUM, "")                  \
    X(POSTGRES_AWAY, "fitnudge_postgres_connections", "state=\"away\"", SUM, "")                              \
    X(POSTGRES_IN_FLIGHT, "fitnudge_postgres_queries_in_flight", "", SUM,                                     \
      "Reads that were sent to PostgreSQL and not answered yet.")                                             \
    X(POSTGRES_QUEUED, "fitnudge_postgres_queries_queued", "", SUM,                                           \
      "Reads that wait for the first connection of their process.")                                           \
    X(REDIS_COMMANDS, "fitnudge_redis_connections", "role=\"commands\"", SUM,                                 \
      "Connections to Redis that are ready; each process has one of each role.")                              \
    X(REDIS_REPLIES, "fitnudge_redis_connections", "role=\"replies\"", SUM, "")                               \
    X(REDIS_CHANGES, "fitnudge_redis_connections", "role=\"changes\"", SUM, "")                               \
    X(REDIS_IN_FLIGHT, "fitnudge_redis_commands_in_flight", "", SUM,                                          \
      "Commands that were sent to Redis and not answered yet.")                                               \
    X(WRITES_WAITING, "fitnudge_writes_waiting", "", SUM, "Writes that wait for the pool's reply.")           \
    X(CHANGES_SUBSCRIBED, "fitnudge_changes_subscribed", "", SUM,                                             \
      "Processes that hear the change channel; less than fitnudge_processes is an outage.")                   \
    X(CHANGES_SILENCE, "fitnudge_changes_silence_seconds", "", MAX_MS,                                        \
      "Time since a process last heard anything on the change channel; it asks every 5 s.")                   \
    X(REVOCATIONS_STALE, "fitnudge_revocations_stale", "", SUM,                                               \
      "Processes that have yet to load the ended sessions.")                                                  \
    X(REVOKED_USED, "fitnudge_revoked_sessions", "", SUM,                                                     \
      "Ended sessions in the table whose tokens may still live; it is counted in the course of some seconds.") \
    X(REVOKED_MAX, "fitnudge_revoked_sessions_max", "", SUM, "Places of that table.")                         \
    X(CONNECTIONS_FREE, "fitnudge_connections_free", "", SUM,                                                 \
      "Connections that may still be opened within worker_connections.")                                      \
    X(LOOP_LAG, "fitnudge_event_loop_lag_seconds", "", MAX_MS,                                                \
      "How much too late the process that is worst off did its work of the last second.")

#define NGX_FITNUDGE_COUNTER_ID(id, name, labels, help)      NGX_FITNUDGE_M_##id,
#define NGX_FITNUDGE_HISTOGRAM_ID(id, name, labels, help)    NGX_FITNUDGE_H_##id,
#define NGX_FITNUDGE_GAUGE_ID(id, name, labels, how, help)   NGX_FITNUDGE_G_##id,

typedef enum {
    NGX_FITNUDGE_COUNTERS(NGX_FITNUDGE_COUNTER_ID)
    NGX_FITNUDGE_M_N
} ngx_fitnudge_counter_e;

typedef enum {
    NGX_FITNUDGE_HISTOGRAMS(NGX_FITNUDGE_HISTOGRAM_ID)
    NGX_FITNUDGE_H_N
} ngx_fitnudge_histogram_e;

typedef enum {
    NGX_FITNUDGE_GAUGES(NGX_FITNUDGE_GAUGE_ID)
    NGX_FITNUDGE_G_N
} ngx_fitnudge_gauge_e;

typedef enum { NGX_FITNUDGE_SUM, NGX_FITNUDGE_MAX_MS } ngx_fitnudge_gauge_how_e;

/* A row of the tables. */
typedef struct {
    const char                *name;
    const char                *labels;
    const char                *help;        /* "": as the row before */
    ngx_fitnudge_gauge_how_e   how;         /* gauges */
} ngx_fitnudge_metric_t;

extern const ngx_fitnudge_metric_t  ngx_fitnudge_counter_rows[NGX_FITNUDGE_M_N];
extern const ngx_fitnudge_metric_t  ngx_fitnudge_histogram_rows[NGX_FITNUDGE_H_N];
extern const ngx_fitnudge_metric_t  ngx_fitnudge_gauge_rows[NGX_FITNUDGE_G_N];

/* Requests of one row of the route table, or of one of the two that follow it. */
typedef struct {
    uint64_t                   statuses[FN_STATUSES_N];
    fn_histogram_t             duration;
} ngx_fitnudge_route_metrics_t;

#define NGX_FITNUDGE_ROUTE_UNMATCHED  fn_routes_n           /* no such path, or not this method */
#define NGX_FITNUDGE_ROUTE_OTHER      (fn_routes_n + 1)     /* answered where fitnudge is off */
#define NGX_FITNUDGE_ROUTES_N         (fn_routes_n + 2)

/* Gauges of one process. */
typedef struct {
    uint64_t                   pid;         /* of the newest process of this number; 0: there was none */
    uint64_t                   started;     /* unix s */
    uint64_t                   updated;     /* ngx_current_msec; 0: it has ended */
    int64_t                    gauges[NGX_FITNUDGE_G_N];
} ngx_fitnudge_process_t;

/* Sums over all processes. */
typedef struct {
    uint64_t                   counters[NGX_FITNUDGE_M_N];
    fn_histogram_t             histograms[NGX_FITNUDGE_H_N];
    int64_t                    gauges[NGX_FITNUDGE_G_N];
    ngx_uint_t                 processes;   /* alive */
    time_t                     created;     /* when the first configuration was loaded */
    time_t                     loaded;      /* ... the last one */
    uint64_t                   loads;
} ngx_fitnudge_metrics_sum_t;


/* of this process; never NULL */
extern uint64_t  *ngx_fitnudge_counters;
extern fn_histogram_t  *ngx_fitnudge_histograms;
/* NULL: requests are not counted */
extern ngx_fitnudge_route_metrics_t  *ngx_fitnudge_routes;

static ngx_inline void
ngx_fitnudge_count(ngx_fitnudge_counter_e id, uint64_t n)
{
    (void) __atomic_fetch_add(&ngx_fitnudge_counters[id], n, __ATOMIC_RELAXED);
}

static ngx_inline void
ngx_fitnudge_observe(ngx_fitnudge_histogram_e id, uint64_t ns)
{
    fn_histogram_observe(&ngx_fitnudge_histograms[id], ns);
}

/* Monotonic. */
static ngx_inline uint64_t
ngx_fitnudge_now_ns(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


/* Configuration time: the zone, as large as the tables need. NULL: an error was logged. */
ngx_shm_zone_t *ngx_fitnudge_metrics_zone(ngx_conf_t *cf);

/* The master has taken over a configuration. */
void ngx_fitnudge_metrics_loaded(const ngx_shm_zone_t *zone);

/* A worker process starts, and ends. */
void ngx_fitnudge_metrics_attach(const ngx_shm_zone_t *zone);
void ngx_fitnudge_metrics_detach(void);

/* Sets a gauge of this process. */
void ngx_fitnudge_gauge(ngx_fitnudge_gauge_e id, int64_t value);

/* The gauges were set. 0: another process has taken this one's number, as it is leaving. */
ngx_uint_t ngx_fitnudge_gauges_set(void);

/* Reads what all processes have written. */
void ngx_fitnudge_metrics_sum(ngx_fitnudge_metrics_sum_t *sum);
void ngx_fitnudge_metrics_route(ngx_uint_t route, ngx_fitnudge_route_metrics_t *sum);

/* The living process of a number >= *number, which is set to its number; NULL: there is none. Gauges are to be read once. */
const ngx_fitnudge_process_t *ngx_fitnudge_metrics_process(ngx_uint_t *number);

#endif
