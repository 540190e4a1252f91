/*
 * What a worker process says to Redis and hears from it, over three connections:
 *
 *   commands   pipelined; the FIFO of ops is the order of the answers
 *   replies    drains this process's own reply list, so that a job's answer comes to who waits for it
 *   changes    subscribed to the tags that others change (ngx_fitnudge_redis_changes.c)
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_fitnudge_redis_conn.h"
#include "ngx_fitnudge_redis_changes.h"
#include "ngx_fitnudge_shm.h"
#include "ngx_fitnudge_metrics.h"
#include "../worker/libfitnudge/fn_time.h"


#define OPS_MAX             65536       /* commands without an answer */
#define BUCKETS             4096        /* of the waiters' hash; a power of 2 */
#define POP_WAIT            "5"         /* s; a server that does not even say "nothing" is away */
#define POP_PATIENCE        8000        /* ms */
#define POP_COUNT           "64"
#define ID_LEN              36
#define REPLY_KEY           "{fn}:r:"   /* FN_K_REPLY */


static ngx_int_t ngx_fitnudge_redis_init_process(ngx_cycle_t *cycle);
static void ngx_fitnudge_redis_exit_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_fitnudge_redis_name(ngx_cycle_t *cycle);

static void ngx_fitnudge_redis_commands_ready(ngx_fitnudge_redis_conn_t *conn);
static ngx_uint_t ngx_fitnudge_redis_commands_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply);
static void ngx_fitnudge_redis_commands_idle(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_commands_lost(ngx_fitnudge_redis_conn_t *conn);

static void ngx_fitnudge_redis_pop(ngx_fitnudge_redis_conn_t *conn);
static ngx_uint_t ngx_fitnudge_redis_replies_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply);
static void ngx_fitnudge_redis_nothing(ngx_fitnudge_redis_conn_t *conn);
static void ngx_fitnudge_redis_deliver(const char *p, size_t n);
static ngx_queue_t *ngx_fitnudge_redis_bucket(const u_char *id);
static void ngx_fitnudge_redis_waiter_released(ngx_fitnudge_op_t *op);


static const ngx_fitnudge_redis_role_t  ngx_fitnudge_redis_commands_role = {
    "commands",
    ngx_fitnudge_redis_commands_ready,
    ngx_fitnudge_redis_commands_reply,
    ngx_fitnudge_redis_commands_idle,
    ngx_fitnudge_redis_commands_lost,
    1,
    0
};

static const ngx_fitnudge_redis_role_t  ngx_fitnudge_redis_replies_role = {
    "replies",
    ngx_fitnudge_redis_pop,
    ngx_fitnudge_redis_replies_reply,
    NULL,
    ngx_fitnudge_redis_nothing,
    1,
    1
};


/* of this process, made when it starts */
static struct {
    ngx_fitnudge_redis_server_t  server;
    ngx_fitnudge_redis_conn_t    commands;
    ngx_fitnudge_redis_conn_t    replies;

    ngx_str_t                    incarnation;       /* points into reply_key */
    u_char                       reply_key[128];

    ngx_queue_t                  fifo;              /* ops with a command sent, oldest first */
    ngx_uint_t                   nops;
    ngx_queue_t                  waiters[BUCKETS];  /* ops by job id */
    ngx_uint_t                   nwaiters;

    unsigned                     started:1;
} ngx_fitnudge_redis;


static ngx_http_module_t  ngx_http_fitnudge_redis_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


extern ngx_module_t  ngx_http_fitnudge_redis_module;

ngx_module_t  ngx_http_fitnudge_redis_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_redis_module_ctx,   /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_fitnudge_redis_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_fitnudge_redis_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_int_t
ngx_fitnudge_redis_command(ngx_fitnudge_op_t *op, int argc, const char **argv, const size_t *argvlen)
{
    if (!ngx_fitnudge_redis_conn_usable(&ngx_fitnudge_redis.commands)
        || ngx_fitnudge_redis.nops >= OPS_MAX
        || ngx_fitnudge_redis_conn_send(&ngx_fitnudge_redis.commands, argc, argv, argvlen) != NGX_OK)
    {
        ngx_fitnudge_count(NGX_FITNUDGE_M_REDIS_UNAVAILABLE, 1);
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
    }

    ngx_queue_insert_tail(&ngx_fitnudge_redis.fifo, &op->queue);
    ngx_fitnudge_redis.nops++;
    op->queued = 1;
    op->kind = NGX_FITNUDGE_OP_REDIS;

    return NGX_OK;
}


ngx_uint_t
ngx_fitnudge_redis_up(void)
{
    return ngx_fitnudge_redis_conn_usable(&ngx_fitnudge_redis.commands)
           && ngx_fitnudge_redis_conn_usable(&ngx_fitnudge_redis.replies);
}


void
ngx_fitnudge_redis_gauges(void)
{
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REDIS_COMMANDS, ngx_fitnudge_redis.commands.ready);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REDIS_REPLIES, ngx_fitnudge_redis.replies.ready);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REDIS_IN_FLIGHT, ngx_fitnudge_redis.nops);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_WRITES_WAITING, ngx_fitnudge_redis.nwaiters);

    ngx_fitnudge_redis_changes_gauges();
}


const ngx_str_t *
ngx_fitnudge_redis_incarnation(void)
{
    return &ngx_fitnudge_redis.incarnation;
}


ngx_int_t
ngx_fitnudge_redis_wait(ngx_fitnudge_op_t *op, const u_char *id)
{
    if (!ngx_fitnudge_redis.started) {
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
    }

    ngx_memcpy(op->id, id, ID_LEN);
    op->released = ngx_fitnudge_redis_waiter_released;
    op->queued = 1;
    op->kind = NGX_FITNUDGE_OP_WRITE;
    ngx_fitnudge_redis.nwaiters++;

    ngx_queue_insert_tail(ngx_fitnudge_redis_bucket(id), &op->queue);

    return NGX_OK;
}


static ngx_int_t
ngx_fitnudge_redis_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                            i;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    if (fmcf == NULL || !fmcf->enabled) {
        return NGX_OK;
    }

    if (ngx_fitnudge_redis_name(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_queue_init(&ngx_fitnudge_redis.fifo);

    for (i = 0; i < BUCKETS; i++) {
        ngx_queue_init(&ngx_fitnudge_redis.waiters[i]);
    }

    ngx_fitnudge_redis.server.addr = &fmcf->redis;
    ngx_fitnudge_redis.server.sentinels = &fmcf->sentinels;
    ngx_fitnudge_redis.server.password = fmcf->settings.redis_password;
    ngx_fitnudge_redis.server.incarnation = &ngx_fitnudge_redis.incarnation;
    ngx_fitnudge_redis.server.timeout = fmcf->redis_timeout;
    ngx_fitnudge_redis.started = 1;

    ngx_fitnudge_redis_conn_start(&ngx_fitnudge_redis.commands, &ngx_fitnudge_redis_commands_role,
                                  &ngx_fitnudge_redis.server, fmcf->redis_timeout);
    ngx_fitnudge_redis_conn_start(&ngx_fitnudge_redis.replies, &ngx_fitnudge_redis_replies_role,
                                  &ngx_fitnudge_redis.server, POP_PATIENCE);
    ngx_fitnudge_redis_changes_start(&ngx_fitnudge_redis.server, fmcf->redis_timeout);

    return NGX_OK;
}


/*
 * Until here the connections stayed open for requests that were still on their way; they do not hold
 * the process, its timers of ops do.
 */
static void
ngx_fitnudge_redis_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t          i;
    ngx_queue_t        *q;

    if (!ngx_fitnudge_redis.started) {
        return;
    }

    ngx_fitnudge_redis.started = 0;

    ngx_fitnudge_redis_conn_stop(&ngx_fitnudge_redis.commands);
    ngx_fitnudge_redis_conn_stop(&ngx_fitnudge_redis.replies);
    ngx_fitnudge_redis_changes_stop();

    while (!ngx_queue_empty(&ngx_fitnudge_redis.fifo)) {
        q = ngx_queue_head(&ngx_fitnudge_redis.fifo);
        ngx_queue_remove(q);
        ngx_fitnudge_op_free(ngx_queue_data(q, ngx_fitnudge_op_t, queue));
    }

    for (i = 0; i < BUCKETS; i++) {
        while (!ngx_queue_empty(&ngx_fitnudge_redis.waiters[i])) {
            q = ngx_queue_head(&ngx_fitnudge_redis.waiters[i]);
            ngx_queue_remove(q);
            ngx_fitnudge_op_free(ngx_queue_data(q, ngx_fitnudge_op_t, queue));
        }
    }
}


/* Each start of a process has its own list: nothing of the one that had the pid before is taken for ours. */
static ngx_int_t
ngx_fitnudge_redis_name(ngx_cycle_t *cycle)
{
    u_char     *p, *last;
    ngx_str_t   host;

    host = cycle->hostname;
    host.len = ngx_min(host.len, 64);

    p = ngx_cpymem(ngx_fitnudge_redis.reply_key, REPLY_KEY, sizeof(REPLY_KEY) - 1);
    last = ngx_fitnudge_redis.reply_key + sizeof(ngx_fitnudge_redis.reply_key) - 1;

    ngx_fitnudge_redis.incarnation.data = p;

    last = ngx_slprintf(p, last, "%V:%P:%uL", &host, ngx_pid, fn_now_ms());
    *last = '\0';

    ngx_fitnudge_redis.incarnation.len = (size_t) (last - p);
    ngx_fitnudge_redis.server.probe_key.data = ngx_fitnudge_redis.reply_key;
    ngx_fitnudge_redis.server.probe_key.len = (size_t) (last - ngx_fitnudge_redis.reply_key);

    for ( /* void */ ; p < last; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')
              || *p == '.' || *p == '_' || *p == ':' || *p == '-'))
        {
            *p = '-';
        }
    }

    return NGX_OK;
}


/* commands */

static void
ngx_fitnudge_redis_commands_ready(ngx_fitnudge_redis_conn_t *conn)
{
    (void) conn;

    ngx_fitnudge_redis_changes_load();
}


static ngx_uint_t
ngx_fitnudge_redis_commands_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply)
{
    ngx_uint_t          unfit;
    ngx_queue_t        *q;
    ngx_connection_t   *c = conn->connection;

    if (ngx_queue_empty(&ngx_fitnudge_redis.fifo)) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "an answer without a question");
        return 0;
    }

    q = ngx_queue_head(&ngx_fitnudge_redis.fifo);
    ngx_queue_remove(q);
    ngx_fitnudge_redis.nops--;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_REDIS_ERRORS, 1);
    }

    /* it became a replica, or began to load its data anew */
    unfit = reply->type == REDIS_REPLY_ERROR
            && (ngx_strncmp(reply->str, "READONLY", 8) == 0 || ngx_strncmp(reply->str, "LOADING", 7) == 0
                || ngx_strncmp(reply->str, "MASTERDOWN", 10) == 0);

    ngx_fitnudge_op_complete(ngx_queue_data(q, ngx_fitnudge_op_t, queue), NGX_OK, reply);

    if (unfit && conn->connection == c) {
        ngx_fitnudge_redis_conn_fail(conn, 0, reply->str);
    }

    return 1;
}


static void
ngx_fitnudge_redis_commands_idle(ngx_fitnudge_redis_conn_t *conn)
{
    size_t              len = 4;
    const char         *ping = "PING";
    ngx_fitnudge_op_t  *op;

    if (ngx_fitnudge_redis.nops == 0) {
        op = ngx_fitnudge_op_create(NULL, conn->patience, NULL, NULL);
        if (op != NULL) {
            op->timeout.cancelable = 1;
            (void) ngx_fitnudge_redis_command(op, 1, &ping, &len);
        }
    }

    ngx_fitnudge_redis_changes_load();
}


static void
ngx_fitnudge_redis_commands_lost(ngx_fitnudge_redis_conn_t *conn)
{
    ngx_queue_t         lost, *q;

    (void) conn;

    ngx_queue_init(&lost);

    if (!ngx_queue_empty(&ngx_fitnudge_redis.fifo)) {
        ngx_queue_add(&lost, &ngx_fitnudge_redis.fifo);
        ngx_queue_init(&ngx_fitnudge_redis.fifo);
    }

    ngx_fitnudge_redis.nops = 0;

    while (!ngx_queue_empty(&lost)) {
        q = ngx_queue_head(&lost);
        ngx_queue_remove(q);
        ngx_fitnudge_op_complete(ngx_queue_data(q, ngx_fitnudge_op_t, queue), NGX_ERROR, NULL);
    }
}


/* replies */

static void
ngx_fitnudge_redis_pop(ngx_fitnudge_redis_conn_t *conn)
{
    const char  *argv[7];

    argv[0] = "BLMPOP";
    argv[1] = POP_WAIT;
    argv[2] = "1";
    argv[3] = (char *) ngx_fitnudge_redis.reply_key;
    argv[4] = "RIGHT";
    argv[5] = "COUNT";
    argv[6] = POP_COUNT;

    if (ngx_fitnudge_redis_conn_send_texts(conn, 7, argv) != NGX_OK) {
        ngx_fitnudge_redis_conn_fail(conn, 0, "no memory");
    }
}


static ngx_uint_t
ngx_fitnudge_redis_replies_reply(ngx_fitnudge_redis_conn_t *conn, redisReply *reply)
{
    size_t       i;
    redisReply  *list;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_fitnudge_redis_conn_fail(conn, 0, reply->str);
        return 0;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
        && reply->element[1]->type == REDIS_REPLY_ARRAY)
    {
        list = reply->element[1];

        for (i = 0; i < list->elements; i++) {
            if (list->element[i]->type == REDIS_REPLY_STRING) {
                ngx_fitnudge_redis_deliver(list->element[i]->str, (size_t) list->element[i]->len);
            }
        }

    } else if (reply->type != REDIS_REPLY_NIL) {
        ngx_fitnudge_redis_complain("unexpected answer to BLMPOP");
    }

    ngx_fitnudge_redis_pop(conn);

    return 1;
}


/* Who waits goes on to wait: the answer may still come, and if not there is the op's own timeout. */
static void
ngx_fitnudge_redis_nothing(ngx_fitnudge_redis_conn_t *conn)
{
    (void) conn;
}


static void
ngx_fitnudge_redis_deliver(const char *p, size_t n)
{
    unsigned            i;
    ngx_queue_t         found, *bucket, *q, *next;
    fn_reply_env_t      reply;
    ngx_fitnudge_op_t  *op;

    if (fn_reply_env_parse(&reply, p, n) != 0 || reply.id.n != ID_LEN) {
        ngx_fitnudge_redis_complain("malformed reply dropped");
        return;
    }

    /* first the tags: whoever gets the answer may read at once, and must see what was written */
    for (i = 0; i < reply.ntags; i++) {
        ngx_fitnudge_shm_apply((const u_char *) reply.tags[i].p, reply.tags[i].n);
    }

    ngx_queue_init(&found);
    bucket = ngx_fitnudge_redis_bucket((const u_char *) reply.id.p);

    for (q = ngx_queue_head(bucket); q != ngx_queue_sentinel(bucket); q = next) {
        next = ngx_queue_next(q);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        if (ngx_memcmp(op->id, reply.id.p, ID_LEN) == 0) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&found, q);
        }
    }

    if (ngx_queue_empty(&found)) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_REPLIES_UNCLAIMED, 1);
    }

    /* one that completes may let go of another: it then leaves this queue by itself */
    while (!ngx_queue_empty(&found)) {
        q = ngx_queue_head(&found);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        ngx_queue_remove(q);
        op->queued = 0;
        op->released = NULL;
        ngx_fitnudge_redis.nwaiters--;

        ngx_fitnudge_op_complete(op, NGX_OK, &reply);
    }
}


static ngx_queue_t *
ngx_fitnudge_redis_bucket(const u_char *id)
{
    return &ngx_fitnudge_redis.waiters[XXH3_64bits(id, ID_LEN) & (BUCKETS - 1)];
}


static void
ngx_fitnudge_redis_waiter_released(ngx_fitnudge_op_t *op)
{
    ngx_queue_remove(&op->queue);
    ngx_fitnudge_redis.nwaiters--;
    ngx_fitnudge_op_free(op);
}
