#include <openssl/sha.h>

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_cache_shared.h"
#include "ngx_fitnudge_metrics.h"
#include "../worker/libfitnudge/fn_keys.h"


static void ngx_fitnudge_cache_shared_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);
static ngx_int_t ngx_fitnudge_cache_shared_name(ngx_fitnudge_cache_shared_t *shared, const fn_route_t *route, const u_char *key,
    size_t key_len);
static void ngx_fitnudge_cache_shared_written(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);


/* of this process */
static struct {
    unsigned  ready:1;              /* the generation of all tags was bumped since the last subscription */
    unsigned  stale:1;              /* it has to be */
    unsigned  loading:1;
} ngx_fitnudge_cache_shared;


void
ngx_fitnudge_cache_shared_stale(void)
{
    ngx_fitnudge_cache_shared.ready = 0;
    ngx_fitnudge_cache_shared.stale = 1;
}


void
ngx_fitnudge_cache_shared_load(ngx_msec_t timeout)
{
    size_t              lens[2];
    const char         *argv[2] = { "INCR", FN_K_GENERATIONS };
    ngx_fitnudge_op_t  *op;

    if (!ngx_fitnudge_cache_shared.stale || ngx_fitnudge_cache_shared.loading || !ngx_fitnudge_redis_subscribed()) {
        return;
    }

    op = ngx_fitnudge_op_create(NULL, timeout, ngx_fitnudge_cache_shared_loaded, NULL);
    if (op == NULL) {
        return;
    }

    op->timeout.cancelable = 1;

    lens[0] = ngx_strlen(argv[0]);
    lens[1] = ngx_strlen(argv[1]);

    /* an answer that finds the flag set again was overtaken by another subscription */
    ngx_fitnudge_cache_shared.stale = 0;

    if (ngx_fitnudge_redis_command(op, 2, argv, lens) == NGX_OK) {
        ngx_fitnudge_cache_shared.loading = 1;

    } else {
        ngx_fitnudge_cache_shared.stale = 1;
    }
}


static void
ngx_fitnudge_cache_shared_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    redisReply  *reply = data;

    (void) op;

    ngx_fitnudge_cache_shared.loading = 0;

    if (rc == NGX_OK && reply->type == REDIS_REPLY_INTEGER) {
        ngx_fitnudge_cache_shared.ready = !ngx_fitnudge_cache_shared.stale;

    } else {
        ngx_fitnudge_cache_shared.stale = 1;
    }
}


ngx_uint_t
ngx_fitnudge_cache_shared_ready(void)
{
    return ngx_fitnudge_cache_shared.ready && ngx_fitnudge_redis_subscribed();
}


/* The key has what was asked in full, chosen by the client in part: only a hash that nobody can find two questions for will do. */

static ngx_int_t
ngx_fitnudge_cache_shared_name(ngx_fitnudge_cache_shared_t *shared, const fn_route_t *route, const u_char *key, size_t key_len)
{
    u_char  *p, digest[SHA256_DIGEST_LENGTH], hex[2 * SHA256_DIGEST_LENGTH + 1];

    /* the number of the route, with which the key begins, differs between versions of this module: its path does not */
    if (key_len < sizeof(uint16_t) || SHA256(key + sizeof(uint16_t), key_len - sizeof(uint16_t), digest) == NULL) {
        return NGX_DECLINED;
    }

    *ngx_hex_dump(hex, digest, sizeof(digest)) = '\0';

    p = ngx_snprintf(shared->name, sizeof(shared->name), FN_K_RESPONSE, route->path, hex);
    shared->name_len = (size_t) (p - shared->name);

    return shared->name_len < sizeof(shared->name) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_fitnudge_cache_shared_ask(ngx_fitnudge_cache_shared_t *shared, ngx_fitnudge_op_t *op, const fn_route_t *route,
    const char *const *values, const u_char *key, size_t key_len)
{
    int          argc, len;
    char         tags[FN_CACHE_TAGS][sizeof(FN_K_GENERATION) + FN_TAG_MAX];
    size_t       lens[3 + FN_CACHE_TAGS];
    const char  *argv[3 + FN_CACHE_TAGS], *tag = route->cache.tags;

    shared->stamp_len = 0;

    if (ngx_fitnudge_cache_shared_name(shared, route, key, key_len) != NGX_OK) {
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
    }

    argv[0] = "MGET";
    lens[0] = 4;
    argv[1] = (char *) shared->name;
    lens[1] = shared->name_len;
    argv[2] = FN_K_GENERATIONS;
    lens[2] = sizeof(FN_K_GENERATIONS) - 1;

    for (argc = 3; argc < 3 + FN_CACHE_TAGS; argc++) {
        char  *text = tags[argc - 3];

        ngx_memcpy(text, FN_K_GENERATION, sizeof(FN_K_GENERATION) - 3);

        len = fn_route_tag(route, &tag, values[0], values + 1, text + sizeof(FN_K_GENERATION) - 3);
        if (len <= 0) {
            break;
        }

        argv[argc] = text;
        lens[argc] = sizeof(FN_K_GENERATION) - 3 + (size_t) len;
    }

    return ngx_fitnudge_redis_command(op, argc, argv, lens);
}


ngx_int_t
ngx_fitnudge_cache_shared_read(ngx_fitnudge_cache_shared_t *shared, const redisReply *reply, uint64_t ttl_ms, ngx_str_t *body,
    uint64_t *age_ms)
{
    u_char            *p, *last, *end;
    size_t             i;
    uint64_t           now, then;
    ngx_time_t        *tp;
    const redisReply  *e;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_SHARED_FAILED, 1);
        return NGX_DECLINED;
    }

    p = shared->stamp;
    last = p + sizeof(shared->stamp);

    for (i = 1; i < reply->elements; i++) {
        e = reply->element[i];

        /* what was never bumped, or not for so long that nothing older is left, is 0 */
        if (e->type != REDIS_REPLY_NIL && (e->type != REDIS_REPLY_STRING || e->len > NGX_INT64_LEN)) {
            ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_SHARED_FAILED, 1);
            return NGX_DECLINED;
        }

        p = e->type == REDIS_REPLY_NIL ? ngx_slprintf(p, last, " 0") : ngx_slprintf(p, last, " %*s", (size_t) e->len, e->str);
    }

    shared->stamp_len = (size_t) (p - shared->stamp);

    e = reply->element[0];

    if (e->type != REDIS_REPLY_STRING) {
        goto miss;
    }

    p = (u_char *) e->str;
    last = p + e->len;
    end = ngx_strlchr(p, last, '\n');

    for (then = 0; end != NULL && p < end && *p >= '0' && *p <= '9' && then < UINT64_MAX / 16; p++) {
        then = then * 10 + (uint64_t) (*p - '0');
    }

    if (end == NULL || (size_t) (end - p) != shared->stamp_len || ngx_memcmp(p, shared->stamp, shared->stamp_len) != 0) {
        goto miss;
    }

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;
    *age_ms = now > then ? now - then : 0;      /* clocks differ */

    if (*age_ms >= ttl_ms) {
        goto miss;
    }

    body->data = end + 1;
    body->len = (size_t) (last - body->data);

    ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_SHARED_HIT, 1);

    return NGX_OK;

miss:

    ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_SHARED_MISS, 1);

    return NGX_DECLINED;
}


void
ngx_fitnudge_cache_shared_write(const ngx_fitnudge_cache_shared_t *shared, const ngx_str_t *body, unsigned ttl_s, ngx_msec_t timeout)
{
    u_char             *value, *p, ttl[NGX_INT_T_LEN];
    size_t              size, lens[5];
    ngx_time_t         *tp;
    const char         *argv[5];
    ngx_fitnudge_op_t  *op;

    if (shared->stamp_len == 0 || !ngx_fitnudge_cache_shared_ready()) {
        return;
    }

    size = NGX_INT64_LEN + shared->stamp_len + 1 + body->len;

    value = ngx_alloc(size, ngx_cycle->log);
    if (value == NULL) {
        return;
    }

    op = ngx_fitnudge_op_create(NULL, timeout, ngx_fitnudge_cache_shared_written, NULL);
    if (op == NULL) {
        ngx_free(value);
        return;
    }

    op->timeout.cancelable = 1;

    tp = ngx_timeofday();
    p = ngx_sprintf(value, "%uL", (uint64_t) tp->sec * 1000 + tp->msec);
    p = ngx_cpymem(p, shared->stamp, shared->stamp_len);
    *p++ = '\n';
    p = ngx_cpymem(p, body->data, body->len);

    argv[0] = "SET";
    argv[1] = (char *) shared->name;
    argv[2] = (char *) value;
    argv[3] = "EX";
    argv[4] = (char *) ttl;
    lens[0] = 3;
    lens[1] = shared->name_len;
    lens[2] = (size_t) (p - value);
    lens[3] = 2;
    lens[4] = (size_t) (ngx_sprintf(ttl, "%ui", (ngx_uint_t) ttl_s) - ttl);

    /* written to the connection's buffer, or refused */
    (void) ngx_fitnudge_redis_command(op, 5, argv, lens);

    ngx_free(value);
}


static void
ngx_fitnudge_cache_shared_written(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    (void) op;
    (void) rc;
    (void) data;
}
