/* The blocking Redis connection of the pool: connect, authenticate, load the scripts; drop it at the first trouble. */
#include "redis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_sentinel.h"
#include "libfitnudge/fn_time.h"

#define FN_REDIS_CONNECT_MS  1000
#define FN_REDIS_BACKOFF_MS  2000

static char  fn_script_sha[FN_SCRIPTS][41];


unsigned
fn_random(unsigned bound)
{
    static uint64_t  state;

    if (state == 0 && (getrandom(&state, sizeof(state), 0) != sizeof(state) || state == 0)) {
        state = fn_mono_ms() * 2654435761U + 1;
    }

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return bound ? (unsigned) (state % bound) : 0;
}


void
fn_sleep_ms(unsigned ms)
{
    struct timespec  t;

    t.tv_sec = ms / 1000;
    t.tv_nsec = (long) (ms % 1000) * 1000000;

    (void) nanosleep(&t, NULL);
}


void
fn_redis_init(fn_redis_t *r, const fn_settings_t *s, unsigned timeout_ms)
{
    memset(r, 0, sizeof(*r));
    r->settings = s;
    r->timeout_ms = timeout_ms;
}


void
fn_redis_close(fn_redis_t *r)
{
    if (r->c != NULL) {
        redisFree(r->c);
        r->c = NULL;
    }
}


static redisContext *
fn_redis_dial_address(const char *address)
{
    char            host[256];
    size_t          n;
    const char     *colon;
    struct timeval  t;

    t.tv_sec = FN_REDIS_CONNECT_MS / 1000;
    t.tv_usec = (FN_REDIS_CONNECT_MS % 1000) * 1000;

    if (strncmp(address, "unix:", 5) == 0) {
        return redisConnectUnixWithTimeout(address + 5, t);
    }

    colon = strrchr(address, ':');
    n = colon ? (size_t) (colon - address) : strlen(address);

    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }

    if (n >= sizeof(host)) {
        return NULL;
    }

    memcpy(host, address, n);
    host[n] = '\0';

    return redisConnectWithTimeout(host, colon ? (int) strtol(colon + 1, NULL, 10) : 6379, t);
}


/* Asks one Sentinel for the master's address. 0, or -1: it does not answer or does not know. */
static int
fn_redis_ask(const fn_settings_t *s, const fn_sentinel_t *sentinel, const char *address, char *master, size_t size)
{
    int              rc;
    redisReply      *a;
    redisContext    *c;
    struct timeval   t = { FN_REDIS_CONNECT_MS / 1000, (FN_REDIS_CONNECT_MS % 1000) * 1000 };

    c = fn_redis_dial_address(address);
    rc = -1;
    a = NULL;

    if (c == NULL || c->err != 0 || redisSetTimeout(c, t) != REDIS_OK) {
        goto done;
    }

    if (s->redis_sentinel_password != NULL) {
        a = redisCommand(c, "AUTH %s", s->redis_sentinel_password);

        if (a == NULL || a->type == REDIS_REPLY_ERROR) {
            goto done;
        }

        freeReplyObject(a);
    }

    a = redisCommand(c, "SENTINEL get-master-addr-by-name %s", sentinel->name);

    if (a != NULL && a->type == REDIS_REPLY_ARRAY && a->elements == 2 && a->element[0]->type == REDIS_REPLY_STRING
        && a->element[1]->type == REDIS_REPLY_STRING)
    {
        (void) snprintf(master, size, strchr(a->element[0]->str, ':') ? "[%s]:%s" : "%s:%s", a->element[0]->str,
                        a->element[1]->str);
        rc = 0;
    }

done:

    if (a != NULL) {
        freeReplyObject(a);
    }

    if (c != NULL) {
        redisFree(c);
    }

    return rc;
}


/* Where Redis is is asked for with every connect: after a failover it is somewhere else. */
static redisContext *
fn_redis_dial(fn_redis_t *r)
{
    char           master[320];
    unsigned       i, k;
    fn_sentinel_t  sentinel;

    if (fn_sentinel_parse(&sentinel, r->settings->redis) != 0) {
        return fn_redis_dial_address(r->settings->redis);
    }

    for (i = 0; i < sentinel.n; i++) {
        k = (r->sentinel + i) % sentinel.n;

        if (fn_redis_ask(r->settings, &sentinel, sentinel.address[k], master, sizeof(master)) == 0) {
            r->sentinel = k;
            return fn_redis_dial_address(master);
        }
    }

    return NULL;
}


/* A replica would refuse the first write only; one that may not be asked is believed. 1 = a replica. */
static int
fn_redis_is_replica(fn_redis_t *r)
{
    int          replica;
    redisReply  *a;

    a = fn_redis_command(r, "ROLE");

    if (a == NULL) {
        return 1;
    }

    replica = a->type == REDIS_REPLY_ARRAY && a->elements > 0 && a->element[0]->type == REDIS_REPLY_STRING
              && strcmp(a->element[0]->str, "slave") == 0;

    if (replica && r->failures == 0) {
        fn_log(FN_LOG_WARN, "redis is a replica, asking again for the master", NULL);
    }

    freeReplyObject(a);

    return replica;
}


static int
fn_redis_hello(fn_redis_t *r)
{
    redisReply      *a;
    struct timeval   t;

    t.tv_sec = r->timeout_ms / 1000;
    t.tv_usec = (long) (r->timeout_ms % 1000) * 1000;

    if (redisSetTimeout(r->c, t) != REDIS_OK) {
        return -1;
    }

    if (r->settings->redis_password != NULL) {
        a = fn_redis_command(r, "AUTH %s", r->settings->redis_password);

        if (a == NULL || a->type == REDIS_REPLY_ERROR) {
            if (a != NULL) {
                fn_log(FN_LOG_ERROR, "redis refused the password", NULL);
                freeReplyObject(a);
            }

            return -1;
        }

        freeReplyObject(a);
    }

    a = fn_redis_command(r, "CLIENT ID");

    if (a == NULL || a->type != REDIS_REPLY_INTEGER) {
        if (a != NULL) {
            freeReplyObject(a);
        }

        return -1;
    }

    r->client_id = a->integer;
    freeReplyObject(a);

    if (r->lane != NULL) {
        a = fn_redis_command(r, "CLIENT SETNAME fitnudge:%s", r->lane);     /* for people only: a refusal is none of ours */

        if (a == NULL) {
            return -1;
        }

        freeReplyObject(a);
    }

    return fn_redis_is_replica(r) ? -1 : fn_redis_load(r);
}


int
fn_redis_connect(fn_redis_t *r)
{
    uint64_t  now, cap;

    if (r->c != NULL) {
        return 0;
    }

    now = fn_mono_ms();

    if (now < r->retry_ms) {
        return -1;
    }

    r->c = fn_redis_dial(r);

    if (r->c != NULL && r->c->err == 0 && fn_redis_hello(r) == 0) {
        if (r->failures) {
            fn_log(FN_LOG_INFO, "redis is back", NULL);
        }

        r->failures = 0;
        r->retry_ms = 0;
        fn_count(FN_C_REDIS_CONNECTS, 1);
        return 0;
    }

    fn_count(FN_C_REDIS_FAILURES, 1);

    if (r->failures++ == 0) {
        fn_log(FN_LOG_WARN, "no connection to redis, trying again", "address", r->settings->redis,
               "error", r->c && r->c->err ? r->c->errstr : NULL, NULL);
    }

    fn_redis_close(r);

    cap = 100ULL << (r->failures < 5 ? r->failures : 5);
    r->retry_ms = now + 50 + fn_random((unsigned) (cap < FN_REDIS_BACKOFF_MS ? cap : FN_REDIS_BACKOFF_MS));

    return -1;
}


redisReply *
fn_redis_reply(fn_redis_t *r)
{
    void  *a;

    if (r->c == NULL) {
        return NULL;
    }

    if (redisGetReply(r->c, &a) != REDIS_OK) {
        fn_log(FN_LOG_WARN, "connection to redis lost", "error", r->c->errstr, NULL);
        fn_count(FN_C_REDIS_FAILURES, 1);
        fn_redis_close(r);
        return NULL;
    }

    return a;
}


redisReply *
fn_redis_command(fn_redis_t *r, const char *fmt, ...)
{
    int      rc;
    va_list  ap;

    if (r->c == NULL) {
        return NULL;
    }

    va_start(ap, fmt);
    rc = redisvAppendCommand(r->c, fmt, ap);
    va_end(ap);

    if (rc != REDIS_OK) {
        fn_redis_close(r);
        return NULL;
    }

    return fn_redis_reply(r);
}


int
fn_redis_load(fn_redis_t *r)
{
    unsigned     i;
    redisReply  *a;

    for (i = 0; i < FN_SCRIPTS; i++) {
        a = fn_redis_command(r, "SCRIPT LOAD %s", fn_scripts[i]);

        if (a == NULL || a->type != REDIS_REPLY_STRING || a->len != 40) {
            if (a != NULL) {
                if (!fn_redis_again(a)) {
                    fn_log(FN_LOG_ERROR, "redis refused a script", "error", a->str, NULL);
                }

                freeReplyObject(a);
            }

            return -1;
        }

        memcpy(fn_script_sha[i], a->str, 41);
        freeReplyObject(a);
    }

    return 0;
}


int
fn_redis_script(fn_redis_t *r, fn_script_e script, unsigned nkeys, unsigned n, const char **v, const size_t *len)
{
    int           rc;
    char          count[16];
    size_t       *alen;
    unsigned      i;
    const char  **av;

    if (r->c == NULL) {
        return -1;
    }

    av = malloc((n + 3) * sizeof(*av));
    alen = malloc((n + 3) * sizeof(*alen));

    if (av == NULL || alen == NULL) {
        free(av);
        free(alen);
        fn_redis_close(r);
        return -1;
    }

    av[0] = "EVALSHA";
    alen[0] = 7;
    av[1] = fn_script_sha[script];
    alen[1] = 40;
    av[2] = count;
    alen[2] = (size_t) snprintf(count, sizeof(count), "%u", nkeys);

    for (i = 0; i < n; i++) {
        av[i + 3] = v[i];
        alen[i + 3] = len[i];
    }

    rc = redisAppendCommandArgv(r->c, (int) n + 3, av, alen);

    free(av);
    free(alen);

    if (rc != REDIS_OK) {
        fn_redis_close(r);
        return -1;
    }

    return 0;
}


int
fn_redis_noscript(const redisReply *a)
{
    return a->type == REDIS_REPLY_ERROR && strncmp(a->str, "NOSCRIPT", 8) == 0;
}


/* An error inside a script has its own words around the server's. */
static int
fn_redis_says(const redisReply *a, const char *const *words)
{
    for ( ; a->type == REDIS_REPLY_ERROR && *words != NULL; words++) {
        if (strstr(a->str, *words) != NULL) {
            return 1;
        }
    }

    return 0;
}


int
fn_redis_moved(const redisReply *a)
{
    static const char *const  words[] = { "READONLY", "LOADING", "MASTERDOWN", NULL };

    return fn_redis_says(a, words);
}


int
fn_redis_again(const redisReply *a)
{
    static const char *const  words[] = { "LOADING", "MISCONF", "READONLY", "MASTERDOWN", "BUSY", "OOM", "NOREPLICAS", NULL };

    return fn_redis_says(a, words);
}
