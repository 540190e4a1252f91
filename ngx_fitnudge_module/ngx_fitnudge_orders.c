#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_orders.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_envelope.h"
#include "../worker/libfitnudge/fn_keys.h"


#define LANES       2
#define QUEUES      2           /* of a lane: high and normal, which clients' jobs go to */
#define STALE_MS    100         /* after which a length that was too large is not believed any more: somebody may try */
#define ASK_MS      1000        /* how often the oldest job is asked for; an age is believed as long */
#define LOOK        8           /* jobs at the end of a queue that are looked at */


static void ngx_fitnudge_orders_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);
static void ngx_fitnudge_orders_failed(void);
static void ngx_fitnudge_orders_ask(const fn_job_t *job, ngx_msec_t interval);
static void ngx_fitnudge_orders_oldest(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);


/* times are of ngx_current_msec */

typedef struct {
    uint64_t     oldest;        /* when its next job was enqueued, unix ms; 0: it is not known to be old */
    ngx_msec_t   known;
    ngx_msec_t   asked;
    unsigned     asking:1;
    unsigned     ever:1;        /* asked */
} ngx_fitnudge_queue_t;

typedef struct {
    const char            *name;
    ngx_uint_t             stopped;
    ngx_uint_t             depth;
    ngx_msec_t             known;
    ngx_fitnudge_queue_t   queues[QUEUES];
} ngx_fitnudge_lane_t;


/* of this process: those lanes that the edge writes to */
static ngx_fitnudge_lane_t  ngx_fitnudge_lanes[LANES] = { { .name = "sql" }, { .name = "auth" } };

static struct {
    ngx_uint_t  loading;        /* answers that are awaited */
    ngx_msec_t  timeout;        /* of what is asked */
    unsigned    stale:1;
    unsigned    failed:1;       /* one of the answers: the next tick asks again, or whoever hears of a new connection */
} ngx_fitnudge_orders;


static ngx_fitnudge_lane_t *
ngx_fitnudge_orders_lane(const char *name)
{
    ngx_uint_t  i;

    for (i = 0; i < LANES; i++) {
        if (ngx_strcmp(ngx_fitnudge_lanes[i].name, name) == 0) {
            return &ngx_fitnudge_lanes[i];
        }
    }

    return NULL;
}


void
ngx_fitnudge_orders_changed(void)
{
    ngx_fitnudge_orders.stale = 1;
}


void
ngx_fitnudge_orders_load(ngx_msec_t timeout)
{
    char                key[64];
    size_t              lens[3];
    ngx_uint_t          i;
    const char         *argv[3] = { "HGET", key, "stop_enqueue" };
    ngx_fitnudge_op_t  *op;

    ngx_fitnudge_orders.timeout = timeout;

    if (!ngx_fitnudge_orders.stale || ngx_fitnudge_orders.loading) {
        return;
    }

    /* the last answer that finds the flag set again was overtaken by another change */
    ngx_fitnudge_orders.stale = 0;
    ngx_fitnudge_orders.failed = 0;
    ngx_fitnudge_orders.timeout = timeout;

    for (i = 0; i < LANES; i++) {
        op = ngx_fitnudge_op_create(NULL, timeout, ngx_fitnudge_orders_loaded, &ngx_fitnudge_lanes[i]);
        if (op == NULL) {
            ngx_fitnudge_orders_failed();
            return;
        }

        op->timeout.cancelable = 1;

        lens[0] = 4;
        lens[1] = (size_t) snprintf(key, sizeof(key), FN_K_ORDERS, ngx_fitnudge_lanes[i].name);
        lens[2] = ngx_strlen(argv[2]);

        if (ngx_fitnudge_redis_command(op, 3, argv, lens) != NGX_OK) {
            ngx_fitnudge_orders_failed();
            return;
        }

        ngx_fitnudge_orders.loading++;
    }
}


static void
ngx_fitnudge_orders_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    redisReply           *reply = data;
    ngx_fitnudge_lane_t  *lane = op->data;

    ngx_fitnudge_orders.loading--;

    if (rc != NGX_OK || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_NIL)) {
        ngx_fitnudge_orders_failed();

    } else {
        lane->stopped = reply->type == REDIS_REPLY_STRING;
    }

    if (ngx_fitnudge_orders.loading == 0 && !ngx_fitnudge_orders.failed) {
        ngx_fitnudge_orders_load(ngx_fitnudge_orders.timeout);
    }
}


static void
ngx_fitnudge_orders_failed(void)
{
    ngx_fitnudge_orders.failed = 1;
    ngx_fitnudge_orders.stale = 1;
}


static ngx_fitnudge_queue_t *
ngx_fitnudge_orders_queue(ngx_fitnudge_lane_t *lane, const fn_job_t *job)
{
    return &lane->queues[job->prio == 'h' ? 0 : 1];
}


ngx_uint_t
ngx_fitnudge_orders_refuse(const fn_job_t *job, const ngx_fitnudge_queue_limits_t *limits)
{
    uint64_t               now;
    ngx_time_t            *tp;
    ngx_fitnudge_lane_t   *lane;
    ngx_fitnudge_queue_t  *queue;

    lane = ngx_fitnudge_orders_lane(job->lane);

    if (lane == NULL) {
        return 0;
    }

    if (lane->stopped
        || (limits->depth != 0 && lane->depth > (ngx_uint_t) limits->depth && ngx_current_msec - lane->known < STALE_MS))
    {
        return 1;
    }

    queue = ngx_fitnudge_orders_queue(lane, job);

    if (limits->age == 0 || queue->oldest == 0 || ngx_current_msec - queue->known >= ASK_MS) {
        return 0;
    }

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    if (now <= queue->oldest + limits->age) {
        return 0;
    }

    /* whether it is still so is asked by those who are refused, so that nobody has to try */
    ngx_fitnudge_orders_ask(job, STALE_MS);

    return 1;
}


void
ngx_fitnudge_orders_added(const fn_job_t *job, long long depth, const ngx_fitnudge_queue_limits_t *limits)
{
    ngx_fitnudge_lane_t  *lane;

    lane = ngx_fitnudge_orders_lane(job->lane);

    if (lane == NULL || depth < 0) {
        return;
    }

    lane->depth = (ngx_uint_t) depth;
    lane->known = ngx_current_msec;

    if (depth <= 1) {
        ngx_fitnudge_orders_queue(lane, job)->oldest = 0;

    } else if (limits->age != 0) {
        ngx_fitnudge_orders_ask(job, ASK_MS);
    }
}


/* Asks for the jobs that are next, unless it was done within the interval. Nobody waits for the answer. */

static void
ngx_fitnudge_orders_ask(const fn_job_t *job, ngx_msec_t interval)
{
    char                   key[64], first[NGX_INT_T_LEN + 1];
    size_t                 lens[4];
    const char            *argv[4] = { "LRANGE", key, first, "-1" };
    ngx_fitnudge_op_t     *op;
    ngx_fitnudge_queue_t  *queue;

    queue = ngx_fitnudge_orders_queue(ngx_fitnudge_orders_lane(job->lane), job);

    if (queue->asking || ngx_fitnudge_orders.timeout == 0 || (queue->ever && ngx_current_msec - queue->asked < interval)) {
        return;
    }

    op = ngx_fitnudge_op_create(NULL, ngx_fitnudge_orders.timeout, ngx_fitnudge_orders_oldest, queue);
    if (op == NULL) {
        return;
    }

    op->timeout.cancelable = 1;

    lens[0] = 6;
    lens[1] = (size_t) snprintf(key, sizeof(key), FN_K_QUEUE, job->lane, job->prio);
    lens[2] = (size_t) snprintf(first, sizeof(first), "-%d", LOOK);
    lens[3] = 2;

    queue->ever = 1;
    queue->asked = ngx_current_msec;

    if (ngx_fitnudge_redis_command(op, 4, argv, lens) == NGX_OK) {
        queue->asking = 1;
    }
}


/*
 * Only a client's job (it has a trace: those that jobs and the clock make have none) at its first step and first try says by its age how
 * long the queue is: others were put off, or have come a long way.
 */

static uint64_t
ngx_fitnudge_orders_enqueued(const redisReply *reply)
{
    fn_job_env_t  env;

    if (reply->type != REDIS_REPLY_STRING || fn_job_env_parse(&env, reply->str, reply->len) != 0
        || env.attempt > 0 || env.traceparent.n == 0 || memchr(env.job.p, ':', env.job.n) != NULL)
    {
        return 0;
    }

    return env.enqueued_ms;
}


static void
ngx_fitnudge_orders_oldest(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    size_t                 i;
    uint64_t               enqueued;
    redisReply            *reply = data;
    ngx_fitnudge_queue_t  *queue = op->data;

    queue->asking = 0;
    queue->oldest = 0;
    queue->known = ngx_current_msec;

    if (rc != NGX_OK || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        enqueued = ngx_fitnudge_orders_enqueued(reply->element[i]);

        if (enqueued != 0 && (queue->oldest == 0 || enqueued < queue->oldest)) {
            queue->oldest = enqueued;
        }
    }
}
