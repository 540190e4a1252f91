/* What every child does now and then: gives a sign of life, opens the log again, and looks whether it is time to be replaced. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "pool.h"

#define FN_LOOK_MS  1000        /* the size of the process is looked at so often at most */
#define FN_MB       (1024 * 1024)


void
fn_child_tick(const fn_child_t *child)
{
    child->entry->beat_ms = fn_mono_ms();

    if (fn_reopen) {
        fn_reopen = 0;
        (void) fn_log_open(child->settings->log, FN_LOG_INFO);
    }
}


/* Bytes of memory that are ours alone, roughly: resident less shared. 0 = unknown. */
static uint64_t
fn_child_size(void)
{
    int       fd;
    char      text[128], *p;
    ssize_t   n;
    uint64_t  resident, shared;

    fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    n = read(fd, text, sizeof(text) - 1);
    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';
    (void) strtoull(text, &p, 10);
    resident = strtoull(p, &p, 10);
    shared = strtoull(p, NULL, 10);

    return resident > shared ? (resident - shared) * (uint64_t) sysconf(_SC_PAGESIZE) : 0;
}


int
fn_child_recycle(const fn_child_t *child)
{
    uint64_t                now, size, jobs, grown;
    static int              done;
    static uint64_t         look_ms, first;
    const fn_settings_t    *s;

    s = child->settings;

    if (done) {
        return 1;
    }

    /* not all of a lane at once: up to a tenth less, by number */
    jobs = (uint64_t) s->recycle_jobs;
    jobs -= jobs / 10 * (child->number % 4) / 4;

    if (jobs > 0 && child->entry->jobs >= jobs) {
        done = 1;

    } else if (s->recycle_memory > 0 && child->entry->jobs > 0 && (now = fn_mono_ms()) >= look_ms) {
        look_ms = now + FN_LOOK_MS;
        size = fn_child_size();
        first = first == 0 ? size : first;      /* after its first jobs: libraries and caches are there */
        grown = size > first ? size - first : 0;
        done = grown > (uint64_t) s->recycle_memory * FN_MB;
    }

    if (done) {
        fn_count((fn_counter_e) (FN_C_RECYCLED_MANAGER + child->role), 1);
    }

    return done;
}
