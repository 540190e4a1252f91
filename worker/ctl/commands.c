/*
 * Everything here reads lists as they are at the moment; only `dead replay` and `dead drop` change something, one
 * element at a time, and a job is added to its queue before it leaves the dead letters (twice is harmless, never is not).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_keys.h"
#include "../libfitnudge/fn_time.h"
#include "ctl.h"

#define FN_KEY_MAX  256
#define FN_LIST_N   20

typedef struct {
    fn_ctl_t    *ctl;
    const char  *id;            /* or NULL = every job */
    int          body;          /* shown, unless it is sensitive */
    unsigned     found;
    int          quiet;         /* only counted */
} fn_ctl_list_t;


static redisReply *
fn_ctl_reply(redisReply *a)
{
    if (a == NULL || a->type == REDIS_REPLY_ERROR) {
        (void) fprintf(stderr, "fitnudgectl: redis: %s\n", a ? a->str : "connection lost");

        if (a != NULL) {
            freeReplyObject(a);
        }

        return NULL;
    }

    return a;
}


/* Of a command whose answer does not matter: 0, or -1 after a message. */
static int
fn_ctl_done(redisReply *a)
{
    a = fn_ctl_reply(a);

    if (a == NULL) {
        return -1;
    }

    freeReplyObject(a);

    return 0;
}


static long long
fn_ctl_count(fn_ctl_t *c, const char *command, const char *key)
{
    long long    n;
    redisReply  *a;

    a = fn_ctl_reply(fn_redis_command(&c->redis, "%s %s", command, key));
    n = a && a->type == REDIS_REPLY_INTEGER ? a->integer : 0;

    if (a != NULL) {
        freeReplyObject(a);
    }

    return n;
}


/* Numbers from the command line: 1 .. 10000. 0 = wrong, after a message. */
static unsigned
fn_ctl_number(const char *s)
{
    char           *end;
    unsigned long   n;

    n = strtoul(s, &end, 10);

    if (*s < '0' || *s > '9' || *end != '\0' || n < 1 || n > 10000) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is not a number from 1 to 10000\n", s);
        return 0;
    }

    return (unsigned) n;
}


static int
fn_ctl_is(const fn_task_t *t, const char *id)
{
    return id == NULL || (t->env.id.n == strlen(id) && memcmp(t->env.id.p, id, t->env.id.n) == 0);
}


static void
fn_ctl_print_json(const fn_dead_t *d, const char *where, const char *body)
{
    char              died[FN_RFC3339_LEN + 1];
    fn_buf_t          b = FN_BUF_INIT;
    const fn_task_t  *t = &d->task;

    fn_buf_adds(&b, "{\"id\":");
    fn_buf_add_json_string(&b, t->env.id.p, t->env.id.n);
    fn_buf_adds(&b, ",\"job\":");
    fn_buf_add_json_string(&b, t->env.job.p, t->env.job.n);
    fn_buf_addf(&b, ",\"where\":\"%s\",\"priority\":\"%c\",\"attempt\":%u,\"enqueued_ms\":%llu,\"user\":", where, t->env.prio,
                d->attempt, (unsigned long long) t->env.enqueued_ms);

    if (t->env.user.n > 0) {
        fn_buf_add_json_string(&b, t->env.user.p, t->env.user.n);

    } else {
        fn_buf_adds(&b, "null");
    }

    if (d->died_ms != 0) {
        fn_rfc3339(died, (int64_t) (d->died_ms / 1000));
        fn_buf_addf(&b, ",\"lane\":\"%s\",\"died_at\":\"%s\",\"why\":", fn_task_lane(t), died);
        fn_buf_add_json_string(&b, d->why.p, d->why.n);
    }

    if (body != NULL) {
        fn_buf_adds(&b, ",\"body\":");
        fn_buf_add_json_string(&b, body, strlen(body));
    }

    fn_buf_adds(&b, "}");

    if (!b.failed) {
        (void) puts(b.data);
    }

    fn_buf_free(&b);
}


/* Control bytes of a body must not reach the terminal. */
static void
fn_ctl_print_text(const char *p, size_t n)
{
    const char  *last;

    for (last = p + n; p < last; p++) {
        (void) putchar((unsigned char) *p < 0x20 || *p == 0x7f ? ' ' : *p);
    }

    (void) putchar('\n');
}


static void
fn_ctl_print(fn_ctl_list_t *l, const char *where, const char *p, size_t n)
{
    char        when[FN_RFC3339_LEN + 1], died[FN_RFC3339_LEN + 1], *body;
    fn_dead_t   d;
    fn_task_t   t;

    if (fn_dead_parse(&d, p, n) != 0) {         /* any other envelope is a letter without a reason */
        if (l->id == NULL) {
            l->found++;
            (void) fprintf(stderr, "fitnudgectl: %s holds a malformed envelope of %zu bytes\n", where, n);
        }

        return;
    }

    t = d.task;

    if (!fn_ctl_is(&t, l->id)) {
        return;
    }

    l->found++;

    if (l->quiet) {
        return;
    }

    body = NULL;

    if (l->body && t.job != NULL && !(t.job->flags & FN_JOB_SENSITIVE)) {
        body = strndup(t.env.body.p, t.env.body.n);
    }

    if (l->ctl->json) {
        fn_ctl_print_json(&d, where, body);
        free(body);
        return;
    }

    fn_rfc3339(when, (int64_t) (t.env.enqueued_ms / 1000));

    (void) printf("%.*s  %-26.*s  %-12s  %s  try %u  user %.*s\n", (int) t.env.id.n, t.env.id.p,
                  (int) t.env.job.n, t.env.job.p, where, when, d.attempt,
                  t.env.user.n ? (int) t.env.user.n : 1, t.env.user.n ? t.env.user.p : "-");

    if (d.died_ms != 0) {
        fn_rfc3339(died, (int64_t) (d.died_ms / 1000));
        (void) printf("    died %s  ", died);
        fn_ctl_print_text(d.why.p, d.why.n);
    }

    if (l->body) {
        const char  *text = body ? body : "(its body is sensitive and is not shown)";

        fn_ctl_print_text(text, strlen(text));
    }

    free(body);
}


/* An array of envelopes; newest first in lists, so printed from the end. step 2: with scores. */
static int
fn_ctl_each(fn_ctl_list_t *l, const char *where, redisReply *a, int reverse)
{
    size_t       i;
    redisReply  *e;

    a = fn_ctl_reply(a);

    if (a == NULL) {
        return -1;
    }

    for (i = 0; i < a->elements; i++) {
        e = a->element[reverse ? a->elements - 1 - i : i];
        fn_ctl_print(l, where, e->str, e->len);
    }

    freeReplyObject(a);

    return 0;
}


/* Slots hold few jobs each; all instances'. */
static int
fn_ctl_slots(fn_ctl_list_t *l, long long *count)
{
    int          rc;
    size_t       i, k;
    redisReply  *sets, *slots;

    sets = fn_ctl_reply(fn_redis_command(&l->ctl->redis, "ZRANGE %s 0 -1", FN_K_INSTANCES));

    if (sets == NULL) {
        return -1;
    }

    for (i = 0, rc = 0; i < sets->elements && rc == 0; i++) {
        slots = fn_ctl_reply(fn_redis_command(&l->ctl->redis, "SMEMBERS " FN_K "slots:%s", sets->element[i]->str));

        for (k = 0; slots != NULL && k < slots->elements && rc == 0; k++) {
            if (count != NULL) {
                *count += fn_ctl_count(l->ctl, "LLEN", slots->element[k]->str);

            } else {
                rc = fn_ctl_each(l, "in work",
                                 fn_redis_command(&l->ctl->redis, "LRANGE %s 0 -1", slots->element[k]->str), 1);
            }
        }

        rc = slots ? rc : -1;

        if (slots != NULL) {
            freeReplyObject(slots);
        }
    }

    freeReplyObject(sets);

    return rc;
}


/* Seconds the job at the right end has waited; 0 when there is none. */
static double
fn_ctl_age(fn_ctl_t *c, const char *key)
{
    double       age;
    uint64_t     now;
    fn_task_t    t;
    redisReply  *a;

    age = 0;
    now = fn_now_ms();
    a = fn_ctl_reply(fn_redis_command(&c->redis, "LINDEX %s -1", key));

    if (a != NULL) {
        if (a->type == REDIS_REPLY_STRING && fn_task_parse(&t, a->str, a->len) == 0 && t.env.enqueued_ms < now) {
            age = (double) (now - t.env.enqueued_ms) / 1000;
        }

        freeReplyObject(a);
    }

    return age;
}


int
fn_ctl_cmd_lanes(fn_ctl_t *c, int argc, char **argv)
{
    char           key[FN_KEY_MAX];
    double         age, oldest;
    size_t         i, k;
    long long      waiting[3], delayed, dead, work;
    char           orders[256];
    fn_ctl_list_t  l = { c, NULL, 0, 0, 0 };

    (void) argc;
    (void) argv;

    if (!c->json) {
        (void) printf("lane    high  normal     low  oldest/s  delayed    dead  orders\n");
    }

    for (i = 0; fn_ctl_lanes[i] != NULL; i++) {
        for (k = 0, oldest = 0; k < 3; k++) {
            (void) snprintf(key, sizeof(key), FN_K_QUEUE, fn_ctl_lanes[i], "hnl"[k]);
            waiting[k] = fn_ctl_count(c, "LLEN", key);
            age = fn_ctl_age(c, key);
            oldest = age > oldest ? age : oldest;
        }

        (void) snprintf(key, sizeof(key), FN_K_DELAYED, fn_ctl_lanes[i]);
        delayed = fn_ctl_count(c, "ZCARD", key);
        (void) snprintf(key, sizeof(key), FN_K_DEAD, fn_ctl_lanes[i]);
        dead = fn_ctl_count(c, "ZCARD", key);
        fn_ctl_orders(c, fn_ctl_lanes[i], orders, sizeof(orders));

        (void) printf(c->json ? "{\"lane\":\"%s\",\"high\":%lld,\"normal\":%lld,\"low\":%lld,\"oldest_s\":%.1f,"
                                "\"delayed\":%lld,\"dead\":%lld,\"orders\":\"%s\"}\n"
                              : "%-5s %6lld  %6lld  %6lld  %8.1f  %7lld  %6lld  %s\n",
                      fn_ctl_lanes[i], waiting[0], waiting[1], waiting[2], oldest, delayed, dead, orders);
    }

    work = 0;

    if (fn_ctl_slots(&l, &work) != 0) {
        return 1;
    }

    (void) printf(c->json ? "{\"in_work\":%lld}\n" : "in work: %lld\n", work);

    return 0;
}


int
fn_ctl_cmd_ls(fn_ctl_t *c, int argc, char **argv)
{
    char           key[FN_KEY_MAX];
    size_t         k;
    unsigned       n;
    const char    *lane;
    fn_ctl_list_t  l = { c, NULL, 0, 0, 0 };

    lane = fn_ctl_lane(argv[0]);
    n = argc > 1 ? fn_ctl_number(argv[1]) : FN_LIST_N;

    if (lane == NULL || n == 0) {
        return 2;
    }

    for (k = 0; k < 3 && l.found < n; k++) {
        (void) snprintf(key, sizeof(key), FN_K_QUEUE, lane, "hnl"[k]);

        if (fn_ctl_each(&l, "waiting", fn_redis_command(&c->redis, "LRANGE %s -%u -1", key, n - l.found), 1) != 0) {
            return 1;
        }
    }

    if (l.found == 0 && !c->json) {
        (void) printf("nothing waits in %s\n", lane);
    }

    return 0;
}


int
fn_ctl_cmd_inflight(fn_ctl_t *c, int argc, char **argv)
{
    fn_ctl_list_t  l = { c, NULL, 0, 0, 0 };

    (void) argc;
    (void) argv;

    if (fn_ctl_slots(&l, NULL) != 0) {
        return 1;
    }

    if (l.found == 0 && !c->json) {
        (void) printf("nothing is in work\n");
    }

    return 0;
}


/* Wherever it waits or works, also among those that are delayed. 0, or not: a connection was lost. */
static int
fn_ctl_search(fn_ctl_list_t *l)
{
    int     rc;
    char    key[FN_KEY_MAX];
    size_t  i, k;

    rc = fn_ctl_slots(l, NULL);

    for (i = 0; fn_ctl_lanes[i] != NULL; i++) {
        for (k = 0; k < 3; k++) {
            (void) snprintf(key, sizeof(key), FN_K_QUEUE, fn_ctl_lanes[i], "hnl"[k]);
            rc |= fn_ctl_each(l, "waiting", fn_redis_command(&l->ctl->redis, "LRANGE %s 0 -1", key), 1);
        }

        (void) snprintf(key, sizeof(key), FN_K_DELAYED, fn_ctl_lanes[i]);
        rc |= fn_ctl_each(l, "delayed", fn_redis_command(&l->ctl->redis, "ZRANGE %s 0 -1", key), 0);
    }

    return rc;
}


int
fn_ctl_known(fn_ctl_t *c, const char *id)
{
    fn_ctl_list_t  l = { c, id, 0, 0, 1 };

    return fn_ctl_search(&l) != 0 ? -1 : l.found > 0;
}


int
fn_ctl_cmd_show(fn_ctl_t *c, int argc, char **argv)
{
    int            rc;
    char           key[FN_KEY_MAX];
    size_t         i;
    fn_ctl_list_t  l = { c, argv[0], 1, 0, 0 };

    (void) argc;

    if (!fn_uuid_valid(argv[0], strlen(argv[0]))) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is not the id of a job (a UUID)\n", argv[0]);
        return 2;
    }

    rc = fn_ctl_search(&l);

    for (i = 0; fn_ctl_lanes[i] != NULL; i++) {
        (void) snprintf(key, sizeof(key), FN_K_DEAD, fn_ctl_lanes[i]);
        rc |= fn_ctl_each(&l, "dead", fn_redis_command(&c->redis, "ZRANGE %s 0 -1", key), 0);
    }

    if (rc == 0 && l.found == 0) {
        (void) fprintf(stderr, "fitnudgectl: no job %s waits, works, is delayed or dead; it may be done "
                               "(GET /api/v1/jobs/%s)\n", argv[0], argv[0]);
    }

    return rc != 0 || l.found == 0;
}


static int
fn_ctl_dead_ls(fn_ctl_t *c, const char *lane, unsigned n)
{
    char           key[FN_KEY_MAX];
    fn_ctl_list_t  l = { c, NULL, 0, 0, 0 };

    (void) snprintf(key, sizeof(key), FN_K_DEAD, lane);

    if (fn_ctl_each(&l, "dead", fn_redis_command(&c->redis, "ZREVRANGE %s 0 %u", key, n - 1), 0) != 0) {
        return 1;
    }

    if (l.found == 0 && !c->json) {
        (void) printf("no dead letters in %s\n", lane);
    }

    return 0;
}


/* Puts one dead letter back into its queue. 1 done, 0 not possible, -1 connection. */
static int
fn_ctl_replay_one(fn_ctl_t *c, const fn_task_t *t)
{
    int          rc;
    char         key[FN_KEY_MAX], id[FN_UUID_LEN + 1], state[64];
    fn_buf_t     b = FN_BUF_INIT;
    fn_task_t    again;

    if (t->job == NULL || (t->job->flags & (FN_JOB_SENSITIVE | FN_JOB_STORED)) == FN_JOB_SENSITIVE) {
        (void) fprintf(stderr, "fitnudgectl: %.*s (%.*s) cannot be replayed: %s\n", (int) t->env.id.n, t->env.id.p,
                       (int) t->env.job.n, t->env.job.p, t->job ? "its body was not kept" : "there is no such job");
        return 0;
    }

    (void) snprintf(id, sizeof(id), "%.*s", (int) t->env.id.n, t->env.id.p);
    (void) snprintf(state, sizeof(state), "queued %.*s", (int) t->env.user.n, t->env.user.n ? t->env.user.p : "");
    again = *t;
    again.env.enqueued_ms = fn_now_ms();            /* who looks how long the oldest job has waited looks at the queue, not at the past */
    fn_fresh_envelope(&b, &again);

    /* it is wanted again, and GET /jobs/{id} says so */
    rc = b.failed ? -1 : fn_ctl_done(fn_redis_command(&c->redis, "SREM %s %s", FN_K_CANCELLED, id));

    if (rc == 0) {
        (void) snprintf(key, sizeof(key), FN_K_JOB, id);
        rc = fn_ctl_done(fn_redis_command(&c->redis, "SET %s %s XX KEEPTTL", key, state));
    }

    /* its crashes are forgotten, but not that it may have been begun (worker/lua/reap.lua) */
    if (rc == 0) {
        (void) snprintf(key, sizeof(key), FN_K_CRASH, id);
        rc = fn_ctl_done(fn_redis_command(&c->redis, "SET %s 0 EX 120", key));
    }

    if (rc == 0) {
        rc = fn_ctl_done(fn_redis_command(&c->redis, "SET %s 1 EX 120 NX", FN_K_CRASHED));
    }

    if (rc == 0) {
        (void) snprintf(key, sizeof(key), FN_K_QUEUE, fn_task_lane(t), t->env.prio);
        rc = fn_ctl_done(fn_redis_command(&c->redis, "LPUSH %s %b", key, b.data, b.len));
    }

    fn_buf_free(&b);

    return rc == 0 ? 1 : -1;
}


static int
fn_ctl_dead_change(fn_ctl_t *c, const char *lane, const char *id, int replay)
{
    int          rc;
    char         key[FN_KEY_MAX];
    size_t       i;
    unsigned     done, kept;
    fn_dead_t    d;
    redisReply  *all;

    if (strcmp(id, "all") == 0) {
        id = NULL;

    } else if (!fn_uuid_valid(id, strlen(id))) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is not the id of a job, nor \"all\"\n", id);
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_DEAD, lane);
    all = fn_ctl_reply(fn_redis_command(&c->redis, "ZRANGE %s 0 -1", key));

    if (all == NULL) {
        return 1;
    }

    for (i = 0, rc = 1, done = 0, kept = 0; i < all->elements && rc >= 0; i++) {
        if ((fn_dead_parse(&d, all->element[i]->str, all->element[i]->len) != 0 && (id != NULL || replay))
            || !fn_ctl_is(&d.task, id))
        {
            continue;
        }

        rc = replay ? fn_ctl_replay_one(c, &d.task) : 1;

        if (rc == 0) {
            kept++;
        }

        if (rc != 1) {
            continue;
        }

        if (fn_ctl_done(fn_redis_command(&c->redis, "ZREM %s %b", key, d.task.raw.p, d.task.raw.n)) != 0) {
            rc = -1;
            break;
        }

        done++;
    }

    freeReplyObject(all);

    (void) printf(c->json ? "{\"%s\":%u}\n" : "%s: %u\n", replay ? "replayed" : "dropped", done);

    return rc < 0 || kept > 0 || (id != NULL && done == 0);
}


int
fn_ctl_cmd_dead(fn_ctl_t *c, int argc, char **argv)
{
    unsigned     n;
    const char  *lane;

    lane = fn_ctl_lane(argv[1]);

    if (lane == NULL) {
        return 2;
    }

    if (strcmp(argv[0], "ls") == 0) {
        n = argc > 2 ? fn_ctl_number(argv[2]) : FN_LIST_N;
        return n ? fn_ctl_dead_ls(c, lane, n) : 2;
    }

    if ((strcmp(argv[0], "replay") == 0 || strcmp(argv[0], "drop") == 0) && argc == 3) {
        return fn_ctl_dead_change(c, lane, argv[2], argv[0][0] == 'r');
    }

    (void) fprintf(stderr, "usage: fitnudgectl dead ls <lane> [n] | dead replay <lane> <id|all> | dead drop <lane> <id|all>\n");

    return 2;
}
