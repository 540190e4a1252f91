/*
 * Statements of commands that steer what is in PostgreSQL.  A change is published as an executor does it, right after its
 * transaction; if Redis is away the leader's sweep makes up for it.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../relay.h"
#include "ctl.h"

#define FN_ACTOR_MAX  100


static PGresult *
fn_ctl_sql_run(fn_db_t *db, const char *sql, int n, const char *const *values)
{
    PGresult        *r;
    const char      *state;
    ExecStatusType   status;

    r = PQexecParams(db->c, sql, n, NULL, values, NULL, NULL, 0);
    status = PQresultStatus(r);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        return r;
    }

    state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    if (state != NULL && strncmp(state, "FN", 2) == 0) {
        (void) fprintf(stderr, "fitnudgectl: %s\n", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));

    } else {
        (void) fprintf(stderr, "fitnudgectl: postgres refuses (%s)\n", state ? state : "connection lost");
    }

    PQclear(r);

    return NULL;
}


static int
fn_ctl_sql_connect(fn_ctl_t *c, fn_db_t *db)
{
    fn_db_init(db, c->settings, "fitnudgectl");

    if (fn_db_connect(db) != 0 || !PQexitPipelineMode(db->c)) {
        (void) fprintf(stderr, "fitnudgectl: no connection to postgres\n");
        fn_db_close(db);
        return -1;
    }

    return 0;
}


PGresult *
fn_ctl_sql(fn_ctl_t *c, const char *sql, int n, const char *const *values)
{
    fn_db_t    db;
    PGresult  *r;

    if (fn_ctl_sql_connect(c, &db) != 0) {
        return NULL;
    }

    r = fn_ctl_sql_run(&db, sql, n, values);
    fn_db_close(&db);

    return r;
}


/* "{1,2} {flags}": ids and tags of the changes. */
static void
fn_ctl_sql_publish(fn_ctl_t *c, fn_db_t *db, const char *changes)
{
    char        *ids;
    size_t       n;
    PGresult    *r;
    const char  *value[1];

    n = strcspn(changes, " ");

    if (changes[n] != ' ') {
        return;                     /* nothing has changed */
    }

    ids = strndup(changes, n);

    if (ids != NULL && fn_relay_tags(&c->redis, changes + n + 1) == 0) {
        value[0] = ids;
        r = fn_ctl_sql_run(db, "SELECT pool.published($1::bigint[])", 1, value);
        PQclear(r);

    } else {
        (void) fprintf(stderr, "fitnudgectl: redis was not told: the pool does so when it is back\n");
    }

    free(ids);
}


PGresult *
fn_ctl_sql_change(fn_ctl_t *c, const char *sql, int n, const char *const *values)
{
    fn_db_t    db;
    PGresult  *r;

    if (fn_ctl_sql_connect(c, &db) != 0) {
        return NULL;
    }

    r = fn_ctl_sql_run(&db, sql, n, values);

    if (r != NULL && PQntuples(r) > 0) {
        fn_ctl_sql_publish(c, &db, PQgetvalue(r, 0, PQnfields(r) - 1));
    }

    fn_db_close(&db);

    return r;
}


const char *
fn_ctl_actor(void)
{
    const char     *name;
    struct passwd  *pw;

    static char  actor[FN_ACTOR_MAX];

    name = getenv("SUDO_USER");

    if (name == NULL || *name == '\0') {
        pw = getpwuid(getuid());
        name = pw ? pw->pw_name : "unknown";
    }

    (void) snprintf(actor, sizeof(actor), "fitnudgectl:%s", name);

    return actor;
}
