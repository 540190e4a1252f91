/*
 * The pool's PostgreSQL connection.  A pipeline without BEGIN is one implicit transaction that ends at the Sync: n
 * statements cost one trip and one commit (one fsync), and nothing else.
 */
#include "db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_time.h"
#include "redis.h"

#define FN_DB_BACKOFF_MS  2000

/* %s is the SQL function of the job. */
static const struct {
    const char  *sql;
    unsigned     nparams;
} fn_db_calls[FN_DB_CALLS] = {
    { "SELECT * FROM pool.settle($1::uuid, $2::text, pool.enter($3::uuid), $4::text, "
      "jobs.%s($1::uuid, $3::uuid, $5::jsonb, $6::jsonb))", 6 },
    { "SELECT * FROM pool.open($1::uuid, $2::text, pool.enter($3::uuid), $4::text, $6::int, "
      "jobs.%s($1::uuid, $3::uuid, $5::jsonb))", 6 },
    { "SELECT (r).status, (r).body, (r).headers "
      "FROM (SELECT jobs.%s($1::uuid, pool.enter($2::uuid), $3::jsonb) AS r) q", 3 },
    { "SELECT * FROM pool.replay($1::uuid, $2::text, $3::uuid, $4::text)", 4 },
    { "SELECT pool.published($1::bigint[])", 1 },
    { "SELECT * FROM pool.sweep(100)", 0 },
    { "SELECT pool.fail($1::uuid, $2::text, $3::uuid, $4::text)", 4 },
    { "SELECT * FROM pool.cron_due($1::bigint, $2::jsonb)", 2 },
    { "SELECT * FROM pool.cron_list()", 0 },
    { "SELECT * FROM pool.ai_budget()", 0 }
};


void
fn_db_init(fn_db_t *db, const fn_settings_t *s, const char *name)
{
    memset(db, 0, sizeof(*db));
    db->settings = s;
    db->name = name;
}


/* One connection a process: whose statement fn_db_cancel() ends. */
static PGcancel *volatile  fn_db_cancelable;


void
fn_db_cancel(void)
{
    int        err;
    char       why[64];
    PGcancel  *cancel;

    err = errno;
    cancel = fn_db_cancelable;

    if (cancel != NULL) {
        (void) PQcancel(cancel, why, sizeof(why));
    }

    errno = err;
}


void
fn_db_close(fn_db_t *db)
{
    PGcancel  *cancel;

    if (db->c != NULL) {
        cancel = fn_db_cancelable;
        fn_db_cancelable = NULL;
        PQfreeCancel(cancel);
        PQfinish(db->c);
        db->c = NULL;
    }

    memset(db->prepared, 0, sizeof(db->prepared));
}


/* libpq's messages end in a newline, and their first line says it all. */
static void
fn_db_log(fn_log_e level, const char *msg, const char *text)
{
    char  line[256];

    (void) snprintf(line, sizeof(line), "%.*s", (int) strcspn(text, "\n"), text);
    fn_log(level, msg, "error", line, NULL);
}


static void
fn_db_notice(void *data, const PGresult *result)
{
    (void) data;
    (void) result;              /* the server logs them; they may hold personal text */
}


int
fn_db_connect(fn_db_t *db)
{
    uint64_t     now, cap;
    const char  *keys[10], *values[10];
    unsigned     n;

    if (db->c != NULL) {
        return 0;
    }

    now = fn_mono_ms();

    if (now < db->retry_ms) {
        return -1;
    }

    n = 0;
    keys[n] = "dbname",             values[n++] = db->settings->postgres;       /* a conninfo; what follows wins */
    keys[n] = "application_name",   values[n++] = db->name;
    keys[n] = "connect_timeout",    values[n++] = "3";
    keys[n] = "tcp_user_timeout",   values[n++] = "15000";
    keys[n] = "client_encoding",    values[n++] = "UTF8";
    /* Jobs look up rows: a plan made for a table that was small must not read all of it when it has grown. */
    keys[n] = "options",            values[n++] = "-c statement_timeout=10s -c idle_in_transaction_session_timeout=30s "
                                                  "-c default_transaction_isolation=read\\ committed "
                                                  "-c timezone=UTC -c plan_cache_mode=force_generic_plan "
                                                  "-c enable_seqscan=off";

    if (db->settings->postgres_password != NULL) {
        keys[n] = "password",       values[n++] = db->settings->postgres_password;
    }

    keys[n] = NULL;
    values[n] = NULL;

    db->c = PQconnectdbParams(keys, values, 1);

    if (db->c != NULL && PQstatus(db->c) == CONNECTION_OK && PQenterPipelineMode(db->c)) {
        if (db->failures) {
            fn_log(FN_LOG_INFO, "postgres is back", NULL);
        }

        (void) PQsetNoticeReceiver(db->c, fn_db_notice, NULL);
        db->failures = 0;
        db->retry_ms = 0;
        fn_db_cancelable = PQgetCancel(db->c);
        fn_count(FN_C_POSTGRES_CONNECTS, 1);
        return 0;
    }

    fn_count(FN_C_POSTGRES_FAILURES, 1);

    if (db->failures++ == 0) {
        fn_db_log(FN_LOG_WARN, "no connection to postgres, trying again", db->c ? PQerrorMessage(db->c) : "no memory");
    }

    fn_db_close(db);

    cap = 100ULL << (db->failures < 5 ? db->failures : 5);
    db->retry_ms = now + 50 + fn_random((unsigned) (cap < FN_DB_BACKOFF_MS ? cap : FN_DB_BACKOFF_MS));

    return -1;
}


static void
fn_db_name(char name[32], fn_db_call_e call, unsigned row)
{
    (void) snprintf(name, 32, "%c%u", "sopRPSFDL"[call], row);
}


/* Waits for everything up to the Sync. Keeps the results of good statements in stmt[], when stmt is not NULL. */
static fn_db_rc_e
fn_db_collect(fn_db_t *db, fn_db_stmt_t *stmt, unsigned n, char sqlstate[6])
{
    unsigned         i;
    PGresult        *r;
    const char      *state;
    fn_db_rc_e       rc;
    ExecStatusType   status;

    rc = FN_DB_DONE;

    for (i = 0; ; ) {
        r = PQgetResult(db->c);

        if (r == NULL) {
            if (PQstatus(db->c) != CONNECTION_OK) {
                return FN_DB_LOST;
            }

            i++;                            /* the end of one statement */

            if (i > n + 1) {
                return FN_DB_LOST;          /* never: the Sync's answer comes first */
            }

            continue;
        }

        status = PQresultStatus(r);

        if (status == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            return rc;
        }

        if ((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) && rc == FN_DB_DONE) {
            if (stmt != NULL && i < n && stmt[i].result == NULL) {
                stmt[i].result = r;
                r = NULL;
            }

        } else if (status == PGRES_FATAL_ERROR && rc == FN_DB_DONE) {
            rc = FN_DB_ERROR;
            state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
            (void) snprintf(sqlstate, 6, "%s", state ? state : "");

            /* the messages of classes 22 and 23 may hold what a person wrote */
            if (memcmp(sqlstate, "22", 2) != 0 && memcmp(sqlstate, "23", 2) != 0) {
                fn_db_log(FN_LOG_WARN, "postgres refused a statement",
                          state ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : PQresultErrorMessage(r));
            }
        }

        PQclear(r);

        if (PQstatus(db->c) != CONNECTION_OK) {
            return FN_DB_LOST;
        }
    }
}


/* Prepares what this connection has not yet; on its own, because prepared statements outlive a rollback. */
static fn_db_rc_e
fn_db_prepare(fn_db_t *db, const fn_db_stmt_t *stmt, char sqlstate[6])
{
    char         name[32], sql[512];
    unsigned     row;
    fn_db_rc_e   rc;
    const char  *fmt;

    row = stmt->job ? (unsigned) (stmt->job - fn_jobs) : 0;

    if (row >= FN_DB_JOBS) {
        return FN_DB_ERROR;
    }

    if (db->prepared[stmt->call][row]) {
        return FN_DB_DONE;
    }

    fmt = strstr(fn_db_calls[stmt->call].sql, "%s");

    if (fmt != NULL) {
        (void) snprintf(sql, sizeof(sql), "%.*s%s%s", (int) (fmt - fn_db_calls[stmt->call].sql),
                        fn_db_calls[stmt->call].sql,
                        stmt->call == FN_DB_SETTLE ? stmt->job->commit : stmt->job->prepare, fmt + 2);

    } else {
        (void) snprintf(sql, sizeof(sql), "%s", fn_db_calls[stmt->call].sql);
    }

    fn_db_name(name, stmt->call, row);

    if (!PQsendPrepare(db->c, name, sql, 0, NULL) || !PQpipelineSync(db->c)) {
        return FN_DB_LOST;
    }

    rc = fn_db_collect(db, NULL, 1, sqlstate);

    if (rc == FN_DB_DONE) {
        db->prepared[stmt->call][row] = 1;
    }

    return rc;
}


fn_db_rc_e
fn_db_run(fn_db_t *db, fn_db_stmt_t *stmt, unsigned n, char sqlstate[6])
{
    char        name[32];
    unsigned    i;
    fn_db_rc_e  rc;

    sqlstate[0] = '\0';

    if (db->c == NULL) {
        return FN_DB_LOST;
    }

    for (i = 0, rc = FN_DB_DONE; i < n && rc == FN_DB_DONE; i++) {
        stmt[i].result = NULL;
        rc = fn_db_prepare(db, &stmt[i], sqlstate);
    }

    for (i = 0; i < n && rc == FN_DB_DONE; i++) {
        fn_db_name(name, stmt[i].call, stmt[i].job ? (unsigned) (stmt[i].job - fn_jobs) : 0);

        if (!PQsendQueryPrepared(db->c, name, (int) fn_db_calls[stmt[i].call].nparams, stmt[i].value, NULL, NULL, 0)) {
            rc = FN_DB_LOST;
        }
    }

    if (rc == FN_DB_DONE) {
        rc = PQpipelineSync(db->c) ? fn_db_collect(db, stmt, n, sqlstate) : FN_DB_LOST;
    }

    /* 57P0x: the server is shutting down, crashing or starting; the connection will be gone in a moment */
    if (rc == FN_DB_ERROR && (memcmp(sqlstate, "57P0", 4) == 0 || memcmp(sqlstate, "08", 2) == 0)) {
        rc = FN_DB_LOST;
    }

    if (rc != FN_DB_DONE) {
        for (i = 0; i < n; i++) {
            PQclear(stmt[i].result);
            stmt[i].result = NULL;
        }
    }

    if (rc == FN_DB_LOST) {
        fn_db_log(FN_LOG_WARN, "connection to postgres lost", PQerrorMessage(db->c));
        fn_count(FN_C_POSTGRES_FAILURES, 1);
        fn_db_close(db);
    }

    return rc;
}


int
fn_db_array_next(const char **p, char *out, size_t *len)
{
    int          quoted;
    size_t       n;
    const char  *s;

    s = *p;

    if (*s == '{' || *s == ',') {
        s++;
    }

    if (*s == '}' || *s == '\0') {
        return 0;
    }

    quoted = *s == '"';
    s += quoted;

    for (n = 0; *s != '\0' && (quoted ? *s != '"' : *s != ',' && *s != '}'); s++) {
        if (*s == '\\' && s[1] != '\0') {
            s++;
        }

        out[n++] = *s;
    }

    *p = quoted && *s == '"' ? s + 1 : s;
    *len = n;

    return 1;
}
