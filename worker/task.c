/* Reading jobs: the envelope, the table's row, which step it is, and the few members of its request that the pool needs. */
#include <stdlib.h>
#include <string.h>

#include "delivery.h"


int
fn_task_parse(fn_task_t *t, const char *p, size_t n)
{
    size_t       len;
    const char  *colon;

    memset(t, 0, sizeof(*t));
    t->raw.p = p;
    t->raw.n = n;

    if (fn_job_env_parse(&t->env, p, n) != 0) {
        memset(&t->env, 0, sizeof(t->env));
        return -1;
    }

    len = t->env.job.n;
    colon = memchr(t->env.job.p, ':', len);

    if (colon != NULL) {
        len = (size_t) (colon - t->env.job.p);
        n = t->env.job.n - len;

        if (n == 5 && memcmp(colon, ":call", 5) == 0) {
            t->step = 'c';

        } else if (n == 7 && memcmp(colon, ":commit", 7) == 0) {
            t->step = 'm';

        } else {
            return 0;                       /* an unknown step is an unknown job */
        }
    }

    t->job = fn_job_find(t->env.job.p, len);

    return 0;
}


/* A decimal number and a blank after it; NULL = none. */
static const char *
fn_dead_number(const char *p, const char *last, uint64_t *n)
{
    const char  *s;

    for (*n = 0, s = p; s < last && *s >= '0' && *s <= '9' && s - p < 18; s++) {
        *n = *n * 10 + (uint64_t) (*s - '0');
    }

    return s > p && s < last && *s == ' ' ? s + 1 : NULL;
}


int
fn_dead_parse(fn_dead_t *d, const char *p, size_t n)
{
    int          rc;
    uint64_t     attempt, died;
    const char  *last, *s, *end;

    memset(d, 0, sizeof(*d));

    last = p + n;
    s = NULL;
    end = NULL;

    if (n > 3 && memcmp(p, "d1 ", 3) == 0
        && (s = fn_dead_number(p + 3, last, &attempt)) != NULL && (s = fn_dead_number(s, last, &died)) != NULL
        && (end = memchr(s, '\n', (size_t) (last - s))) != NULL)
    {
        rc = fn_task_parse(&d->task, end + 1, (size_t) (last - end - 1));
        d->attempt = (unsigned) attempt;
        d->died_ms = died;
        d->why.p = s;
        d->why.n = (size_t) (end - s);

    } else {
        rc = fn_task_parse(&d->task, p, n);
        d->attempt = d->task.env.attempt;
    }

    d->task.raw.p = p;
    d->task.raw.n = n;

    return rc;
}


const char *
fn_task_lane(const fn_task_t *t)
{
    if (t->job == NULL) {
        return "sql";
    }

    return t->step == 'c' ? "net" : t->job->lane;
}


unsigned
fn_backoff_ms(const fn_job_t *job, unsigned attempt)
{
    unsigned  most;

    most = job->backoff_base_ms << (attempt < 16 ? attempt : 16);

    if (most > job->backoff_cap_ms) {
        most = job->backoff_cap_ms;
    }

    return fn_random(most + 1);
}


void
fn_step_body_format(fn_buf_t *b, const char *req, size_t req_len, const char *ctx, size_t ctx_len)
{
    fn_buf_addf(b, "%zu %zu\n", req_len, ctx_len);
    fn_buf_add(b, req, req_len);
    fn_buf_add(b, ctx, ctx_len);
}


/* A decimal number ended by `end`; moves *p behind it. */
static int
fn_step_length(const char **p, const char *last, char end, size_t *value)
{
    size_t       v;
    const char  *s;

    for (v = 0, s = *p; s < last && *s >= '0' && *s <= '9'; s++) {
        v = v * 10 + (size_t) (*s - '0');

        if (v > FN_ENVELOPE_MAX) {
            return -1;
        }
    }

    if (s == *p || s == last || *s != end) {
        return -1;
    }

    *value = v;
    *p = s + 1;

    return 0;
}


int
fn_step_body_parse(const char *body, size_t n, fn_span_t *req, fn_span_t *ctx)
{
    size_t       a, b;
    const char  *p, *last;

    p = body;
    last = body + n;

    if (fn_step_length(&p, last, ' ', &a) != 0 || fn_step_length(&p, last, '\n', &b) != 0
        || a + b != (size_t) (last - p))
    {
        return -1;
    }

    req->p = p;
    req->n = a;
    ctx->p = p + a;
    ctx->n = b;

    return 0;
}


int
fn_task_request(const fn_task_t *t, fn_span_t *req, fn_span_t *ctx)
{
    if (t->step) {
        return fn_step_body_parse(t->env.body.p, t->env.body.n, req, ctx);
    }

    *req = t->env.body;
    ctx->p = "";
    ctx->n = 0;

    return 0;
}


/*
 * Inside a JSON string a quote is escaped, so `"name":"` can only be a member.  meta comes last in the
 * request, hence the search from the end: no member of the client's body can be taken for it.  PostgreSQL, which writes
 * follow-ups, puts a blank after the colon.
 */
int
fn_meta_find(const fn_span_t *req, const char *name, fn_span_t *value)
{
    size_t       n;
    const char  *p, *q, *end;

    n = strlen(name);
    end = req->p + req->n;

    for (p = end - n - 5; p >= req->p && req->n > n + 5; p--) {
        if (*p != '"' || memcmp(p + 1, name, n) != 0 || memcmp(p + 1 + n, "\":", 2) != 0) {
            continue;
        }

        q = p + n + 3;
        q += q < end && *q == ' ';

        if (q >= end || *q != '"') {
            continue;
        }

        p = q + 1;
        q = memchr(p, '"', (size_t) (end - p));

        if (q == NULL) {
            return -1;
        }

        value->p = p;
        value->n = (size_t) (q - p);
        return 0;
    }

    return -1;
}


void
fn_request_id(const fn_task_t *t, char *out, size_t size)
{
    size_t     i;
    fn_span_t  req, ctx, id;

    out[0] = '\0';

    if (fn_task_request(t, &req, &ctx) != 0 || fn_meta_find(&req, "request_id", &id) != 0 || id.n >= size) {
        return;
    }

    for (i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] == '\\' || id.p[i] == 0x7f) {
            return;
        }
    }

    memcpy(out, id.p, id.n);
    out[id.n] = '\0';
}


const char *
fn_trace_id(const fn_task_t *t, char out[FN_TRACE_ID_LEN + 1])
{
    size_t       i;
    const char  *p;

    p = t->env.traceparent.p;

    /* version "-" trace-id "-" parent-id "-" flags */
    if (t->env.traceparent.n < 55 || p[2] != '-' || p[3 + FN_TRACE_ID_LEN] != '-') {
        return NULL;
    }

    for (i = 0; i < FN_TRACE_ID_LEN; i++) {
        if (strchr("0123456789abcdef", p[3 + i]) == NULL || p[3 + i] == '\0') {
            return NULL;
        }

        out[i] = p[3 + i];
    }

    out[i] = '\0';

    return out;
}
