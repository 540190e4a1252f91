/*
 * Emptying the slot of an owner that has gone.  Each job goes back to the right end of its queue, so that it is next;
 * a job that was in a slot when its process died is counted, and at the third time it is a dead letter.
 */
#include <stdio.h>
#include <string.h>

#include "delivery.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"

#define FN_KEY_MAX      256
#define FN_TEXT_MAX     128
#define FN_REAP_KEYS    8
#define FN_REAP_ARGS    15

#define FN_CRASHES      "3"         /* so many, and the job is poison */
#define FN_KEPT         "10000"     /* FN_DEAD_MAX */


static void
fn_reap_reply(fn_buf_t *b, const fn_task_t *t)
{
    fn_buf_t        body = FN_BUF_INIT;
    fn_reply_env_t  r;

    if (t->env.reply_to.n == 0) {
        return;
    }

    fn_internal_error(&body, t);

    memset(&r, 0, sizeof(r));
    r.id = t->env.id;
    r.status = 500;
    r.content_type.p = "application/json";
    r.content_type.n = sizeof("application/json") - 1;
    r.body.p = body.data;
    r.body.n = body.len;

    (void) fn_reply_env_format(b, &r);
    fn_buf_free(&body);
}


static void
fn_reap_text(char out[FN_TEXT_MAX], fn_span_t span)
{
    (void) snprintf(out, FN_TEXT_MAX, "%.*s", (int) span.n, span.n ? span.p : "");
}


/* 0 gone, 1 back in its queue, 2 dead; -1 = connection lost. */
static int
fn_reap_one(fn_redis_t *r, const char *slot, const fn_task_t *t, int suspect)
{
    int          rc;
    char         key[FN_REAP_KEYS][FN_KEY_MAX], id[FN_TEXT_MAX], user[FN_TEXT_MAX], to[FN_TEXT_MAX], state[FN_KEY_MAX];
    size_t       len[FN_REAP_ARGS];
    unsigned     i;
    fn_buf_t     dead = FN_BUF_INIT, reply = FN_BUF_INIT;
    fn_task_t    poison;
    redisReply  *a;
    const char  *v[FN_REAP_ARGS];

    fn_reap_text(id, t->env.id);
    fn_reap_text(user, t->env.user);
    fn_reap_text(to, t->env.reply_to);

    (void) snprintf(key[0], FN_KEY_MAX, "%s", slot);
    (void) snprintf(key[1], FN_KEY_MAX, FN_K_QUEUE, fn_task_lane(t), t->env.prio ? t->env.prio : 'n');
    (void) snprintf(key[2], FN_KEY_MAX, FN_K_CRASH, id);
    (void) snprintf(key[3], FN_KEY_MAX, FN_K_CRASHED);
    (void) snprintf(key[4], FN_KEY_MAX, FN_K_DEAD, fn_task_lane(t));
    (void) snprintf(key[5], FN_KEY_MAX, FN_K_JOB, id);
    (void) snprintf(key[6], FN_KEY_MAX, FN_K_REPLY, to);
    (void) snprintf(key[7], FN_KEY_MAX, FN_K_IN_WORK, fn_task_lane(t));
    (void) snprintf(state, sizeof(state), "failed %s", user);

    poison = *t;
    poison.why = "it was at work when a process died, three times";
    poison.suspect = 3;
    fn_dead_letter(&dead, &poison);
    fn_reap_reply(&reply, t);

    for (i = 0; i < FN_REAP_KEYS; i++) {
        v[i] = key[i];
    }

    v[8] = t->raw.p;
    v[9] = suspect ? "1" : "0";
    v[10] = FN_CRASHES;
    v[11] = dead.len ? dead.data : "";
    v[12] = reply.len ? reply.data : "";
    v[13] = state;
    v[14] = FN_KEPT;

    for (i = 0; i < FN_REAP_ARGS; i++) {
        len[i] = i == 8 ? t->raw.n : i == 11 ? dead.len : i == 12 ? reply.len : strlen(v[i]);
    }

    rc = -1;

    if (fn_redis_script(r, FN_SCRIPT_REAP, FN_REAP_KEYS, FN_REAP_ARGS, v, len) == 0
        && (a = fn_redis_reply(r)) != NULL)
    {
        rc = a->type == REDIS_REPLY_INTEGER ? (int) a->integer : -1;

        if (rc < 0) {
            fn_log(FN_LOG_ERROR, "redis refused to take a job back", "error", a->str, NULL);
            fn_redis_close(r);
        }

        freeReplyObject(a);
    }

    fn_buf_free(&dead);
    fn_buf_free(&reply);

    return rc;
}


static void
fn_reap_log(const fn_task_t *t, int dead, const char *how)
{
    char  request[65], trace[FN_TRACE_ID_LEN + 1], name[65], id[FN_TEXT_MAX];

    fn_reap_text(id, t->env.id);

    fn_request_id(t, request, sizeof(request));
    (void) snprintf(name, sizeof(name), "%.*s", (int) t->env.job.n, t->env.job.n ? t->env.job.p : "");

    fn_log(dead ? FN_LOG_ERROR : FN_LOG_WARN,
           dead ? "job is poison: it was at work when a process died, three times" : "job of a dead process goes back",
           "job", name, "job_id", id, "how", how, "request_id", request[0] ? request : NULL,
           "trace_id", fn_trace_id(t, trace), NULL);
}


int
fn_reap(fn_redis_t *r, const char *slot, int suspect, const char *only, const char *how)
{
    int          rc, blame;
    size_t       i;
    fn_task_t    t;
    redisReply  *all;

    all = fn_redis_command(r, "LRANGE %s 0 -1", slot);

    if (all == NULL) {
        return -1;
    }

    /* newest first, so that the oldest ends up rightmost and is taken first */
    for (i = 0, rc = all->type == REDIS_REPLY_ARRAY ? 0 : -1; i < all->elements && rc >= 0; i++) {
        if (fn_task_parse(&t, all->element[i]->str, all->element[i]->len) != 0) {
            fn_log(FN_LOG_WARN, "a malformed envelope goes back", NULL);
        }

        blame = suspect && (only == NULL || only[0] == '\0'
                            || (strlen(only) == t.env.id.n && memcmp(only, t.env.id.p, t.env.id.n) == 0));

        rc = fn_reap_one(r, slot, &t, blame);

        if (rc > 0 && suspect) {
            fn_reap_log(&t, rc == 2, blame ? how : NULL);
        }

        fn_count(FN_C_REAPED, rc > 0);

        if (rc > 0 && blame) {
            fn_count_job(t.job, rc == 2 ? FN_RESULT_DEAD : FN_RESULT_CRASHED, 0);
        }
    }

    rc = rc < 0 ? -1 : (int) all->elements;
    freeReplyObject(all);

    return rc;
}
