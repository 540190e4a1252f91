/*
 * The master: it forks children and sees to it that the right ones are there.  It talks to nobody but the kernel, so that it
 * cannot hang: signals set flags, one loop compares what is with what should be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "db.h"
#include "fault.h"
#include "libfitnudge/fn_conf.h"
#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_scale.h"
#include "libfitnudge/fn_time.h"
#include "redis.h"
#include "scoreboard.h"

#define FN_TICK_MS      500
#define FN_ASLEEP_MS    5000        /* between two turns of the loop: it was the master who was stopped, or the machine */
#define FN_CANCEL_MS    2000        /* from the request to give up to SIGKILL */
#define FN_QUICK_MS     10000       /* who dies younger than this, and without having done a job, is replaced later and later */
#define FN_RESPAWN_MS   50          /* the first time */
#define FN_BACKOFF_MS   5000
#define FN_HURRY_MS     5000        /* before the end of the time to shut down, the second SIGTERM */
#define FN_KILL_MS      2000        /* and SIGKILL */

volatile sig_atomic_t  fn_quit;
volatile sig_atomic_t  fn_reopen;

static volatile sig_atomic_t  fn_terminate, fn_reload, fn_child_died;

typedef struct {
    char             *conf;
    fn_settings_t    *settings;
    fn_scoreboard_t  *board;
    char            **argv;
    size_t            title_size;
    sigset_t          blocked, open;
    int               wake[2];              /* master writes, the manager reads: an entry died */
    int               listen;               /* metrics_listen: the master's, so that a new manager need not wait for the old; or -1 */
    fn_scale_t        scale[FN_ROLES];
    uint64_t          turn_ms;              /* of the last turn of the loop */
    uint64_t          patience_ms;          /* nobody is stuck before */
    uint64_t          cancel_ms[FN_CHILDREN_MAX];   /* when an entry's child was asked to give up, 0 = not */
    unsigned          generation;
    unsigned          quick[FN_ROLES][FN_CHILDREN_MAX];     /* early deaths in a row, by number */
    uint64_t          fork_ms[FN_ROLES][FN_CHILDREN_MAX];   /* not before */
} fn_master_t;


static void
fn_master_signal(int sig)
{
    switch (sig) {

    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        fn_terminate++;
        break;

    case SIGHUP:
        fn_reload = 1;
        break;

    case SIGUSR1:
        fn_reopen = 1;
        break;

    case SIGCHLD:
        fn_child_died = 1;
        break;
    }
}


static void
fn_child_signal(int sig)
{
    if (sig == SIGUSR1) {
        fn_reopen = 1;

    } else if (sig == SIGUSR2) {
        fn_db_cancel();

    } else if (fn_quit < 2) {
        fn_quit++;
    }
}


static void
fn_signals(void (*handler)(int), const int *signals)
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = handler;
    (void) sigemptyset(&sa.sa_mask);

    for ( ; *signals; signals++) {
        (void) sigaction(*signals, &sa, NULL);
    }
}


static void
fn_title(fn_master_t *m, const char *title)
{
    (void) prctl(PR_SET_NAME, title, 0, 0, 0);

    memset(m->argv[0], 0, m->title_size);
    (void) snprintf(m->argv[0], m->title_size, "%s", title);
}


/* In the child, for the rest of its life. */
static int
fn_master_child(fn_master_t *m, fn_entry_t *e, pid_t parent)
{
    int          rc;
    char         title[32];
    fn_child_t   child;

    static const int  ours[] = { SIGTERM, SIGUSR1, SIGUSR2, 0 };
    static const int  ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGPIPE, 0 };
    static const int  plain[] = { SIGCHLD, 0 };

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);

    if (getppid() != parent) {
        return 1;                           /* it was gone before we asked */
    }

    fn_quit = 0;
    fn_signals(fn_child_signal, ours);
    fn_signals(SIG_IGN, ignored);
    fn_signals(SIG_DFL, plain);
    (void) sigprocmask(SIG_SETMASK, &m->open, NULL);
    (void) close(m->wake[1]);

    memset(&child, 0, sizeof(child));
    child.role = (fn_role_e) e->role;
    child.index = (unsigned) (e - m->board->child);
    child.number = e->number;
    child.lane = fn_role_names[e->role];
    child.settings = m->settings;
    child.board = m->board;
    child.entry = e;
    child.wake_fd = -1;
    child.listen_fd = -1;

    if (child.role == FN_ROLE_MANAGER) {
        child.wake_fd = m->wake[0];
        child.listen_fd = m->listen;
        (void) snprintf(title, sizeof(title), "fitnudge: manager");

    } else {
        (void) close(m->wake[0]);

        if (m->listen != -1) {
            (void) close(m->listen);
        }

        (void) snprintf(title, sizeof(title), "fitnudge: %s %u", child.lane, child.number);
    }

    fn_title(m, title);

    switch (child.role) {

    case FN_ROLE_MANAGER:
        rc = fn_manager_run(&child);
        break;

    case FN_ROLE_NET:
        rc = fn_net_run(&child);
        break;

    default:
        rc = fn_executor_run(&child);
    }

    return rc;
}


static void
fn_master_fork(fn_master_t *m, fn_role_e role, unsigned number)
{
    int          rc;
    pid_t        pid, parent;
    unsigned     nslots;
    fn_entry_t  *e;

    nslots = role == FN_ROLE_MANAGER ? 0 : role == FN_ROLE_NET ? (unsigned) m->settings->net_slots : 1;
    e = fn_scoreboard_claim(m->board, role, number, m->generation, nslots);

    if (e == NULL) {
        return;
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        e->pid = getpid();
        fn_counts_use(&m->board->counts);
        rc = fn_master_child(m, e, parent);
        exit(rc);
    }

    if (pid < 0) {
        fn_log(FN_LOG_ERROR, "fork failed, trying again", "role", fn_role_names[role], NULL);
        e->state = FN_ENTRY_FREE;
        m->fork_ms[role][number] = fn_mono_ms() + 1000;
        return;
    }

    e->pid = pid;
    m->cancel_ms[e - m->board->child] = 0;
    fn_count((fn_counter_e) (FN_C_STARTED_MANAGER + role), 1);
}


static unsigned
fn_master_wanted(const fn_master_t *m, fn_role_e role)
{
    return role == FN_ROLE_MANAGER ? 1 : m->scale[role].target;
}


/* The bounds of the settings; what a lane had grown to is kept as far as they allow. */
static void
fn_master_bounds(fn_master_t *m)
{
    const fn_settings_t  *s = m->settings;

    fn_scale_bounds(&m->scale[FN_ROLE_SQL], s->sql_processes, s->sql_processes_max);
    fn_scale_bounds(&m->scale[FN_ROLE_AUTH], s->auth_processes, s->auth_processes_max);
    fn_scale_bounds(&m->scale[FN_ROLE_NET], s->net_processes, s->net_processes_max);
}


/* Forks what is missing of the current generation. The number of those that have to wait a moment. */
static unsigned
fn_master_fill(fn_master_t *m)
{
    unsigned   i, missing;
    uint64_t   now;
    fn_role_e  role;

    now = fn_mono_ms();
    missing = 0;

    for (role = FN_ROLE_MANAGER; role < FN_ROLES; role++) {
        for (i = 0; i < fn_master_wanted(m, role) && i < FN_CHILDREN_MAX; i++) {
            if (fn_scoreboard_current(m->board, role, (int) i, m->generation) != NULL) {
                continue;
            }

            if (now >= m->fork_ms[role][i]) {
                fn_master_fork(m, role, i);

            } else {
                missing++;
            }
        }
    }

    return missing;
}


/* A process that could take another job: an executor at rest, a net process with a quarter of its slots free. */
static int
fn_master_spare(const fn_entry_t *e)
{
    return e->role == FN_ROLE_NET ? e->in_hand < e->nslots - e->nslots / 4 : e->busy_since_ms == 0 && e->in_hand == 0;
}


/* Lanes grow while jobs wait and nobody is free, and shrink when too many have been free for long. */
static void
fn_master_scale(fn_master_t *m)
{
    int              change;
    unsigned         i, spare[FN_ROLES] = { 0 };
    uint64_t         now, oldest;
    fn_role_e        role;
    fn_entry_t      *e;
    fn_scale_rule_t  rule;

    now = fn_mono_ms();

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &m->board->child[i];

        if (e->state == FN_ENTRY_LIVE && !e->draining && e->generation == m->generation && e->role != FN_ROLE_MANAGER) {
            spare[e->role] += fn_master_spare(e) != 0;
        }
    }

    rule.min_spare = (unsigned) m->settings->min_spare;
    rule.max_spare = (unsigned) m->settings->max_spare;
    rule.age_ms = (uint64_t) m->settings->scale_age_ms;
    rule.idle_ms = (uint64_t) m->settings->scale_idle_ms;

    for (role = FN_ROLE_SQL; role < FN_ROLES; role++) {
        oldest = fn_scoreboard_oldest(m->board, role, now);
        change = fn_scale(&m->scale[role], &rule, spare[role], oldest, now);

        if (change > 0) {
            fn_count(FN_C_SCALED_UP, (unsigned) change);
            fn_log(FN_LOG_INFO, "jobs wait: the lane gets more processes", "lane", fn_role_names[role], NULL);

        } else if (change < 0) {
            fn_count(FN_C_SCALED_DOWN, 1);
            e = fn_scoreboard_current(m->board, role, (int) m->scale[role].target, m->generation);

            if (e != NULL) {
                e->draining = 1;
                (void) kill(e->pid, SIGTERM);
            }
        }
    }
}


/* How a child ended, and with it its entry. */
static void
fn_master_died(fn_master_t *m, fn_entry_t *e, int status)
{
    char       pid[16];
    unsigned   wait, *quick;
    uint64_t   age;
    fn_role_e  role;

    role = (fn_role_e) e->role;
    age = fn_mono_ms() - e->started_ms;
    e->crashed = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    if (e->crashed) {
        (void) snprintf(pid, sizeof(pid), "%ld", (long) e->pid);

        if (WIFSIGNALED(status)) {
            (void) snprintf(e->how, sizeof(e->how), "signal %d (%s)", WTERMSIG(status),
                            sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");

        } else {
            (void) snprintf(e->how, sizeof(e->how), "exit status %d", WEXITSTATUS(status));
        }

        /* what a dying process left there need not end */
        e->job[sizeof(e->job) - 1] = '\0';
        e->job_name[sizeof(e->job_name) - 1] = '\0';

        fn_count((fn_counter_e) (FN_C_CRASHED_MANAGER + role), 1);
        fn_log(FN_LOG_ERROR, "a child died", "role", fn_role_names[role], "pid", pid, "how", e->how,
               "job", e->job[0] ? e->job_name : NULL, "job_id", e->job[0] ? e->job : NULL, NULL);
    }

    quick = &m->quick[role][e->number];

    if (!e->crashed || age >= FN_QUICK_MS || e->jobs > 0) {
        *quick = 0;

    } else {
        wait = (unsigned) FN_RESPAWN_MS << (*quick < 7 ? *quick : 7);
        wait = wait < FN_BACKOFF_MS ? wait : FN_BACKOFF_MS;
        (*quick)++;
        m->fork_ms[role][e->number] = fn_mono_ms() + wait / 2 + fn_random(wait / 2);
    }

    e->busy_since_ms = 0;
    e->in_hand = 0;
    e->state = e->role == FN_ROLE_MANAGER ? FN_ENTRY_FREE : FN_ENTRY_DIED;

    (void) !write(m->wake[1], "x", 1);
}


static void
fn_master_reap(fn_master_t *m)
{
    int          status;
    pid_t        pid;
    fn_entry_t  *e;

    fn_child_died = 0;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        e = fn_scoreboard_find(m->board, pid);

        if (e != NULL) {
            fn_master_died(m, e, status);
        }
    }
}


/* Tells children to stop: those for which `which` says so. Returns how many there are. */
static unsigned
fn_master_tell(fn_master_t *m, int sig, int managers, unsigned before)
{
    unsigned     i, n;
    fn_entry_t  *e;

    for (i = 0, n = 0; i < FN_CHILDREN_MAX; i++) {
        e = &m->board->child[i];

        if (e->state != FN_ENTRY_LIVE || e->generation >= before || (e->role == FN_ROLE_MANAGER) != managers) {
            continue;
        }

        n++;

        if (sig != 0) {
            e->draining = 1;
            (void) kill(e->pid, sig);
        }
    }

    return n;
}


/* Everybody may have been stopped with us, or the machine: then they get time to say that they live. */
static void
fn_master_turn(fn_master_t *m)
{
    uint64_t  now;

    now = fn_mono_ms();

    if (m->turn_ms != 0 && now > m->turn_ms + FN_ASLEEP_MS) {
        m->patience_ms = now + (uint64_t) m->settings->watchdog_ms;
    }

    m->turn_ms = now;
}


static void
fn_master_kill(fn_entry_t *e)
{
    char  pid[16];

    (void) snprintf(pid, sizeof(pid), "%ld", (long) e->pid);
    e->job[sizeof(e->job) - 1] = '\0';
    e->job_name[sizeof(e->job_name) - 1] = '\0';

    fn_count((fn_counter_e) (FN_C_STUCK_MANAGER + e->role), 1);
    fn_log(FN_LOG_ERROR, "a child is stuck and is killed", "role", fn_role_names[e->role], "pid", pid,
           "job", e->job[0] ? e->job_name : NULL, "job_id", e->job[0] ? e->job : NULL, NULL);
    (void) kill(e->pid, SIGKILL);
}


/*
 * The watchdog.  Who gives no sign of life and has been at one piece of work for so long is asked to give it up (the statement
 * is cancelled), and killed when that does not help.  The job is counted as having taken the process down.
 */
static void
fn_master_stuck(fn_master_t *m)
{
    unsigned     i;
    uint64_t     life, limit, now;
    fn_entry_t  *e;

    now = fn_mono_ms();
    limit = FN_LIMIT("FN_WATCHDOG_MS", m->settings->watchdog_ms);

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &m->board->child[i];
        life = e->busy_since_ms > e->beat_ms ? e->busy_since_ms : e->beat_ms;

        if (e->state != FN_ENTRY_LIVE || e->pid == 0 || now <= life + limit || now < m->patience_ms) {
            m->cancel_ms[i] = 0;

        } else if (m->cancel_ms[i] == 0) {
            m->cancel_ms[i] = now;
            fn_count(FN_C_CANCELLED, 1);
            (void) kill(e->pid, SIGUSR2);

        } else if (now >= m->cancel_ms[i] + FN_CANCEL_MS) {
            m->cancel_ms[i] = now;          /* should even this fail, it is said every two seconds */
            fn_master_kill(e);
        }
    }
}


/* -1 with errno, or a listening socket. address: a numeric ip:port. */
static int
fn_master_listen(const char *address)
{
    int               fd, on, rc, err;
    char              host[64];
    size_t            n;
    const char       *port;
    struct addrinfo   hints, *list;

    port = strrchr(address, ':');
    n = port ? (size_t) (port - address) : 0;

    if (n >= 2 && address[0] == '[') {
        address++;
        n -= 2;
    }

    if (port == NULL || n >= sizeof(host)) {
        errno = EINVAL;
        return -1;
    }

    memcpy(host, address, n);
    host[n] = '\0';

    memset(&hints, 0, sizeof(hints));
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;

    if (getaddrinfo(host, port + 1, &hints, &list) != 0) {
        errno = EINVAL;
        return -1;
    }

    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    on = 1;
    rc = -1;

    if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0
        && bind(fd, list->ai_addr, list->ai_addrlen) == 0)
    {
        rc = listen(fd, 64);
    }

    err = errno;
    freeaddrinfo(list);

    if (rc != 0 && fd != -1) {
        (void) close(fd);
        errno = err;
    }

    return rc == 0 ? fd : -1;
}


/* Where metrics are asked for may change with a reload. What cannot be had is logged and done without. */
static void
fn_master_relisten(fn_master_t *m, const char *before, const char *now)
{
    if ((before == NULL) == (now == NULL) && (now == NULL || strcmp(before, now) == 0) && (now == NULL || m->listen != -1)) {
        return;
    }

    /* the old manager has it open, too; an address that is no longer listened to may be had by another socket */
    if (m->listen != -1) {
        (void) shutdown(m->listen, SHUT_RDWR);
        (void) close(m->listen);
    }

    m->listen = now ? fn_master_listen(now) : -1;

    if (now != NULL && m->listen == -1) {
        fn_log(FN_LOG_ERROR, "metrics_listen cannot be listened to", "address", now, "error", strerrordesc_np(errno), NULL);
    }
}


static void
fn_master_reload(fn_master_t *m)
{
    char            err[1024];
    fn_settings_t  *s;

    fn_reload = 0;
    s = malloc(sizeof(*s));

    if (s == NULL || fn_conf_load(m->conf, s, err, sizeof(err)) != 0) {
        fn_count(FN_C_RELOAD_FAILED, 1);
        fn_log(FN_LOG_ERROR, "the configuration is kept as it was", "error", s ? err : "no memory", NULL);
        free(s);
        return;
    }

    if (fn_log_open(s->log, FN_LOG_INFO) != 0) {
        fn_log(FN_LOG_ERROR, "the log cannot be opened, the old one is kept", "log", s->log, NULL);
    }

    fn_master_relisten(m, m->settings->metrics_listen, s->metrics_listen);
    fn_settings_free(m->settings);
    *m->settings = *s;
    free(s);

    fn_count(FN_C_RELOADED, 1);
    fn_master_bounds(m);

    m->generation++;
    memset(m->fork_ms, 0, sizeof(m->fork_ms));

    fn_log(FN_LOG_INFO, "configuration read, children are replaced", NULL);

    (void) fn_master_fill(m);
    (void) fn_master_tell(m, SIGTERM, 0, m->generation);
    (void) fn_master_tell(m, SIGTERM, 1, m->generation);
}


static void
fn_master_sleep(fn_master_t *m, unsigned ms)
{
    struct timespec  t;

    t.tv_sec = ms / 1000;
    t.tv_nsec = (long) (ms % 1000) * 1000000;

    if (!fn_child_died) {
        (void) ppoll(NULL, 0, &t, &m->open);
    }
}


static void
fn_master_reopen(fn_master_t *m)
{
    unsigned  i;

    fn_reopen = 0;
    (void) fn_log_open(m->settings->log, FN_LOG_INFO);

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        if (m->board->child[i].state == FN_ENTRY_LIVE) {
            (void) kill(m->board->child[i].pid, SIGUSR1);
        }
    }
}


/*
 * The children first, then the manager, which empties the slots of those that had to be killed.
 * A child gets SIGTERM at once, again when time runs short, and SIGKILL before it is up.
 */
static void
fn_master_shutdown(fn_master_t *m)
{
    int       told;
    uint64_t  now, start, time;

    fn_log(FN_LOG_INFO, "shutting down", NULL);

    m->board->stopping = 1;
    start = fn_mono_ms();
    time = (uint64_t) m->settings->shutdown_ms;
    told = 0;

    (void) fn_master_tell(m, SIGTERM, 0, m->generation + 1);

    while (fn_master_tell(m, 0, 0, m->generation + 1) > 0) {
        now = fn_mono_ms() - start;

        if (told == 0 && (now + FN_HURRY_MS >= time || fn_terminate > 1)) {
            (void) fn_master_tell(m, SIGTERM, 0, m->generation + 1);
            told = 1;
        }

        if (now + FN_KILL_MS >= time && told == 1) {
            (void) fn_master_tell(m, SIGKILL, 0, m->generation + 1);
            told = 2;
        }

        fn_master_sleep(m, 50);
        fn_master_reap(m);
    }

    /* should it have died just now; if the new one dies as well, the next instance's does its work */
    if (fn_scoreboard_current(m->board, FN_ROLE_MANAGER, -1, m->generation) == NULL) {
        fn_master_fork(m, FN_ROLE_MANAGER, 0);
    }

    (void) fn_master_tell(m, SIGTERM, 1, m->generation + 1);

    for (start = fn_mono_ms(); fn_master_tell(m, 0, 1, m->generation + 1) > 0; fn_master_reap(m)) {
        if (fn_mono_ms() > start + FN_KILL_MS) {
            (void) fn_master_tell(m, SIGKILL, 1, m->generation + 1);
        }

        fn_master_sleep(m, 50);
    }
}


static int
fn_pid_write(const char *path)
{
    FILE  *f;

    f = fopen(path, "we");

    if (f == NULL) {
        return -1;
    }

    (void) fprintf(f, "%ld\n", (long) getpid());

    return fclose(f);
}


static int
fn_master_init(fn_master_t *m)
{
    size_t  i;

    static const int  ours[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD, 0 };
    static const int  ignored[] = { SIGPIPE, 0 };

    for (i = 0; m->argv[i] != NULL; i++) {
        m->title_size += strlen(m->argv[i]) + 1;
    }

    (void) sigemptyset(&m->blocked);

    for (i = 0; ours[i]; i++) {
        (void) sigaddset(&m->blocked, ours[i]);
    }

    /* signals arrive only while the master sleeps */
    (void) sigprocmask(SIG_BLOCK, &m->blocked, NULL);
    (void) sigemptyset(&m->open);

    fn_signals(fn_master_signal, ours);
    fn_signals(SIG_IGN, ignored);

    m->board = fn_scoreboard_create();
    m->listen = -1;

    if (m->board == NULL || pipe2(m->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        fn_log(FN_LOG_ERROR, "no memory for the scoreboard", NULL);
        return -1;
    }

    if (m->settings->metrics_listen != NULL && (m->listen = fn_master_listen(m->settings->metrics_listen)) == -1) {
        fn_log(FN_LOG_ERROR, "metrics_listen cannot be listened to", "address", m->settings->metrics_listen,
               "error", strerrordesc_np(errno), NULL);
        return -1;
    }

    fn_counts_use(&m->board->counts);
    fn_master_bounds(m);

    if (m->settings->pid != NULL && fn_pid_write(m->settings->pid) != 0) {
        fn_log(FN_LOG_ERROR, "the pid file cannot be written", "path", m->settings->pid, NULL);
        return -1;
    }

    return 0;
}


int
fn_master_run(const char *conf, fn_settings_t *s, char **argv)
{
    unsigned     missing;
    fn_master_t  m;

    memset(&m, 0, sizeof(m));
    m.settings = s;
    m.argv = argv;
    m.generation = 1;

    /* argv is overwritten by the title */
    m.conf = strdup(conf);

    if (m.conf == NULL || fn_master_init(&m) != 0) {
        return 1;
    }

    fn_title(&m, "fitnudge: master");
    fn_log(FN_LOG_INFO, "started", "instance", m.board->inst, NULL);

    while (!fn_terminate) {
        fn_master_turn(&m);
        fn_master_reap(&m);

        if (fn_reload) {
            fn_master_reload(&m);
        }

        if (fn_reopen) {
            fn_master_reopen(&m);
        }

        fn_master_scale(&m);
        missing = fn_master_fill(&m);
        fn_master_stuck(&m);
        fn_master_sleep(&m, missing ? FN_RESPAWN_MS : FN_TICK_MS);
    }

    fn_master_shutdown(&m);

    if (s->pid != NULL) {
        (void) unlink(s->pid);
    }

    fn_log(FN_LOG_INFO, "stopped", NULL);
    fn_settings_free(s);
    free(m.conf);

    return 0;
}
