/* Counters come from the tables of fn_counts.h; gauges are worked out from the entries here. */
#include "metrics.h"

#include <string.h>

#include "fault.h"
#include "libfitnudge/fn_time.h"
#include "scoreboard.h"

#define FN_WELL_MS  FN_LIMIT("FN_WELL_MS", 30000)      /* without a heartbeat or a take: unhealthy */

typedef enum { FN_IS_IDLE, FN_IS_BUSY, FN_IS_DRAINING, FN_IS_DEAD, FN_IS_N } fn_is_e;

static const char *const  fn_prio_names[] = { "high", "normal", "low" };
static const char *const  fn_is_names[FN_IS_N] = { "idle", "busy", "draining", "dead" };


static uint64_t
load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}


static void
family(fn_buf_t *b, const char *name, const char *type, const char *help)
{
    fn_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}


static void
ms(fn_buf_t *b, uint64_t value)
{
    fn_buf_addf(b, "%llu.%03u\n", (unsigned long long) value / 1000, (unsigned) (value % 1000));
}


static void
counters(fn_buf_t *b, const fn_counts_t *c)
{
    unsigned                 i;
    const fn_counter_row_t  *row;

    for (i = 0; i < FN_C_N; i++) {
        row = &fn_counter_rows[i];

        if (i == 0 || strcmp(row->name, fn_counter_rows[i - 1].name) != 0) {
            family(b, row->name, "counter", row->help);
        }

        fn_buf_addf(b, row->labels[0] ? "%s{%s} %llu\n" : "%s%s %llu\n", row->name, row->labels,
                    (unsigned long long) load(&c->counter[i]));
    }
}


static void
histogram(fn_buf_t *b, const char *name, const char *key, const char *value, const fn_histogram_t *from)
{
    unsigned        i;
    uint64_t        n;
    fn_histogram_t  h;

    memset(&h, 0, sizeof(h));
    fn_histogram_add(&h, from);

    if (fn_histogram_count(&h) == 0) {
        return;
    }

    for (i = 0, n = 0; i < FN_BUCKETS_N; i++) {
        n += h.buckets[i];
        fn_buf_addf(b, "%s_bucket{%s=\"%s\",le=\"%s\"} %llu\n", name, key, value, fn_bounds_s[i], (unsigned long long) n);
    }

    fn_buf_addf(b, "%s_sum{%s=\"%s\"} %llu.%09llu\n", name, key, value, (unsigned long long) h.sum_ns / 1000000000,
                (unsigned long long) h.sum_ns % 1000000000);
    fn_buf_addf(b, "%s_count{%s=\"%s\"} %llu\n", name, key, value, (unsigned long long) n);
}


/* NULL: no such row. */
static const char *
job_name(unsigned row)
{
    static unsigned  rows;

    while (rows < FN_COUNT_JOBS - 1 && fn_jobs[rows].name != NULL) {
        rows++;
    }

    return row < rows ? fn_jobs[row].name : row == FN_COUNT_JOBS - 1 ? "unknown" : NULL;
}


static void
jobs(fn_buf_t *b, const fn_counts_t *c)
{
    unsigned  i, k;
    uint64_t  n;

    family(b, "fitnudge_pool_jobs_total", "counter", "Deliveries of jobs by how they ended.");

    for (i = 0; i < FN_COUNT_JOBS; i++) {
        for (k = 0; k < FN_RESULTS_N; k++) {
            n = load(&c->job[i][k]);

            if (n > 0 && job_name(i) != NULL) {
                fn_buf_addf(b, "fitnudge_pool_jobs_total{job=\"%s\",result=\"%s\"} %llu\n", job_name(i), fn_result_names[k],
                            (unsigned long long) n);
            }
        }
    }

    family(b, "fitnudge_pool_job_duration_seconds", "histogram",
           "From the request to the end of the job: waiting, retries and calls included.");

    for (i = 0; i < FN_COUNT_JOBS; i++) {
        if (job_name(i) != NULL) {
            histogram(b, "fitnudge_pool_job_duration_seconds", "job", job_name(i), &c->job_time[i]);
        }
    }
}


static void
calls(fn_buf_t *b, fn_scoreboard_t *board, const fn_counts_t *c)
{
    unsigned             i, k;
    uint64_t             n;
    fn_service_view_t    v;
    fn_breaker_policy_t  none;

    memset(&none, 0, sizeof(none));

    family(b, "fitnudge_pool_calls_total", "counter", "Tries of calls to outside services by how they ended.");

    for (i = 0; i < FN_SERVICES_N; i++) {
        for (k = 0; k < FN_CALLS_N; k++) {
            n = load(&c->call[i][k]);

            if (n > 0) {
                fn_buf_addf(b, "fitnudge_pool_calls_total{service=\"%s\",result=\"%s\"} %llu\n", fn_count_services[i],
                            fn_call_names[k], (unsigned long long) n);
            }
        }
    }

    family(b, "fitnudge_pool_call_duration_seconds", "histogram", "Time of one try of a call.");

    for (i = 0; i < FN_SERVICES_N; i++) {
        histogram(b, "fitnudge_pool_call_duration_seconds", "service", fn_count_services[i], &c->call_time[i]);
    }

    family(b, "fitnudge_pool_breaker_state", "gauge", "Breaker of a service: 0 closed, 1 open, 2 half-open.");

    for (i = 0; i < FN_SERVICE_OTHER; i++) {
        fn_service_view(&board->service[i], &none, fn_mono_ms(), &v);
        fn_buf_addf(b, "fitnudge_pool_breaker_state{service=\"%s\"} %u\n", fn_count_services[i], (unsigned) v.state);
    }
}


static fn_is_e
state_of(const fn_entry_t *e)
{
    if (e->state == FN_ENTRY_DIED) {
        return FN_IS_DEAD;
    }

    if (e->draining) {
        return FN_IS_DRAINING;
    }

    return e->in_hand > 0 || (e->role != FN_ROLE_NET && e->busy_since_ms != 0) ? FN_IS_BUSY : FN_IS_IDLE;
}


static void
children(fn_buf_t *b, const fn_scoreboard_t *board)
{
    unsigned           i, k, n[FN_ROLES][FN_IS_N];
    uint64_t           in_hand[FN_ROLES];
    const fn_entry_t  *e;

    memset(n, 0, sizeof(n));
    memset(in_hand, 0, sizeof(in_hand));

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &board->child[i];

        if (e->state != FN_ENTRY_FREE && e->role >= 0 && e->role < FN_ROLES) {
            n[e->role][state_of(e)]++;
            in_hand[e->role] += e->in_hand;
        }
    }

    family(b, "fitnudge_pool_children", "gauge",
           "Processes by what they do; dead ones wait until their jobs have been taken back.");

    for (i = 0; i < FN_ROLES; i++) {
        for (k = 0; k < FN_IS_N; k++) {
            fn_buf_addf(b, "fitnudge_pool_children{lane=\"%s\",state=\"%s\"} %u\n", fn_role_names[i], fn_is_names[k], n[i][k]);
        }
    }

    family(b, "fitnudge_pool_jobs_in_flight", "gauge", "Jobs in the hands of this instance's processes.");

    for (i = 1; i < FN_ROLES; i++) {
        fn_buf_addf(b, "fitnudge_pool_jobs_in_flight{lane=\"%s\"} %llu\n", fn_role_names[i], (unsigned long long) in_hand[i]);
    }
}


static void
lanes(fn_buf_t *b, const fn_scoreboard_t *board)
{
    unsigned  i, k;

    family(b, "fitnudge_pool_jobs_waiting", "gauge", "Jobs in the queues, of all instances.");

    for (i = 0; i < FN_LANES; i++) {
        for (k = 0; k < 3; k++) {
            fn_buf_addf(b, "fitnudge_pool_jobs_waiting{lane=\"%s\",priority=\"%s\"} %llu\n", fn_role_names[i + 1],
                        fn_prio_names[k], (unsigned long long) board->lane[i].waiting[k]);
        }
    }

    family(b, "fitnudge_pool_oldest_job_age_seconds", "gauge", "Age of the job that is next in a queue, 0 without one.");

    for (i = 0; i < FN_LANES; i++) {
        for (k = 0; k < 3; k++) {
            fn_buf_addf(b, "fitnudge_pool_oldest_job_age_seconds{lane=\"%s\",priority=\"%s\"} ", fn_role_names[i + 1],
                        fn_prio_names[k]);
            ms(b, board->lane[i].oldest_ms[k]);
        }
    }

    family(b, "fitnudge_pool_jobs_delayed", "gauge", "Jobs that wait for their time, retries among them.");

    for (i = 0; i < FN_LANES; i++) {
        fn_buf_addf(b, "fitnudge_pool_jobs_delayed{lane=\"%s\"} %llu\n", fn_role_names[i + 1],
                    (unsigned long long) board->lane[i].delayed);
    }

    family(b, "fitnudge_pool_dead_letters", "gauge", "Dead letters that are kept.");

    for (i = 0; i < FN_LANES; i++) {
        fn_buf_addf(b, "fitnudge_pool_dead_letters{lane=\"%s\"} %llu\n", fn_role_names[i + 1],
                    (unsigned long long) board->lane[i].dead);
    }
}


static uint64_t
age(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}


void
fn_metrics_render(fn_buf_t *b, fn_scoreboard_t *board)
{
    uint64_t  now;

    now = fn_mono_ms();

    family(b, "fitnudge_pool_start_time_seconds", "gauge", "When the instance was started and counting began, Unix time.");
    fn_buf_addf(b, "fitnudge_pool_start_time_seconds %llu\n", (unsigned long long) board->started_s);

    family(b, "fitnudge_pool_leader", "gauge", "1 while this instance does the work that one instance does for all.");
    fn_buf_addf(b, "fitnudge_pool_leader %d\n", board->epoch != 0);

    family(b, "fitnudge_pool_heartbeat_age_seconds", "gauge", "Since Redis last took this instance's heartbeat.");
    fn_buf_adds(b, "fitnudge_pool_heartbeat_age_seconds ");
    ms(b, age(board->beat_ms, now));

    family(b, "fitnudge_pool_queues_age_seconds", "gauge", "Since the queues were looked at: how old what is said of them is.");
    fn_buf_adds(b, "fitnudge_pool_queues_age_seconds ");
    ms(b, age(board->looked_ms, now));

    lanes(b, board);
    children(b, board);
    jobs(b, &board->counts);
    calls(b, board, &board->counts);
    counters(b, &board->counts);
}


/* ms since somebody of the lane last had an answer to a take. */
static uint64_t
taken(const fn_scoreboard_t *board, fn_role_e role, uint64_t now, unsigned *processes)
{
    unsigned           i;
    uint64_t           last;
    const fn_entry_t  *e;

    for (i = 0, last = 0, *processes = 0; i < FN_CHILDREN_MAX; i++) {
        e = &board->child[i];

        if (e->state == FN_ENTRY_LIVE && e->role == (int) role) {
            (*processes)++;
            last = e->taken_ms > last ? e->taken_ms : last;
        }
    }

    return last ? age(last, now) : now;
}


int
fn_health_render(fn_buf_t *b, const fn_scoreboard_t *board)
{
    int        well, ok;
    uint64_t   now, since;
    unsigned   n;
    fn_buf_t   lane = FN_BUF_INIT;
    fn_role_e  role;

    now = fn_mono_ms();
    well = age(board->beat_ms, now) < FN_WELL_MS;

    for (role = FN_ROLE_SQL; role < FN_ROLES; role++) {
        since = taken(board, role, now, &n);
        ok = n > 0 && since < FN_WELL_MS;
        well = well && ok;
        fn_buf_addf(&lane, "%s\"%s\":{\"status\":\"%s\",\"processes\":%u,\"taken_ms_ago\":%llu}", role > FN_ROLE_SQL ? "," : "",
                    fn_role_names[role], ok ? "healthy" : "unhealthy", n, (unsigned long long) since);
    }

    fn_buf_addf(b, "{\"status\":\"%s\",\"instance\":\"%s\",\"leader\":%s,\"heartbeat_ms_ago\":%llu,\"lanes\":{%s}}\n",
                well ? "healthy" : "unhealthy", board->inst, board->epoch ? "true" : "false",
                (unsigned long long) age(board->beat_ms, now), lane.len && !lane.failed ? lane.data : "");
    fn_buf_free(&lane);

    return well;
}
