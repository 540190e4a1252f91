/*
 * Fault points, only in builds with FAULTS=1: FN_FAULT="executor.after_commit:1/50" kills the process (SIGKILL) at
 * that point, once in 50 on average. The tests then check that nothing was lost or done twice. With FN_FAULT_ONCE=<path> one
 * process alone dies, the one that makes the file.
 */
#ifndef FN_FAULT_H
#define FN_FAULT_H

#ifdef FN_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static inline int
fn_fault_ours(void)
{
    const char  *path;

    path = getenv("FN_FAULT_ONCE");

    return path == NULL || open(path, O_CREAT|O_EXCL|O_WRONLY|O_CLOEXEC, 0600) != -1;
}


static inline void
fn_fault_point(const char *name)
{
    char          *end;
    size_t         n;
    unsigned       r;
    const char    *spec;
    unsigned long  of;

    spec = getenv("FN_FAULT");
    n = strlen(name);

    if (spec == NULL || strncmp(spec, name, n) != 0 || strncmp(spec + n, ":1/", 3) != 0) {
        return;
    }

    of = strtoul(spec + n + 3, &end, 10);

    if (of > 0 && getrandom(&r, sizeof(r), 0) == sizeof(r) && r % of == 0 && fn_fault_ours()) {
        (void) kill(getpid(), SIGKILL);
    }
}

#define FN_FAULT(name)  fn_fault_point(name)

/* A time of the protocol that tests cannot wait for: FN_DEATH_MS=3000 in the environment. */
static inline uint64_t
fn_fault_limit(const char *name, uint64_t ms)
{
    const char  *text;

    text = getenv(name);

    return text ? strtoull(text, NULL, 10) : ms;
}

#define FN_LIMIT(name, ms)  fn_fault_limit(name, (uint64_t) (ms))

#else

#define FN_FAULT(name)  ((void) 0)
#define FN_LIMIT(name, ms)  ((uint64_t) (ms))

#endif

#endif
