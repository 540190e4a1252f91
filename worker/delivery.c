/*
 * Delivery, at least once: jobs come out of Redis into slot lists, their results go back.  The slot list in Redis is
 * the truth about what we hold; answers that were lost are asked for again, never guessed.
 */
#include "delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "waits.h"

#define FN_ANSWER_MS    3000
#define FN_URGENT_MAX   8           /* after so many jobs of the high queue the normal one has its turn */
#define FN_KEY_MAX      256
#define FN_SLOT_KEY_MAX (FN_INSTANCE_MAX + 32)

struct fn_delivery_s {
    fn_child_t  *child;
    fn_redis_t   redis;
    fn_waits_t   waits;             /* low is asked for after each of them */
    int          leaving;           /* the waits end with the next trip */
    redisReply  *came;              /* what they have delivered, if that is all there is to know */
    unsigned     waited;            /* the slot they deliver into */
    char         queue[3][FN_KEY_MAX];
    char         orders[FN_KEY_MAX], in_work[FN_KEY_MAX];
    int          ordered;           /* the lane is paused, or has a limit or rate: nothing may come by itself */
    int          cancels;           /* there are jobs that are to end */
    unsigned     urgent;            /* takes in a row that brought a job of the high queue */
    char         slot[FN_BATCH_MAX][FN_SLOT_KEY_MAX];   /* work area: names of slots */
};


static const char *
fn_slot_name(fn_delivery_t *d, unsigned at, unsigned k)
{
    (void) snprintf(d->slot[at], sizeof(d->slot[at]), FN_K_SLOT, d->child->board->inst, fn_child_slot(d->child, k));

    return d->slot[at];
}


static const char *
fn_slot_key(fn_delivery_t *d, unsigned k)
{
    return fn_slot_name(d, 0, k);
}


fn_redis_t *
fn_delivery_redis(fn_delivery_t *d)
{
    return &d->redis;
}


/* Waits for the connection. quit: the value of fn_quit from which on it is not waited for. */
static int
fn_delivery_ready(fn_delivery_t *d, int quit)
{
    while (fn_redis_connect(&d->redis) != 0) {
        if (fn_quit >= quit) {
            return -1;
        }

        if (d->child->entry->busy_since_ms) {
            d->child->entry->busy_since_ms = fn_mono_ms();      /* waiting, not stuck */
        }

        fn_child_tick(d->child);
        fn_sleep_ms(20);
    }

    return 0;
}


/* A server that is up but refuses: loading its data, out of memory, disk full. Ask again in a moment. */
static void
fn_delivery_pause(fn_delivery_t *d, const redisReply *a)
{
    fn_log(FN_LOG_WARN, "redis refuses, trying again", "error", a->str, NULL);
    fn_child_tick(d->child);

    if (d->child->entry->busy_since_ms) {
        d->child->entry->busy_since_ms = fn_mono_ms();
    }

    fn_sleep_ms(100 + fn_random(400));
}


/* Else the connection is closed: a slot that nobody knows of would not be reaped. */
static int
fn_delivery_accepted(fn_delivery_t *d, redisReply *a)
{
    if (a == NULL) {
        return 0;
    }

    if (a->type == REDIS_REPLY_ERROR) {
        fn_delivery_pause(d, a);
        freeReplyObject(a);
        fn_redis_close(&d->redis);
        return 0;
    }

    return 1;
}


static int
fn_delivery_register(fn_delivery_t *d)
{
    char         set[FN_KEY_MAX], now[32];
    unsigned     k;
    redisReply  *a;

    (void) snprintf(set, sizeof(set), FN_K_SLOTS, d->child->board->inst);

    for (k = 0; k < d->child->entry->nslots; k++) {
        if (redisAppendCommand(d->redis.c, "SADD %s %s", set, fn_slot_key(d, k)) != REDIS_OK) {
            fn_redis_close(&d->redis);
            return -1;
        }
    }

    for (k = 0; k < d->child->entry->nslots; k++) {
        a = fn_redis_reply(&d->redis);

        if (!fn_delivery_accepted(d, a)) {
            return -1;
        }

        freeReplyObject(a);
    }

    /* the manager does this too; whoever is first, so that no slot is in use that nobody would reap */
    a = fn_redis_command(&d->redis, "TIME");

    if (a != NULL && a->type == REDIS_REPLY_ARRAY && a->elements == 2) {
        (void) snprintf(now, sizeof(now), "%s%03ld", a->element[0]->str, strtol(a->element[1]->str, NULL, 10) / 1000);
        freeReplyObject(a);
        a = fn_redis_command(&d->redis, "ZADD %s NX %s %s", FN_K_INSTANCES, now, d->child->board->inst);
    }

    if (!fn_delivery_accepted(d, a)) {
        return -1;
    }

    freeReplyObject(a);

    return 0;
}


/* What a wait has delivered lies in its slot, and the next take finds it there. */
static void
fn_delivery_forget(fn_delivery_t *d)
{
    if (d->came != NULL) {
        freeReplyObject(d->came);
        d->came = NULL;
    }
}


fn_delivery_t *
fn_delivery_open(fn_child_t *child)
{
    unsigned        i;
    const char     *queue[3], *mark[3];
    fn_delivery_t  *d;

    d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return NULL;
    }

    d->child = child;
    fn_redis_init(&d->redis, child->settings, FN_ANSWER_MS);

    for (i = 0; i < 3; i++) {
        (void) snprintf(d->queue[i], sizeof(d->queue[i]), FN_K_QUEUE, child->lane, "hnl"[i]);
        queue[i] = d->queue[i];
    }

    (void) snprintf(d->orders, sizeof(d->orders), FN_K_ORDERS, child->lane);
    (void) snprintf(d->in_work, sizeof(d->in_work), FN_K_IN_WORK, child->lane);

    mark[0] = FN_K_CRASHED;
    mark[1] = d->orders;
    mark[2] = FN_K_CANCELLED;
    fn_waits_init(&d->waits, child->settings, child->lane, queue, mark);

    do {
        if (fn_delivery_ready(d, 1) != 0) {
            fn_delivery_close(d);
            return NULL;
        }
    } while (fn_delivery_register(d) != 0);

    return d;
}


void
fn_delivery_close(fn_delivery_t *d)
{
    if (d != NULL) {
        fn_redis_close(&d->redis);
        fn_waits_close(&d->waits);
        fn_delivery_forget(d);
        free(d);
    }
}


void
fn_batch_free(fn_batch_t *batch)
{
    if (batch->memory != NULL) {
        freeReplyObject(batch->memory);
        batch->memory = NULL;
    }

    batch->n = 0;
}


/* What is in a slot and is no envelope goes to the dead letters, or it would come back for ever. */
static void
fn_delivery_bury(fn_delivery_t *d, const fn_task_t *t)
{
    char         key[FN_KEY_MAX];
    fn_buf_t     letter = FN_BUF_INIT;
    fn_task_t    malformed;
    redisReply  *a;

    malformed = *t;
    malformed.why = "malformed envelope";
    fn_dead_letter(&letter, &malformed);

    fn_log(FN_LOG_ERROR, "a malformed envelope was put to the dead letters", "lane", d->child->lane, NULL);

    (void) snprintf(key, sizeof(key), FN_K_DEAD, d->child->lane);

    a = letter.failed ? NULL : fn_redis_command(&d->redis, "ZADD %s %llu %b", key, (unsigned long long) fn_now_ms(), letter.data, letter.len);
    fn_buf_free(&letter);

    if (a != NULL && a->type == REDIS_REPLY_INTEGER) {     /* kept: else it stays where it is */
        freeReplyObject(a);
        a = fn_redis_command(&d->redis, "LREM %s 1 %b", fn_slot_key(d, t->slot), t->raw.p, t->raw.n);
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


/* Which of the jobs were in other hands before, and which have taken a process down. Asked for only while there are such jobs. */
static void
fn_delivery_suspects(fn_delivery_t *d, fn_batch_t *batch)
{
    int          known;
    char         key[FN_BATCH_MAX][FN_KEY_MAX];
    unsigned     i;
    const char  *v[FN_BATCH_MAX + 1];
    fn_task_t   *t;
    redisReply  *a, *count;

    v[0] = "MGET";

    for (i = 0; i < batch->n; i++) {
        t = &batch->task[i];
        (void) snprintf(key[i], FN_KEY_MAX, FN_K "crash:%.*s", (int) t->env.id.n, t->env.id.p);
        v[i + 1] = key[i];
    }

    a = batch->n > 0 && d->redis.c != NULL && redisAppendCommandArgv(d->redis.c, (int) batch->n + 1, v, NULL) == REDIS_OK
        ? fn_redis_reply(&d->redis) : NULL;
    known = a != NULL && a->type == REDIS_REPLY_ARRAY && a->elements == batch->n;

    for (i = 0; i < batch->n; i++) {
        count = known ? a->element[i] : NULL;
        batch->task[i].again = count == NULL || count->type == REDIS_REPLY_STRING;
        batch->task[i].suspect = count == NULL ? 1 : count->type == REDIS_REPLY_STRING ? (unsigned) strtoul(count->str, NULL, 10) : 0;
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


/* Which of the jobs are to end. Asked for only while there are such jobs. */
static void
fn_delivery_cancelled(fn_delivery_t *d, fn_batch_t *batch)
{
    size_t       k;
    unsigned     i;
    redisReply  *a;

    a = fn_cancelled(d);

    for (i = 0; a != NULL && i < batch->n; i++) {
        for (k = 0; k < a->elements && !batch->task[i].cancelled; k++) {
            batch->task[i].cancelled = a->element[k]->len == batch->task[i].env.id.n
                                       && memcmp(a->element[k]->str, batch->task[i].env.id.p, a->element[k]->len) == 0;
        }
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


static void
fn_delivery_urgent(fn_delivery_t *d, const fn_batch_t *batch)
{
    d->urgent = batch->n > 0 && batch->task[0].env.prio == 'h' ? d->urgent + 1 : 0;
}


static void
fn_delivery_fill(fn_delivery_t *d, redisReply *a, const unsigned *k, unsigned nk, fn_batch_t *batch)
{
    size_t       i, j;
    fn_task_t   *t;
    redisReply  *e;

    batch->memory = a;
    batch->n = 0;

    for (i = 0; i < nk && i + 1 < a->elements; i++) {
        for (j = 0; j < a->element[i + 1]->elements && batch->n < FN_BATCH_MAX; j++) {
            e = a->element[i + 1]->element[j];
            t = &batch->task[batch->n];

            if (fn_task_parse(t, e->str, e->len) != 0) {
                t->slot = k[i];
                fn_delivery_bury(d, t);
                continue;
            }

            t->slot = k[i];
            batch->n++;
        }
    }

    fn_delivery_urgent(d, batch);

    if (a->elements == 0) {
        return;
    }

    d->ordered = (a->element[0]->integer & 2) != 0;
    d->cancels = (a->element[0]->integer & 4) != 0;

    if (a->element[0]->integer & 1) {
        fn_delivery_suspects(d, batch);
    }

    if (d->cancels && batch->n > 0) {
        fn_delivery_cancelled(d, batch);
    }
}


int
fn_delivery_cancels(const fn_delivery_t *d)
{
    return d->cancels;
}


redisReply *
fn_cancelled(fn_delivery_t *d)
{
    redisReply  *a;

    a = fn_redis_command(&d->redis, "SMEMBERS %s", FN_K_CANCELLED);

    if (a != NULL && a->type != REDIS_REPLY_ARRAY) {
        freeReplyObject(a);
        a = NULL;
    }

    return a;
}


/*
 * Into how many parts what waits is to be divided: one is ours, the others are for those of this host who stand idle. Else jobs that come
 * together would be one batch, wait for each other, and come together again with their next step.
 */
static unsigned
fn_delivery_parts(const fn_delivery_t *d)
{
    unsigned           i, parts;
    const fn_entry_t  *e;

    for (i = 0, parts = 1; i < FN_CHILDREN_MAX; i++) {
        e = &d->child->board->child[i];
        parts += e->state == FN_ENTRY_LIVE && e->role == (int) d->child->role && e != d->child->entry && !e->draining
                 && e->taken_ms != 0 && e->in_hand == 0;
    }

    return parts;
}


static int
fn_send_take(fn_delivery_t *d, const unsigned *k, unsigned nk, unsigned max)
{
    char         n[16], parts[16];
    size_t       len[FN_BATCH_MAX + 10];
    unsigned     i;
    const char  *v[FN_BATCH_MAX + 10];

    v[0] = FN_K_CRASHED;
    v[1] = d->queue[0];
    v[2] = d->queue[1];
    v[3] = d->queue[2];

    v[4] = d->orders;
    v[5] = d->in_work;
    v[6] = FN_K_CANCELLED;

    for (i = 0; i < nk; i++) {
        v[7 + i] = fn_slot_name(d, i, k[i]);
    }

    v[7 + nk] = n;
    (void) snprintf(n, sizeof(n), "%u", max < FN_BATCH_MAX ? max : FN_BATCH_MAX);

    v[8 + nk] = parts;
    (void) snprintf(parts, sizeof(parts), "%u", max > 1 ? fn_delivery_parts(d) : 1);

    v[9 + nk] = d->urgent >= FN_URGENT_MAX ? "1" : "0";

    for (i = 0; i < nk + 10; i++) {
        len[i] = strlen(v[i]);
    }

    return fn_redis_script(&d->redis, FN_SCRIPT_TAKE, nk + 7, nk + 10, v, len);
}


static int
fn_send_finish(fn_delivery_t *d, fn_finish_t *f)
{
    int           rc;
    size_t       *len;
    unsigned      i, keys;
    const char  **v;

    keys = f->nslots + 3;
    v = malloc((f->n + keys) * sizeof(*v));
    len = malloc((f->n + keys) * sizeof(*len));
    rc = -1;

    if (v != NULL && len != NULL) {
        v[0] = FN_K_CHANGES;
        v[1] = FN_K_REVOKED;
        v[2] = d->in_work;

        for (i = 0; i < f->nslots; i++) {
            v[i + 3] = fn_slot_name(d, i, f->slot[i]);
        }

        for (i = 0; i < keys; i++) {
            len[i] = strlen(v[i]);
        }

        for (i = 0; i < f->n; i++) {
            v[i + keys] = f->arena.data + f->arg[i].at;
            len[i + keys] = f->arg[i].len;
        }

        rc = fn_redis_script(&d->redis, FN_SCRIPT_FINISH, keys, f->n + keys, v, len);
    }

    free(v);
    free(len);

    return rc;
}


/* 0 = good; 1 = to be sent again. */
static int
fn_check(fn_delivery_t *d, const redisReply *a)
{
    if (a->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    if (fn_redis_noscript(a)) {
        (void) fn_redis_load(&d->redis);
        return 1;
    }

    fn_delivery_pause(d, a);

    if (!fn_redis_again(a) || fn_redis_moved(a)) {
        fn_redis_close(&d->redis);
    }

    return 1;
}


static void
fn_mark_lost(const redisReply *a, const fn_finish_t *f, unsigned char *lost)
{
    size_t  i;

    if (a->elements > 0) {
        fn_log(FN_LOG_WARN, "results were dropped: the jobs are in other hands", NULL);
    }

    if (lost == NULL) {
        return;
    }

    memset(lost, 0, f->jobs);

    for (i = 0; i < a->elements; i++) {
        if (a->element[i]->integer >= 0 && (unsigned) a->element[i]->integer < f->jobs) {
            lost[a->element[i]->integer] = 1;
        }
    }
}


/* One trip, repeated until Redis has answered: the end of a wait, results (or NULL), a take (or batch NULL). */
static int
fn_trip(fn_delivery_t *d, fn_finish_t *f, unsigned char *lost, const unsigned *k, unsigned nk, unsigned max, fn_batch_t *batch)
{
    int          again;
    unsigned     unblock;
    redisReply  *a, *b;

    if (f != NULL && f->failed) {
        fn_log(FN_LOG_ERROR, "no memory for results", NULL);
        abort();                            /* the slots are reaped, and the results come from the inbox */
    }

    fn_delivery_forget(d);

    while (f != NULL || batch != NULL) {
        if ((f == NULL && fn_quit) || fn_delivery_ready(d, f != NULL ? 2 : 1) != 0) {
            return -1;
        }

        unblock = d->leaving ? fn_waits_unblock(&d->waits, &d->redis) : 0;

        if ((f != NULL && fn_send_finish(d, f) != 0) || (batch != NULL && fn_send_take(d, k, nk, max) != 0)) {
            fn_redis_close(&d->redis);      /* something may have been queued before */
            continue;
        }

        if (d->leaving) {
            fn_waits_read(&d->waits, &d->redis, unblock);
            d->leaving = 0;
        }

        a = f != NULL ? fn_redis_reply(&d->redis) : NULL;
        b = batch != NULL ? fn_redis_reply(&d->redis) : NULL;
        again = f != NULL && (a == NULL || fn_check(d, a));

        if (f != NULL && !again) {
            fn_mark_lost(a, f, lost);
            f = NULL;
        }

        if (a != NULL) {
            freeReplyObject(a);
        }

        /* after a finish that has to be sent again the slots hold other jobs */
        if (b != NULL && (again || fn_check(d, b) != 0)) {
            freeReplyObject(b);
            b = NULL;
        }

        if (b != NULL && batch != NULL) {
            d->child->entry->taken_ms = fn_mono_ms();
            fn_delivery_fill(d, b, k, nk, batch);
            batch = NULL;
        }
    }

    return 0;
}


/* Whether a wait has brought all that a take would: then it is the batch, and a trip is saved. */
static int
fn_came(fn_delivery_t *d, fn_batch_t *batch)
{
    fn_task_t  *t;

    t = &batch->task[0];

    if (d->came == NULL || fn_task_parse(t, d->came->str, d->came->len) != 0) {
        return 0;
    }

    t->slot = d->waited;
    batch->n = 1;
    batch->alone = 1;
    batch->memory = d->came;
    d->came = NULL;

    d->ordered = d->cancels = 0;
    d->child->entry->taken_ms = fn_mono_ms();
    fn_delivery_urgent(d, batch);

    return 1;
}


int
fn_take(fn_delivery_t *d, const unsigned *k, unsigned nk, unsigned max, fn_batch_t *batch)
{
    batch->n = batch->alone = 0;
    batch->memory = NULL;

    if (!fn_quit && fn_came(d, batch)) {
        return 0;
    }

    return fn_trip(d, NULL, NULL, k, nk, max, batch);
}


int
fn_finish(fn_delivery_t *d, fn_finish_t *f, unsigned char *lost)
{
    return fn_trip(d, f, lost, NULL, 0, 0, NULL);
}


int
fn_finish_take(fn_delivery_t *d, fn_finish_t *f, unsigned char *lost, const unsigned *k, unsigned nk, unsigned max,
               fn_batch_t *batch)
{
    batch->n = batch->alone = 0;
    batch->memory = NULL;

    return fn_trip(d, f, lost, k, nk, max, batch);
}


int
fn_wait_begin(fn_delivery_t *d, unsigned k)
{
    if (d->leaving) {
        fn_wait_end(d);
    }

    if (d->waits.armed || d->ordered) {
        return d->waits.armed ? 0 : -1;     /* under orders only a take may bring jobs */
    }

    d->waited = k;

    if (fn_waits_begin(&d->waits, fn_slot_key(d, k)) != 0) {
        fn_wait_end(d);
        return -1;
    }

    return 0;
}


void
fn_wait_fds(fn_delivery_t *d, int fds[2])
{
    fn_waits_fds(&d->waits, fds);
}


/*
 * Both connections are unblocked, so that nothing is delivered into the slot behind the back of an executor
 * that is at work: such a job would wait for it although others are idle.
 */
void
fn_wait_end(fn_delivery_t *d)
{
    if (d->waits.armed) {
        fn_waits_read(&d->waits, &d->redis, fn_waits_unblock(&d->waits, &d->redis));
    }

    d->leaving = 0;
    fn_delivery_forget(d);
}


/* ended: which of them. */
static void
fn_wait_over(fn_delivery_t *d, int ended)
{
    fn_delivery_forget(d);

    if (ended) {
        d->came = fn_waits_over(&d->waits, ended);
    }

    d->leaving = d->waits.armed != 0;
}


/*
 * A job that has come is asked for: a process that was stopped meanwhile might begin what has gone into other hands. The database sees that,
 * and finish; a service outside would be called twice.
 */
void
fn_wait_leave(fn_delivery_t *d)
{
    fn_wait_over(d, fn_waits_poll(&d->waits, 0));
    fn_delivery_forget(d);
}


void
fn_wait(fn_delivery_t *d, unsigned k, unsigned ms)
{
    if (fn_wait_begin(d, k) != 0) {
        fn_sleep_ms(ms < 100 ? ms : 100);
        return;
    }

    fn_wait_over(d, fn_quit ? 0 : fn_waits_poll(&d->waits, (int) (ms < FN_WAIT_MS ? ms : FN_WAIT_MS)));
}


void
fn_giveback(fn_delivery_t *d, unsigned k)
{
    while (fn_delivery_ready(d, 2) == 0) {
        if (fn_reap(&d->redis, fn_slot_key(d, k), 0, NULL, NULL) >= 0) {
            return;
        }

        fn_sleep_ms(100);
    }
}
