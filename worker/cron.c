/*
 * The leader's clock.  Every second it asks the table what is due.  A run is begun by pool.cron_due(): its row, which exists once
 * for an entry and a time, and its first job in the outbox, in one transaction.  So a leader that dies loses nothing (the next one
 * sweeps the outbox), and two that both believe to lead begin nothing twice.
 */
#include "cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libfitnudge/fn_buf.h"
#include "libfitnudge/fn_log.h"
#include "relay.h"


/* When each entry was last run for, by the database. 0 or -1. */
static int
fn_clock_load(fn_clock_t *c, fn_db_t *db)
{
    int           k, name, due;
    char          state[6];
    unsigned      i;
    fn_db_stmt_t  stmt;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_CRON_LIST;

    if (fn_db_run(db, &stmt, 1, state) != FN_DB_DONE) {
        return -1;
    }

    name = PQfnumber(stmt.result, "name");
    due = PQfnumber(stmt.result, "due_at");

    for (i = 0; i < FN_CRON_ENTRIES && fn_cron_entries[i].name != NULL; i++) {
        c->ran[i] = -1;

        if (fn_cron_parse(&c->schedule[i], fn_cron_entries[i].schedule) != 0) {
            fn_log(FN_LOG_ERROR, "an entry of the cron table has no schedule", "name", fn_cron_entries[i].name, NULL);
            continue;                           /* never: the test of the table sees it */
        }

        for (k = 0; name >= 0 && due >= 0 && k < PQntuples(stmt.result); k++) {
            if (strcmp(PQgetvalue(stmt.result, k, name), fn_cron_entries[i].name) == 0 && !PQgetisnull(stmt.result, k, due)) {
                c->ran[i] = strtoll(PQgetvalue(stmt.result, k, due), NULL, 10);
            }
        }
    }

    PQclear(stmt.result);
    c->loaded = 1;

    return 0;
}


int
fn_cron_begin(fn_db_t *db, fn_redis_t *r, const char *runs, int64_t *epoch)
{
    int           i, n, jobs;
    char          state[6], number[24];
    fn_buf_t      ids = FN_BUF_INIT;
    PGresult     *rows;
    fn_db_stmt_t  stmt;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_CRON_DUE;
    stmt.value[1] = runs;

    if (epoch != NULL) {
        (void) snprintf(number, sizeof(number), "%lld", (long long) *epoch);
        stmt.value[0] = number;
    }

    if (fn_db_run(db, &stmt, 1, state) != FN_DB_DONE) {
        return -1;
    }

    rows = stmt.result;
    n = PQntuples(rows);

    if (n < 1 || PQnfields(rows) != 3) {
        PQclear(rows);
        return -1;
    }

    if (epoch != NULL) {
        *epoch = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
    }

    for (i = 1, jobs = 0; i < n; i++) {
        jobs++;

        if (r->c != NULL && fn_relay_follow(r, PQgetvalue(rows, i, 2)) == 0) {
            fn_buf_addf(&ids, "%s%s", ids.len ? "," : "", PQgetvalue(rows, i, 1));
        }
    }

    PQclear(rows);

    if (ids.len > 0) {
        (void) fn_relay_forget(db, &ids);       /* or they are published again, which is once to the inbox */
    }

    fn_buf_free(&ids);

    return jobs;
}


int
fn_clock_tick(fn_clock_t *c, fn_db_t *db, fn_redis_t *r, int64_t now_s, int64_t *epoch)
{
    int        rc;
    int64_t    due[FN_CRON_ENTRIES], ours;
    fn_buf_t   runs = FN_BUF_INIT;
    unsigned   i;

    if (c->loaded && now_s == c->looked_s) {
        return 0;
    }

    if (!c->loaded && fn_clock_load(c, db) != 0) {
        return -1;
    }

    memset(due, 0xff, sizeof(due));             /* -1: not due */

    for (i = 0; i < FN_CRON_ENTRIES && fn_cron_entries[i].name != NULL; i++) {
        due[i] = fn_cron_due(&c->schedule[i], fn_cron_entries[i].catchup, c->ran[i], now_s);

        if (due[i] >= 0) {
            fn_buf_addf(&runs, "%s{\"name\":\"%s\",\"job\":\"%s\",\"due_at\":%lld}", runs.len ? "," : "[", fn_cron_entries[i].name,
                        fn_cron_entries[i].job, (long long) due[i]);
        }
    }

    if (runs.len == 0) {
        c->looked_s = now_s;
        return 0;
    }

    fn_buf_adds(&runs, "]");
    ours = *epoch;
    rc = runs.failed || fn_cron_begin(db, r, runs.data, epoch) < 0 ? -1 : 0;
    fn_buf_free(&runs);

    if (rc != 0 || *epoch != ours) {
        return rc;
    }

    for (i = 0; i < FN_CRON_ENTRIES && fn_cron_entries[i].name != NULL; i++) {
        c->ran[i] = due[i] >= 0 ? due[i] : c->ran[i];
    }

    return 0;           /* looked_s stays: of all that were missed the next is due at once */
}
