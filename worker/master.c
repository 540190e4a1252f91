/*
 * The master: it forks children and sees to it that the right ones are there.  It talks to nobody but the kernel, so that it
 * cannot hang: signals set flags, one loop compares what is with what should be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libfitnudge/fn_conf.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "redis.h"
#include "scoreboard.h"

#define FN_TICK_MS      500
#define FN_STUCK_MS     60000       /* at one piece of work: killed */
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


void
fn_child_tick(const fn_child_t *child)
{
    if (fn_reopen) {
        fn_reopen = 0;
        (void) fn_log_open(child->settings->log, FN_LOG_INFO);
    }
}


/* In the child, for the rest of its life. */
static int
fn_master_child(fn_master_t *m, fn_entry_t *e, pid_t parent)
{
    int          rc;
    char         title[32];
    fn_child_t   child;

    static const int  ours[] = { SIGTERM, SIGUSR1, 0 };
    static const int  ignored[] = { SIGINT, SIGHUP, SIGPIPE, 0 };
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

    if (child.role == FN_ROLE_MANAGER) {
        child.wake_fd = m->wake[0];
        (void) snprintf(title, sizeof(title), "fitnudge: manager");

    } else {
        (void) close(m->wake[0]);
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
}


static unsigned
fn_master_wanted(const fn_settings_t *s, fn_role_e role)
{
    switch (role) {

    case FN_ROLE_SQL:
        return (unsigned) s->sql_processes;

    case FN_ROLE_AUTH:
        return (unsigned) s->auth_processes;

    case FN_ROLE_NET:
        return (unsigned) s->net_processes;

    default:
        return 1;
    }
}


/* Forks what is missing of the current generation. */
static void
fn_master_fill(fn_master_t *m)
{
    unsigned   i;
    uint64_t   now;
    fn_role_e  role;

    now = fn_mono_ms();

    for (role = FN_ROLE_MANAGER; role < FN_ROLES; role++) {
        for (i = 0; i < fn_master_wanted(m->settings, role) && i < FN_CHILDREN_MAX; i++) {
            if (now >= m->fork_ms[role][i]
                && fn_scoreboard_current(m->board, role, (int) i, m->generation) == NULL)
            {
                fn_master_fork(m, role, i);
            }
        }
    }
}


/* How a child ended, and with it its entry. */
static void
fn_master_died(fn_master_t *m, fn_entry_t *e, int status)
{
    char       pid[16], how[48];
    unsigned   wait, *quick;
    uint64_t   age;
    fn_role_e  role;

    role = (fn_role_e) e->role;
    age = fn_mono_ms() - e->started_ms;
    e->crashed = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    if (e->crashed) {
        (void) snprintf(pid, sizeof(pid), "%ld", (long) e->pid);

        if (WIFSIGNALED(status)) {
            (void) snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));

        } else {
            (void) snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
        }

        fn_log(FN_LOG_ERROR, "a child died", "role", fn_role_names[role], "pid", pid, "how", how, NULL);
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


/* A child at one piece of work for a minute will not come back; its job is counted as having taken it down. */
static void
fn_master_stuck(fn_master_t *m)
{
    char         pid[16];
    unsigned     i;
    uint64_t     since, now;
    fn_entry_t  *e;

    now = fn_mono_ms();

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &m->board->child[i];
        since = e->busy_since_ms;

        if (e->state == FN_ENTRY_LIVE && since != 0 && now > since + FN_STUCK_MS) {
            (void) snprintf(pid, sizeof(pid), "%ld", (long) e->pid);
            fn_log(FN_LOG_ERROR, "a child is stuck and is killed", "role", fn_role_names[e->role], "pid", pid, NULL);
            (void) kill(e->pid, SIGKILL);
        }
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
        fn_log(FN_LOG_ERROR, "the configuration is kept as it was", "error", s ? err : "no memory", NULL);
        free(s);
        return;
    }

    if (fn_log_open(s->log, FN_LOG_INFO) != 0) {
        fn_log(FN_LOG_ERROR, "the log cannot be opened, the old one is kept", "log", s->log, NULL);
    }

    fn_settings_free(m->settings);
    *m->settings = *s;
    free(s);

    m->generation++;
    memset(m->fork_ms, 0, sizeof(m->fork_ms));

    fn_log(FN_LOG_INFO, "configuration read, children are replaced", NULL);

    fn_master_fill(m);
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

    /* if the manager is gone already, the next instance's does its work */
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

    static const int  ours[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, 0 };
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

    if (m->board == NULL || pipe2(m->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        fn_log(FN_LOG_ERROR, "no memory for the scoreboard", NULL);
        return -1;
    }

    if (m->settings->pid != NULL && fn_pid_write(m->settings->pid) != 0) {
        fn_log(FN_LOG_ERROR, "the pid file cannot be written", "path", m->settings->pid, NULL);
        return -1;
    }

    return 0;
}


int
fn_master_run(const char *conf, fn_settings_t *s, char **argv)
{
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
        fn_master_reap(&m);

        if (fn_reload) {
            fn_master_reload(&m);
        }

        if (fn_reopen) {
            fn_master_reopen(&m);
        }

        fn_master_fill(&m);
        fn_master_stuck(&m);
        fn_master_sleep(&m, FN_TICK_MS);
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
