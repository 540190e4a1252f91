/*
 * The pool's PostgreSQL connection: blocking libpq, prepared statements, pipelines that are one transaction each.
 */
#ifndef FN_DB_H
#define FN_DB_H

#include <libpq-fe.h>
#include <stdint.h>

#include "libfitnudge/fn_jobs.h"
#include "libfitnudge/fn_settings.h"

#define FN_DB_JOBS          64          /* rows of the job table, at most */
#define FN_DB_STATEMENT_S   10          /* statement_timeout */

typedef enum {
    FN_DB_SETTLE, FN_DB_OPEN, FN_DB_PREPARE,                        /* one a job */
    FN_DB_REPLAY, FN_DB_PUBLISHED, FN_DB_SWEEP, FN_DB_FAIL,
    FN_DB_CRON_DUE, FN_DB_CRON_LIST, FN_DB_AI_BUDGET                /* one for all */
} fn_db_call_e;

#define FN_DB_CALLS         10
#define FN_DB_PARAMS        6

typedef struct {
    PGconn               *c;            /* NULL = not connected */
    const fn_settings_t  *settings;
    const char           *name;         /* application_name */
    unsigned              failures;
    uint64_t              retry_ms;
    unsigned char         prepared[FN_DB_CALLS][FN_DB_JOBS];
} fn_db_t;

/* One statement: which call, of which job (NULL when for all), and its parameters as text. */
typedef struct {
    fn_db_call_e     call;
    const fn_job_t  *job;
    const char      *value[FN_DB_PARAMS];
    PGresult        *result;            /* after fn_db_run; the caller clears it */
} fn_db_stmt_t;

typedef enum { FN_DB_DONE, FN_DB_ERROR, FN_DB_LOST } fn_db_rc_e;

void fn_db_init(fn_db_t *db, const fn_settings_t *s, const char *name);
void fn_db_close(fn_db_t *db);

/*
 * Asks the server to give up the statement that this process waits for, which then fails with 57014. To be called from a
 * signal handler, since that is where a process is that waits.
 */
void fn_db_cancel(void);

/* One try, unless it is too soon after the last (full jitter, 100 ms .. 2 s). 0 = connected, -1. */
int fn_db_connect(fn_db_t *db);

/*
 * Runs n statements in one trip and one transaction, which is committed when DONE is returned. ERROR: rolled back; *sqlstate is
 * the first error's (5 characters). LOST: the connection is gone (and closed), what happened is unknown.
 * Results are only set when DONE.
 */
fn_db_rc_e fn_db_run(fn_db_t *db, fn_db_stmt_t *stmt, unsigned n, char sqlstate[6]);

/* The next element of a text array, {a,"b c"}. *p starts at the array's text; out is never longer than that. 1, or 0 at the end. */
int fn_db_array_next(const char **p, char *out, size_t *len);

#endif
