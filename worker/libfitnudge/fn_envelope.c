/* Job and reply envelopes: strict, positional, no copies. */
#include <string.h>

#include "fn_envelope.h"
#include "fn_uuid.h"


/* The next word of the header line, ended by a space or the line's end; 0 or -1. Words are never empty. */

static int
fn_env_word(const char **p, const char *end, fn_span_t *w)
{
    const char  *s = *p;

    while (s < end && *s != ' ') {
        if ((unsigned char) *s <= 0x20 || (unsigned char) *s >= 0x7f) {
            return -1;
        }
        s++;
    }

    w->p = *p;
    w->n = (size_t) (s - *p);
    *p = s < end ? s + 1 : s;

    return w->n ? 0 : -1;
}


static int
fn_env_number(const char **p, const char *end, uint64_t max, uint64_t *v)
{
    size_t     i;
    fn_span_t  w;

    if (fn_env_word(p, end, &w) != 0 || w.n > 19 || (w.n > 1 && w.p[0] == '0')) {
        return -1;
    }

    *v = 0;
    for (i = 0; i < w.n; i++) {
        if (w.p[i] < '0' || w.p[i] > '9') {
            return -1;
        }
        *v = *v * 10 + (uint64_t) (w.p[i] - '0');
    }

    return *v <= max ? 0 : -1;
}


/* "-" stands for an absent value. */

static int
fn_env_optional(const char **p, const char *end, size_t max, fn_span_t *w)
{
    if (fn_env_word(p, end, w) != 0 || w->n > max) {
        return -1;
    }

    if (w->n == 1 && w->p[0] == '-') {
        w->n = 0;
    }

    return 0;
}


static int
fn_env_job_name(const fn_span_t *w)
{
    size_t  i;

    if (w->n == 0 || w->n > 64) {
        return -1;
    }

    for (i = 0; i < w->n; i++) {
        if (!((w->p[i] >= 'a' && w->p[i] <= 'z') || (w->p[i] >= '0' && w->p[i] <= '9')
              || w->p[i] == '_' || w->p[i] == '.' || w->p[i] == ':'))
        {
            return -1;
        }
    }

    return 0;
}


static int
fn_env_start(const char **p, size_t n, const char **end)
{
    const char  *s = *p;

    if (n < 3 || n > FN_ENVELOPE_MAX || memcmp(s, "w1 ", 3) != 0) {
        return -1;
    }

    *end = memchr(s, '\n', n);
    if (*end == NULL) {
        return -1;
    }

    *p = s + 3;

    return 0;
}


int
fn_job_env_parse(fn_job_env_t *e, const char *p, size_t n)
{
    uint64_t     v;
    fn_span_t    w;
    const char  *end, *all = p;

    memset(e, 0, sizeof(*e));

    if (fn_env_start(&p, n, &end) != 0
        || fn_env_word(&p, end, &e->id) != 0 || !fn_uuid_valid(e->id.p, e->id.n)
        || fn_env_word(&p, end, &e->job) != 0 || fn_env_job_name(&e->job) != 0
        || fn_env_word(&p, end, &w) != 0 || w.n != 1 || memchr("hnl", w.p[0], 3) == NULL)
    {
        return -1;
    }

    e->prio = w.p[0];

    if (fn_env_number(&p, end, INT64_MAX, &e->enqueued_ms) != 0
        || fn_env_number(&p, end, INT64_MAX, &e->deadline_ms) != 0
        || fn_env_number(&p, end, 1000000, &v) != 0
        || fn_env_optional(&p, end, FN_UUID_LEN, &e->user) != 0
        || (e->user.n && !fn_uuid_valid(e->user.p, e->user.n))
        || fn_env_optional(&p, end, 128, &e->reply_to) != 0
        || fn_env_optional(&p, end, 64, &e->traceparent) != 0
        || p != end || p[-1] == ' ')
    {
        return -1;
    }

    e->attempt = (unsigned) v;
    e->body.p = end + 1;
    e->body.n = n - (size_t) (end + 1 - all);

    return 0;
}


/* One "Name: value" line of a reply. */

static int
fn_env_header(fn_reply_env_t *e, const char *p, const char *end)
{
    size_t       i;
    const char  *colon;

    colon = memchr(p, ':', (size_t) (end - p));
    if (e->nheaders == FN_HEADERS_MAX || colon == NULL || colon == p || end - colon < 2 || colon[1] != ' ') {
        return -1;
    }

    for (i = 0; i < (size_t) (colon - p); i++) {
        if (!((p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z')
              || (p[i] >= '0' && p[i] <= '9') || p[i] == '-'))
        {
            return -1;
        }
    }

    for (i = (size_t) (colon - p); i < (size_t) (end - p); i++) {
        if ((unsigned char) p[i] < 0x20 || p[i] == 0x7f) {
            return -1;
        }
    }

    e->header_names[e->nheaders].p = p;
    e->header_names[e->nheaders].n = (size_t) (colon - p);
    e->header_values[e->nheaders].p = colon + 2;
    e->header_values[e->nheaders].n = (size_t) (end - colon - 2);
    e->nheaders++;

    return 0;
}


int
fn_reply_env_parse(fn_reply_env_t *e, const char *p, size_t n)
{
    unsigned     i;
    uint64_t     status, ntags;
    const char  *end, *all = p;

    memset(e, 0, sizeof(*e));

    if (fn_env_start(&p, n, &end) != 0
        || fn_env_word(&p, end, &e->id) != 0 || !fn_uuid_valid(e->id.p, e->id.n)
        || fn_env_number(&p, end, 599, &status) != 0 || status < 100
        || fn_env_word(&p, end, &e->content_type) != 0 || e->content_type.n > 128
        || fn_env_number(&p, end, FN_TAGS_MAX, &ntags) != 0)
    {
        return -1;
    }

    for (i = 0; i < ntags; i++) {
        if (fn_env_word(&p, end, &e->tags[i]) != 0 || e->tags[i].n > 256) {
            return -1;
        }
    }

    if (p != end || p[-1] == ' ') {
        return -1;
    }

    e->status = (unsigned) status;
    e->ntags = (unsigned) ntags;

    for ( ;; ) {
        p = end + 1;
        end = memchr(p, '\n', n - (size_t) (p - all));
        if (end == NULL) {
            return -1;
        }
        if (end == p) {
            break;
        }
        if (fn_env_header(e, p, end) != 0) {
            return -1;
        }
    }

    e->body.p = end + 1;
    e->body.n = n - (size_t) (end + 1 - all);

    return 0;
}


static void
fn_env_add_optional(fn_buf_t *b, const fn_span_t *w)
{
    if (w->n) {
        fn_buf_add(b, w->p, w->n);
    } else {
        fn_buf_add(b, "-", 1);
    }
}


/* What was written must be read again: the parser is the only judge. Takes back what it refuses. */

static int
fn_env_close(fn_buf_t *b, size_t start, int ok)
{
    if (ok) {
        return 0;
    }

    if (!b->failed && b->data) {
        b->len = start;
        b->data[start] = '\0';
    }

    return -1;
}


int
fn_job_env_format(fn_buf_t *b, const fn_job_env_t *e)
{
    size_t        start = b->len;
    fn_job_env_t  again;

    fn_buf_add(b, "w1 ", 3);
    fn_buf_add(b, e->id.p, e->id.n);
    fn_buf_add(b, " ", 1);
    fn_buf_add(b, e->job.p, e->job.n);
    fn_buf_addf(b, " %c %llu %llu %u ", e->prio, (unsigned long long) e->enqueued_ms,
                (unsigned long long) e->deadline_ms, e->attempt);
    fn_env_add_optional(b, &e->user);
    fn_buf_add(b, " ", 1);
    fn_env_add_optional(b, &e->reply_to);
    fn_buf_add(b, " ", 1);
    fn_env_add_optional(b, &e->traceparent);
    fn_buf_add(b, "\n", 1);
    fn_buf_add(b, e->body.p, e->body.n);

    return fn_env_close(b, start, !b->failed && fn_job_env_parse(&again, b->data + start, b->len - start) == 0
                                  && again.body.n == e->body.n);
}


int
fn_reply_env_format(fn_buf_t *b, const fn_reply_env_t *e)
{
    size_t          start = b->len;
    unsigned        i;
    fn_reply_env_t  again;

    if (e->ntags > FN_TAGS_MAX || e->nheaders > FN_HEADERS_MAX) {
        return -1;
    }

    fn_buf_add(b, "w1 ", 3);
    fn_buf_add(b, e->id.p, e->id.n);
    fn_buf_addf(b, " %u ", e->status);
    fn_buf_add(b, e->content_type.p, e->content_type.n);
    fn_buf_addf(b, " %u", e->ntags);

    for (i = 0; i < e->ntags; i++) {
        fn_buf_add(b, " ", 1);
        fn_buf_add(b, e->tags[i].p, e->tags[i].n);
    }

    fn_buf_add(b, "\n", 1);

    for (i = 0; i < e->nheaders; i++) {
        fn_buf_add(b, e->header_names[i].p, e->header_names[i].n);
        fn_buf_add(b, ": ", 2);
        fn_buf_add(b, e->header_values[i].p, e->header_values[i].n);
        fn_buf_add(b, "\n", 1);
    }

    fn_buf_add(b, "\n", 1);
    fn_buf_add(b, e->body.p, e->body.n);

    return fn_env_close(b, start, !b->failed && fn_reply_env_parse(&again, b->data + start, b->len - start) == 0
                                  && again.body.n == e->body.n && again.nheaders == e->nheaders);
}
