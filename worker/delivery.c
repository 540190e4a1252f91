/*
 * Delivery, at least once: jobs come out of Redis into slot lists, their results go back.  The slot list in Redis is
 * the truth about what we hold; answers that were lost are asked for again, never guessed.
 */
#include "delivery.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"

#define FN_WAIT_MS      2000        /* far below the 30 s after which we count as dead */
#define FN_ANSWER_MS    3000
#define FN_KEY_MAX      256

struct fn_delivery_s {
    fn_child_t  *child;
    fn_redis_t   redis;
    fn_redis_t   wait[2];           /* one blocked on the high queue, one on the normal; low is asked for after each wait */
    int          armed;
    uint64_t     wait_retry_ms;
    char         queue[3][FN_KEY_MAX];
    char         slot[FN_KEY_MAX];  /* of the last fn_slot_key() */
};


static const char *
fn_slot_key(fn_delivery_t *d, unsigned k)
{
    (void) snprintf(d->slot, sizeof(d->slot), FN_K_SLOT, d->child->board->inst, fn_child_slot(d->child, k));

    return d->slot;
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

        if (a == NULL) {
            return -1;
        }

        freeReplyObject(a);
    }

    /* the manager does this too; whoever is first, so that no slot is in use that nobody would reap */
    a = fn_redis_command(&d->redis, "TIME");

    if (a == NULL) {
        return -1;
    }

    if (a->type == REDIS_REPLY_ARRAY && a->elements == 2) {
        (void) snprintf(now, sizeof(now), "%s%03ld", a->element[0]->str, strtol(a->element[1]->str, NULL, 10) / 1000);
        freeReplyObject(a);
        a = fn_redis_command(&d->redis, "ZADD %s NX %s %s", FN_K_INSTANCES, now, d->child->board->inst);

        if (a == NULL) {
            return -1;
        }
    }

    freeReplyObject(a);

    return 0;
}


fn_delivery_t *
fn_delivery_open(fn_child_t *child)
{
    unsigned        i;
    fn_delivery_t  *d;

    d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return NULL;
    }

    d->child = child;
    fn_redis_init(&d->redis, child->settings, FN_ANSWER_MS);

    for (i = 0; i < 2; i++) {
        fn_redis_init(&d->wait[i], child->settings, FN_WAIT_MS + FN_ANSWER_MS);
    }

    for (i = 0; i < 3; i++) {
        (void) snprintf(d->queue[i], sizeof(d->queue[i]), FN_K_QUEUE, child->lane, "hnl"[i]);
    }

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
        fn_redis_close(&d->wait[0]);
        fn_redis_close(&d->wait[1]);
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
    redisReply  *a;

    fn_log(FN_LOG_ERROR, "a malformed envelope was put to the dead letters", "lane", d->child->lane, NULL);

    (void) snprintf(key, sizeof(key), FN_K_DEAD, d->child->lane);

    a = fn_redis_command(&d->redis, "ZADD %s %llu %b", key, (unsigned long long) fn_now_ms(), t->raw.p, t->raw.n);

    if (a != NULL) {
        freeReplyObject(a);
        a = fn_redis_command(&d->redis, "LREM %s 1 %b", d->slot, t->raw.p, t->raw.n);

        if (a != NULL) {
            freeReplyObject(a);
        }
    }
}


/* Which of the jobs have taken a process down before. Asked for only while such jobs exist at all. */
static void
fn_delivery_suspects(fn_delivery_t *d, fn_batch_t *batch)
{
    char         key[FN_KEY_MAX];
    unsigned     i;
    redisReply  *a;

    for (i = 0; i < batch->n; i++) {
        (void) snprintf(key, sizeof(key), FN_K "crash:%.*s", (int) batch->task[i].env.id.n, batch->task[i].env.id.p);
        a = fn_redis_command(&d->redis, "EXISTS %s", key);
        batch->task[i].suspect = a == NULL || a->integer != 0;

        if (a != NULL) {
            freeReplyObject(a);
        }
    }
}


static void
fn_delivery_fill(fn_delivery_t *d, redisReply *a, fn_batch_t *batch)
{
    size_t       i;
    redisReply  *e;

    batch->memory = a;
    batch->n = 0;

    for (i = 1; i < a->elements && batch->n < FN_BATCH_MAX; i++) {
        e = a->element[i];

        if (fn_task_parse(&batch->task[batch->n], e->str, e->len) != 0) {
            fn_delivery_bury(d, &batch->task[batch->n]);
            continue;
        }

        batch->n++;
    }

    if (a->elements > 0 && a->element[0]->integer != 0) {
        fn_delivery_suspects(d, batch);
    }
}


static int
fn_send_take(fn_delivery_t *d, unsigned k, unsigned max)
{
    char         n[16];
    size_t       len[6];
    unsigned     i;
    const char  *v[6];

    v[0] = fn_slot_key(d, k);
    v[1] = FN_K_CRASHED;
    v[2] = d->queue[0];
    v[3] = d->queue[1];
    v[4] = d->queue[2];
    v[5] = n;
    (void) snprintf(n, sizeof(n), "%u", max < FN_BATCH_MAX ? max : FN_BATCH_MAX);

    for (i = 0; i < 6; i++) {
        len[i] = strlen(v[i]);
    }

    return fn_redis_script(&d->redis, FN_SCRIPT_TAKE, 5, 6, v, len);
}


static int
fn_send_finish(fn_delivery_t *d, unsigned k, fn_finish_t *f)
{
    int           rc;
    size_t       *len;
    unsigned      i;
    const char  **v;

    v = malloc((f->n + 3) * sizeof(*v));
    len = malloc((f->n + 3) * sizeof(*len));
    rc = -1;

    if (v != NULL && len != NULL) {
        v[0] = fn_slot_key(d, k);
        v[1] = FN_K_CHANGES;
        v[2] = FN_K_REVOKED;

        for (i = 0; i < 3; i++) {
            len[i] = strlen(v[i]);
        }

        for (i = 0; i < f->n; i++) {
            v[i + 3] = f->arena.data + f->arg[i].at;
            len[i + 3] = f->arg[i].len;
        }

        rc = fn_redis_script(&d->redis, FN_SCRIPT_FINISH, 3, f->n + 3, v, len);
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


int
fn_take(fn_delivery_t *d, unsigned k, unsigned max, fn_batch_t *batch)
{
    redisReply  *a;

    batch->n = 0;
    batch->memory = NULL;

    for ( ;; ) {
        if (fn_quit || fn_delivery_ready(d, 1) != 0) {
            return -1;
        }

        if (fn_send_take(d, k, max) != 0) {
            continue;
        }

        a = fn_redis_reply(&d->redis);

        if (a == NULL) {
            continue;
        }

        if (fn_check(d, a) == 0) {
            d->child->entry->taken_ms = fn_mono_ms();
            fn_delivery_fill(d, a, batch);
            return 0;
        }

        freeReplyObject(a);
    }
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


/* With batch: the take travels in the same trip, and is sent again with the finish when that failed. */
static int
fn_finish_trip(fn_delivery_t *d, unsigned k, fn_finish_t *f, unsigned char *lost, unsigned max, fn_batch_t *batch)
{
    int          again;
    redisReply  *a, *b;

    if (f->failed) {
        fn_log(FN_LOG_ERROR, "no memory for results", NULL);
        abort();                            /* the slot is reaped, and the results come from the inbox */
    }

    for ( ;; ) {
        if (fn_delivery_ready(d, 2) != 0) {
            return -1;
        }

        if (fn_send_finish(d, k, f) != 0 || (batch != NULL && fn_send_take(d, k, max) != 0)) {
            continue;
        }

        a = fn_redis_reply(&d->redis);
        b = batch ? fn_redis_reply(&d->redis) : NULL;

        again = a == NULL || fn_check(d, a);

        if (!again) {
            fn_mark_lost(a, f, lost);
        }

        if (a != NULL) {
            freeReplyObject(a);
        }

        if (again || (batch != NULL && (b == NULL || b->type == REDIS_REPLY_ERROR))) {
            if (b != NULL) {
                freeReplyObject(b);
            }

            if (!again) {
                return fn_take(d, k, max, batch);
            }

            continue;
        }

        if (batch != NULL) {
            d->child->entry->taken_ms = fn_mono_ms();
            fn_delivery_fill(d, b, batch);
        }

        return 0;
    }
}


int
fn_finish(fn_delivery_t *d, unsigned k, fn_finish_t *f, unsigned char *lost)
{
    return fn_finish_trip(d, k, f, lost, 0, NULL);
}


int
fn_finish_take(fn_delivery_t *d, unsigned k, fn_finish_t *f, unsigned char *lost, unsigned max, fn_batch_t *batch)
{
    batch->n = 0;
    batch->memory = NULL;

    return fn_finish_trip(d, k, f, lost, max, batch);
}


int
fn_wait_begin(fn_delivery_t *d, unsigned k)
{
    int       done;
    unsigned  i;

    if (d->armed || fn_mono_ms() < d->wait_retry_ms) {
        return d->armed ? 0 : -1;
    }

    for (i = 0; i < 2; i++) {
        if (fn_redis_connect(&d->wait[i]) != 0) {
            return -1;
        }
    }

    for (i = 0; i < 2; i++) {
        if (redisAppendCommand(d->wait[i].c, "BLMOVE %s %s RIGHT LEFT %d", d->queue[i], fn_slot_key(d, k),
                               FN_WAIT_MS / 1000) != REDIS_OK)
        {
            fn_redis_close(&d->wait[i]);
            break;
        }

        do {
            if (redisBufferWrite(d->wait[i].c, &done) != REDIS_OK) {
                fn_redis_close(&d->wait[i]);
                break;
            }
        } while (!done);

        if (d->wait[i].c == NULL) {
            break;
        }

        d->armed |= 1 << i;
    }

    if (i < 2) {
        fn_wait_end(d);
        d->wait_retry_ms = fn_mono_ms() + 100;
        return -1;
    }

    return 0;
}


void
fn_wait_fds(fn_delivery_t *d, int fds[2])
{
    unsigned  i;

    for (i = 0; i < 2; i++) {
        fds[i] = (d->armed & (1 << i)) && d->wait[i].c != NULL ? d->wait[i].c->fd : -1;
    }
}


/*
 * Both connections are unblocked, so that nothing is delivered into the slot behind the back of an executor
 * that is at work: such a job would wait for it although others are idle.
 */
void
fn_wait_end(fn_delivery_t *d)
{
    unsigned     i;
    redisReply  *a;

    for (i = 0; i < 2 && d->armed; i++) {
        if ((d->armed & (1 << i)) && (d->redis.c == NULL
            || redisAppendCommand(d->redis.c, "CLIENT UNBLOCK %lld", d->wait[i].client_id) != REDIS_OK))
        {
            fn_redis_close(&d->redis);
            fn_redis_close(&d->wait[i]);    /* the server notices; what it may have moved, the next take returns */
        }
    }

    for (i = 0; i < 2; i++) {
        if ((d->armed & (1 << i)) && d->redis.c != NULL) {
            a = fn_redis_reply(&d->redis);

            if (a != NULL) {
                freeReplyObject(a);
            }
        }
    }

    for (i = 0; i < 2; i++) {
        if (!(d->armed & (1 << i)) || d->wait[i].c == NULL) {
            continue;
        }

        a = fn_redis_reply(&d->wait[i]);

        if (a != NULL && a->type == REDIS_REPLY_ERROR && strncmp(a->str, "UNBLOCKED", 9) != 0) {
            d->wait_retry_ms = fn_mono_ms() + 100;

            if (fn_redis_moved(a)) {
                fn_redis_close(&d->wait[i]);
            }
        }

        if (a != NULL) {
            freeReplyObject(a);
        }
    }

    d->armed = 0;
}


void
fn_wait(fn_delivery_t *d, unsigned k, unsigned ms)
{
    int            fds[2];
    struct pollfd  p[2];

    if (fn_wait_begin(d, k) != 0) {
        fn_sleep_ms(ms < 100 ? ms : 100);
        return;
    }

    fn_wait_fds(d, fds);

    p[0].fd = fds[0];
    p[1].fd = fds[1];
    p[0].events = p[1].events = POLLIN;

    if (!fn_quit) {
        (void) poll(p, 2, (int) (ms < FN_WAIT_MS ? ms : FN_WAIT_MS));
    }

    fn_wait_end(d);
}


void
fn_giveback(fn_delivery_t *d, unsigned k)
{
    while (fn_delivery_ready(d, 2) == 0) {
        if (fn_reap(&d->redis, fn_slot_key(d, k), 0, NULL, NULL) >= 0) {
            return;
        }
    }
}
