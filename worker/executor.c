/*
 * An executor of the lanes sql and auth: take, run, finish, one transaction at a time, in plain blocking C.
 * A finish and the next take share one trip to Redis; the jobs taken together share one commit.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "work.h"

#define FN_IDLE_MS      2000
#define FN_REST         8       /* after so many jobs that came alone the lane is at rest */
#define FN_PUBLISHED_MS 1000    /* change rows that were published are forgotten after so long at the latest */

typedef struct {
    fn_child_t     *child;
    fn_work_env_t   env;
    fn_delivery_t  *delivery;
    fn_finish_t    *finish;
    fn_batch_t      batch;
    fn_work_t       work[FN_BATCH_MAX];
    unsigned char   lost[FN_BATCH_MAX];
    unsigned        max;            /* jobs taken at once */
    unsigned        rest;           /* batches in a row that were one job, with empty queues behind it */
    char            name[32];
} fn_executor_t;

static const unsigned  fn_executor_slot = 0;    /* the only one */


static void
fn_executor_remember(fn_executor_t *x, const char *ids, size_t n)
{
    fn_buf_adds(&x->env.published, x->env.published.len ? "," : "");
    fn_buf_add(&x->env.published, ids, n);
    x->env.published_ms = fn_mono_ms();
}


/* Jobs whose results counted have published their changes and pushed their follow-ups. */
static void
fn_executor_published(fn_executor_t *x)
{
    size_t            n;
    unsigned          i;
    fn_buf_t         *b;
    const fn_work_t  *w;

    b = &x->env.published;

    for (i = 0; i < x->batch.n; i++) {
        w = &x->work[i];

        if (x->lost[i]) {
            continue;
        }

        n = w->change_ids ? strlen(w->change_ids) : 0;

        if (n > 2 && w->change_ids[0] == '{') {
            fn_executor_remember(x, w->change_ids + 1, n - 2);
        }

        if (w->follow_ids.len > 0) {
            fn_executor_remember(x, w->follow_ids.data, w->follow_ids.len);
        }
    }

    if (b->failed) {
        fn_buf_free(b);                 /* the sweep finds them */
    }
}


static int
fn_executor_goes_on(const fn_executor_t *x)
{
    return !fn_quit && x->env.db.c != NULL && !fn_child_recycle(x->child);
}


/* Runs the batch and sends its results, with the next take unless the executor is to stop. 0 or -1 = to stop. */
static int
fn_executor_batch(fn_executor_t *x)
{
    int          rc, take;
    unsigned     i;
    fn_batch_t   next;

    x->child->entry->in_hand = x->batch.n;
    x->child->entry->busy_since_ms = fn_mono_ms();
    FN_FAULT("executor.taken");

    for (i = 0; i < x->batch.n; i++) {
        fn_work_start(&x->env, &x->work[i], &x->batch.task[i]);
    }

    fn_work_run(&x->env, x->work, x->batch.n);
    fn_finish_start(x->finish);

    for (i = 0; i < x->batch.n; i++) {
        fn_work_finish(&x->env, &x->work[i], x->finish);
    }

    FN_FAULT("executor.before_finish");

    x->child->entry->jobs += x->batch.n;

    /* In a lane at rest the next wait brings what comes, and nobody waits for his reply until a take has found nothing. */
    x->rest = x->batch.alone ? x->rest + 1 : 0;
    take = x->rest < FN_REST && fn_executor_goes_on(x);

    next.n = next.alone = 0;
    next.memory = NULL;

    rc = take ? fn_finish_take(x->delivery, x->finish, x->lost, &fn_executor_slot, 1, x->max, &next)
              : fn_finish(x->delivery, x->finish, x->lost);

    FN_FAULT("executor.after_finish");

    if (rc == 0) {
        fn_executor_published(x);
    }

    for (i = 0; i < x->batch.n; i++) {
        fn_work_count(&x->work[i], rc == 0 && x->lost[i]);
        fn_work_end(&x->work[i]);
    }

    fn_batch_free(&x->batch);
    x->batch = next;
    x->child->entry->in_hand = x->batch.n;
    x->child->entry->busy_since_ms = 0;

    return rc;
}


/* A database that does not answer stops the taking: the jobs wait in their queues, not in our hands. */
static void
fn_executor_database(fn_executor_t *x)
{
    fn_wait_end(x->delivery);

    while (!fn_quit && fn_db_connect(&x->env.db) != 0) {
        fn_child_tick(x->child);
        fn_sleep_ms(20);
    }
}


static void
fn_executor_idle(fn_executor_t *x)
{
    unsigned  ms;
    uint64_t  age;

    ms = FN_IDLE_MS;

    if (x->env.published.len > 0) {
        age = fn_mono_ms() - x->env.published_ms;

        if (age >= FN_PUBLISHED_MS) {
            fn_work_published(&x->env);

        } else {
            ms = FN_PUBLISHED_MS - (unsigned) age;
        }
    }

    fn_wait(x->delivery, 0, ms);
}


static void
fn_executor_loop(fn_executor_t *x)
{
    while (!fn_quit && !fn_child_recycle(x->child)) {
        fn_child_tick(x->child);

        if (x->env.db.c == NULL) {
            fn_executor_database(x);
            continue;
        }

        if (x->batch.n == 0) {
            fn_batch_free(&x->batch);

            if (fn_take(x->delivery, &fn_executor_slot, 1, x->max, &x->batch) != 0) {
                break;
            }
        }

        if (x->batch.n == 0) {
            fn_executor_idle(x);
            continue;
        }

        if (fn_executor_batch(x) != 0) {
            break;
        }

        /* the take has brought all there was, or was left to a wait */
        if (x->batch.n == 0 && fn_executor_goes_on(x)) {
            fn_executor_idle(x);
        }
    }
}


int
fn_executor_run(fn_child_t *child)
{
    static fn_executor_t  x;

    x.child = child;
    x.env.child = child;
    x.max = child->role == FN_ROLE_SQL ? (unsigned) child->settings->sql_batch : 1;

    (void) snprintf(x.name, sizeof(x.name), "fitnudge: %s %u", child->lane, child->number);
    fn_db_init(&x.env.db, child->settings, x.name);

    x.finish = fn_finish_new();
    x.delivery = fn_delivery_open(child);

    if (x.finish == NULL || x.delivery == NULL) {
        fn_finish_free(x.finish);
        return fn_quit ? 0 : 1;
    }

    x.env.cache.redis = fn_delivery_redis(x.delivery);

    fn_executor_loop(&x);

    fn_wait_end(x.delivery);
    fn_batch_free(&x.batch);
    fn_giveback(x.delivery, 0);
    fn_work_published(&x.env);

    fn_buf_free(&x.env.published);
    fn_db_close(&x.env.db);
    fn_delivery_close(x.delivery);
    fn_finish_free(x.finish);

    return 0;
}
