/* The leader's work in the database: publishing what a crash left behind, and housekeeping. */
#ifndef FN_RELAY_H
#define FN_RELAY_H

#include "db.h"
#include "redis.h"

/* Change rows that nobody published, and follow-up jobs of the outbox: how many; -1 = a connection was lost. */
int fn_relay_sweep(fn_db_t *db, fn_redis_t *r);

/* Partitions and retention. */
int fn_relay_maintain(fn_db_t *db);

#endif
