/* `budget`: what calls of the AI have cost, beside what they may cost. Days and months are those of UTC, as they are for the budget. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../db.h"
#include "../libfitnudge/fn_time.h"
#include "ctl.h"

#define FN_MONEY_MAX  32

/* Micro-dollars in dollars. */
static const char *
fn_ctl_money(char out[FN_MONEY_MAX], int64_t micro)
{
    (void) snprintf(out, FN_MONEY_MAX, "%lld.%06lld", (long long) (micro / 1000000), (long long) (micro % 1000000));

    return out;
}


static void
fn_ctl_budget_print(const fn_ctl_t *c, const char *period, int64_t spent, int64_t budget, int64_t ends_s)
{
    char     a[FN_MONEY_MAX], b[FN_MONEY_MAX], l[FN_MONEY_MAX], ends[FN_RFC3339_LEN + 1];
    int64_t  left;

    left = spent < budget ? budget - spent : 0;
    fn_rfc3339(ends, ends_s);
    (void) fn_ctl_money(a, spent);
    (void) fn_ctl_money(b, budget);
    (void) fn_ctl_money(l, left);

    if (c->json) {
        (void) printf("{\"period\":\"%s\",\"spent\":%s,\"budget\":%s,\"left\":%s,\"ends\":\"%s\"}\n", period, a, b, l, ends);

    } else {
        (void) printf("%-6s %16s %16s %16s  %s%s\n", period, a, b, l, ends, left == 0 ? "  nothing left: messages come from templates" : "");
    }
}


int
fn_ctl_cmd_budget(fn_ctl_t *c, int argc, char **argv)
{
    int            i;
    char           state[6];
    fn_db_t        db;
    int64_t        v[4];
    fn_db_stmt_t   stmt;

    (void) argc;
    (void) argv;

    fn_db_init(&db, c->settings, "fitnudgectl");

    if (fn_db_connect(&db) != 0) {
        (void) fprintf(stderr, "fitnudgectl: no connection to postgres\n");
        return 1;
    }

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_AI_BUDGET;

    if (fn_db_run(&db, &stmt, 1, state) != FN_DB_DONE) {
        (void) fprintf(stderr, "fitnudgectl: postgres refuses (%s)\n", state[0] ? state : "connection lost");
        fn_db_close(&db);
        return 1;
    }

    for (i = 0; i < 4; i++) {
        v[i] = strtoll(PQgetvalue(stmt.result, 0, i), NULL, 10);
    }

    PQclear(stmt.result);
    fn_db_close(&db);

    if (!c->json) {
        (void) printf("%-6s %16s %16s %16s  %s\n", "", "spent/$", "budget/$", "left/$", "ends");
    }

    fn_ctl_budget_print(c, "day", v[0], c->settings->ai_budget_daily, v[2]);
    fn_ctl_budget_print(c, "month", v[1], c->settings->ai_budget_monthly, v[3]);

    return 0;
}
