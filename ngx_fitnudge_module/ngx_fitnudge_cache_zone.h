/* The stores of the response cache in shared memory: one zone, and one lock, a shard. */
#ifndef NGX_FITNUDGE_CACHE_ZONE_H
#define NGX_FITNUDGE_CACHE_ZONE_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "fn_cache_store.h"

#define NGX_FITNUDGE_CACHE_SHARDS   4
#define NGX_FITNUDGE_CACHE_ZONE_MIN (512 * 1024)

typedef struct {
    ngx_shm_zone_t  *zone[NGX_FITNUDGE_CACHE_SHARDS];
} ngx_fitnudge_cache_zones_t;

/* Configuration time: `size` is that of all shards. NGX_ERROR: it was logged. */
ngx_int_t ngx_fitnudge_cache_zones_add(ngx_conf_t *cf, ngx_fitnudge_cache_zones_t *zones, size_t size);

/* The locked store of a hash. */
fn_cache_store_t *ngx_fitnudge_cache_lock(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash);
void ngx_fitnudge_cache_unlock(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash);

#endif
