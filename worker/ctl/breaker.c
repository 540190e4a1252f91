/* Breakers of outside services: how those of each host are, and the word of an operator to all of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_keys.h"
#include "../libfitnudge/fn_time.h"
#include "../service.h"
#include "ctl.h"

#define FN_UNTIL_MAX_S  (366 * 86400)       /* from now */
#define FN_CLOSED_S     3600                /* as long as a host may have been away and still has to hear of it */
#define FN_KEY_MAX      256

static int
fn_ctl_breaker_usage(void)
{
    (void) fprintf(stderr, "usage: fitnudgectl breaker [open NAME [--until TIME|+DURATION] | close NAME]\n");

    return 2;
}


static redisReply *
fn_ctl_breaker_reply(redisReply *a)
{
    if (a != NULL && a->type != REDIS_REPLY_ERROR) {
        return a;
    }

    (void) fprintf(stderr, "fitnudgectl: redis: %s\n", a ? a->str : "connection lost");

    if (a != NULL) {
        freeReplyObject(a);
    }

    return NULL;
}


static void
fn_ctl_breaker_print(const fn_ctl_t *c, const char *service, const char *host, const fn_service_view_t *b)
{
    fn_buf_t  out = FN_BUF_INIT;

    if (!c->json) {
        (void) printf("%-13s %-10s %5u/%-3u %8.0f %8.0f %10" PRIu64 " %10" PRIu64 "  %s\n", service, fn_service_states[b->state], b->failures_in_row, b->opens_at,
                      (double) b->open_ms / 1000, (double) b->paused_ms / 1000, b->calls, b->failures, host ? host : "-");
        return;
    }

    fn_buf_addf(&out, "{\"service\":\"%s\",\"state\":\"%s\",\"failures_in_row\":%u,\"opens_at\":%u,\"open_ms\":%" PRIu64
                ",\"paused_ms\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"instance\":", service, fn_service_states[b->state], b->failures_in_row,
                b->opens_at, b->open_ms, b->paused_ms, b->calls, b->failures);

    if (host != NULL) {
        fn_buf_add_json_string(&out, host, strlen(host));
    } else {
        fn_buf_adds(&out, "null");
    }

    fn_buf_adds(&out, "}");

    if (!out.failed) {
        (void) puts(out.data);
    }

    fn_buf_free(&out);
}


/* What one instance says of its breakers. How many. -1: connection lost. */
static int
fn_ctl_breaker_instance(fn_ctl_t *c, const char *inst)
{
    int                n;
    char               key[FN_KEY_MAX];
    size_t             i;
    redisReply        *a;
    fn_service_view_t  b;

    (void) snprintf(key, sizeof(key), FN_K_SERVICES, inst);
    a = fn_ctl_breaker_reply(fn_redis_command(&c->redis, "HGETALL %s", key));

    if (a == NULL) {
        return -1;
    }

    for (i = 0, n = 0; i + 1 < a->elements; i += 2) {
        if (fn_service_find(a->element[i]->str) == -1 || fn_service_view_parse(a->element[i + 1]->str, &b) != 0) {
            continue;
        }

        fn_ctl_breaker_print(c, a->element[i]->str, inst, &b);
        n++;
    }

    freeReplyObject(a);

    return n;
}


/* No pool runs: what the next one to start will hear. */
static int
fn_ctl_breaker_words(fn_ctl_t *c)
{
    int                i, open;
    char               key[FN_KEY_MAX];
    uint64_t           now, until, stamp;
    redisReply        *a;
    fn_service_view_t  b;

    now = fn_now_ms();

    for (i = 0; fn_service_names[i] != NULL; i++) {
        (void) snprintf(key, sizeof(key), FN_K_BREAKER, fn_service_names[i]);
        a = fn_ctl_breaker_reply(fn_redis_command(&c->redis, "GET %s", key));

        if (a == NULL) {
            return 1;
        }

        memset(&b, 0, sizeof(b));

        if (a->type == REDIS_REPLY_STRING && fn_service_word_parse(a->str, &open, &until, &stamp) == 0 && open && until > now) {
            b.state = FN_BREAKER_OPEN;
            b.open_ms = until - now;
        }

        freeReplyObject(a);
        fn_ctl_breaker_print(c, fn_service_names[i], NULL, &b);
    }

    return 0;
}


static int
fn_ctl_breaker_list(fn_ctl_t *c)
{
    int          n, all;
    size_t       i;
    redisReply  *a;

    a = fn_ctl_breaker_reply(fn_redis_command(&c->redis, "ZRANGE %s 0 -1", FN_K_INSTANCES));

    if (a == NULL) {
        return 1;
    }

    if (!c->json) {
        (void) printf("%-13s %-10s %9s %8s %8s %10s %10s  %s\n", "service", "state", "failures", "open/s", "pause/s", "calls", "failed",
                      "instance");
    }

    for (i = 0, n = 0, all = 0; i < a->elements && n != -1; i++) {
        n = fn_ctl_breaker_instance(c, a->element[i]->str);
        all += n;
    }

    freeReplyObject(a);

    return n == -1 ? 1 : all == 0 ? fn_ctl_breaker_words(c) : 0;
}


static int
fn_ctl_breaker_say(fn_ctl_t *c, const char *service, int open, const char *until_text)
{
    char         key[FN_KEY_MAX], word[128], end[FN_RFC3339_LEN + 1];
    int64_t      now, until;
    redisReply  *a;

    if (fn_service_find(service) == -1) {
        (void) fprintf(stderr, "fitnudgectl: there is no service \"%s\"\n", service);
        return 2;
    }

    now = (int64_t) fn_now_ms();
    until = now + (open ? (int64_t) FN_UNTIL_MAX_S : FN_CLOSED_S) * 1000;

    if (until_text != NULL && fn_ctl_until(&until, until_text) != 0) {
        return 2;
    }

    (void) snprintf(key, sizeof(key), FN_K_BREAKER, service);
    (void) snprintf(word, sizeof(word), "%s %" PRId64 " %" PRId64 " operator", open ? "open" : "closed", open ? until : 0, now);
    a = fn_ctl_breaker_reply(fn_redis_command(&c->redis, "SET %s %s PXAT %lld", key, word, (long long) until));

    if (a == NULL) {
        return 1;
    }

    freeReplyObject(a);
    fn_rfc3339(end, until / 1000);

    if (c->json) {
        (void) printf("{\"service\":\"%s\",\"state\":\"%s\",\"until\":%s%s%s}\n", service, open ? "open" : "closed", until_text ? "\"" : "",
                      until_text ? end : "null", until_text ? "\"" : "");

    } else {
        (void) printf("%s: %s%s%s\n", service, open ? "open" : "closed", open ? ", until " : "",
                      !open ? "" : until_text ? end : "somebody closes it");
    }

    return 0;
}


int
fn_ctl_cmd_breaker(fn_ctl_t *c, int argc, char **argv)
{
    if (argc == 0) {
        return fn_ctl_breaker_list(c);
    }

    if (strcmp(argv[0], "close") == 0 && argc == 2) {
        return fn_ctl_breaker_say(c, argv[1], 0, NULL);
    }

    if (strcmp(argv[0], "open") == 0 && (argc == 2 || (argc == 4 && strcmp(argv[2], "--until") == 0))) {
        return fn_ctl_breaker_say(c, argv[1], 1, argc == 4 ? argv[3] : NULL);
    }

    return fn_ctl_breaker_usage();
}
