/*
 * What the processes of the pool share: roles, the scoreboard in shared memory, and what a
 * child knows about itself.
 *
 *   master    forks, signals, scoreboard; no Redis, no PostgreSQL
 *    ├─ manager   heartbeat, reap, promote, lead, sweep
 *    ├─ sql × n   executor.c
 *    ├─ auth × n  executor.c
 *    └─ net × n   net.c
 */
#ifndef FN_POOL_H
#define FN_POOL_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_settings.h"
#include "libfitnudge/fn_uuid.h"
#include "service.h"

#define FN_INSTANCE_MAX     96      /* bytes of host:pid:start_ms with NUL */
#define FN_CHILDREN_MAX     256     /* entries of the scoreboard: two generations, and dead ones not yet reaped */
#define FN_LANES            3       /* roles but for the manager */
#define FN_CHILD_SLOTS      1024    /* slot numbers a child owns: index * 1024 .. + 1023 */

typedef enum { FN_ROLE_MANAGER, FN_ROLE_SQL, FN_ROLE_AUTH, FN_ROLE_NET, FN_ROLES } fn_role_e;

/*
 * The life of an entry: FREE -> LIVE (master forks) -> DIED (master, on SIGCHLD) -> FREE (manager, when
 * the slots are reaped). An entry, and with it its slot numbers, is never reused before that.
 */
typedef enum { FN_ENTRY_FREE, FN_ENTRY_LIVE, FN_ENTRY_DIED } fn_entry_state_e;

typedef struct {
    volatile int       state;               /* fn_entry_state_e; written last */
    int                role;                /* fn_role_e */
    pid_t              pid;
    unsigned           number;              /* among its role */
    unsigned           generation;          /* of the configuration */
    unsigned           nslots;
    int                crashed;             /* DIED: by a signal or a bad exit, so its jobs are suspects */
    int                draining;            /* master has told it to stop */
    uint64_t           started_ms;          /* fn_mono_ms() */
    volatile uint64_t  beat_ms;             /* fn_mono_ms() of the last sign of life: fn_child_tick() */
    volatile uint64_t  busy_since_ms;       /* fn_mono_ms() when the current work began, 0 = idle; the master kills a stuck child */
    volatile uint64_t  taken_ms;            /* fn_mono_ms() when Redis last answered a take */
    volatile unsigned  in_hand;             /* jobs */
    volatile uint64_t  jobs;                /* finished */
    volatile uint64_t  failures;
    char               job[FN_UUID_LEN + 1];    /* the one job being run alone; "" = a batch, or many */
    char               job_name[64];            /* its name */
    char               how[32];             /* DIED: "signal 11 (SEGV)", "exit status 1"; written by the master */
} fn_entry_t;

/* What waits in a lane. Priorities are in the order h, n, l. */
typedef struct {
    volatile uint64_t  waiting[3];
    volatile uint64_t  oldest_ms[3];        /* age of the job that is next */
    volatile uint64_t  delayed, dead;
} fn_lane_t;

typedef struct {
    char               inst[FN_INSTANCE_MAX];
    volatile int       stopping;            /* the whole instance is going away, not only a generation of children */
    uint64_t           started_s;           /* Unix time */
    volatile uint64_t  beat_ms;             /* fn_mono_ms() when Redis last took the instance's heartbeat */
    volatile uint64_t  looked_ms;           /* fn_mono_ms() when the manager last looked at the queues */
    fn_lane_t          lane[FN_LANES];      /* as it found them */
    fn_counts_t        counts;
    volatile uint32_t  epoch;               /* fencing number of the leader's lease while this instance leads, 0 = follower */
    fn_entry_t         child[FN_CHILDREN_MAX];
    fn_service_t       service[FN_SERVICES];
    volatile uint64_t  services_ms;         /* when their states were last exchanged with other hosts, fn_mono_ms() */
} fn_scoreboard_t;

typedef struct {
    fn_role_e             role;
    unsigned              index;            /* in the scoreboard */
    unsigned              number;           /* among its role, for people: "sql 2" */
    const char           *lane;             /* "sql", "auth", "net" */
    const fn_settings_t  *settings;
    fn_scoreboard_t      *board;
    fn_entry_t           *entry;            /* its own */
    int                   wake_fd;          /* manager: readable when an entry died; else -1 */
    int                   listen_fd;        /* manager: metrics_listen; else -1 */
} fn_child_t;

/*
 * Set by signals in a child: 0 go on; 1 stop taking, finish what is in hand, return; 2 time is up: hand back what is
 * in hand (fn_giveback) and return.
 */
extern volatile sig_atomic_t  fn_quit;
extern volatile sig_atomic_t  fn_reopen;    /* SIGUSR1: the log is to be reopened; call fn_child_tick() now and then */

/* A sign of life; reopens the log when asked. To be called at least every few seconds, or busy_since_ms renewed. */
void fn_child_tick(const fn_child_t *child);

/* 1 when the child has done or grown so much that a new one should take its place; it then stays 1. */
int fn_child_recycle(const fn_child_t *child);

/* The master's life: returns the program's exit status. conf is the path of nginx.conf, s what it said (the master's now). */
int fn_master_run(const char *conf, fn_settings_t *s, char **argv);

/* The bodies of the children. They return the process's exit status: 0 = asked to stop, or recycled. */
int fn_manager_run(fn_child_t *child);
int fn_executor_run(fn_child_t *child);
int fn_net_run(fn_child_t *child);

static inline unsigned
fn_child_slot(const fn_child_t *child, unsigned k)
{
    return child->index * FN_CHILD_SLOTS + k;
}

#endif
