/* The leader's work in the database: publishing what a crash left behind, and housekeeping. */
#ifndef FN_RELAY_H
#define FN_RELAY_H

#include "db.h"
#include "libfitnudge/fn_buf.h"
#include "redis.h"

/* Change rows that nobody published, and follow-up jobs of the outbox: how many; -1 = a connection was lost. */
int fn_relay_sweep(fn_db_t *db, fn_redis_t *r);

/* Tells every edge and every cache of the tags of a text array, {a,b}. 0 or -1 = a connection was lost. */
int fn_relay_tags(fn_redis_t *r, const char *array);

/*
 * Appends the envelope of a follow-up job, {"id","job","user_id","request"} and perhaps {"key","run_at_ms"}: nobody waits for its
 * reply. Its id is made from the key, or else from the outbox row's id, which is appended to ids ("1,2"). job is its row; run_at_ms
 * is unix time, 0 = at once. 0 or -1 = it is none.
 */
int fn_relay_envelope(fn_buf_t *b, fn_buf_t *ids, const fn_job_t **job, uint64_t *run_at_ms, const char *p, size_t n);

/*
 * One follow-up job of the outbox, as pool.follow_json() writes it, into its queue, or among the delayed jobs while it is too early.
 * 0 or -1 = not taken.
 */
int fn_relay_follow(fn_redis_t *r, const char *json);

/* The rows of ids ("1,2") are published. 0 or -1: they stay, and are published again. */
int fn_relay_forget(fn_db_t *db, const fn_buf_t *ids);

#endif
