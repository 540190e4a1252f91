/*
 * The stores of the response cache in shared memory: see the header.  The lock is the one of the zone's slab pool, as the master
 * releases that when a process dies with it.
 */
#include "ngx_fitnudge_cache_zone.h"


static ngx_int_t ngx_fitnudge_cache_init_zone(ngx_shm_zone_t *zone, void *data);
static ngx_shm_zone_t *ngx_fitnudge_cache_zone(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash);


extern ngx_module_t  ngx_http_fitnudge_cache_module;


ngx_int_t
ngx_fitnudge_cache_zones_add(ngx_conf_t *cf, ngx_fitnudge_cache_zones_t *zones, size_t size)
{
    u_char      *p;
    ngx_str_t    name;
    ngx_uint_t   i;

    for (i = 0; i < NGX_FITNUDGE_CACHE_SHARDS; i++) {

        p = ngx_pnalloc(cf->pool, sizeof("fitnudge_cache_") + NGX_INT_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name.data = p;
        name.len = (size_t) (ngx_sprintf(p, "fitnudge_cache_%ui", i) - p);

        zones->zone[i] = ngx_shared_memory_add(cf, &name, size / NGX_FITNUDGE_CACHE_SHARDS, &ngx_http_fitnudge_cache_module);
        if (zones->zone[i] == NULL) {
            return NGX_ERROR;
        }

        zones->zone[i]->init = ngx_fitnudge_cache_init_zone;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_fitnudge_cache_init_zone(ngx_shm_zone_t *zone, void *data)
{
    void              *mem;
    size_t             bytes;
    ngx_slab_pool_t   *pool;
    fn_cache_store_t  *store;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data != NULL || zone->shm.exists) {
        store = data != NULL ? data : pool->data;

        if (!fn_cache_store_valid(store)) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "zone \"%V\" has another layout than this module needs: restart nginx", &zone->shm.name);
            return NGX_ERROR;
        }

        zone->data = store;
        return NGX_OK;
    }

    /* all of its pages; nothing else is allocated from this zone, whose memory is zero and mostly untouched */
    bytes = pool->pfree * ngx_pagesize;

    mem = ngx_slab_alloc(pool, bytes);
    store = mem == NULL ? NULL : fn_cache_store_init(mem, bytes);

    if (store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "zone \"%V\" is too small", &zone->shm.name);
        return NGX_ERROR;
    }

    pool->data = store;
    zone->data = store;

    return NGX_OK;
}


static ngx_shm_zone_t *
ngx_fitnudge_cache_zone(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash)
{
    /* the low bits choose the bucket */
    return zones->zone[(hash >> 48) % NGX_FITNUDGE_CACHE_SHARDS];
}


fn_cache_store_t *
ngx_fitnudge_cache_lock(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash)
{
    ngx_shm_zone_t  *zone = ngx_fitnudge_cache_zone(zones, hash);

    ngx_shmtx_lock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);

    fn_cache_store_enter(zone->data);

    return zone->data;
}


void
ngx_fitnudge_cache_unlock(const ngx_fitnudge_cache_zones_t *zones, uint64_t hash)
{
    ngx_shm_zone_t  *zone = ngx_fitnudge_cache_zone(zones, hash);

    ngx_shmtx_unlock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);
}
