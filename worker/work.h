/*
 * One job in the executor's hands: from its envelope over its SQL calls and C steps to its outcome.
 * executor.c takes and finishes; what happens between is here.
 */
#ifndef FN_WORK_H
#define FN_WORK_H

#include "cache.h"
#include "db.h"
#include "delivery.h"
#include "steps.h"

#define FN_WORK_TAGS    32

typedef enum {
    FN_WORK_TODO,       /* a statement is to be run */
    FN_WORK_DONE,       /* settled, or a final answer: status, body, headers */
    FN_WORK_NEXT,       /* hop to the net lane with ctx */
    FN_WORK_AGAIN,      /* delayed; attempt and delay_ms */
    FN_WORK_DEAD,
    FN_WORK_DROPPED     /* past its deadline, and nobody wants it any more */
} fn_work_e;

typedef struct {
    fn_task_t         *task;
    const fn_steps_t  *steps;           /* or NULL */
    fn_work_e          state;
    fn_db_stmt_t       stmt;
    int                alone;           /* never with others in one transaction */
    int                replayed;

    fn_job_env_t       env;             /* the task's, with the request as body: what the steps see */
    fn_buf_t           req, ctx;        /* parameters, NUL-terminated */
    int                has_ctx;
    char               id[FN_UUID_LEN + 1], user[FN_UUID_LEN + 1], fp[65], attempt_text[12];

    PGresult          *result;          /* owns the reply's texts */
    unsigned           status;
    const char        *body, *headers, *change_ids, *follow;
    fn_buf_t           follow_ids;      /* "1,2": outbox rows that were pushed */
    fn_buf_t           rendered, rendered_headers;
    char              *tag_text;        /* owns the tags */
    fn_span_t          tags[FN_WORK_TAGS];
    unsigned           ntags;

    unsigned           attempt, delay_ms;
    const char        *why;             /* for the log and the dead letter, when not DONE */
    char               error[16];       /* why, when it was SQL */
    int                cancelled;       /* DEAD: because an operator wanted it */
} fn_work_t;

typedef struct {
    fn_child_t  *child;
    fn_db_t      db;
    fn_cache_t   cache;
    fn_buf_t     published;             /* "1,2,3": change rows that may be forgotten */
    uint64_t     published_ms;          /* fn_mono_ms() of the last */
} fn_work_env_t;

/* Fills w for the task; afterwards its state says whether a statement is to be run. */
void fn_work_start(fn_work_env_t *e, fn_work_t *w, fn_task_t *t);

/* Runs n jobs to their outcomes, as many as possible in one transaction. */
void fn_work_run(fn_work_env_t *e, fn_work_t *w, unsigned n);

/* Adds the outcome to f. */
void fn_work_finish(fn_work_env_t *e, fn_work_t *w, fn_finish_t *f);

/* Counts how it ended; lost: its result did not count. */
void fn_work_count(const fn_work_t *w, int lost);

void fn_work_end(fn_work_t *w);

/* Forgets change rows that were published, when there are any. */
void fn_work_published(fn_work_env_t *e);

#endif
