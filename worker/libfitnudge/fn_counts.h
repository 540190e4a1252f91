/*
 * What the pool counts.  The tables are the only place where a counter is described; /metrics, its documentation and their
 * test follow from them.  All of it is one block of shared memory (the scoreboard's): every addition is one relaxed atomic, no
 * reader or writer ever waits, and a process that dies loses nothing.  Before fn_counts_use(), and in other programs, nothing is counted.
 */
#ifndef FN_COUNTS_H
#define FN_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "fn_jobs.h"
#include "fn_metrics.h"

#define FN_COUNT_JOBS       128     /* rows of the job table at most; the last place is for jobs that are not in it */

#define FN_COUNT_ROLE_ROWS(X, id, name, help)                                                                 \
    X(id##_MANAGER, name, "lane=\"manager\"", help)                                                           \
    X(id##_SQL, name, "lane=\"sql\"", "")                                                                     \
    X(id##_AUTH, name, "lane=\"auth\"", "")                                                                   \
    X(id##_NET, name, "lane=\"net\"", "")

/* X(id, name, labels, help). Rows of one name stand together; help is written in the first. Those by lane are in the order of fn_role_e. */
#define FN_COUNTERS(X)                                                                                        \
    FN_COUNT_ROLE_ROWS(X, STARTED, "fitnudge_pool_children_started_total", "Processes that were started.")    \
    FN_COUNT_ROLE_ROWS(X, CRASHED, "fitnudge_pool_children_crashed_total",                                    \
                       "Processes that ended by a signal or with an error, those killed by the watchdog included.") \
    FN_COUNT_ROLE_ROWS(X, STUCK, "fitnudge_pool_children_stuck_total",                                        \
                       "Processes that gave no sign of life and were killed by the watchdog.")                \
    FN_COUNT_ROLE_ROWS(X, RECYCLED, "fitnudge_pool_children_recycled_total",                                  \
                       "Processes that ended because of recycle_jobs or recycle_memory.")                     \
    X(CANCELLED, "fitnudge_pool_calls_cancelled_total", "",                                                   \
      "Times the watchdog asked a process to give up what it was doing.")                                     \
    X(RELOADED, "fitnudge_pool_reloads_total", "result=\"ok\"", "Readings of the configuration after SIGHUP.") \
    X(RELOAD_FAILED, "fitnudge_pool_reloads_total", "result=\"failed\"", "")                                  \
    X(SCALED_UP, "fitnudge_pool_scaled_total", "direction=\"up\"",                                            \
      "Processes that a lane got because jobs waited, or gave up because they were idle.")                    \
    X(SCALED_DOWN, "fitnudge_pool_scaled_total", "direction=\"down\"", "")                                    \
    X(REAPED, "fitnudge_pool_jobs_reaped_total", "", "Jobs taken back out of the hands of processes that died.") \
    X(PROMOTED, "fitnudge_pool_jobs_promoted_total", "", "Delayed jobs that became due.")                     \
    X(REDIS_CONNECTS, "fitnudge_pool_redis_connects_total", "", "Connections to Redis that were made.")       \
    X(REDIS_FAILURES, "fitnudge_pool_redis_connection_failures_total", "",                                    \
      "Connections to Redis that were lost or could not be made.")                                            \
    X(POSTGRES_CONNECTS, "fitnudge_pool_postgres_connects_total", "", "Connections to PostgreSQL that were made.") \
    X(POSTGRES_FAILURES, "fitnudge_pool_postgres_connection_failures_total", "",                              \
      "Connections to PostgreSQL that were lost or could not be made.")                                       \
    X(AI_COST, "fitnudge_pool_ai_cost_microdollars_total", "", "What AI calls have cost by openai_price_*, in millionths of a dollar.") \
    X(AI_PROMPT, "fitnudge_pool_ai_tokens_total", "kind=\"prompt\"", "Tokens of AI calls.")                   \
    X(AI_COMPLETION, "fitnudge_pool_ai_tokens_total", "kind=\"completion\"", "")

/* X(id, label): how a delivery of a job ended. */
#define FN_RESULTS(X)                                                                                         \
    X(DONE, "done")             /* settled, or a final answer */                                              \
    X(NEXT, "step")             /* one step done, on to the next lane */                                      \
    X(RETRIED, "retried")       /* delayed, to be tried again */                                              \
    X(DEAD, "dead")             /* to the dead letters */                                                     \
    X(DROPPED, "dropped")       /* past its deadline, and nobody wants it any more */                         \
    X(LOST, "lost")             /* its result did not count: the job is in other hands */                     \
    X(CRASHED, "crashed")       /* it was at work when its process died */

/* X(id, name): services that are called. */
#define FN_SERVICE_TABLE(X)                                                                                   \
    X(OPENAI, "openai") X(ELEVENLABS, "elevenlabs") X(R2, "r2") X(GOOGLE_OAUTH, "google_oauth") X(FCM, "fcm") \
    X(SMTP, "smtp") X(POSTHOG, "posthog") X(N8N, "n8n") X(SLACK, "slack") X(SENTRY, "sentry") X(OTLP, "otlp")
#define FN_SERVICE_ROWS(X)  FN_SERVICE_TABLE(X) X(OTHER, "other")

#define FN_COUNT_ID(id, name, labels, help)  FN_C_##id,
#define FN_RESULT_ID(id, label)              FN_RESULT_##id,
#define FN_SERVICE_ID(id, label)             FN_SERVICE_##id,

typedef enum { FN_COUNTERS(FN_COUNT_ID) FN_C_N } fn_counter_e;
typedef enum { FN_RESULTS(FN_RESULT_ID) FN_RESULTS_N } fn_result_e;
typedef enum { FN_SERVICE_ROWS(FN_SERVICE_ID) FN_SERVICES_N } fn_service_e;

enum { FN_CALL_DONE, FN_CALL_RETRY, FN_CALL_DEAD, FN_CALL_BUSY, FN_CALLS_N };       /* in the order of fn_outcome_e (provider.h) */

typedef struct {
    uint64_t        counter[FN_C_N];
    uint64_t        job[FN_COUNT_JOBS][FN_RESULTS_N];
    fn_histogram_t  job_time[FN_COUNT_JOBS];            /* from the request to the end of the job */
    uint64_t        call[FN_SERVICES_N][FN_CALLS_N];
    fn_histogram_t  call_time[FN_SERVICES_N];           /* one try */
} fn_counts_t;

typedef struct {
    const char  *name, *labels, *help;
} fn_counter_row_t;

extern const fn_counter_row_t  fn_counter_rows[FN_C_N];
extern const char *const       fn_result_names[FN_RESULTS_N];
extern const char *const       fn_count_services[FN_SERVICES_N];
extern const char *const       fn_call_names[FN_CALLS_N];

/* From now on this process and its children count here; NULL: not at all. */
void fn_counts_use(fn_counts_t *counts);

void fn_count(fn_counter_e what, uint64_t n);

/* job NULL: not in the table. waited_ms: since the request, for results that end the job; 0 = not measured. */
void fn_count_job(const fn_job_t *job, fn_result_e result, uint64_t waited_ms);

/* One try of a call: the service's name as in the provider's pair, how it ended (fn_outcome_e), how long it took. */
void fn_count_call(const char *service, unsigned outcome, uint64_t took_ms);

#endif
