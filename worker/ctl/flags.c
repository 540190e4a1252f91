/* `flags` and `experiments`: what SQL decides is steered and looked at here (sql/deploy/flags.sql, experiments.sql). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"


static const char *
fn_ctl_option(int argc, char **argv, int i, const char *name)
{
    return argc == i + 2 && strcmp(argv[i], name) == 0 ? argv[i + 1] : NULL;
}


static int
fn_ctl_flags_usage(void)
{
    (void) fprintf(stderr, "usage: fitnudgectl flags ls | show <key> | on|off|kill <key> [--reason TEXT] | "
                           "stage <key> <stage> | set <key> <json> | member <segment> <user> <in|out|auto>\n");

    return 2;
}


static int
fn_ctl_flags_ls(fn_ctl_t *c)
{
    int        i;
    PGresult  *r;

    r = fn_ctl_sql(c, "SELECT key, CASE WHEN is_on THEN 'on' ELSE 'off' END, stage, version, changed_at, coalesce(changed_by, '-'), description, flag "
                      "FROM pool.flag_list()", 0, NULL);
    if (r == NULL) {
        return 1;
    }

    if (!c->json) {
        (void) printf("%-28s %-3s %-11s %7s  %-20s  %-20s  %s\n", "flag", "is", "stage", "version", "changed", "by", "description");
    }

    for (i = 0; i < PQntuples(r); i++) {
        if (c->json) {
            (void) puts(PQgetvalue(r, i, 7));
            continue;
        }

        (void) printf("%-28s %-3s %-11s %7s  %-20s  %-20s  %s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3),
                      PQgetvalue(r, i, 4), PQgetvalue(r, i, 5), PQgetvalue(r, i, 6));
    }

    PQclear(r);

    return 0;
}


/* The first value of a row, or a word that there is none. */
static int
fn_ctl_show(PGresult *r, const char *what, const char *key)
{
    if (r == NULL) {
        return 1;
    }

    if (PQntuples(r) == 0 || PQgetisnull(r, 0, 0)) {
        (void) fprintf(stderr, "fitnudgectl: there is no %s \"%s\"\n", what, key);
        PQclear(r);
        return 1;
    }

    (void) puts(PQgetvalue(r, 0, 0));
    PQclear(r);

    return 0;
}


/* Prints what became of a flag or an experiment: its JSON, or "key: on". */
static int
fn_ctl_changed(fn_ctl_t *c, PGresult *r)
{
    if (r == NULL) {
        return 1;
    }

    if (c->json) {
        (void) puts(PQgetvalue(r, 0, 0));

    } else {
        (void) printf("%s: %s\n", PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2));
    }

    PQclear(r);

    return 0;
}

#define FN_CHANGED  ", f ->> 'key', CASE WHEN (f ->> 'on')::boolean THEN 'on' ELSE 'off' END, " fn_ctl_changes


static int
fn_ctl_flags_put(fn_ctl_t *c, const char *action, const char *key, const char *json, const char *reason, const char *create)
{
    const char  *values[] = { fn_ctl_actor(), action, key, json, reason, create };

    return fn_ctl_changed(c, fn_ctl_sql_change(c, "SELECT f" FN_CHANGED
                             " FROM pool.flag_put($1::text, $2::text, $3::text, $4::jsonb, $5::text, NULL, $6::boolean) f", 6, values));
}


static int
fn_ctl_flags_kill(fn_ctl_t *c, const char *key, const char *reason)
{
    const char  *values[] = { fn_ctl_actor(), key, reason };

    return fn_ctl_changed(c, fn_ctl_sql_change(c, "SELECT f" FN_CHANGED " FROM pool.flag_kill($1::text, $2::text, $3::text) f", 3, values));
}


static int
fn_ctl_flags_stage(fn_ctl_t *c, const char *key, const char *stage)
{
    char  json[64];

    if (strcmp(stage, "development") != 0 && strcmp(stage, "staging") != 0 && strcmp(stage, "production") != 0) {
        return fn_ctl_flags_usage();
    }

    (void) snprintf(json, sizeof(json), "{\"stage\":\"%s\"}", stage);

    return fn_ctl_flags_put(c, "promote", key, json, NULL, "false");
}


static int
fn_ctl_flags_member(fn_ctl_t *c, const char *segment, const char *user, const char *how)
{
    PGresult    *r;
    const char  *values[] = { fn_ctl_actor(), segment, user, NULL };

    if (strcmp(how, "auto") != 0) {
        if (strcmp(how, "in") != 0 && strcmp(how, "out") != 0) {
            return fn_ctl_flags_usage();
        }
        values[3] = strcmp(how, "in") == 0 ? "true" : "false";
    }

    r = fn_ctl_sql_change(c, "SELECT " fn_ctl_changes " FROM pool.segment_put($1::text, $2::text, $3::uuid, $4::boolean)", 4, values);

    if (r == NULL) {
        return 1;
    }

    (void) printf(c->json ? "{\"segment\":\"%s\",\"user_id\":\"%s\",\"member\":\"%s\"}\n" : "%s: %s %s\n", segment, user, how);
    PQclear(r);

    return 0;
}


int
fn_ctl_cmd_flags(fn_ctl_t *c, int argc, char **argv)
{
    const char  *key = argc > 1 ? argv[1] : NULL, *reason;

    if (strcmp(argv[0], "member") == 0 && argc == 4) {
        return fn_ctl_flags_member(c, key, argv[2], argv[3]);
    }

    reason = fn_ctl_option(argc, argv, 2, "--reason");

    if (strcmp(argv[0], "ls") == 0 && argc == 1) {
        return fn_ctl_flags_ls(c);
    }

    if (strcmp(argv[0], "show") == 0 && argc == 2) {
        return fn_ctl_show(fn_ctl_sql(c, "SELECT jsonb_pretty(flag) FROM pool.flag_list() WHERE key = $1::text", 1, &key), "flag", key);
    }

    if (strcmp(argv[0], "on") == 0 && (argc == 2 || reason != NULL)) {
        return fn_ctl_flags_put(c, "on", key, "{\"on\":true}", reason, "false");
    }

    if (strcmp(argv[0], "off") == 0 && (argc == 2 || reason != NULL)) {
        return fn_ctl_flags_put(c, "off", key, "{\"on\":false}", reason, "false");
    }

    if (strcmp(argv[0], "kill") == 0 && (argc == 2 || reason != NULL)) {
        return fn_ctl_flags_kill(c, key, reason);
    }

    if (strcmp(argv[0], "stage") == 0 && argc == 3) {
        return fn_ctl_flags_stage(c, key, argv[2]);
    }

    if (strcmp(argv[0], "set") == 0 && argc == 3) {
        return fn_ctl_flags_put(c, "set", key, argv[2], NULL, "true");
    }

    return fn_ctl_flags_usage();
}


static int
fn_ctl_experiments_ls(fn_ctl_t *c)
{
    int        i;
    PGresult  *r;

    r = fn_ctl_sql(c, "SELECT key, CASE WHEN is_on THEN 'on' ELSE 'off' END, users, goal, description, experiment FROM pool.experiment_list()", 0, NULL);
    if (r == NULL) {
        return 1;
    }

    if (!c->json) {
        (void) printf("%-28s %-3s %9s  %-16s  %s\n", "experiment", "is", "users", "goal", "description");
    }

    for (i = 0; i < PQntuples(r); i++) {
        if (c->json) {
            (void) puts(PQgetvalue(r, i, 5));
            continue;
        }

        (void) printf("%-28s %-3s %9s  %-16s  %s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
    }

    PQclear(r);

    return 0;
}


static int
fn_ctl_experiments_results(fn_ctl_t *c, const char *key, const char *days)
{
    int          i, k;
    PGresult    *r;
    const char  *values[] = { key, days };

    if (strspn(days, "0123456789") != strlen(days) || strlen(days) > 4 || strtol(days, NULL, 10) < 1) {
        (void) fprintf(stderr, "fitnudgectl: \"%s\" is no number of days\n", days);
        return 2;
    }

    if (c->json) {
        return fn_ctl_show(fn_ctl_sql(c, "SELECT pool.experiment_results($1::text, $2::int)", 2, values), "experiment", key);
    }

    r = fn_ctl_sql(c,
        "SELECT v ->> 'variant', v ->> 'users', v ->> 'conversions', coalesce(to_char((v ->> 'rate')::float8 * 100, 'FM990.00') || ' %', '-'), "
        "coalesce(to_char((v ->> 'lift')::float8 * 100, 'FMSG99990.0') || ' %', '-'), coalesce(to_char((v ->> 'z')::float8, 'FMSG9990.000'), '-'), "
        "coalesce(to_char((v ->> 'p_value')::float8, 'FM0.0000'), '-'), "
        "coalesce(to_char((v #>> '{interval,0}')::float8 * 100, 'FMSG990.00') || ' .. ' || to_char((v #>> '{interval,1}')::float8 * 100, 'FMSG990.00'), '-'), "
        "CASE WHEN v ? 'significant' THEN coalesce(v ->> 'warning', CASE WHEN (v ->> 'significant')::boolean THEN 'significant' ELSE 'not significant' END) ELSE '' END "
        "FROM pool.experiment_results($1::text, $2::int) e, jsonb_array_elements(e -> 'variants') WITH ORDINALITY x (v, i) ORDER BY i", 2, values);

    if (r == NULL) {
        return 1;
    }

    if (PQntuples(r) == 0) {
        (void) fprintf(stderr, "fitnudgectl: there is no experiment \"%s\"\n", key);
        PQclear(r);
        return 1;
    }

    (void) printf("%-20s %8s %11s %9s %9s %8s %7s  %-18s  %s\n", "variant", "users", "conversions", "rate", "lift", "z", "p", "95 %, points", "");

    for (i = 0; i < PQntuples(r); i++) {
        for (k = 0; k < 9; k++) {
            static const int  width[] = { -20, 8, 11, 9, 9, 8, 7, -19, 0 };

            (void) printf("%*s%s", width[k], PQgetvalue(r, i, k), k < 8 ? k == 6 ? "  " : " " : "\n");
        }
    }

    PQclear(r);

    return 0;
}


static int
fn_ctl_experiments_put(fn_ctl_t *c, const char *key, const char *json, const char *create)
{
    const char  *values[] = { fn_ctl_actor(), key, json, create };

    return fn_ctl_changed(c, fn_ctl_sql_change(c, "SELECT f" FN_CHANGED
                             " FROM pool.experiment_put($1::text, $2::text, $3::jsonb, NULL, $4::boolean) f", 4, values));
}


int
fn_ctl_cmd_experiments(fn_ctl_t *c, int argc, char **argv)
{
    if (strcmp(argv[0], "ls") == 0 && argc == 1) {
        return fn_ctl_experiments_ls(c);
    }

    if (strcmp(argv[0], "results") == 0 && (argc == 2 || argc == 3)) {
        return fn_ctl_experiments_results(c, argv[1], argc == 3 ? argv[2] : "30");
    }

    if (strcmp(argv[0], "on") == 0 && argc == 2) {
        return fn_ctl_experiments_put(c, argv[1], "{\"on\":true}", "false");
    }

    if (strcmp(argv[0], "off") == 0 && argc == 2) {
        return fn_ctl_experiments_put(c, argv[1], "{\"on\":false}", "false");
    }

    if (strcmp(argv[0], "set") == 0 && argc == 3) {
        return fn_ctl_experiments_put(c, argv[1], argv[2], "true");
    }

    (void) fprintf(stderr, "usage: fitnudgectl experiments ls | results <key> [days] | on|off <key> | set <key> <json>\n");

    return 2;
}
