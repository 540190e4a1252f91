/* An operator's orders: what the pool is to do with a lane or a job.  They are in Redis, so that all hosts follow them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_keys.h"
#include "../libfitnudge/fn_time.h"
#include "ctl.h"

#define FN_KEY_MAX      256
#define FN_FOREVER_MS   9007199254740991LL      /* the largest number that a script of Redis counts exactly */
#define FN_LIMIT_MAX    100000
#define FN_RATE_MAX     1000000
#define FN_DAY_S        86400
#define FN_UNTIL_MAX_S  (366 * 86400)           /* from now */


int
fn_ctl_until(int64_t *until_ms, const char *s)
{
    int64_t  ms, now_ms;

    now_ms = (int64_t) fn_now_ms();

    if (*s == '+') {
        ms = fn_parse_duration_ms(s + 1);
        *until_ms = ms > 0 && ms / 1000 <= FN_UNTIL_MAX_S ? now_ms + ms : -1;

    } else if (fn_rfc3339_parse(until_ms, s, strlen(s)) == 0) {
        *until_ms = *until_ms > now_ms / 1000 && *until_ms - now_ms / 1000 <= FN_UNTIL_MAX_S ? *until_ms * 1000 : -1;

    } else {
        *until_ms = -1;
    }

    if (*until_ms == -1) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is neither a time within the next year, such as 2026-01-15T10:30:00Z, nor + and a "
                               "duration, such as +30m\n", s);
        return -1;
    }

    return 0;
}


static int
fn_ctl_orders_done(redisReply *a)
{
    int  rc;

    rc = a == NULL || a->type == REDIS_REPLY_ERROR;

    if (rc) {
        (void) fprintf(stderr, "fitnudgectl: redis: %s\n", a ? a->str : "connection lost");
    }

    if (a != NULL) {
        freeReplyObject(a);
    }

    return rc;
}


/* Tells the edges that orders have changed. */
static int
fn_ctl_orders_say(fn_ctl_t *c)
{
    return fn_ctl_orders_done(fn_redis_command(&c->redis, "PUBLISH %s %s", FN_K_CHANGES, FN_ORDERS_TAG));
}


/* A number of a lane's orders; -1 when there is none. */
static double
fn_ctl_order(fn_ctl_t *c, const char *lane, const char *name)
{
    char         key[FN_KEY_MAX];
    double       n;
    redisReply  *a;

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);
    a = fn_redis_command(&c->redis, "HGET %s %s", key, name);
    n = a != NULL && a->type == REDIS_REPLY_STRING ? strtod(a->str, NULL) : -1;

    if (a != NULL) {
        freeReplyObject(a);
    }

    return n;
}


/* What is ordered of a lane, as a few words: "paused until ...", "at most 4 at once", or "-". */
void
fn_ctl_orders(fn_ctl_t *c, const char *lane, char *out, size_t size)
{
    char     when[FN_RFC3339_LEN + 1];
    size_t   n;
    double   paused, limit, rate, burst, stopped;

    paused = fn_ctl_order(c, lane, "paused_until");
    limit = fn_ctl_order(c, lane, "limit");
    rate = fn_ctl_order(c, lane, "rate");
    burst = fn_ctl_order(c, lane, "burst");
    stopped = fn_ctl_order(c, lane, "stop_enqueue");
    n = 0;
    out[0] = '\0';

    if (paused > (double) fn_now_ms()) {
        n += (size_t) snprintf(out + n, size - n, "paused");

        if (paused < (double) FN_FOREVER_MS) {
            fn_rfc3339(when, (int64_t) (paused / 1000));
            n += (size_t) snprintf(out + n, size - n, " until %s", when);
        }
    }

    if (limit >= 0) {
        n += (size_t) snprintf(out + n, size - n, "%sat most %.0f at once", n ? ", " : "", limit);
    }

    if (rate > 0) {
        n += (size_t) snprintf(out + n, size - n, "%s%g a second, bursts of %.0f", n ? ", " : "", rate, burst);
    }

    if (stopped > 0) {
        n += (size_t) snprintf(out + n, size - n, "%srefused at the edge", n ? ", " : "");
    }

    if (n == 0) {
        (void) snprintf(out, size, "-");
    }
}


static int
fn_ctl_orders_print(fn_ctl_t *c, const char *lane)
{
    char      text[256];
    fn_buf_t  b = FN_BUF_INIT;

    fn_ctl_orders(c, lane, text, sizeof(text));

    if (!c->json) {
        (void) printf("%s: %s\n", lane, strcmp(text, "-") == 0 ? "no orders" : text);
        return 0;
    }

    fn_buf_addf(&b, "{\"lane\":\"%s\",\"orders\":", lane);

    if (strcmp(text, "-") == 0) {
        fn_buf_adds(&b, "null");
    } else {
        fn_buf_add_json_string(&b, text, strlen(text));
    }

    fn_buf_adds(&b, "}");

    if (!b.failed) {
        (void) puts(b.data);
    }

    fn_buf_free(&b);

    return 0;
}


int
fn_ctl_cmd_pause(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX];
    int64_t      until;
    const char  *lane;

    lane = fn_ctl_lane(argv[0]);
    until = FN_FOREVER_MS;

    if (lane == NULL) {
        return 2;
    }

    if (argc == 2 || (argc == 3 && strcmp(argv[1], "--until") != 0)) {
        (void) fprintf(stderr, "usage: fitnudgectl pause <lane> [--until TIME|+DURATION]\n");
        return 2;
    }

    if (argc == 3 && fn_ctl_until(&until, argv[2]) != 0) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HSET %s paused_until %lld", key, (long long) until))
           || fn_ctl_orders_print(c, lane);
}


int
fn_ctl_cmd_resume(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX];
    const char  *lane;

    (void) argc;
    lane = fn_ctl_lane(argv[0]);

    if (lane == NULL) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HDEL %s paused_until", key)) || fn_ctl_orders_print(c, lane);
}


/* A number of up to max, or "off": then *n is 0. 0, or -1 after a message. */
static int
fn_ctl_orders_number(double *n, const char *s, double least, double max)
{
    char  *end;

    *n = 0;

    if (strcmp(s, "off") == 0) {
        return 0;
    }

    errno = 0;
    *n = strtod(s, &end);

    if (*s < '0' || *s > '9' || *end != '\0' || errno != 0 || !(*n >= least) || *n > max) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is not a number from %g to %.0f, nor \"off\"\n", s, least, max);
        return -1;
    }

    return 0;
}


int
fn_ctl_cmd_limit(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX], work[FN_KEY_MAX];
    double       n;
    const char  *lane;

    (void) argc;
    lane = fn_ctl_lane(argv[0]);

    if (lane == NULL || fn_ctl_orders_number(&n, argv[1], 1, FN_LIMIT_MAX) != 0) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);
    (void) snprintf(work, sizeof(work), FN_K_IN_WORK, lane);

    if (n > 0) {
        return fn_ctl_orders_done(fn_redis_command(&c->redis, "HSET %s limit %lld", key, (long long) n)) || fn_ctl_orders_print(c, lane);
    }

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HDEL %s limit", key))
           || fn_ctl_orders_done(fn_redis_command(&c->redis, "DEL %s", work))
           || fn_ctl_orders_print(c, lane);
}


int
fn_ctl_cmd_rate(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX], rate[32], burst[32];
    double       n, b;
    const char  *lane;

    lane = fn_ctl_lane(argv[0]);

    if (lane == NULL || fn_ctl_orders_number(&n, argv[1], 0.001, FN_RATE_MAX) != 0) {
        return 2;
    }

    b = n < 1 ? 1 : n;

    if (argc > 2 && (fn_ctl_orders_number(&b, argv[2], 1, FN_RATE_MAX) != 0 || b == 0)) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);

    if (n == 0) {
        return fn_ctl_orders_done(fn_redis_command(&c->redis, "HDEL %s rate burst tat", key)) || fn_ctl_orders_print(c, lane);
    }

    (void) snprintf(rate, sizeof(rate), "%.3f", n);
    (void) snprintf(burst, sizeof(burst), "%.0f", b);

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HSET %s rate %s burst %s tat 0", key, rate, burst))
           || fn_ctl_orders_print(c, lane);
}


int
fn_ctl_cmd_refuse(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX];
    const char  *lane;

    (void) argc;
    lane = fn_ctl_lane(argv[0]);

    if (lane == NULL) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HSET %s stop_enqueue 1", key)) || fn_ctl_orders_say(c)
           || fn_ctl_orders_print(c, lane);
}


int
fn_ctl_cmd_accept(fn_ctl_t *c, int argc, char **argv)
{
    char         key[FN_KEY_MAX];
    const char  *lane;

    (void) argc;
    lane = fn_ctl_lane(argv[0]);

    if (lane == NULL) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_ORDERS, lane);

    return fn_ctl_orders_done(fn_redis_command(&c->redis, "HDEL %s stop_enqueue", key)) || fn_ctl_orders_say(c)
           || fn_ctl_orders_print(c, lane);
}


int
fn_ctl_cmd_cancel(fn_ctl_t *c, int argc, char **argv)
{
    int  rc;

    (void) argc;

    if (!fn_uuid_valid(argv[0], strlen(argv[0]))) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is not the id of a job (a UUID)\n", argv[0]);
        return 2;
    }

    rc = fn_ctl_known(c, argv[0]);

    if (rc != 1) {
        if (rc == 0) {
            (void) fprintf(stderr, "fitnudgectl: no job %s waits, works or is delayed; it may be done\n", argv[0]);
        }

        return 1;
    }

    if (fn_ctl_orders_done(fn_redis_command(&c->redis, "SADD %s %s", FN_K_CANCELLED, argv[0]))
        || fn_ctl_orders_done(fn_redis_command(&c->redis, "EXPIRE %s %d", FN_K_CANCELLED, FN_DAY_S)))
    {
        return 1;
    }

    (void) printf(c->json ? "{\"cancelled\":\"%s\"}\n" : "%s ends as soon as somebody has it in hand\n", argv[0]);

    return 0;
}
