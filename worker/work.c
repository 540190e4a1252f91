/*
 * What happens to a job between take and finish.  First statements of all jobs in hand go to PostgreSQL as one transaction; if
 * anything in it fails it is rolled back, and each job runs alone, so that an error is always one job's own.
 */
#define _GNU_SOURCE
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "relay.h"

#define FN_LOST_MAX     10      /* a job whose statement ends the connection that often is not the server's fault */


static void
fn_work_log(fn_log_e level, const char *msg, const fn_work_t *w)
{
    char  request[65], trace[FN_TRACE_ID_LEN + 1];

    fn_request_id(w->task, request, sizeof(request));

    fn_log(level, msg, "job", w->task->job ? w->task->job->name : "unknown", "job_id", w->id,
           "request_id", request[0] ? request : NULL, "trace_id", fn_trace_id(w->task, trace), "reason", w->why, NULL);
}


static void
fn_copy_span(char *out, size_t size, fn_span_t span)
{
    size_t  n;

    n = span.n < size ? span.n : size - 1;

    if (n > 0) {
        memcpy(out, span.p, n);
    }

    out[n] = '\0';
}


/* The statement that writes: job, request and context are there. */
static void
fn_work_settle(fn_work_t *w)
{
    w->state = FN_WORK_TODO;
    w->stmt.call = FN_DB_SETTLE;
    w->stmt.job = w->task->job;
    w->stmt.value[0] = w->id;
    w->stmt.value[1] = w->task->job->name;
    w->stmt.value[2] = w->user[0] ? w->user : NULL;
    w->stmt.value[3] = w->fp;
    w->stmt.value[4] = w->req.data;
    w->stmt.value[5] = w->has_ctx ? w->ctx.data : NULL;
}


/* Runs the job's C step over what prepare gave. */
static void
fn_work_local(fn_work_env_t *e, fn_work_t *w, const char *prepared, size_t len)
{
    fn_step_e  next;

    fn_buf_reset(&w->ctx);
    w->has_ctx = 1;

    if (w->steps == NULL || w->steps->local == NULL) {
        fn_buf_add(&w->ctx, prepared, len);
        next = w->steps && w->steps->call ? FN_STEP_CALL : FN_STEP_COMMIT;

    } else {
        next = w->steps->local(&w->env, prepared, len, e->child->settings, &e->cache, &w->ctx);
    }

    if (next == FN_STEP_DEAD || w->ctx.failed || w->ctx.len == 0) {
        w->state = FN_WORK_DEAD;
        w->why = "its step cannot work";

    } else if (next == FN_STEP_CALL && w->steps && w->steps->call) {
        w->state = FN_WORK_NEXT;

    } else {
        fn_work_settle(w);
    }
}


static void
fn_work_first(fn_work_env_t *e, fn_work_t *w)
{
    const fn_job_t  *job;

    job = w->task->job;

    if (job->commit == NULL) {
        w->status = 200;
        w->body = "{}";
        w->headers = "";
        w->state = FN_WORK_DONE;
        return;
    }

    if (w->task->step == 'm') {
        fn_work_settle(w);
        return;
    }

    if (job->prepare == NULL) {
        if (w->steps && w->steps->local) {
            fn_work_local(e, w, "", 0);

        } else {
            fn_work_settle(w);
        }

        return;
    }

    w->state = FN_WORK_TODO;
    w->stmt.job = job;
    w->stmt.value[0] = w->id;

    if (w->steps && w->steps->call) {
        w->stmt.call = FN_DB_OPEN;
        w->stmt.value[1] = job->name;
        w->stmt.value[2] = w->user[0] ? w->user : NULL;
        w->stmt.value[3] = w->fp;
        w->stmt.value[4] = w->req.data;
        w->stmt.value[5] = w->attempt_text;

    } else {
        w->stmt.call = FN_DB_PREPARE;
        w->stmt.value[1] = w->user[0] ? w->user : NULL;
        w->stmt.value[2] = w->req.data;
    }
}


void
fn_work_start(fn_work_env_t *e, fn_work_t *w, fn_task_t *t)
{
    unsigned   attempt;
    fn_span_t  req, ctx, fp;

    memset(w, 0, sizeof(*w));

    w->task = t;
    w->env = t->env;
    fn_copy_span(w->id, sizeof(w->id), t->env.id);
    fn_copy_span(w->user, sizeof(w->user), t->env.user);

    w->state = FN_WORK_DEAD;

    if (t->job == NULL || t->step == 'c' || strcmp(fn_task_lane(t), e->child->lane) != 0) {
        w->why = "no such job in this lane";
        return;
    }

    if (fn_task_request(t, &req, &ctx) != 0) {
        w->why = "its body is malformed";
        return;
    }

    /* the edge has answered 503 for it, and nobody may come in with a password that was given up on; who is signed in was promised an answer */
    if ((t->job->flags & FN_JOB_SENSITIVE) && t->env.user.n == 0 && t->env.deadline_ms != 0 && fn_now_ms() > t->env.deadline_ms) {
        w->state = FN_WORK_DROPPED;
        w->why = "past its deadline";
        return;
    }

    w->env.body = req;
    w->steps = fn_steps_find(t->job->name, strlen(t->job->name));
    w->alone = t->suspect || t->env.attempt > 0 || (t->job->prepare && !(w->steps && w->steps->call))
               || (t->job->flags & FN_JOB_ALONE);

    fn_buf_add(&w->req, req.p, req.n);
    w->has_ctx = t->step == 'm';

    if (w->has_ctx) {
        fn_buf_add(&w->ctx, ctx.p, ctx.n);
    }

    if (w->req.len == 0 || w->req.failed || (w->has_ctx && (w->ctx.len == 0 || w->ctx.failed))) {
        w->why = "it has no request";
        return;
    }

    if (fn_meta_find(&req, "fp", &fp) == 0) {
        fn_copy_span(w->fp, sizeof(w->fp), fp);
    }

    if (t->cancelled) {
        w->cancelled = 1;
        w->why = "cancelled";
        return;
    }

    /* whoever had it before may have opened it: from the second time on a running row is ours */
    attempt = t->env.attempt == 0 && (t->suspect || t->again) ? 1 : t->env.attempt;
    (void) snprintf(w->attempt_text, sizeof(w->attempt_text), "%u", attempt);

    fn_work_first(e, w);
}


static void
fn_work_tags(fn_work_t *w, const char *array)
{
    char        *out;
    size_t       n;

    w->tag_text = malloc(strlen(array) + 1);

    if (w->tag_text == NULL) {
        return;                             /* the sweep publishes them */
    }

    for (out = w->tag_text; w->ntags < FN_WORK_TAGS && fn_db_array_next(&array, out, &n); out += n) {
        w->tags[w->ntags].p = out;
        w->tags[w->ntags].n = n;
        w->ntags++;
    }
}


/* Reads status, body, headers and, from settle and open, tags and change rows. */
static void
fn_work_answer(fn_work_t *w, PGresult *r)
{
    PQclear(w->result);
    w->result = r;

    if (PQntuples(r) != 1 || PQnfields(r) < 3 || PQgetisnull(r, 0, 0)) {
        w->state = FN_WORK_DEAD;
        w->why = "its SQL function gave no answer";
        return;
    }

    w->status = (unsigned) strtoul(PQgetvalue(r, 0, 0), NULL, 10);
    w->body = PQgetvalue(r, 0, 1);
    w->headers = PQgetvalue(r, 0, 2);

    if (PQnfields(r) >= 5) {
        fn_work_tags(w, PQgetvalue(r, 0, 3));
        w->change_ids = PQgetvalue(r, 0, 4);
        w->follow = PQnfields(r) >= 6 ? PQgetvalue(r, 0, 5) : NULL;
    }

    w->state = FN_WORK_DONE;
}


/* The statement has been committed. Leaves TODO when another one follows. */
static void
fn_work_committed(fn_work_env_t *e, fn_work_t *w)
{
    fn_db_call_e  call;

    call = w->stmt.call;
    fn_work_answer(w, w->stmt.result);
    w->stmt.result = NULL;

    if (w->state == FN_WORK_DONE && w->status == 0) {
        if (call == FN_DB_SETTLE) {
            w->state = FN_WORK_DEAD;
            w->why = "its SQL function gave no status";
            return;
        }

        fn_work_local(e, w, w->body, strlen(w->body));
    }
}


static int
fn_work_passing(const char *state)
{
    /* serialization and deadlock; resources; lock or statement timeout */
    return memcmp(state, "40", 2) == 0 || memcmp(state, "53", 2) == 0
           || strcmp(state, "55P03") == 0 || strcmp(state, "57014") == 0;
}


static void
fn_work_lost(fn_work_t *w, int ran)
{
    w->attempt = w->task->env.attempt + (ran ? 1 : 0);
    w->delay_ms = 100 + fn_random(400);
    w->state = w->attempt < FN_LOST_MAX ? FN_WORK_AGAIN : FN_WORK_DEAD;
    w->why = "connection to postgres lost";
}


/* The effect met itself, or a constraint: what was settled before is the answer. */
static void
fn_work_replay(fn_work_env_t *e, fn_work_t *w)
{
    char          state[6];
    fn_db_rc_e    rc;
    fn_db_stmt_t  stmt;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_REPLAY;
    stmt.value[0] = w->id;
    stmt.value[1] = w->task->job->name;
    stmt.value[2] = w->user[0] ? w->user : NULL;
    stmt.value[3] = w->fp;

    rc = fn_db_run(&e->db, &stmt, 1, state);

    if (rc == FN_DB_LOST) {
        fn_work_lost(w, 1);

    } else if (rc == FN_DB_DONE && PQntuples(stmt.result) == 1) {
        w->replayed = 1;
        fn_work_answer(w, stmt.result);

    } else {
        PQclear(stmt.result);
        w->state = FN_WORK_DEAD;
    }
}


static void
fn_work_error(fn_work_env_t *e, fn_work_t *w, const char *state)
{
    (void) snprintf(w->error, sizeof(w->error), "SQLSTATE %s", state);
    w->why = w->error;

    if (memcmp(state, "22", 2) == 0 || memcmp(state, "23", 2) == 0) {
        fn_work_replay(e, w);

    } else if (fn_work_passing(state) && w->task->env.attempt < w->task->job->retries) {
        w->attempt = w->task->env.attempt + 1;
        w->delay_ms = 1 + fn_backoff_ms(w->task->job, w->task->env.attempt);
        w->state = FN_WORK_AGAIN;

    } else {
        w->state = FN_WORK_DEAD;
    }
}


/* One job, in its own transaction, until it is no longer TODO. */
static void
fn_work_alone(fn_work_env_t *e, fn_work_t *w)
{
    int         connected;
    char        state[6];
    fn_entry_t  *me;

    me = e->child->entry;
    (void) snprintf(me->job_name, sizeof(me->job_name), "%s", w->task->job->name);
    memcpy(me->job, w->id, sizeof(me->job));

    while (w->state == FN_WORK_TODO) {
        me->busy_since_ms = fn_mono_ms();       /* each gets its own time */
        connected = e->db.c != NULL;

        switch (fn_db_run(&e->db, &w->stmt, 1, state)) {

        case FN_DB_DONE:
            FN_FAULT("executor.after_commit");
            FN_FAULT("executor.alone");
            fn_work_committed(e, w);
            break;

        case FN_DB_ERROR:
            fn_work_error(e, w, state);
            break;

        case FN_DB_LOST:
            fn_work_lost(w, connected);
            break;
        }
    }

    me->job[0] = '\0';
}


/* All of them in one transaction. 0, or -1: rolled back, or unknown. */
static int
fn_work_together(fn_work_env_t *e, fn_work_t **w, unsigned n)
{
    char          state[6], *ids;
    unsigned      i, m;
    fn_db_stmt_t  stmt[FN_BATCH_MAX + 1];

    for (i = 0; i < n; i++) {
        stmt[i] = w[i]->stmt;
    }

    m = n;
    ids = NULL;

    if (e->published.len > 0 && asprintf(&ids, "{%s}", e->published.data) > 0) {
        memset(&stmt[m], 0, sizeof(stmt[m]));
        stmt[m].call = FN_DB_PUBLISHED;
        stmt[m].value[0] = ids;
        m++;
    }

    switch (fn_db_run(&e->db, stmt, m, state)) {

    case FN_DB_DONE:
        FN_FAULT("executor.after_commit");

        if (m > n) {
            PQclear(stmt[n].result);
            fn_buf_reset(&e->published);
        }

        for (i = 0; i < n; i++) {
            w[i]->stmt.result = stmt[i].result;
            fn_work_committed(e, w[i]);
        }

        free(ids);
        return 0;

    case FN_DB_LOST:
        for (i = 0; i < n; i++) {
            fn_work_lost(w[i], 1);
        }

        break;

    case FN_DB_ERROR:
        break;
    }

    free(ids);

    return -1;
}


/* Rows are locked in the order of the users, so that two executors' transactions do not wait for each other in a circle. */
static void
fn_work_sort(fn_work_t **w, unsigned n)
{
    unsigned    i, j;
    fn_work_t  *x;

    for (i = 1; i < n; i++) {
        x = w[i];

        for (j = i; j > 0 && strcmp(w[j - 1]->user, x->user) > 0; j--) {
            w[j] = w[j - 1];
        }

        w[j] = x;
    }
}


void
fn_work_run(fn_work_env_t *e, fn_work_t *w, unsigned n)
{
    unsigned    i, m;
    fn_work_t  *list[FN_BATCH_MAX];

    /* twice: a job whose provider is not needed commits in the second */
    do {
        for (i = 0, m = 0; i < n; i++) {
            if (w[i].state == FN_WORK_TODO && !w[i].alone) {
                list[m++] = &w[i];
            }
        }

        if (m < 2) {
            break;
        }

        fn_work_sort(list, m);

    } while (fn_work_together(e, list, m) == 0);

    for (i = 0; i < n; i++) {
        if (w[i].state == FN_WORK_TODO) {
            fn_work_alone(e, &w[i]);
        }
    }
}


void
fn_work_published(fn_work_env_t *e)
{
    if (e->published.len > 0) {
        (void) fn_work_together(e, NULL, 0);
    }
}


static void
fn_work_fail(fn_work_env_t *e, fn_work_t *w)
{
    char          state[6];
    fn_db_stmt_t  stmt;

    if (w->task->job == NULL) {
        return;
    }

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_FAIL;
    stmt.value[0] = w->id;
    stmt.value[1] = w->task->job->name;
    stmt.value[2] = w->user[0] ? w->user : NULL;
    stmt.value[3] = w->fp;

    if (fn_db_run(&e->db, &stmt, 1, state) == FN_DB_DONE) {
        PQclear(stmt.result);
    }
}


/*
 * pool.replay() is not told who asks, so that its own refusals (another body, still running) carry no request id: they
 * get the one of this request. 1 = w->rendered holds the body.
 */
static int
fn_work_identify(fn_work_t *w)
{
    char         id[65];
    const char  *p;

    p = strstr(w->body, "\"request_id\"");

    if (p == NULL) {
        return 0;
    }

    p += sizeof("\"request_id\"") - 1;
    p += strspn(p, " :");

    if (strncmp(p, "null", 4) != 0) {
        return 0;
    }

    fn_request_id(w->task, id, sizeof(id));

    fn_buf_add(&w->rendered, w->body, (size_t) (p - w->body));
    fn_buf_add_json_string(&w->rendered, id, strlen(id));
    fn_buf_adds(&w->rendered, p + 4);

    if (w->rendered.failed) {
        fn_buf_reset(&w->rendered);
        return 0;
    }

    return 1;
}


static void
fn_work_reply(fn_work_env_t *e, fn_work_t *w, fn_finish_t *f)
{
    size_t       body_len, headers_len;
    const char  *body, *headers;

    body = w->body;
    body_len = strlen(body);
    headers = w->headers;
    headers_len = strlen(headers);

    if (w->status >= 400 && fn_work_identify(w)) {
        body = w->rendered.data;
        body_len = w->rendered.len;
    }

    if (w->steps && w->steps->render && w->status >= 200 && w->status < 300) {
        fn_buf_adds(&w->rendered_headers, headers);

        if (w->steps->render(&w->env, w->status, body, body_len, e->child->settings, &e->cache,
                             w->has_ctx && !w->replayed ? w->ctx.data : NULL,
                             w->has_ctx && !w->replayed ? w->ctx.len : 0,
                             &w->rendered, &w->rendered_headers) != 0
            || w->rendered.failed || w->rendered_headers.failed)
        {
            w->why = "its answer cannot be rendered";
            fn_work_log(FN_LOG_ERROR, "job done, but not answered", w);
            fn_buf_reset(&w->rendered);
            fn_internal_error(&w->rendered, w->task);
            fn_finish_reply(f, w->task, 500, w->rendered.data, w->rendered.len, NULL, 0, w->tags, w->ntags);
            return;
        }

        if (w->rendered.len > 0) {
            body = w->rendered.data;
            body_len = w->rendered.len;
        }

        headers = w->rendered_headers.len ? w->rendered_headers.data : "";
        headers_len = w->rendered_headers.len;
    }

    fn_finish_reply(f, w->task, w->status, body, body_len, headers, headers_len, w->tags, w->ntags);
}


/* Follow-up jobs. What cannot be pushed stays in the outbox, where the sweep finds it. */
static void
fn_work_follow(fn_work_t *w, fn_finish_t *f)
{
    char            *one;
    size_t           n;
    fn_buf_t         b = FN_BUF_INIT;
    uint64_t         run_at_ms;
    const char      *array;
    const fn_job_t  *job;

    array = w->follow;

    if (array == NULL || *array == '\0' || (one = malloc(strlen(array) + 1)) == NULL) {
        return;
    }

    while (fn_db_array_next(&array, one, &n)) {
        fn_buf_reset(&b);

        if (fn_relay_envelope(&b, &w->follow_ids, &job, &run_at_ms, one, n) == 0) {
            fn_finish_at(f, job->lane, job->prio, b.data, b.len, run_at_ms);
        }
    }

    fn_buf_free(&b);
    free(one);
}


void
fn_work_finish(fn_work_env_t *e, fn_work_t *w, fn_finish_t *f)
{
    fn_buf_t  body = FN_BUF_INIT;

    fn_finish_job(f, w->task);

    switch (w->state) {

    case FN_WORK_DONE:
        fn_finish_tags(f, w->tags, w->ntags, fn_settings_keep_generations(e->child->settings));
        fn_work_follow(w, f);
        fn_work_reply(e, w, f);
        break;

    case FN_WORK_NEXT:
        fn_finish_tags(f, w->tags, w->ntags, fn_settings_keep_generations(e->child->settings));
        fn_step_body_format(&body, w->req.data, w->req.len, w->ctx.data, w->ctx.len);
        fn_finish_next(f, w->task, ":call", body.data, body.len);
        break;

    case FN_WORK_AGAIN:
        fn_work_log(FN_LOG_WARN, "job is tried again", w);
        fn_finish_again(f, w->task, w->attempt, w->delay_ms);
        break;

    case FN_WORK_DROPPED:
        fn_work_log(FN_LOG_WARN, "job dropped", w);
        break;

    case FN_WORK_TODO:
    case FN_WORK_DEAD:
        fn_work_log(w->cancelled ? FN_LOG_WARN : FN_LOG_ERROR, w->cancelled ? "job ends as an operator wants it" : "job is dead", w);
        fn_work_fail(e, w);

        if (w->cancelled) {
            fn_finish_cancelled(f, w->task);
            break;
        }

        w->task->why = w->why;
        fn_finish_dead(f, w->task);
        e->child->entry->failures++;
        break;
    }

    fn_buf_free(&body);
}


void
fn_work_count(const fn_work_t *w, int lost)
{
    uint64_t     now, waited;
    fn_result_e  result;

    static const fn_result_e  results[] = {
        [FN_WORK_TODO] = FN_RESULT_DEAD, [FN_WORK_DONE] = FN_RESULT_DONE, [FN_WORK_NEXT] = FN_RESULT_NEXT,
        [FN_WORK_AGAIN] = FN_RESULT_RETRIED, [FN_WORK_DEAD] = FN_RESULT_DEAD, [FN_WORK_DROPPED] = FN_RESULT_DROPPED
    };

    result = lost ? FN_RESULT_LOST : results[w->state];
    waited = 0;

    if (result == FN_RESULT_DONE || result == FN_RESULT_DEAD) {
        now = fn_now_ms();
        waited = now > w->task->env.enqueued_ms ? now - w->task->env.enqueued_ms : 1;
    }

    fn_count_job(w->task->job, result, waited);
}


void
fn_work_end(fn_work_t *w)
{
    fn_buf_free(&w->req);
    fn_buf_free(&w->ctx);
    fn_buf_free(&w->rendered);
    fn_buf_free(&w->rendered_headers);
    fn_buf_free(&w->follow_ids);
    PQclear(w->result);
    free(w->tag_text);
}
