/* What waits in the queues: looked at by the manager, kept in the scoreboard for the master, /metrics and /health. */
#ifndef FN_LOOK_H
#define FN_LOOK_H

#include "pool.h"
#include "redis.h"

/* One trip. 0, or -1 when the connection was lost. */
int fn_look(fn_redis_t *r, fn_scoreboard_t *board);

#endif
