/*
 * What others change: tags published on one channel, applied to shared memory.
 *
 * Each process listens for itself: applying a change twice does no harm.  Whatever was published
 * while nobody listened is made up for after each subscription: all generations are bumped,
 * and the revocations and the state of maintenance mode are loaded through the command connection.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_cache_shared.h"
#include "ngx_fitnudge_orders.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_fitnudge_redis_changes.h"
#include "ngx_fitnudge_shm.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_http_fitnudge_maintenance.h"
#include "../worker/libfitnudge/fn_keys.h"


#define REVOKED_PAGE  1000


static void ngx_fitnudge_redis_changes_ready(ngx_fitnudge_redis_conn_t *conn);
static ngx_uint_t ngx_fitnudge_redis_changes_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply);
static void ngx_fitnudge_redis_changes_idle(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_changes_lost(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_changes_heard(void);
static void ngx_fitnudge_redis_changes_apply(const char *p, size_t n);
static void ngx_fitnudge_redis_changes_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);


static const ngx_fitnudge_redis_role_t  ngx_fitnudge_redis_changes_role = {
    "changes",
    ngx_fitnudge_redis_changes_ready,
    ngx_fitnudge_redis_changes_reply,
    ngx_fitnudge_redis_changes_idle,
    ngx_fitnudge_redis_changes_lost,
    0,
    2
};


/* of this process */
static struct {
    ngx_fitnudge_redis_conn_t  conn;
    ngx_msec_t                 timeout;
    ngx_uint_t                 load_offset;
    ngx_msec_t                 heard;           /* ngx_current_msec of the last message, or of the start */
    unsigned                   subscribed:1;
    unsigned                   stale:1;         /* revocations have to be loaded */
    unsigned                   loading:1;
} ngx_fitnudge_redis_changes;


void
ngx_fitnudge_redis_changes_start(const ngx_fitnudge_redis_server_t *server, ngx_msec_t timeout)
{
    ngx_fitnudge_redis_changes.timeout = timeout;
    ngx_fitnudge_redis_changes.heard = ngx_current_msec;

    ngx_fitnudge_redis_conn_start(&ngx_fitnudge_redis_changes.conn, &ngx_fitnudge_redis_changes_role, server, timeout);
}


ngx_uint_t
ngx_fitnudge_redis_subscribed(void)
{
    return ngx_fitnudge_redis_changes.subscribed;
}


void
ngx_fitnudge_redis_changes_stop(void)
{
    ngx_fitnudge_redis_conn_stop(&ngx_fitnudge_redis_changes.conn);
}


void
ngx_fitnudge_redis_changes_gauges(void)
{
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REDIS_CHANGES, ngx_fitnudge_redis_changes.conn.ready);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_CHANGES_SUBSCRIBED, ngx_fitnudge_redis_changes.subscribed);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REVOCATIONS_STALE,
                       ngx_fitnudge_redis_changes.stale || ngx_fitnudge_redis_changes.loading);

    /* 0 where there is no channel to hear */
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_CHANGES_SILENCE, ngx_fitnudge_redis_changes.conn.role == NULL ? 0
                       : (int64_t) (ngx_current_msec - ngx_fitnudge_redis_changes.heard));
}


static void
ngx_fitnudge_redis_changes_ready(ngx_fitnudge_redis_conn_t *conn)
{
    const char  *argv[2];

    argv[0] = "SUBSCRIBE";
    argv[1] = FN_K_CHANGES;

    if (ngx_fitnudge_redis_conn_send_texts(conn, 2, argv) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
    }
}


static ngx_uint_t
ngx_fitnudge_redis_changes_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply)
{
    const char  *kind;

    ngx_fitnudge_redis_changes.heard = ngx_current_msec;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_fitnudge_redis_conn_fail(conn, 0, reply->str);
        return 0;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        ngx_fitnudge_redis_complain("unexpected message on the change channel");
        return 0;
    }

    kind = reply->element[0]->str;

    /* whatever it is, it came on a connection that stands */
    ngx_fitnudge_redis_changes_heard();

    if (ngx_strcmp(kind, "message") == 0) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CHANGES_MESSAGES, 1);

        if (reply->elements == 3 && reply->element[2]->type == REDIS_REPLY_STRING) {
            ngx_fitnudge_redis_changes_apply(reply->element[2]->str, (size_t) reply->element[2]->len);
        }

        return 0;
    }

    if (ngx_strcmp(kind, "subscribe") == 0) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CHANGES_SUBSCRIPTIONS, 1);
        ngx_fitnudge_redis_changes.subscribed = 1;
        ngx_fitnudge_redis_changes.stale = 1;

        if (!ngx_fitnudge_redis_changes.loading) {
            ngx_fitnudge_redis_changes.load_offset = 0;
        }

        ngx_fitnudge_shm_bump_all();
        ngx_fitnudge_maintenance_changed();
        ngx_fitnudge_cache_shared_stale();
        ngx_fitnudge_orders_changed();
        ngx_fitnudge_redis_changes_load();
    }

    /* ... or "pong" */
    return 1;
}


static void
ngx_fitnudge_redis_changes_idle(ngx_fitnudge_redis_conn_t *conn)
{
    const char  *ping = "PING";

    if (conn->awaited == 0 && ngx_fitnudge_redis_conn_send_texts(conn, 1, &ping) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
    }
}


static void
ngx_fitnudge_redis_changes_lost(ngx_fitnudge_redis_conn_t *conn)
{
    (void) conn;

    ngx_fitnudge_redis_changes.subscribed = 0;
}


static void
ngx_fitnudge_redis_changes_heard(void)
{
    if (ngx_fitnudge_redis_changes.subscribed && !ngx_fitnudge_redis_changes.stale && !ngx_fitnudge_redis_changes.loading) {
        ngx_fitnudge_shm_heard();
    }
}


/* Tags separated by spaces. */
static void
ngx_fitnudge_redis_changes_apply(const char *p, size_t n)
{
    const char  *last, *end;

    last = p + n;

    while (p < last) {
        end = memchr(p, ' ', (size_t) (last - p));
        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) == sizeof(FN_MAINTENANCE_TAG) - 1
            && ngx_memcmp(p, FN_MAINTENANCE_TAG, sizeof(FN_MAINTENANCE_TAG) - 1) == 0)
        {
            ngx_fitnudge_maintenance_changed();

        } else if ((size_t) (end - p) == sizeof(FN_ORDERS_TAG) - 1 && ngx_memcmp(p, FN_ORDERS_TAG, sizeof(FN_ORDERS_TAG) - 1) == 0) {
            ngx_fitnudge_orders_changed();
            ngx_fitnudge_orders_load(ngx_fitnudge_redis_changes.timeout);

        } else {
            ngx_fitnudge_shm_apply((const u_char *) p, (size_t) (end - p));
        }

        p = end + 1;
    }
}


/*
 * Loads the revocations a page at a time, once the subscription stands, so that none is missed in between.
 * From the highest score down: what the pool removes meanwhile has expired and is at the other end.
 */
void
ngx_fitnudge_redis_changes_load(void)
{
    int                 i;
    u_char              min[NGX_TIME_T_LEN + 1], offset[NGX_INT_T_LEN + 1], count[NGX_INT_T_LEN + 1];
    size_t              lens[8];
    const char         *argv[8];
    ngx_fitnudge_op_t  *op;

    ngx_fitnudge_maintenance_load(ngx_fitnudge_redis_changes.timeout);
    ngx_fitnudge_cache_shared_load(ngx_fitnudge_redis_changes.timeout);
    ngx_fitnudge_orders_load(ngx_fitnudge_redis_changes.timeout);

    if (!ngx_fitnudge_redis_changes.stale || ngx_fitnudge_redis_changes.loading
        || !ngx_fitnudge_redis_changes.subscribed)
    {
        return;
    }

    op = ngx_fitnudge_op_create(NULL, ngx_fitnudge_redis_changes.timeout, ngx_fitnudge_redis_changes_loaded, NULL);
    if (op == NULL) {
        return;
    }

    op->timeout.cancelable = 1;

    *ngx_sprintf(min, "%T", ngx_time() - NGX_FITNUDGE_SHM_SLACK) = '\0';
    *ngx_sprintf(offset, "%ui", ngx_fitnudge_redis_changes.load_offset) = '\0';
    *ngx_sprintf(count, "%ui", (ngx_uint_t) REVOKED_PAGE) = '\0';

    argv[0] = "ZREVRANGEBYSCORE";
    argv[1] = FN_K_REVOKED;
    argv[2] = "+inf";
    argv[3] = (char *) min;
    argv[4] = "WITHSCORES";
    argv[5] = "LIMIT";
    argv[6] = (char *) offset;
    argv[7] = (char *) count;

    for (i = 0; i < 8; i++) {
        lens[i] = ngx_strlen(argv[i]);
    }

    /* a page that finds the flag set again was overtaken by another subscription */
    ngx_fitnudge_redis_changes.stale = 0;

    if (ngx_fitnudge_redis_command(op, 8, argv, lens) == NGX_OK) {
        ngx_fitnudge_redis_changes.loading = 1;

    } else {
        ngx_fitnudge_redis_changes.stale = 1;
    }
}


static void
ngx_fitnudge_redis_changes_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    size_t       i;
    u_char      *p, tag[192];
    redisReply  *reply = data;
    redisReply  *id, *score;

    (void) op;

    ngx_fitnudge_redis_changes.loading = 0;

    if (rc != NGX_OK || reply->type != REDIS_REPLY_ARRAY) {
        /* tried again by the next tick, or when the connection is back */
        ngx_fitnudge_redis_changes.stale = 1;
        ngx_fitnudge_redis_changes.load_offset = 0;

        if (rc == NGX_OK) {
            ngx_fitnudge_redis_complain("revocations cannot be loaded");
        }

        return;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        id = reply->element[i];
        score = reply->element[i + 1];

        if (id->type == REDIS_REPLY_STRING && score->type == REDIS_REPLY_STRING && id->len + score->len < 128) {
            p = ngx_snprintf(tag, sizeof(tag), "revoked:%*s:%*s", (size_t) id->len, id->str,
                             (size_t) score->len, score->str);
            ngx_fitnudge_shm_apply(tag, (size_t) (p - tag));
        }
    }

    if (ngx_fitnudge_redis_changes.stale) {
        ngx_fitnudge_redis_changes.load_offset = 0;

    } else if (reply->elements == 2 * REVOKED_PAGE) {
        ngx_fitnudge_redis_changes.load_offset += REVOKED_PAGE;
        ngx_fitnudge_redis_changes.stale = 1;

    } else {
        ngx_fitnudge_redis_changes.load_offset = 0;
        ngx_fitnudge_redis_changes_heard();
        return;
    }

    ngx_fitnudge_redis_changes_load();
}
