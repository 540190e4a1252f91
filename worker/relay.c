/*
 * The slow path of publishing: rows of change_outbox and outbox that are older than the moment their executor needed. To
 * publish one twice does no harm: generations are only bumped, and a follow-up's id is made from its outbox row, so
 * that the inbox absorbs the second one.
 */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"


int
fn_relay_maintain(fn_db_t *db)
{
    char          state[6];
    fn_db_rc_e    rc;
    fn_db_stmt_t  stmt;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_MAINTAIN;

    rc = fn_db_run(db, &stmt, 1, state);

    if (rc == FN_DB_DONE) {
        PQclear(stmt.result);
        return 0;
    }

    if (rc == FN_DB_ERROR) {
        fn_log(FN_LOG_ERROR, "housekeeping of the database failed", "sqlstate", state, NULL);
    }

    return rc == FN_DB_LOST ? -1 : 0;
}


int
fn_relay_sweep(fn_db_t *db, fn_redis_t *r)
{
    (void) db;
    (void) r;
    return 0;
}
