/*
 * The job table: one row a job type, data only.  The edge takes lane, priority
 * and deadline from it; the pool takes everything and joins the C steps to the rows by
 * name (worker/jobs/steps.c).
 *
 * A job runs  prepare (SQL) -> local (C, in the executor) -> call (provider, in the net lane) -> commit (SQL) -> render (C).
 * Only commit is obligatory.
 */
#ifndef FN_JOBS_H
#define FN_JOBS_H

#include <stddef.h>

#define FN_JOB_ALONE        0x02    /* a transaction of its own: it may lock or take long */
#define FN_JOB_SENSITIVE    0x01    /* the body holds a password or token: never shown, never kept as a dead letter's body */
#define FN_JOB_STORED       0x04    /* prepare keeps what it needs in the database: the job can begin anew with nothing but its id */

typedef struct {
    const char *name;           /* "checkins.create"; SQL functions are jobs.<prepare>, jobs.<commit> */
    const char *lane;           /* "sql" or "auth"; a call always runs in "net" */
    char        prio;           /* h, n, l; h: taken alone and before others, its commit after a call as n */
    const char *prepare;        /* SQL function name in schema jobs, or NULL */
    const char *commit;         /* SQL function name in schema jobs; NULL: nothing is done, and nothing written down */
    unsigned    deadline_ms;    /* how long the edge waits before it answers 202 */
    unsigned    retries;        /* tries after the first before the job is a dead letter */
    unsigned    backoff_base_ms, backoff_cap_ms;    /* full jitter */
    unsigned    flags;
} fn_job_t;

extern const fn_job_t fn_jobs[];    /* ends with name NULL */

const fn_job_t *fn_job_find(const char *name, size_t len);

#endif
