/* Maintenance mode, for every edge at once: one key, and word on the change channel that it is another one. */
#include <stdio.h>
#include <string.h>

#include "../libfitnudge/fn_keys.h"
#include "../libfitnudge/fn_maintenance.h"
#include "../libfitnudge/fn_time.h"
#include "ctl.h"

#define FN_UNTIL_MAX_S  (366 * 86400)       /* from now; more is a slip of the hand */


static int
fn_ctl_maintenance_usage(void)
{
    (void) fprintf(stderr, "usage: fitnudgectl maintenance on [--message TEXT] [--until TIME|+DURATION] | off | status\n");

    return 2;
}


/* The answer of a command that has to succeed; 1 after a message. */
static int
fn_ctl_maintenance_done(redisReply *a)
{
    int  failed;

    failed = a == NULL || a->type == REDIS_REPLY_ERROR;

    if (failed) {
        (void) fprintf(stderr, "fitnudgectl: redis: %s\n", a ? a->str : "connection lost");
    }

    if (a != NULL) {
        freeReplyObject(a);
    }

    return failed;
}


static int
fn_ctl_maintenance_publish(fn_ctl_t *c)
{
    return fn_ctl_maintenance_done(fn_redis_command(&c->redis, "PUBLISH %s %s", FN_K_CHANGES, FN_MAINTENANCE_TAG));
}


/* An RFC 3339 time, or + and a duration. 0, or -1 after a message. */
static int
fn_ctl_maintenance_until(fn_maintenance_t *m, const char *s)
{
    int64_t  ms;

    if (*s == '+') {
        ms = fn_parse_duration_ms(s + 1);

        if (ms < 1000) {
            (void) fprintf(stderr, "fitnudgectl: \"%s\" is not a duration from +1s, such as +90s, +30m or +2h\n", s);
            return -1;
        }

        m->until_s = ms / 1000 > FN_UNTIL_MAX_S ? INT64_MAX : m->since_s + ms / 1000;

    } else if (fn_rfc3339_parse(&m->until_s, s, strlen(s)) != 0) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is neither a time, such as 2026-01-15T10:30:00Z, nor + and a duration, such as +30m\n", s);
        return -1;
    }

    if (m->until_s <= m->since_s) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" has passed\n", s);
        return -1;
    }

    if (m->until_s - m->since_s > FN_UNTIL_MAX_S) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is more than a year away\n", s);
        return -1;
    }

    return 0;
}


/* 0, or -1 after a message. */
static int
fn_ctl_maintenance_options(fn_maintenance_t *m, int argc, char **argv)
{
    int          i;
    const char  *err;

    for (i = 0; i < argc; i += 2) {
        if (i + 1 == argc) {
            (void) fn_ctl_maintenance_usage();
            return -1;
        }

        if (strcmp(argv[i], "--message") == 0) {
            err = fn_maintenance_message(m, argv[i + 1], strlen(argv[i + 1]));

            if (err != NULL) {
                (void) fprintf(stderr, "fitnudgectl: the message %s\n", err);
                return -1;
            }

        } else if (strcmp(argv[i], "--until") == 0) {
            if (fn_ctl_maintenance_until(m, argv[i + 1]) != 0) {
                return -1;
            }

        } else {
            (void) fn_ctl_maintenance_usage();
            return -1;
        }
    }

    return 0;
}


static void
fn_ctl_maintenance_print(const fn_ctl_t *c, const fn_maintenance_t *m)
{
    char      since[FN_RFC3339_LEN + 1], until[FN_RFC3339_LEN + 1];
    fn_buf_t  b = FN_BUF_INIT;

    if (m == NULL) {
        (void) puts(c->json ? "{\"maintenance\":false}" : "maintenance: off");
        return;
    }

    fn_rfc3339(since, m->since_s);
    fn_rfc3339(until, m->until_s);

    if (!c->json) {
        (void) printf("maintenance: on since %s, until %s\n%s\n", since, m->until_s ? until : "somebody ends it", m->message);
        return;
    }

    fn_buf_adds(&b, "{\"maintenance\":true,\"message\":");
    fn_buf_add_json_string(&b, m->message, m->len);
    fn_buf_addf(&b, ",\"since\":\"%s\",\"until\":%s%s%s}", since, m->until_s ? "\"" : "", m->until_s ? until : "null",
                m->until_s ? "\"" : "");

    if (!b.failed) {
        (void) puts(b.data);
    }

    fn_buf_free(&b);
}


static int
fn_ctl_maintenance_on(fn_ctl_t *c, int argc, char **argv)
{
    int               rc;
    fn_buf_t          b = FN_BUF_INIT;
    redisReply       *a;
    fn_maintenance_t  m;

    m.since_s = (int64_t) (fn_now_ms() / 1000);
    m.until_s = 0;
    (void) fn_maintenance_message(&m, FN_MAINTENANCE_MESSAGE, strlen(FN_MAINTENANCE_MESSAGE));

    if (fn_ctl_maintenance_options(&m, argc, argv) != 0) {
        return 2;
    }

    fn_maintenance_format(&b, &m);

    if (b.failed) {
        (void) fprintf(stderr, "fitnudgectl: no memory\n");
        return 1;
    }

    /* Redis drops the key by itself when the time is up: an edge that starts later must not find it */
    if (m.until_s != 0) {
        a = fn_redis_command(&c->redis, "SET %s %b EXAT %lld", FN_K_MAINTENANCE, b.data, b.len, (long long) m.until_s);

    } else {
        a = fn_redis_command(&c->redis, "SET %s %b", FN_K_MAINTENANCE, b.data, b.len);
    }

    rc = fn_ctl_maintenance_done(a) || fn_ctl_maintenance_publish(c);
    fn_buf_free(&b);

    if (rc == 0) {
        fn_ctl_maintenance_print(c, &m);
    }

    return rc;
}


static int
fn_ctl_maintenance_off(fn_ctl_t *c)
{
    if (fn_ctl_maintenance_done(fn_redis_command(&c->redis, "DEL %s", FN_K_MAINTENANCE)) || fn_ctl_maintenance_publish(c)) {
        return 1;
    }

    fn_ctl_maintenance_print(c, NULL);

    return 0;
}


static int
fn_ctl_maintenance_status(fn_ctl_t *c)
{
    int               rc;
    redisReply       *a;
    fn_maintenance_t  m;

    a = fn_redis_command(&c->redis, "GET %s", FN_K_MAINTENANCE);

    if (a == NULL || a->type == REDIS_REPLY_ERROR) {
        return fn_ctl_maintenance_done(a);
    }

    rc = 0;

    if (a->type == REDIS_REPLY_NIL) {
        fn_ctl_maintenance_print(c, NULL);

    } else if (a->type == REDIS_REPLY_STRING && fn_maintenance_parse(&m, a->str, a->len) == 0) {
        fn_ctl_maintenance_print(c, &m);

    } else {
        (void) fprintf(stderr, "fitnudgectl: %s is malformed, and the edges ignore it; `maintenance off` removes it\n",
                       FN_K_MAINTENANCE);
        rc = 1;
    }

    freeReplyObject(a);

    return rc;
}


int
fn_ctl_cmd_maintenance(fn_ctl_t *c, int argc, char **argv)
{
    if (strcmp(argv[0], "on") == 0) {
        return fn_ctl_maintenance_on(c, argc - 1, argv + 1);
    }

    if (argc == 1 && strcmp(argv[0], "off") == 0) {
        return fn_ctl_maintenance_off(c);
    }

    if (argc == 1 && strcmp(argv[0], "status") == 0) {
        return fn_ctl_maintenance_status(c);
    }

    return fn_ctl_maintenance_usage();
}
