/* The blocking Redis connection of the pool: connect, authenticate, load the scripts; drop it at the first trouble. */
#include "redis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "libfitnudge/fn_log.h"
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
fn_redis_dial(const char *address)
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

    return fn_redis_load(r);
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

    r->c = fn_redis_dial(r->settings->redis);

    if (r->c != NULL && r->c->err == 0 && fn_redis_hello(r) == 0) {
        if (r->failures) {
            fn_log(FN_LOG_INFO, "redis is back", NULL);
        }

        r->failures = 0;
        r->retry_ms = 0;
        return 0;
    }

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


int
fn_redis_again(const redisReply *a)
{
    size_t       i;

    static const char  *passing[] = { "LOADING", "MISCONF", "READONLY", "MASTERDOWN", "BUSY", "OOM", "NOREPLICAS" };

    if (a->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    for (i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strstr(a->str, passing[i]) != NULL) {
            return 1;
        }
    }

    return 0;
}
