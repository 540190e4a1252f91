/* The tables of what the pool counts, and the additions. */
#include "fn_counts.h"

#include <string.h>

#define COUNTER_ROW(id, name, labels, help)  { name, labels, help },
#define LABEL(id, label)                     label,

const fn_counter_row_t  fn_counter_rows[FN_C_N] = { FN_COUNTERS(COUNTER_ROW) };

const char *const  fn_result_names[FN_RESULTS_N] = { FN_RESULTS(LABEL) };

const char *const  fn_count_services[FN_SERVICES_N] = { FN_SERVICE_ROWS(LABEL) };

const char *const  fn_call_names[FN_CALLS_N] = { "done", "failed", "refused", "busy" };

static fn_counts_t  *fn_counts;


void
fn_counts_use(fn_counts_t *counts)
{
    fn_counts = counts;
}


static void
add(uint64_t *place, uint64_t n)
{
    (void) __atomic_fetch_add(place, n, __ATOMIC_RELAXED);
}


void
fn_count(fn_counter_e what, uint64_t n)
{
    if (fn_counts != NULL && what < FN_C_N) {
        add(&fn_counts->counter[what], n);
    }
}


void
fn_count_job(const fn_job_t *job, fn_result_e result, uint64_t waited_ms)
{
    size_t  row;

    if (fn_counts == NULL) {
        return;
    }

    row = job != NULL && job - fn_jobs < FN_COUNT_JOBS - 1 ? (size_t) (job - fn_jobs) : FN_COUNT_JOBS - 1;

    add(&fn_counts->job[row][result], 1);

    if (waited_ms > 0) {
        fn_histogram_observe(&fn_counts->job_time[row], waited_ms * 1000000);
    }
}


static fn_service_e
service_of(const char *name)
{
    unsigned  i;

    for (i = 0; i < FN_SERVICE_OTHER && strcmp(fn_count_services[i], name) != 0; i++) { /* void */ }

    return (fn_service_e) i;
}


void
fn_count_call(const char *service, unsigned outcome, uint64_t took_ms)
{
    fn_service_e  s;

    if (fn_counts == NULL || outcome >= FN_CALLS_N) {
        return;
    }

    s = service_of(service);
    add(&fn_counts->call[s][outcome], 1);
    fn_histogram_observe(&fn_counts->call_time[s], took_ms * 1000000);
}
