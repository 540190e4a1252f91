/*
 * The exchange of the limits with Redis.
 *
 * All processes of a host have the timer; whoever finds that an interval is over takes what is pending in shared memory and sends it.
 * So none is needed in particular, and none has to be elected.
 *
 * What crosses the wire is relative: how much was taken, and how far ahead of Redis's own clock that brings the sum of all instances.
 * Clocks of hosts do not come into it.  What Redis answers can only add to what is known here: answers that overtake each
 * other do no harm, and a Redis that has lost its memory makes nobody forget.
 *
 * How much is exchanged at once is bounded, or a crowd of addresses that came once would be the load of Redis: who has used half of a
 * limit goes first.
 *
 * A batch that may or may not have arrived is sent again: rather counted twice than not at all.
 */
#include <openssl/sha.h>

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_limit_zone.h"
#include "ngx_fitnudge_limit_sync.h"
#include "../worker/libfitnudge/fn_keys.h"


#define BATCH           32              /* keys a command: some hundred microseconds of Redis */
#define BATCHES         64              /* of a ring at once; the rest waits for the next time */
#define LIGHT_PER_MS    6               /* light keys that are exchanged on average: some percent of Redis's time */
#define KEY_SIZE        64
#define NUMBER_SIZE     (NGX_INT64_LEN + 1)
#define SHA_LEN         40
#define COMPLAIN_INTERVAL  60           /* s */


typedef struct {
    const char         *text;
    u_char              sha[SHA_LEN + 1];
    ngx_uint_t          known;          /* Redis has it */
} ngx_fitnudge_limit_script_t;

typedef struct {
    ngx_shm_zone_t               *zone;
    ngx_fitnudge_limit_script_t  *script;
    unsigned                      n;
    fn_limit_delta_t              deltas[BATCH];
} ngx_fitnudge_limit_batch_t;


static void ngx_fitnudge_limit_sync_handler(ngx_event_t *ev);
static ngx_int_t ngx_fitnudge_limit_sync_ring(const ngx_fitnudge_limit_sync_zone_t *z, fn_ring_e ring, ngx_uint_t batches);
static ngx_int_t ngx_fitnudge_limit_sync_send(const ngx_fitnudge_limit_sync_zone_t *z, ngx_fitnudge_limit_batch_t *batch);
static void ngx_fitnudge_limit_sync_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);
static void ngx_fitnudge_limit_sync_merge(ngx_fitnudge_limit_batch_t *batch, redisReply *reply);
static void ngx_fitnudge_limit_sync_restore(ngx_fitnudge_limit_batch_t *batch);
static void ngx_fitnudge_limit_sync_complain(const char *what);


/*
 * KEYS, and for each of them the amount and a bound, in ARGV: the backlogs in microseconds, after it was added.  The bound of a backlog is
 * for a clock that was set back: eight times what one instance lets through at once is more than any real sum.  What somebody else
 * may have written there is nothing.
 */
static const char  ngx_fitnudge_limit_gcra[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local out = {}\n"
    "for i, key in ipairs(KEYS) do\n"
    "    local bound = ARGV[2 * i] * 8000\n"
    "    local v = redis.pcall('GET', key)\n"
    "    local backlog = (type(v) == 'string' and tonumber(v) or 0) - now\n"
    "    if not (backlog >= 0) then backlog = 0 elseif backlog > bound then backlog = bound end\n"
    "    backlog = backlog + ARGV[2 * i - 1]\n"
    "    redis.call('SET', key, string.format('%.0f', now + backlog), 'PX', math.ceil(backlog / 1000) + 1)\n"
    "    out[i] = backlog\n"
    "end\n"
    "return out\n";

/* The same for strict windows: cells of "<ms>:<requests>", oldest first; the bound is the period in ms. See fn_gcra.h. */
static const char  ngx_fitnudge_limit_window[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local out = {}\n"
    "for i, key in ipairs(KEYS) do\n"
    "    local period = tonumber(ARGV[2 * i])\n"
    "    local cell = math.ceil(period / 22)\n"
    "    local at, count, n = {}, {}, 0\n"
    "    local v = redis.pcall('GET', key)\n"
    "    for a, c in string.gmatch(type(v) == 'string' and v or '', '(%d+):(%d+)') do\n"
    "        a = math.min(tonumber(a), now)\n"
    "        if a > now - period and n < 24 then n = n + 1; at[n] = a; count[n] = math.min(tonumber(c), 65535) end\n"
    "    end\n"
    "    if n == 0 or (n < 24 and math.floor(at[n] / cell) ~= math.floor(now / cell)) then n = n + 1; count[n] = 0 end\n"
    "    at[n] = now\n"
    "    count[n] = count[n] + ARGV[2 * i - 1]\n"
    "    local kept, told = {}, {}\n"
    "    for j = 1, n do\n"
    "        kept[j] = string.format('%.0f:%.0f', at[j], count[j])\n"
    "        told[j] = string.format('%.0f:%.0f', now - at[j], count[j])\n"
    "    end\n"
    "    redis.call('SET', key, table.concat(kept, ' '), 'PX', period)\n"
    "    out[i] = table.concat(told, ' ')\n"
    "end\n"
    "return out\n";


/* of this process */
static struct {
    ngx_event_t                     timer;
    ngx_msec_t                      interval;
    ngx_msec_t                      timeout;
    ngx_fitnudge_limit_sync_zone_t  zones[NGX_FITNUDGE_LIMIT_SYNC_ZONES];
    ngx_uint_t                      nzones;
    ngx_uint_t                      light;          /* batches at once */
    ngx_uint_t                      inflight;       /* batches without an answer */
    ngx_fitnudge_limit_script_t     gcra;
    ngx_fitnudge_limit_script_t     window;
} ngx_fitnudge_limit_sync;


static void
ngx_fitnudge_limit_script_init(ngx_fitnudge_limit_script_t *script, const char *text)
{
    u_char  digest[SHA_DIGEST_LENGTH];

    (void) SHA1((const u_char *) text, ngx_strlen(text), digest);

    script->text = text;
    script->known = 0;
    *ngx_hex_dump(script->sha, digest, sizeof(digest)) = '\0';
}


void
ngx_fitnudge_limit_sync_start(const ngx_fitnudge_limit_sync_zone_t *zones, ngx_uint_t n, ngx_msec_t interval,
    ngx_msec_t timeout)
{
    ngx_event_t  *ev = &ngx_fitnudge_limit_sync.timer;

    ngx_memzero(&ngx_fitnudge_limit_sync, sizeof(ngx_fitnudge_limit_sync));

    ngx_memcpy(ngx_fitnudge_limit_sync.zones, zones, n * sizeof(ngx_fitnudge_limit_sync_zone_t));
    ngx_fitnudge_limit_sync.nzones = n;
    ngx_fitnudge_limit_sync.interval = interval;
    ngx_fitnudge_limit_sync.timeout = timeout;
    ngx_fitnudge_limit_sync.light = ngx_min(BATCHES, interval * LIGHT_PER_MS / BATCH + 1);

    ngx_fitnudge_limit_script_init(&ngx_fitnudge_limit_sync.gcra, ngx_fitnudge_limit_gcra);
    ngx_fitnudge_limit_script_init(&ngx_fitnudge_limit_sync.window, ngx_fitnudge_limit_window);

    ev->handler = ngx_fitnudge_limit_sync_handler;
    ev->data = &ngx_fitnudge_limit_sync;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, interval);
}


void
ngx_fitnudge_limit_sync_stop(void)
{
    if (ngx_fitnudge_limit_sync.timer.timer_set) {
        ngx_del_timer(&ngx_fitnudge_limit_sync.timer);
    }

    ngx_fitnudge_limit_sync.nzones = 0;
}


static void
ngx_fitnudge_limit_sync_handler(ngx_event_t *ev)
{
    uint64_t           now, due;
    ngx_uint_t         i;
    fn_limit_store_t  *store;

    ngx_add_timer(ev, ngx_fitnudge_limit_sync.interval);

    /*
     * Who cannot send leaves it to the others. A slow Redis must not get more than it can answer: nothing is sent before
     * all of the last time was.
     */
    if (ngx_fitnudge_limit_sync.inflight > 0 || !ngx_fitnudge_redis_up()) {
        return;
    }

    now = (uint64_t) ngx_current_msec;

    for (i = 0; i < ngx_fitnudge_limit_sync.nzones; i++) {
        store = ngx_fitnudge_limit_store(ngx_fitnudge_limit_sync.zones[i].zone);
        due = __atomic_load_n(&store->next_sync, __ATOMIC_RELAXED);

        if (now >= due
            && __atomic_compare_exchange_n(&store->next_sync, &due, now + ngx_fitnudge_limit_sync.interval, 0,
                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        {
            if (ngx_fitnudge_limit_sync_ring(&ngx_fitnudge_limit_sync.zones[i], FN_RING_HEAVY, BATCHES) == NGX_OK) {
                (void) ngx_fitnudge_limit_sync_ring(&ngx_fitnudge_limit_sync.zones[i], FN_RING_LIGHT,
                                                    ngx_fitnudge_limit_sync.light);
            }
        }
    }
}


static ngx_int_t
ngx_fitnudge_limit_sync_ring(const ngx_fitnudge_limit_sync_zone_t *z, fn_ring_e ring, ngx_uint_t batches)
{
    fn_limit_store_t            *store;
    ngx_fitnudge_limit_batch_t  *batch;

    store = ngx_fitnudge_limit_store(z->zone);

    while (batches-- > 0 && fn_limit_store_waiting(store, ring)) {

        batch = ngx_alloc(sizeof(ngx_fitnudge_limit_batch_t), ngx_cycle->log);
        if (batch == NULL) {
            return NGX_ERROR;
        }

        batch->zone = z->zone;
        batch->script = store->kind == FN_STORE_GCRA ? &ngx_fitnudge_limit_sync.gcra : &ngx_fitnudge_limit_sync.window;

        ngx_fitnudge_limit_lock(z->zone);
        batch->n = fn_limit_store_collect(store, ring, ngx_fitnudge_limit_now(), batch->deltas, BATCH);
        ngx_fitnudge_limit_unlock(z->zone);

        if (batch->n == 0) {
            ngx_free(batch);
            continue;
        }

        if (ngx_fitnudge_limit_sync_send(z, batch) != NGX_OK) {
            ngx_fitnudge_limit_sync_restore(batch);
            ngx_free(batch);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_fitnudge_limit_sync_send(const ngx_fitnudge_limit_sync_zone_t *z, ngx_fitnudge_limit_batch_t *batch)
{
    int                 argc;
    u_char              keys[BATCH][KEY_SIZE], numbers[2 * BATCH][NUMBER_SIZE], count[NUMBER_SIZE];
    size_t              lens[3 + 3 * BATCH];
    unsigned            i;
    const char         *argv[3 + 3 * BATCH];
    ngx_fitnudge_op_t  *op;

    argv[0] = batch->script->known ? "EVALSHA" : "EVAL";
    lens[0] = ngx_strlen(argv[0]);
    argv[1] = batch->script->known ? (const char *) batch->script->sha : batch->script->text;
    lens[1] = ngx_strlen(argv[1]);
    argv[2] = (const char *) count;
    lens[2] = (size_t) (ngx_sprintf(count, "%ud", batch->n) - count);

    argc = 3;

    for (i = 0; i < batch->n; i++) {
        argv[argc] = (const char *) keys[i];
        lens[argc++] = (size_t) (ngx_snprintf(keys[i], KEY_SIZE, FN_K_LIMIT, z->name, batch->deltas[i].tag, batch->deltas[i].lo) - keys[i]);
    }

    for (i = 0; i < batch->n; i++) {
        argv[argc] = (const char *) numbers[2 * i];
        lens[argc++] = (size_t) (ngx_sprintf(numbers[2 * i], "%uL", batch->deltas[i].amount) - numbers[2 * i]);
        argv[argc] = (const char *) numbers[2 * i + 1];
        lens[argc++] = (size_t) (ngx_sprintf(numbers[2 * i + 1], "%uD", batch->deltas[i].bound_ms) - numbers[2 * i + 1]);
    }

    op = ngx_fitnudge_op_create(NULL, ngx_fitnudge_limit_sync.timeout, ngx_fitnudge_limit_sync_done, batch);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->timeout.cancelable = 1;

    if (ngx_fitnudge_redis_command(op, argc, argv, lens) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_fitnudge_limit_sync.inflight++;

    return NGX_OK;
}


static void
ngx_fitnudge_limit_sync_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    redisReply                  *reply = data;
    ngx_fitnudge_limit_batch_t  *batch = op->data;

    ngx_fitnudge_limit_sync.inflight--;

    if (rc == NGX_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == batch->n) {
        batch->script->known = 1;
        ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_SYNCED, batch->n);
        ngx_fitnudge_limit_sync_merge(batch, reply);
        ngx_free(batch);
        return;
    }

    ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_SYNC_FAILED, batch->n);

    if (rc == NGX_OK) {
        /* NOSCRIPT: it was restarted, or flushed; the next command brings the script along */
        batch->script->known = 0;

        if (reply->type != REDIS_REPLY_ERROR || ngx_strncmp(reply->str, "NOSCRIPT", 8) != 0) {
            ngx_fitnudge_limit_sync_complain(reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected answer");
        }
    }

    ngx_fitnudge_limit_sync_restore(batch);
    ngx_free(batch);
}


static void
ngx_fitnudge_limit_sync_merge(ngx_fitnudge_limit_batch_t *batch, redisReply *reply)
{
    int                rc;
    uint64_t           now;
    unsigned           i, bad;
    redisReply        *e;
    fn_limit_store_t  *store;

    store = ngx_fitnudge_limit_store(batch->zone);
    now = ngx_fitnudge_limit_now();
    bad = 0;

    ngx_fitnudge_limit_lock(batch->zone);

    for (i = 0; i < batch->n; i++) {
        e = reply->element[i];
        rc = -1;

        if (e->type == REDIS_REPLY_INTEGER) {
            rc = fn_limit_store_merge(store, &batch->deltas[i], e->integer, now);

        } else if (e->type == REDIS_REPLY_STRING) {
            rc = fn_limit_store_merge_cells(store, &batch->deltas[i], e->str, (size_t) e->len, now);
        }

        bad += rc != 0;
    }

    ngx_fitnudge_limit_unlock(batch->zone);

    if (bad) {
        ngx_fitnudge_limit_sync_complain("an answer makes no sense");
    }
}


static void
ngx_fitnudge_limit_sync_restore(ngx_fitnudge_limit_batch_t *batch)
{
    unsigned           i;
    fn_limit_store_t  *store;

    store = ngx_fitnudge_limit_store(batch->zone);

    ngx_fitnudge_limit_lock(batch->zone);

    for (i = 0; i < batch->n; i++) {
        fn_limit_store_restore(store, &batch->deltas[i]);
    }

    ngx_fitnudge_limit_unlock(batch->zone);
}


/* It may go on several times a second. */

static void
ngx_fitnudge_limit_sync_complain(const char *what)
{
    static time_t  next;

    if (ngx_time() >= next) {
        next = ngx_time() + COMPLAIN_INTERVAL;
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "fitnudge: limits cannot be exchanged with redis: %s", what);
    }
}
