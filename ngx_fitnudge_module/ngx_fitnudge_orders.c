#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_orders.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


#define LANES       2
#define STALE_MS    100         /* after which a length that was too large is not believed any more: somebody may try */


static void ngx_fitnudge_orders_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);
static void ngx_fitnudge_orders_failed(void);


typedef struct {
    const char  *name;
    ngx_uint_t   stopped;
    ngx_uint_t   depth;
    ngx_msec_t   known;         /* ngx_current_msec of the depth */
} ngx_fitnudge_lane_t;


/* of this process: those lanes that the edge writes to */
static ngx_fitnudge_lane_t  ngx_fitnudge_lanes[LANES] = { { "sql", 0, 0, 0 }, { "auth", 0, 0, 0 } };

static struct {
    ngx_uint_t  loading;        /* answers that are awaited */
    ngx_msec_t  timeout;
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


ngx_uint_t
ngx_fitnudge_orders_refuse(const char *name, ngx_uint_t max)
{
    ngx_fitnudge_lane_t  *lane;

    lane = ngx_fitnudge_orders_lane(name);

    return lane != NULL
           && (lane->stopped || (max != 0 && lane->depth > max && ngx_current_msec - lane->known < STALE_MS));
}


void
ngx_fitnudge_orders_depth(const char *name, long long depth)
{
    ngx_fitnudge_lane_t  *lane;

    lane = ngx_fitnudge_orders_lane(name);

    if (lane != NULL && depth >= 0) {
        lane->depth = (ngx_uint_t) depth;
        lane->known = ngx_current_msec;
    }
}
