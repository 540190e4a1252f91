/*
 * Building the results of jobs: the arguments of finish.lua, and the envelopes in them.  Everything is copied into
 * one arena, so that a result may be built from memory that is gone when it is sent (or sent again).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_revoked.h"
#include "libfitnudge/fn_time.h"

#define FN_KEY_MAX  256


static void fn_finish_state(fn_finish_t *f, const fn_task_t *t, const char *name);
static fn_span_t fn_fresh_request(const fn_task_t *t);
static void fn_error_body(fn_buf_t *b, const fn_task_t *t, const char *code, const char *message);


fn_finish_t *
fn_finish_new(void)
{
    return calloc(1, sizeof(fn_finish_t));
}


void
fn_finish_free(fn_finish_t *f)
{
    if (f != NULL) {
        fn_buf_free(&f->arena);
        fn_buf_free(&f->scratch);
        free(f->arg);
        free(f);
    }
}


void
fn_finish_start(fn_finish_t *f)
{
    fn_buf_reset(&f->arena);
    f->n = 0;
    f->jobs = 0;
    f->nslots = 0;
    f->nops = 0;
    f->failed = 0;
}


static void
fn_finish_arg(fn_finish_t *f, size_t at)
{
    void      *p;
    unsigned   size;

    if (f->n == f->size) {
        size = f->size ? f->size * 2 : 256;
        p = realloc(f->arg, size * sizeof(*f->arg));

        if (p == NULL) {
            f->failed = 1;
            return;
        }

        f->arg = p;
        f->size = size;
    }

    f->arg[f->n].at = at;
    f->arg[f->n].len = f->arena.len - at;
    f->n++;
    f->failed |= f->arena.failed;
}


static void
fn_finish_add(fn_finish_t *f, const char *p, size_t n)
{
    size_t  at;

    at = f->arena.len;
    fn_buf_add(&f->arena, p, n);
    fn_finish_arg(f, at);
}


/* One operation of the current job. */
static void
fn_finish_op(fn_finish_t *f, const char *op, const char *key, const char *value, size_t n, uint64_t number)
{
    size_t  at;

    fn_finish_add(f, op, strlen(op));
    fn_finish_add(f, key, strlen(key));
    fn_finish_add(f, value, n);

    at = f->arena.len;
    fn_buf_addf(&f->arena, "%llu", (unsigned long long) number);
    fn_finish_arg(f, at);

    f->nops++;
    f->failed |= f->nops > 99;

    if (!f->failed) {
        f->arena.data[f->count_at] = (char) ('0' + f->nops / 10 % 10);
        f->arena.data[f->count_at + 1] = (char) ('0' + f->nops % 10);
    }
}


static fn_span_t
fn_span(const char *s)
{
    fn_span_t  span;

    span.p = s;
    span.n = strlen(s);

    return span;
}


void
fn_finish_job(fn_finish_t *f, const fn_task_t *t)
{
    char  which[12];

    if (f->nslots == 0 || f->slot[f->nslots - 1] != t->slot) {
        f->slot[f->nslots++] = t->slot;
    }

    (void) snprintf(which, sizeof(which), "%u", f->nslots);
    fn_finish_add(f, which, strlen(which));
    fn_finish_add(f, t->raw.p, t->raw.n);

    f->count_at = f->arena.len;
    fn_finish_add(f, "00", 2);

    f->nops = 0;
    f->jobs++;
}


static void
fn_reply_headers(fn_reply_env_t *r, const char *p, size_t n)
{
    const char  *end, *line, *colon;

    end = p + n;

    for (line = p; n > 0 && line < end && r->nheaders < FN_HEADERS_MAX; line = p + 1) {
        p = memchr(line, '\n', (size_t) (end - line));
        p = p ? p : end;
        colon = memchr(line, ':', (size_t) (p - line));

        if (colon == NULL || colon + 2 > p || colon[1] != ' ') {
            continue;
        }

        r->header_names[r->nheaders].p = line;
        r->header_names[r->nheaders].n = (size_t) (colon - line);
        r->header_values[r->nheaders].p = colon + 2;
        r->header_values[r->nheaders].n = (size_t) (p - colon - 2);
        r->nheaders++;
    }
}


/* A key over a span: a prefix of fn_keys.h and the text. */
static void
fn_span_key(char key[FN_KEY_MAX], const char *prefix, fn_span_t span)
{
    (void) snprintf(key, FN_KEY_MAX, "%s%.*s", prefix, (int) span.n, span.p);
}


void
fn_finish_reply(fn_finish_t *f, const fn_task_t *t, unsigned status, const char *body, size_t body_len,
                const char *headers, size_t headers_len, const fn_span_t *tags, unsigned ntags)
{
    char            key[FN_KEY_MAX];
    fn_reply_env_t  r;

    if (t->env.reply_to.n == 0) {
        return;
    }

    memset(&r, 0, sizeof(r));
    r.id = t->env.id;
    r.status = status;
    r.content_type = fn_span("application/json");
    r.ntags = ntags < FN_TAGS_MAX ? ntags : FN_TAGS_MAX;
    r.body.p = body;
    r.body.n = body_len;

    if (r.ntags > 0) {
        memcpy(r.tags, tags, r.ntags * sizeof(*tags));
    }

    fn_reply_headers(&r, headers, headers_len);

    fn_buf_reset(&f->scratch);

    if (fn_reply_env_format(&f->scratch, &r) != 0) {
        fn_log(FN_LOG_ERROR, "the reply of a job cannot be sent as it is", "job", t->job ? t->job->name : NULL, NULL);
        fn_buf_reset(&f->scratch);
        r.nheaders = 0;
        r.ntags = 0;
        r.status = 500;
        r.body = fn_span("");

        if (fn_reply_env_format(&f->scratch, &r) != 0) {
            return;
        }
    }

    fn_span_key(key, FN_K "r:", t->env.reply_to);
    fn_finish_op(f, "reply", key, f->scratch.data, f->scratch.len, FN_REPLY_TTL_MS);
}


/* What is revoked is remembered as well as published. */
static void
fn_finish_revoked(fn_finish_t *f, const fn_span_t *tag)
{
    char       member[FN_REVOKED_MAX + 1];
    uint64_t   until;
    fn_span_t  what;

    if (!fn_revoked_read(tag->p, tag->n, &what, &until)) {
        return;
    }

    memcpy(member, what.p, what.n);
    member[what.n] = '\0';

    fn_finish_op(f, "revoked", member, "", 0, until);
}


void
fn_finish_tags(fn_finish_t *f, const fn_span_t *tags, unsigned ntags, unsigned keep_s)
{
    unsigned  i;

    if (ntags == 0) {
        return;
    }

    fn_buf_reset(&f->scratch);

    for (i = 0; i < ntags; i++) {
        if (i > 0) {
            fn_buf_add(&f->scratch, " ", 1);
        }

        fn_buf_add(&f->scratch, tags[i].p, tags[i].n);
        fn_finish_revoked(f, &tags[i]);
    }

    if (f->scratch.failed) {
        f->failed = 1;
        return;
    }

    fn_finish_op(f, "tags", "", f->scratch.data, f->scratch.len, keep_s);
}


void
fn_finish_push(fn_finish_t *f, const char *lane, char prio, const char *envelope, size_t n)
{
    char  key[FN_KEY_MAX];

    (void) snprintf(key, sizeof(key), FN_K_QUEUE, lane, prio);
    fn_finish_op(f, "push", key, envelope, n, 0);
}


void
fn_finish_at(fn_finish_t *f, const char *lane, char prio, const char *envelope, size_t n, uint64_t run_at_ms)
{
    char      key[FN_KEY_MAX];
    uint64_t  now;

    now = fn_now_ms();

    if (run_at_ms <= now) {
        fn_finish_push(f, lane, prio, envelope, n);
        return;
    }

    (void) snprintf(key, sizeof(key), FN_K_DELAYED, lane);
    fn_finish_op(f, "delay", key, envelope, n, run_at_ms - now);
}


void
fn_finish_next(fn_finish_t *f, const fn_task_t *t, const char *suffix, const char *body, size_t body_len)
{
    int           call;
    char          name[128];
    fn_job_env_t  env;

    (void) snprintf(name, sizeof(name), "%s%s", t->job->name, suffix);
    call = strcmp(suffix, ":call") == 0;

    env = t->env;
    env.job = fn_span(name);

    if (!call && env.prio == 'h') {
        env.prio = 'n';         /* what was urgent is to get the call under way */
    }

    env.attempt = 0;
    env.body.p = body;
    env.body.n = body_len;

    fn_buf_reset(&f->scratch);

    if (fn_job_env_format(&f->scratch, &env) != 0) {
        fn_log(FN_LOG_ERROR, "the next step of a job is too large or malformed", "job", name, NULL);
        fn_finish_dead(f, t);
        return;
    }

    if (call) {
        fn_finish_state(f, t, "running");
        fn_finish_push(f, "net", env.prio, f->scratch.data, f->scratch.len);

    } else {
        fn_finish_push(f, t->job->lane, env.prio, f->scratch.data, f->scratch.len);
    }
}


void
fn_finish_again(fn_finish_t *f, const fn_task_t *t, unsigned attempt, unsigned delay_ms)
{
    char          key[FN_KEY_MAX];
    fn_job_env_t  env;

    env = t->env;
    env.attempt = attempt;

    fn_buf_reset(&f->scratch);

    if (fn_job_env_format(&f->scratch, &env) != 0) {
        f->failed = 1;
        return;
    }

    if (delay_ms == 0) {
        fn_finish_push(f, fn_task_lane(t), env.prio, f->scratch.data, f->scratch.len);
        return;
    }

    (void) snprintf(key, sizeof(key), FN_K_DELAYED, fn_task_lane(t));
    fn_finish_op(f, "delay", key, f->scratch.data, f->scratch.len, delay_ms);
}


void
fn_finish_dead(fn_finish_t *f, const fn_task_t *t)
{
    char       key[FN_KEY_MAX];
    fn_buf_t   b = FN_BUF_INIT;

    fn_dead_letter(&b, t);
    (void) snprintf(key, sizeof(key), FN_K_DEAD, fn_task_lane(t));

    if (b.failed) {
        f->failed = 1;

    } else {
        fn_finish_op(f, "dead", key, b.data, b.len, FN_DEAD_MAX);
    }

    fn_finish_state(f, t, "failed");

    fn_buf_reset(&b);
    fn_internal_error(&b, t);
    fn_finish_reply(f, t, 500, b.data, b.len, NULL, 0, NULL, 0);
    fn_buf_free(&b);
}


/* What the edge tells of a job that the inbox does not know, if it was answered with 202. */
static void
fn_finish_state(fn_finish_t *f, const fn_task_t *t, const char *name)
{
    int   n;
    char  key[FN_KEY_MAX], state[64];

    fn_span_key(key, FN_K "j:", t->env.id);
    n = snprintf(state, sizeof(state), "%s %.*s", name, (int) t->env.user.n, t->env.user.p);
    fn_finish_op(f, "state", key, state, (size_t) n, 0);
}


void
fn_finish_cancelled(fn_finish_t *f, const fn_task_t *t)
{
    fn_buf_t  b = FN_BUF_INIT;

    fn_finish_state(f, t, "failed");

    fn_error_body(&b, t, "CONFLICT", "The job was cancelled.");
    fn_finish_reply(f, t, 409, b.data, b.len, NULL, 0, NULL, 0);
    fn_buf_free(&b);
}


void
fn_dead_letter(fn_buf_t *b, const fn_task_t *t)
{
    const char  *s;

    fn_buf_addf(b, "d1 %u %llu ", t->env.attempt, (unsigned long long) fn_now_ms());

    for (s = t->why ? t->why : "unknown"; *s != '\0'; s++) {
        fn_buf_add(b, (unsigned char) *s < 0x20 ? " " : s, 1);
    }

    fn_buf_adds(b, "\n");
    fn_fresh_envelope(b, t);
}


void
fn_fresh_envelope(fn_buf_t *b, const fn_task_t *t)
{
    fn_job_env_t  env;

    if (t->env.id.n == 0) {                 /* not even an envelope */
        fn_buf_add(b, t->raw.p, t->raw.n);
        return;
    }

    env = t->env;
    env.attempt = 0;
    env.deadline_ms = 0;                    /* nobody waits any more, and who queues it again wants it done */
    env.reply_to.n = 0;

    if (t->job != NULL && (t->job->flags & FN_JOB_STORED)) {
        env.job = fn_span(t->job->name);    /* from its first step, which finds the rest; its row of the inbox is "running" already, */
        env.attempt = 1;                    /* and from the second try on that is its own */
        env.body = fn_fresh_request(t);

    } else if (t->job == NULL || (t->job->flags & FN_JOB_SENSITIVE)) {
        env.body = fn_span("{}");
    }

    if (fn_job_env_format(b, &env) != 0) {
        fn_buf_add(b, t->raw.p, t->raw.n);
    }
}


/* What a job says that begins anew with its id: no more than whether its call was made, or may have been. */
static fn_span_t
fn_fresh_request(const fn_task_t *t)
{
    fn_span_t  anew, called;

    anew = fn_span("{\"params\":{},\"body\":{},\"meta\":{}}");
    called = fn_span("{\"params\":{},\"body\":{\"called\":true},\"meta\":{}}");

    return t->step == 'm' || (t->step == 'c' && t->suspect)
           || (t->step == 0 && t->env.body.n == called.n && memcmp(t->env.body.p, called.p, called.n) == 0) ? called : anew;
}


void
fn_internal_error(fn_buf_t *b, const fn_task_t *t)
{
    fn_error_body(b, t, "INTERNAL_ERROR", "Something went wrong on our side.");
}


static void
fn_error_body(fn_buf_t *b, const fn_task_t *t, const char *code, const char *message)
{
    char  id[65], now[FN_RFC3339_LEN + 1];

    fn_request_id(t, id, sizeof(id));
    fn_rfc3339(now, (int64_t) (fn_now_ms() / 1000));

    fn_buf_addf(b, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"details\":{},\"timestamp\":\"%s\",\"request_id\":",
                code, message, now);
    fn_buf_add_json_string(b, id, strlen(id));
    fn_buf_adds(b, "}}");
}
