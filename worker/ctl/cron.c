/*
 * `cron`: what happens by the clock, and a run by hand.  The runs are in PostgreSQL, the table is in the program; times are those of
 * this machine's clock, as they are for the leader.
 */
#include <stdio.h>
#include <string.h>

#include "../cron.h"
#include "../libfitnudge/fn_time.h"
#include "ctl.h"

/* The newest run of an entry, out of pool.cron_list(). Texts are the result's. */
typedef struct {
    const char  *ran_at, *state, *result;       /* NULL: it has never run */
    const char  *ms;                            /* NULL: it has not ended */
    int          manual;
} fn_ctl_run_t;


static int
fn_ctl_cron_connect(fn_ctl_t *c, fn_db_t *db)
{
    fn_db_init(db, c->settings, "fitnudgectl");

    if (fn_db_connect(db) != 0) {
        (void) fprintf(stderr, "fitnudgectl: no connection to postgres\n");
        return -1;
    }

    return 0;
}


static const char *
fn_ctl_value(const PGresult *r, int row, const char *name)
{
    int  column;

    column = PQfnumber(r, name);

    return column < 0 || PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}


static fn_ctl_run_t
fn_ctl_cron_find(const PGresult *r, const char *name)
{
    int            i;
    const char    *manual, *known;
    fn_ctl_run_t   run;

    memset(&run, 0, sizeof(run));

    for (i = 0; i < PQntuples(r); i++) {
        known = fn_ctl_value(r, i, "name");

        if (known != NULL && strcmp(known, name) == 0) {
            run.ran_at = fn_ctl_value(r, i, "ran_at");
            run.state = fn_ctl_value(r, i, "state");
            run.result = fn_ctl_value(r, i, "result");
            run.ms = fn_ctl_value(r, i, "ms");
            manual = fn_ctl_value(r, i, "manual");
            run.manual = manual != NULL && *manual == 't';
        }
    }

    return run;
}


static void
fn_ctl_cron_print(const fn_ctl_t *c, const fn_cron_entry_t *e, const fn_ctl_run_t *run)
{
    char       next[FN_RFC3339_LEN + 1];
    fn_buf_t   b = FN_BUF_INIT;
    fn_cron_t  schedule;

    if (fn_cron_parse(&schedule, e->schedule) != 0) {
        return;
    }

    fn_rfc3339(next, fn_cron_next(&schedule, (int64_t) (fn_now_ms() / 1000)));

    if (!c->json) {
        (void) printf("%-11s %-10s %-5s %-21s %-21s %-8s %8s  %s\n", e->name, e->schedule, fn_cron_catchups[e->catchup], next,
                      run->ran_at ? run->ran_at : "-", run->state ? run->state : "-", run->ms ? run->ms : "-",
                      run->result ? run->result : "-");
        return;
    }

    fn_buf_addf(&b, "{\"name\":\"%s\",\"does\":\"%s\",\"schedule\":\"%s\",\"catch_up\":\"%s\",\"next\":\"%s\"", e->name, e->help,
                e->schedule, fn_cron_catchups[e->catchup], next);

    if (run->ran_at == NULL) {
        fn_buf_adds(&b, ",\"last\":null}");

    } else {
        fn_buf_addf(&b, ",\"last\":{\"at\":\"%s\",\"by_hand\":%s,\"state\":\"%s\",\"ms\":%s,\"result\":%s}}", run->ran_at,
                    run->manual ? "true" : "false", run->state ? run->state : "", run->ms ? run->ms : "null",
                    run->result ? run->result : "{}");
    }

    if (!b.failed) {
        (void) puts(b.data);
    }

    fn_buf_free(&b);
}


static int
fn_ctl_cron_ls(fn_ctl_t *c, fn_db_t *db)
{
    char                    state[6];
    fn_ctl_run_t            run;
    fn_db_stmt_t            stmt;
    const fn_cron_entry_t  *e;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_CRON_LIST;

    if (fn_db_run(db, &stmt, 1, state) != FN_DB_DONE) {
        (void) fprintf(stderr, "fitnudgectl: postgres refuses (%s)\n", state[0] ? state : "connection lost");
        return 1;
    }

    if (!c->json) {
        (void) printf("%-11s %-10s %-5s %-21s %-21s %-8s %8s  %s\n", "name", "schedule", "miss", "next", "last", "state", "ms", "result");
    }

    for (e = fn_cron_entries; e->name != NULL; e++) {
        run = fn_ctl_cron_find(stmt.result, e->name);
        fn_ctl_cron_print(c, e, &run);
    }

    PQclear(stmt.result);

    return 0;
}


static int
fn_ctl_cron_run(fn_ctl_t *c, fn_db_t *db, const char *name)
{
    int                     jobs;
    fn_buf_t                b = FN_BUF_INIT;
    const fn_cron_entry_t  *e;

    for (e = fn_cron_entries; e->name != NULL && strcmp(e->name, name) != 0; e++) { /* void */ }

    if (e->name == NULL) {
        (void) fprintf(stderr, "fitnudgectl: there is no entry \"%s\"; `cron ls` shows them\n", name);
        return 2;
    }

    fn_buf_addf(&b, "[{\"name\":\"%s\",\"job\":\"%s\"}]", e->name, e->job);
    jobs = b.failed ? -1 : fn_cron_begin(db, &c->redis, b.data, NULL);
    fn_buf_free(&b);

    if (jobs != 1) {
        (void) fprintf(stderr, "fitnudgectl: %s was not begun: postgres refuses\n", e->name);
        return 1;
    }

    (void) printf(c->json ? "{\"begun\":\"%s\"}\n" : "begun: %s\n", e->name);

    return 0;
}


int
fn_ctl_cmd_cron(fn_ctl_t *c, int argc, char **argv)
{
    int      rc;
    fn_db_t  db;

    if (argc > 0 && !(argc == 1 && strcmp(argv[0], "ls") == 0) && !(argc == 2 && strcmp(argv[0], "run") == 0)) {
        (void) fprintf(stderr, "usage: fitnudgectl cron ls | cron run <name>\n");
        return 2;
    }

    if (fn_ctl_cron_connect(c, &db) != 0) {
        return 1;
    }

    rc = argc < 2 ? fn_ctl_cron_ls(c, &db) : fn_ctl_cron_run(c, &db, argv[1]);
    fn_db_close(&db);

    return rc;
}
