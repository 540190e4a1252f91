/* What /metrics and /health of the pool say, worked out from the scoreboard alone. */
#ifndef FN_POOL_METRICS_H
#define FN_POOL_METRICS_H

#include "libfitnudge/fn_buf.h"
#include "pool.h"

/* Prometheus' text format 0.0.4, appended. */
void fn_metrics_render(fn_buf_t *b, fn_scoreboard_t *board);

/* A JSON object, appended. 1 = the instance is well. */
int fn_health_render(fn_buf_t *b, const fn_scoreboard_t *board);

#endif
