/* The commands that the C steps of jobs may send to Redis. A failure is like a miss. */
#include "cache.h"


int
fn_cache_get(fn_cache_t *c, const char *key, fn_buf_t *out)
{
    int          hit;
    redisReply  *a;

    a = fn_redis_command(c->redis, "GET %s", key);

    if (a == NULL) {
        return 0;
    }

    hit = a->type == REDIS_REPLY_STRING;

    if (hit) {
        fn_buf_add(out, a->str, a->len);
        hit = !out->failed;
    }

    freeReplyObject(a);

    return hit;
}


void
fn_cache_set(fn_cache_t *c, const char *key, const char *value, size_t len, int64_t ttl_ms)
{
    redisReply  *a;

    a = fn_redis_command(c->redis, "SET %s %b PX %lld", key, value, len, (long long) ttl_ms);

    if (a != NULL) {
        freeReplyObject(a);
    }
}
