/*
 * Limits across instances: what was taken here is told to Redis every so often, and what all have taken is heard in return. No
 * request waits for it. While Redis is away the limits hold in each instance by itself.
 */
#ifndef NGX_FITNUDGE_LIMIT_SYNC_H
#define NGX_FITNUDGE_LIMIT_SYNC_H

#include <ngx_config.h>
#include <ngx_core.h>

typedef struct {
    const char         *name;       /* of the class */
    ngx_shm_zone_t     *zone;
} ngx_fitnudge_limit_sync_zone_t;

#define NGX_FITNUDGE_LIMIT_SYNC_ZONES  8

/* In a worker process: every `interval` ms one of the host's processes exchanges. `zones` is copied. */
void ngx_fitnudge_limit_sync_start(const ngx_fitnudge_limit_sync_zone_t *zones, ngx_uint_t n, ngx_msec_t interval,
    ngx_msec_t timeout);
void ngx_fitnudge_limit_sync_stop(void);

#endif
