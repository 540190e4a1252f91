/* The leader's work in the database: publishing what a crash left behind, and housekeeping. */
#ifndef FN_RELAY_H
#define FN_RELAY_H

#include "db.h"
#include "libfitnudge/fn_buf.h"
#include "redis.h"

/* Change rows that nobody published, and follow-up jobs of the outbox: how many; -1 = a connection was lost. */
int fn_relay_sweep(fn_db_t *db, fn_redis_t *r);

/*
 * Appends the envelope of a follow-up job, {"id","job","user_id","request"}: nobody waits for its reply, and its id is made from
 * the outbox row's, which is appended to ids ("1,2"). job is its row. 0 or -1 = it is none.
 */
int fn_relay_envelope(fn_buf_t *b, fn_buf_t *ids, const fn_job_t **job, const char *p, size_t n);

/* Partitions and retention. */
int fn_relay_maintain(fn_db_t *db);

#endif
