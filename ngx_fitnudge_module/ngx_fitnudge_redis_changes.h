/* The change channel of a worker process. Private to the redis module. */
#ifndef NGX_FITNUDGE_REDIS_CHANGES_H
#define NGX_FITNUDGE_REDIS_CHANGES_H

#include "ngx_fitnudge_redis_conn.h"

/* timeout: of an answer, ms */
void ngx_fitnudge_redis_changes_start(const ngx_fitnudge_redis_server_t *server, ngx_msec_t timeout);
void ngx_fitnudge_redis_changes_stop(void);

/* Loads the revoked sessions and the state of maintenance mode if that is due; for whenever the command connection is ready. */
void ngx_fitnudge_redis_changes_load(void);

/* Sets the gauges of this process. */
void ngx_fitnudge_redis_changes_gauges(void);

#endif
