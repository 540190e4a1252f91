/*
 * The manager: what an instance does for its children and for the others.  Heartbeat, slots of the dead, jobs that are
 * due, the leader's lease, what happens by the clock.  Everything it does may be done twice, or by two instances at once.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cron.h"
#include "db.h"
#include "delivery.h"
#include "fault.h"
#include "http.h"
#include "look.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "relay.h"
#include "scoreboard.h"

#define FN_TICK_MS      100
#define FN_BEAT_MS      FN_LIMIT("FN_BEAT_MS", 5000)
#define FN_DEATH_MS     FN_LIMIT("FN_DEATH_MS", 30000)
#define FN_GRAVE_MS     3600000
#define FN_RESCAN_MS    FN_LIMIT("FN_RESCAN_MS", 60000)
#define FN_LOOK_MS      500         /* at the queues */
#define FN_AGAIN_MS     3000        /* a blocking move that outlived its client may still deliver within 2 s */
#define FN_LEASE_MS     15000
#define FN_SWEEP_MS     2000
#define FN_SWEEP_N      100         /* at most so many of a kind */
#define FN_CLOCK_RETRY_MS  1000     /* after an error */
#define FN_PROMOTE      "100"
#define FN_KEY_MAX      256

typedef struct {
    fn_child_t  *child;
    fn_redis_t   redis;
    fn_db_t      db;
    fn_http_t   *http;                                          /* or NULL */
    uint64_t     look_ms, beat_ms, rescan_ms, sweep_ms, clock_ms;        /* fn_mono_ms() when next; clock_ms UINT64_MAX: never */
    uint64_t     reaped_ms[FN_CHILDREN_MAX];                    /* when the slots of a dead child were first emptied */
    unsigned     epoch;
    int64_t      known;             /* the greatest epoch of which the database knows, when it was not ours */
    fn_clock_t   clock;
} fn_manager_t;


/* An integer answer, or -1. */
static long long
fn_integer(redisReply *a)
{
    long long  n;

    if (a == NULL) {
        return -1;
    }

    n = a->type == REDIS_REPLY_INTEGER ? a->integer : -1;

    if (a->type == REDIS_REPLY_ERROR) {
        fn_log(FN_LOG_WARN, "redis refuses the manager", "error", a->str, NULL);
    }

    freeReplyObject(a);

    return n;
}


static long long
fn_manager_script(fn_manager_t *m, fn_script_e script, unsigned nkeys, unsigned n, const char **v)
{
    size_t       len[16];
    unsigned     i;
    redisReply  *a;

    for (i = 0; i < n; i++) {
        len[i] = strlen(v[i]);
    }

    if (fn_redis_script(&m->redis, script, nkeys, n, v, len) != 0) {
        return -1;
    }

    a = fn_redis_reply(&m->redis);

    if (a != NULL && fn_redis_noscript(a)) {
        (void) fn_redis_load(&m->redis);        /* the next tick calls it again */

    } else if (a != NULL && fn_redis_moved(a)) {
        fn_redis_close(&m->redis);              /* and asks where the master is */
    }

    return fn_integer(a);
}


/* Redis' clock, ms; 0 = no answer. It is the only one that all instances share. */
static uint64_t
fn_manager_time(fn_manager_t *m)
{
    uint64_t     ms;
    redisReply  *a;

    ms = 0;
    a = fn_redis_command(&m->redis, "TIME");

    if (a != NULL) {
        if (a->type == REDIS_REPLY_ARRAY && a->elements == 2) {
            ms = strtoull(a->element[0]->str, NULL, 10) * 1000 + strtoull(a->element[1]->str, NULL, 10) / 1000;
        }

        freeReplyObject(a);
    }

    return ms;
}


static int
fn_manager_reap_entry(fn_manager_t *m, unsigned index)
{
    int          n, sum;
    char         slot[FN_KEY_MAX];
    unsigned     k;
    fn_entry_t  *e;

    e = &m->child->board->child[index];

    for (k = 0, sum = 0; k < e->nslots; k++) {
        (void) snprintf(slot, sizeof(slot), FN_K_SLOT, m->child->board->inst, index * FN_CHILD_SLOTS + k);
        n = fn_reap(&m->redis, slot, e->crashed, e->job, e->how[0] ? e->how : NULL);

        if (n < 0) {
            return -1;
        }

        sum += n;
    }

    return sum;
}


/* Twice: at once, and when nothing can arrive any more. Then the entry and its slot numbers are free. */
static void
fn_manager_reap_children(fn_manager_t *m)
{
    unsigned     i;
    uint64_t     now;
    fn_entry_t  *e;

    now = fn_mono_ms();

    for (i = 0; i < FN_CHILDREN_MAX; i++) {
        e = &m->child->board->child[i];

        if (e->state != FN_ENTRY_DIED) {
            m->reaped_ms[i] = 0;
            continue;
        }

        if (m->reaped_ms[i] == 0) {
            if (fn_manager_reap_entry(m, i) < 0) {
                return;
            }

            m->reaped_ms[i] = now;

        } else if (now > m->reaped_ms[i] + FN_AGAIN_MS) {
            e->crashed = 0;

            if (fn_manager_reap_entry(m, i) < 0) {
                return;
            }

            m->reaped_ms[i] = 0;
            e->state = FN_ENTRY_FREE;
        }
    }
}


/* All slots of an instance that is not ours. 0 or -1. */
static int
fn_manager_reap_instance(fn_manager_t *m, const char *inst, int suspect)
{
    int          rc;
    char         key[FN_KEY_MAX];
    size_t       i;
    redisReply  *slots;

    (void) snprintf(key, sizeof(key), FN_K_SLOTS, inst);
    slots = fn_redis_command(&m->redis, "SMEMBERS %s", key);

    if (slots == NULL) {
        return -1;
    }

    for (i = 0, rc = slots->type == REDIS_REPLY_ARRAY ? 0 : -1; i < slots->elements && rc >= 0; i++) {
        rc = fn_reap(&m->redis, slots->element[i]->str, suspect, NULL, suspect ? "its instance died" : NULL);
    }

    freeReplyObject(slots);

    return rc < 0 ? -1 : 0;
}


static void
fn_manager_bury(fn_manager_t *m, uint64_t now)
{
    size_t       i;
    redisReply  *dead;
    const char  *inst;

    dead = fn_redis_command(&m->redis, "ZRANGEBYSCORE %s -inf %llu", FN_K_INSTANCES,
                            (unsigned long long) (now - FN_DEATH_MS));

    for (i = 0; dead != NULL && i < dead->elements; i++) {
        inst = dead->element[i]->str;

        fn_log(FN_LOG_WARN, "an instance is dead, its jobs go back", "instance", inst, NULL);

        /* first the grave, so that a crash of ours leaves it where somebody looks */
        if (fn_integer(fn_redis_command(&m->redis, "ZADD %s %llu %s", FN_K_GRAVE, (unsigned long long) now, inst)) < 0
            || fn_manager_reap_instance(m, inst, 1) != 0
            || fn_integer(fn_redis_command(&m->redis, "ZREM %s %s", FN_K_INSTANCES, inst)) < 0)
        {
            break;
        }
    }

    if (dead != NULL) {
        freeReplyObject(dead);
    }
}


/* What a dead instance's connections, or the instance itself if it was only asleep, may have taken since. */
static void
fn_manager_graves(fn_manager_t *m, uint64_t now)
{
    char         key[FN_KEY_MAX];
    size_t       i;
    redisReply  *graves;
    const char  *inst;

    graves = fn_redis_command(&m->redis, "ZRANGE %s 0 -1 WITHSCORES", FN_K_GRAVE);

    for (i = 0; graves != NULL && i + 1 < graves->elements && m->redis.c != NULL; i += 2) {
        inst = graves->element[i]->str;

        if (fn_manager_reap_instance(m, inst, 0) != 0) {
            break;
        }

        if (strtoull(graves->element[i + 1]->str, NULL, 10) + FN_GRAVE_MS < now) {
            (void) snprintf(key, sizeof(key), FN_K_SLOTS, inst);
            (void) fn_integer(fn_redis_command(&m->redis, "DEL %s", key));
            (void) fn_integer(fn_redis_command(&m->redis, "ZREM %s %s", FN_K_GRAVE, inst));
        }
    }

    if (graves != NULL) {
        freeReplyObject(graves);
    }
}


/*
 * Our slots must be known before anybody looks for them: when we are new or were thought dead, and now and then, since a
 * Redis that failed over may have lost what the children had written.
 */
static void
fn_manager_register(fn_manager_t *m)
{
    char               key[FN_KEY_MAX], *slot;
    unsigned           i, k;
    const char       **v;
    redisReply        *a;
    const fn_entry_t  *e;

    (void) snprintf(key, sizeof(key), FN_K_SLOTS, m->child->board->inst);
    slot = malloc((size_t) FN_CHILD_SLOTS * FN_KEY_MAX);
    v = malloc((FN_CHILD_SLOTS + 2) * sizeof(*v));

    for (i = 0; slot != NULL && v != NULL && i < FN_CHILDREN_MAX && m->redis.c != NULL; i++) {
        e = &m->child->board->child[i];

        if (e->state == FN_ENTRY_FREE || e->nslots == 0) {
            continue;
        }

        v[0] = "SADD";
        v[1] = key;

        for (k = 0; k < e->nslots; k++) {
            (void) snprintf(slot + (size_t) k * FN_KEY_MAX, FN_KEY_MAX, FN_K_SLOT, m->child->board->inst, i * FN_CHILD_SLOTS + k);
            v[k + 2] = slot + (size_t) k * FN_KEY_MAX;
        }

        a = redisAppendCommandArgv(m->redis.c, (int) e->nslots + 2, v, NULL) == REDIS_OK ? fn_redis_reply(&m->redis) : NULL;

        if (a != NULL) {
            freeReplyObject(a);
        }
    }

    free(slot);
    free(v);

    (void) fn_integer(fn_redis_command(&m->redis, "ZREM %s %s", FN_K_GRAVE, m->child->board->inst));
}


static void
fn_manager_lead(fn_manager_t *m, const char *ms)
{
    char         known[24];
    long long    epoch;
    const char  *v[5];

    v[0] = FN_K_LEAD;
    v[1] = FN_K_EPOCH;
    v[2] = m->child->board->inst;
    v[3] = ms;
    v[4] = known;
    (void) snprintf(known, sizeof(known), "%lld", (long long) m->known);

    epoch = fn_manager_script(m, FN_SCRIPT_LEAD, 2, 5, v);
    epoch = epoch > 0 ? epoch : 0;

    if (epoch != 0 && m->epoch == 0) {
        fn_log(FN_LOG_INFO, "leading", NULL);
        m->clock.loaded = 0;
    }

    m->epoch = (unsigned) epoch;
    m->child->board->epoch = (uint32_t) epoch;
}


static void
fn_manager_beat(fn_manager_t *m)
{
    char       lease[16];
    uint64_t   now;
    long long  is_new;

    now = fn_manager_time(m);

    if (now == 0) {
        return;
    }

    is_new = fn_integer(fn_redis_command(&m->redis, "ZADD %s %llu %s", FN_K_INSTANCES, (unsigned long long) now,
                                         m->child->board->inst));

    if (is_new < 0) {
        return;
    }

    m->beat_ms = fn_mono_ms() + FN_BEAT_MS;
    m->child->board->beat_ms = fn_mono_ms();

    if (is_new == 1 || fn_mono_ms() >= m->rescan_ms) {
        fn_manager_register(m);
    }

    fn_manager_bury(m, now);

    if (fn_mono_ms() >= m->rescan_ms) {
        m->rescan_ms = fn_mono_ms() + FN_RESCAN_MS;
        fn_manager_graves(m, now);
    }

    (void) snprintf(lease, sizeof(lease), "%d", FN_LEASE_MS);
    fn_manager_lead(m, lease);
}


static void
fn_manager_promote(fn_manager_t *m)
{
    char         key[FN_LANES][4][FN_KEY_MAX];
    unsigned     i, k;
    long long    n;
    const char  *v[FN_LANES * 4 + 1];

    for (i = 0; i < FN_LANES; i++) {
        (void) snprintf(key[i][0], FN_KEY_MAX, FN_K_DELAYED, fn_role_names[i + 1]);

        for (k = 0; k < 3; k++) {
            (void) snprintf(key[i][k + 1], FN_KEY_MAX, FN_K_QUEUE, fn_role_names[i + 1], "hnl"[k]);
        }

        for (k = 0; k < 4; k++) {
            v[i * 4 + k] = key[i][k];
        }
    }

    v[FN_LANES * 4] = FN_PROMOTE;

    n = fn_manager_script(m, FN_SCRIPT_PROMOTE, FN_LANES * 4, FN_LANES * 4 + 1, v);
    fn_count(FN_C_PROMOTED, n > 0 ? (uint64_t) n : 0);
}


static void
fn_manager_relay(fn_manager_t *m)
{
    int       n;
    int64_t   epoch;
    uint64_t  now;

    now = fn_mono_ms();

    if (fn_db_connect(&m->db) != 0) {
        return;
    }

    epoch = m->epoch;

    if (now >= m->clock_ms && fn_clock_tick(&m->clock, &m->db, &m->redis, (int64_t) (fn_now_ms() / 1000), &epoch) != 0) {
        m->clock_ms = now + FN_CLOCK_RETRY_MS;
    }

    if (epoch != (int64_t) m->epoch) {
        /* somebody led after us; or Redis has lost its data, then the lease is still ours and the next epoch is beyond that one */
        fn_log(FN_LOG_WARN, "another leader has acted since", NULL);
        m->known = epoch;
        m->epoch = 0;
        m->child->board->epoch = 0;
        m->beat_ms = 0;
        return;
    }

    if (now >= m->sweep_ms && m->redis.c != NULL && m->db.c != NULL) {
        n = fn_relay_sweep(&m->db, &m->redis);
        m->sweep_ms = n >= FN_SWEEP_N ? now : now + FN_SWEEP_MS;        /* at once while there is more */
    }
}


/* Until the tick is over or a child died; who asks for metrics is answered meanwhile, however many there are. */
static void
fn_manager_wait(fn_manager_t *m)
{
    int            n, left;
    char           drain[256];
    uint64_t       end;
    struct pollfd  p[1 + FN_HTTP_FDS];

    end = fn_mono_ms() + FN_TICK_MS;
    m->child->entry->busy_since_ms = 0;

    for (left = FN_TICK_MS; left > 0 && !fn_quit; left = (int) (end - fn_mono_ms())) {
        p[0].fd = m->child->wake_fd;
        p[0].events = POLLIN;
        n = fn_http_poll(m->http, p + 1);

        if (poll(p, (nfds_t) n + 1, left) <= 0) {
            break;
        }

        fn_http_serve(m->http, p + 1, n);

        if (p[0].revents & POLLIN) {
            (void) !read(p[0].fd, drain, sizeof(drain));
            break;
        }
    }

    fn_http_expire(m->http);
    m->child->entry->busy_since_ms = fn_mono_ms();
}


/* The instance goes away in order: what the children left, and then its own traces. */
static void
fn_manager_leave(fn_manager_t *m)
{
    int          rc;
    unsigned     i;
    const char  *inst;

    inst = m->child->board->inst;

    if (fn_redis_connect(&m->redis) != 0) {
        return;
    }

    for (i = 0, rc = 0; i < FN_CHILDREN_MAX && rc >= 0; i++) {
        if (m->child->board->child[i].state == FN_ENTRY_DIED) {
            rc = fn_manager_reap_entry(m, i);
        }
    }

    if (!m->child->board->stopping || rc < 0) {
        return;
    }

    fn_manager_lead(m, "0");

    /* by way of the grave, for the same reason as after a crash */
    (void) fn_integer(fn_redis_command(&m->redis, "ZADD %s %llu %s", FN_K_GRAVE,
                                       (unsigned long long) fn_manager_time(m), inst));
    (void) fn_integer(fn_redis_command(&m->redis, "ZREM %s %s", FN_K_INSTANCES, inst));
}


int
fn_manager_run(fn_child_t *child)
{
    static fn_manager_t  m;

    m.child = child;
    m.clock_ms = strcmp(child->settings->cron, "on") == 0 ? 0 : UINT64_MAX;
    fn_redis_init(&m.redis, child->settings, 3000);
    fn_db_init(&m.db, child->settings, "fitnudge: manager");

    m.http = child->listen_fd != -1 ? fn_http_new(child->listen_fd, child->board) : NULL;

    while (!fn_quit) {
        fn_manager_wait(&m);
        fn_child_tick(child);

        if (fn_redis_connect(&m.redis) != 0) {
            continue;
        }

        fn_manager_reap_children(&m);
        fn_manager_promote(&m);

        if (fn_mono_ms() >= m.look_ms && fn_look(&m.redis, child->board) == 0) {
            m.look_ms = fn_mono_ms() + FN_LOOK_MS;
        }

        if (fn_mono_ms() >= m.beat_ms) {
            fn_manager_beat(&m);
        }

        if (m.epoch != 0) {
            fn_manager_relay(&m);
        }
    }

    fn_http_free(m.http);
    fn_manager_leave(&m);
    fn_redis_close(&m.redis);
    fn_db_close(&m.db);

    return 0;
}
