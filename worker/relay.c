/*
 * Change rows and follow-up jobs that their executor did not get to publish.  Rows are deleted after what they say is in
 * Redis, so a crash in between publishes twice.  That does no harm: generations are only bumped, and
 * a follow-up's id is made from its outbox row, so that the inbox absorbs the second one.
 */
#define _GNU_SOURCE
#include "relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/json_get.h"
#include "libfitnudge/fn_envelope.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_log.h"
#include "libfitnudge/fn_revoked.h"
#include "libfitnudge/fn_time.h"
#include "libfitnudge/fn_uuid.h"

#define FN_KEY_MAX  256


/* 0 or -1 = lost. An answer that is an error counts as lost: the rows stay. */
static int
fn_relay_done(redisReply *a)
{
    int  rc;

    if (a == NULL) {
        return -1;
    }

    rc = a->type == REDIS_REPLY_ERROR ? -1 : 0;
    freeReplyObject(a);

    return rc;
}


/* As finish.lua does it. */
static int
fn_relay_generation(fn_redis_t *r, const char *tag)
{
    char  key[FN_KEY_MAX];

    if (snprintf(key, sizeof(key), FN_K_GENERATION, tag) >= (int) sizeof(key)) {
        return 0;       /* no tag that anything is cached by */
    }

    if (fn_relay_done(fn_redis_command(r, "INCR %s", key)) != 0) {
        return -1;
    }

    return fn_relay_done(fn_redis_command(r, "EXPIRE %s %u", key, fn_settings_keep_generations(r->settings)));
}


int
fn_relay_tags(fn_redis_t *r, const char *array)
{
    int        rc;
    char      *tag;
    size_t     n;
    uint64_t   until;
    fn_buf_t   all = FN_BUF_INIT;
    fn_span_t  what;

    tag = malloc(strlen(array) + 1);

    if (tag == NULL) {
        return -1;
    }

    for (rc = 0; rc == 0 && fn_db_array_next(&array, tag, &n); ) {
        tag[n] = '\0';
        fn_buf_adds(&all, all.len ? " " : "");
        fn_buf_add(&all, tag, n);

        if (fn_settings_keep_generations(r->settings) > 0) {
            rc = fn_relay_generation(r, tag);
        }

        if (rc == 0 && fn_revoked_read(tag, n, &what, &until)) {
            rc = fn_relay_done(fn_redis_command(r, "ZADD %s GT %llu %b", FN_K_REVOKED, (unsigned long long) until,
                                                what.p, what.n));
        }
    }

    if (rc == 0 && all.len > 0) {
        rc = fn_relay_done(fn_redis_command(r, "PUBLISH %s %b", FN_K_CHANGES, all.data, all.len));
    }

    fn_buf_free(&all);
    free(tag);

    return rc;
}


int
fn_relay_envelope(fn_buf_t *b, fn_buf_t *ids, const fn_job_t **job, uint64_t *run_at_ms, const char *p, size_t n)
{
    int                 rc;
    char                id[FN_UUID_LEN + 1];
    fn_job_env_t        env;
    fn_json_field_t     f[] = { FN_JSON_FIELD("id"), FN_JSON_FIELD("job"), FN_JSON_FIELD("user_id"),
                                FN_JSON_FIELD("request"),
                                FN_JSON_FIELD("key"), FN_JSON_FIELD("run_at_ms"), FN_JSON_END };

    rc = -1;

    if (fn_json_get(p, n, f) == 0 && f[0].type == FN_JSON_NUMBER && f[3].type == FN_JSON_OBJECT
        && (*job = fn_job_find(fn_json_text(&f[1]), strlen(fn_json_text(&f[1])))) != NULL)
    {
        if (f[4].type == FN_JSON_STRING) {
            fn_uuid_v5(id, "", 0, "outbox key", 10, f[4].text.data, f[4].text.len);

        } else {
            fn_uuid_v5(id, "", 0, "outbox", 6, f[0].raw.p, f[0].raw.n);
        }

        *run_at_ms = f[5].type == FN_JSON_NUMBER ? strtoull(f[5].raw.p, NULL, 10) : 0;

        memset(&env, 0, sizeof(env));
        env.id.p = id;
        env.id.n = FN_UUID_LEN;
        env.job.p = (*job)->name;
        env.job.n = strlen((*job)->name);
        env.prio = (*job)->prio;
        env.enqueued_ms = fn_now_ms();
        env.user.p = fn_json_text(&f[2]);
        env.user.n = strlen(env.user.p);
        env.body = f[3].raw;

        rc = fn_job_env_format(b, &env);
    }

    if (rc == 0) {
        fn_buf_adds(ids, ids->len ? "," : "");
        fn_buf_add(ids, f[0].raw.p, f[0].raw.n);
    }

    fn_json_free(f);

    return rc;
}


int
fn_relay_follow(fn_redis_t *r, const char *json)
{
    int              rc;
    char             key[FN_KEY_MAX];
    uint64_t         run_at_ms;
    fn_buf_t         b = FN_BUF_INIT, id = FN_BUF_INIT;
    const fn_job_t  *job;

    rc = fn_relay_envelope(&b, &id, &job, &run_at_ms, json, strlen(json));
    fn_buf_free(&id);

    if (rc != 0) {
        fn_log(FN_LOG_ERROR, "a row of the outbox is no job and is dropped", NULL);
        fn_buf_free(&b);
        return 0;
    }

    if (run_at_ms > fn_now_ms()) {
        (void) snprintf(key, sizeof(key), FN_K_DELAYED, job->lane);
        rc = fn_relay_done(fn_redis_command(r, "ZADD %s %llu %b", key, (unsigned long long) run_at_ms, b.data, b.len));

    } else {
        (void) snprintf(key, sizeof(key), FN_K_QUEUE, job->lane, job->prio);
        rc = fn_relay_done(fn_redis_command(r, "LPUSH %s %b", key, b.data, b.len));
    }

    fn_buf_free(&b);

    return rc;
}


int
fn_relay_forget(fn_db_t *db, const fn_buf_t *ids)
{
    char          state[6], *array;
    fn_db_rc_e    rc;
    fn_db_stmt_t  stmt;

    if (ids->failed || asprintf(&array, "{%s}", ids->len ? ids->data : "") < 0) {
        return -1;
    }

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_PUBLISHED;
    stmt.value[0] = array;

    rc = fn_db_run(db, &stmt, 1, state);
    free(array);

    if (rc == FN_DB_DONE) {
        PQclear(stmt.result);
    }

    return rc == FN_DB_DONE ? 0 : -1;
}


int
fn_relay_sweep(fn_db_t *db, fn_redis_t *r)
{
    int           i, n, rc, kind, id, tags, follow;
    char          state[6];
    fn_buf_t      ids = FN_BUF_INIT;
    PGresult     *rows;
    fn_db_stmt_t  stmt;

    memset(&stmt, 0, sizeof(stmt));
    stmt.call = FN_DB_SWEEP;

    if (fn_db_run(db, &stmt, 1, state) != FN_DB_DONE) {
        return -1;
    }

    rows = stmt.result;
    n = PQntuples(rows);
    kind = PQfnumber(rows, "kind");
    id = PQfnumber(rows, "id");
    tags = PQfnumber(rows, "tags");
    follow = PQfnumber(rows, "follow");

    for (i = 0, rc = kind < 0 || id < 0 || tags < 0 || follow < 0 ? -1 : 0; i < n && rc == 0; i++) {
        if (strcmp(PQgetvalue(rows, i, kind), "change") == 0) {
            rc = fn_relay_tags(r, PQgetvalue(rows, i, tags));

        } else {
            rc = fn_relay_follow(r, PQgetvalue(rows, i, follow));
        }

        fn_buf_addf(&ids, "%s%s", ids.len ? "," : "", PQgetvalue(rows, i, id));
    }

    PQclear(rows);

    if (rc == 0 && n > 0) {
        rc = fn_relay_forget(db, &ids);
    }

    fn_buf_free(&ids);

    return rc == 0 ? n : -1;
}
