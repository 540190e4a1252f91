/*
 * What a host knows of outside services, as the net process uses it: breakers and pauses in the scoreboard (service.h), what
 * other hosts say of theirs in Redis, and operators who have to be told.
 *
 * {fn}:cb:<service> holds the last word, "open|closed <until ms> <stamp ms> <who>", all by the clock of 1970; it expires when there
 * is nothing more to say.  Everybody reads it four times a second.  A breaker that closes by itself says nothing: the others try for themselves.
 * {fn}:services:<instance> is for people (fitnudgectl breaker).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "net.h"

#define FN_NET_SERVICES_MS  250
#define FN_NET_PAUSE_MAX    (3600 * 1000)   /* a longer Retry-After is not believed */
#define FN_NET_ALERT_MS     (600 * 1000)    /* the same alert is not repeated within */
#define FN_NET_VIEW_S       10              /* after which what an instance said is forgotten */
#define FN_KEY_MAX          256

static fn_service_said_e net_verdict(const fn_net_exchange_t *x, const fn_response_t *r);
static int net_pauses(const fn_net_exchange_t *x, const fn_response_t *r);
static void net_opened(fn_net_t *n, fn_net_exchange_t *x);
static void net_hear(fn_net_t *n, unsigned i, const char *word);
static int net_tell(fn_net_t *n, fn_redis_t *r);
static void net_push_alert(fn_net_t *n, const fn_job_t *job, const char *service, const char *text);


fn_service_may_e
fn_net_ask(fn_net_t *n, fn_net_exchange_t *x, uint64_t *wait_ms)
{
    int  i;

    i = fn_service_find(x->pair->service);

    if (i == -1) {
        x->service = NULL;
        return FN_SERVICE_GO;
    }

    x->service = &n->child->board->service[i];
    x->policy = fn_service_policy(n->settings, x->pair->service);

    return fn_service_ask(x->service, &x->policy, fn_mono_ms(), &x->ticket, wait_ms);
}


void
fn_net_said(fn_net_t *n, fn_net_exchange_t *x, const fn_response_t *r)
{
    long      pause;
    uint64_t  now;

    if (x->service == NULL) {
        return;
    }

    now = fn_mono_ms();

    switch (fn_service_said(x->service, &x->policy, now, x->ticket, r != NULL ? net_verdict(x, r) : FN_SERVICE_UNKNOWN)) {

    case 1:
        net_opened(n, x);
        break;

    case -1:
        fn_log(FN_LOG_INFO, "breaker closed", "service", x->pair->service, NULL);
        break;

    default:
        break;
    }

    pause = x->call.wait_ms < FN_NET_PAUSE_MAX ? x->call.wait_ms : FN_NET_PAUSE_MAX;

    if (r != NULL && pause > 0 && net_pauses(x, r)) {
        fn_service_pause(x->service, now, (uint64_t) pause);
    }
}


/* No connection, no TLS, no answer in time, or one that says so itself. */
static fn_service_said_e
net_verdict(const fn_net_exchange_t *x, const fn_response_t *r)
{
    switch (r->transport_error) {

    case CURLE_OK:
        return x->method != FN_METHOD_MAIL && r->status >= 500 ? FN_SERVICE_BAD : FN_SERVICE_GOOD;

    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_FAILED_INIT:
        return FN_SERVICE_UNKNOWN;

    case CURLE_OPERATION_TIMEDOUT:
        return x->clipped ? FN_SERVICE_UNKNOWN : FN_SERVICE_BAD;

    default:
        /* A mail server that refuses a mail works; 421 says that it does not. */
        return x->method == FN_METHOD_MAIL && r->status >= 400 && r->status != 421 ? FN_SERVICE_GOOD : FN_SERVICE_BAD;
    }
}


/* Greylisting is about one recipient: the others' mails need not wait. */
static int
net_pauses(const fn_net_exchange_t *x, const fn_response_t *r)
{
    return x->method != FN_METHOD_MAIL || r->status < 400 || r->status == 421;
}


static void
net_opened(fn_net_t *n, fn_net_exchange_t *x)
{
    char         ms[24], key[FN_KEY_MAX], word[FN_INSTANCE_MAX + 64];
    uint64_t     now;
    redisReply  *a;

    snprintf(ms, sizeof(ms), "%" PRIu64, x->policy.cooldown_ms);
    fn_log(FN_LOG_ERROR, "breaker opened", "service", x->pair->service, "ms", ms, NULL);

    now = fn_now_ms();
    snprintf(key, sizeof(key), FN_K_BREAKER, x->pair->service);

    /* Our own word is not news to us. */
    (void) fn_service_hold(x->service, &x->policy, fn_mono_ms(), 0, now);

    snprintf(word, sizeof(word), "open %" PRIu64 " %" PRIu64 " %s", now + x->policy.cooldown_ms, now, n->child->board->inst);
    a = fn_redis_command(fn_delivery_redis(n->delivery), "SET %s %s PX %s", key, word, ms);

    if (a != NULL) {
        freeReplyObject(a);
    }
}


void
fn_net_services(fn_net_t *n)
{
    char         key[FN_SERVICES][FN_KEY_MAX];
    size_t       k;
    unsigned     i;
    uint64_t     now, last;
    const char  *v[FN_SERVICES + 1];
    fn_redis_t  *r;
    redisReply  *a;

    now = fn_mono_ms();
    last = n->child->board->services_ms;
    r = fn_delivery_redis(n->delivery);

    if (now - last < FN_NET_SERVICES_MS || fn_quit || r->c == NULL
        || !__sync_bool_compare_and_swap(&n->child->board->services_ms, last, now))
    {
        return;
    }

    v[0] = "MGET";

    for (i = 0; fn_service_names[i] != NULL; i++) {
        snprintf(key[i], sizeof(key[i]), FN_K_BREAKER, fn_service_names[i]);
        v[i + 1] = key[i];
    }

    if (redisAppendCommandArgv(r->c, (int) i + 1, v, NULL) != REDIS_OK || net_tell(n, r) != 0) {
        fn_redis_close(r);
        return;
    }

    a = fn_redis_reply(r);

    for (k = 0; a != NULL && k < a->elements; k++) {
        if (a->element[k]->type == REDIS_REPLY_STRING) {
            net_hear(n, (unsigned) k, a->element[k]->str);
        }
    }

    for (k = 0; k < 3; k++) {
        if (a != NULL) {
            freeReplyObject(a);
        }

        a = k < 2 ? fn_redis_reply(r) : NULL;
    }
}


static void
net_hear(fn_net_t *n, unsigned i, const char *word)
{
    int                  open;
    uint64_t             now, until, stamp;
    fn_service_t        *s;
    fn_breaker_policy_t  p;

    if (fn_service_word_parse(word, &open, &until, &stamp) != 0) {
        return;
    }

    s = &n->child->board->service[i];
    p = fn_service_policy(n->settings, fn_service_names[i]);
    now = fn_now_ms();

    if (open && until > now && fn_service_hold(s, &p, fn_mono_ms(), until - now, stamp)) {
        fn_log(FN_LOG_WARN, "breaker opened by somebody else", "service", fn_service_names[i], NULL);
    }

    if (!open && fn_service_release(s, stamp)) {
        fn_log(FN_LOG_INFO, "breaker closed by an operator", "service", fn_service_names[i], NULL);
    }
}


/* Queues two commands. 0 or -1. */
static int
net_tell(fn_net_t *n, fn_redis_t *r)
{
    char                 key[FN_KEY_MAX], text[FN_SERVICES][FN_SERVICE_VIEW_MAX];
    unsigned             i, at;
    const char          *v[2 * FN_SERVICES + 2];
    fn_service_view_t    view;
    fn_breaker_policy_t  p;

    snprintf(key, sizeof(key), FN_K_SERVICES, n->child->board->inst);
    v[0] = "HSET";
    v[1] = key;

    for (i = 0, at = 2; fn_service_names[i] != NULL; i++) {
        p = fn_service_policy(n->settings, fn_service_names[i]);
        fn_service_view(&n->child->board->service[i], &p, fn_mono_ms(), &view);

        fn_service_view_format(text[i], &view);
        v[at++] = fn_service_names[i];
        v[at++] = text[i];
    }

    return redisAppendCommandArgv(r->c, (int) at, v, NULL) == REDIS_OK
           && redisAppendCommand(r->c, "EXPIRE %s %d", key, FN_NET_VIEW_S) == REDIS_OK ? 0 : -1;
}


void
fn_net_alert(fn_net_t *n, fn_net_exchange_t *x, const char *text)
{
    const fn_job_t  *job;

    if (x->service != NULL && !fn_service_alert(x->service, fn_mono_ms(), FN_NET_ALERT_MS, text)) {
        return;
    }

    fn_log(FN_LOG_ERROR, "an operator is needed", "service", x->pair->service, "alert", text, NULL);

    job = fn_job_find("alert.send", sizeof("alert.send") - 1);

    /* Whoever carries alerts cannot say that it does not. */
    if (job != NULL && fn_set(n->settings->slack_webhook_url) && strcmp(x->pair->service, "slack") != 0) {
        net_push_alert(n, job, x->pair->service, text);
    }
}


/* The same alert of several hosts is one job: its id is made of what it says and when. */
static void
net_push_alert(fn_net_t *n, const fn_job_t *job, const char *service, const char *text)
{
    char          id[FN_UUID_LEN + 1], key[FN_KEY_MAX], slice[32];
    fn_buf_t      body = FN_BUF_INIT, b = FN_BUF_INIT;
    redisReply   *a;
    fn_job_env_t  env;

    snprintf(slice, sizeof(slice), "%" PRIu64, fn_now_ms() / FN_NET_ALERT_MS);
    fn_uuid_v5(id, service, strlen(service), slice, strlen(slice), text, strlen(text));

    fn_buf_adds(&body, "{\"params\":{},\"body\":{\"text\":");
    fn_buf_add_json_string(&body, text, strlen(text));
    fn_buf_adds(&body, ",\"key\":");
    fn_buf_add_json_string(&body, text, strlen(text));
    fn_buf_adds(&body, "},\"meta\":{}}");

    memset(&env, 0, sizeof(env));
    env.id.p = id;
    env.id.n = FN_UUID_LEN;
    env.job.p = job->name;
    env.job.n = strlen(job->name);
    env.prio = job->prio;
    env.enqueued_ms = fn_now_ms();
    env.body.p = body.data;
    env.body.n = body.len;

    if (!body.failed && fn_job_env_format(&b, &env) == 0) {
        snprintf(key, sizeof(key), FN_K_QUEUE, job->lane, job->prio);
        a = fn_redis_command(fn_delivery_redis(n->delivery), "LPUSH %s %b", key, b.data, b.len);

        if (a != NULL) {
            freeReplyObject(a);
        }
    }

    fn_buf_free(&body);
    fn_buf_free(&b);
}
