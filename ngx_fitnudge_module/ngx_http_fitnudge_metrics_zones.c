/*
 * What is known of the zones of shared memory: those of nginx's slab allocator by their free pages, and those that the cache and the
 * limits divide up themselves, each in one piece, by what their stores say.
 */
#include "ngx_http_fitnudge_metrics.h"
#include "fn_cache_store.h"
#include "fn_limit_store.h"


#define ROW(key, name, type, help)  { #key, name, type, help, offsetof(ngx_http_fitnudge_zone_t, key) }

const ngx_http_fitnudge_zone_row_t  ngx_http_fitnudge_zone_rows[] = {
    ROW(size, "fitnudge_zone_size_bytes", "gauge", "Size of a shared memory zone."),
    ROW(free, "fitnudge_zone_free_bytes", "gauge",
        "Whole free pages of a zone; those that FitNudge divides up by itself have few from the start."),
    ROW(failures, "fitnudge_zone_failures_total", "counter", "Allocations in a zone for which there was no room."),
    ROW(used, "fitnudge_zone_used_bytes", "gauge", "What the entries of a zone of the cache or the limits take up."),
    ROW(entries, "fitnudge_zone_entries", "gauge", "Entries of a zone: answers in the cache, keys of a limit, idle ones included."),
    ROW(resets, "fitnudge_zone_resets_total", "counter",
        "Times a zone of the cache was emptied, as a process had died in the middle of a change."),
    { NULL, NULL, NULL, NULL, 0 }
};


extern ngx_module_t  ngx_http_fitnudge_cache_module;
extern ngx_module_t  ngx_http_fitnudge_limit_module;


uint64_t
ngx_http_fitnudge_zone_number(const ngx_http_fitnudge_zone_t *zone, const ngx_http_fitnudge_zone_row_t *row)
{
    return *(const uint64_t *) ((const char *) zone + row->offset);
}


/* Numbers of the stores are read without their locks: each is whole, and they need not agree. */

static void
ngx_http_fitnudge_zone_look(ngx_http_fitnudge_zone_t *zone, const ngx_shm_zone_t *z)
{
    ngx_uint_t               i;
    ngx_slab_pool_t         *pool = (ngx_slab_pool_t *) z->shm.addr;
    const fn_cache_store_t  *cache;

    zone->name = &z->shm.name;
    zone->size = z->shm.size;
    zone->free = pool->pfree * ngx_pagesize;
    zone->failures = 0;

    for (i = 0; i < ngx_pagesize_shift - pool->min_shift; i++) {
        zone->failures += pool->stats[i].fails;
    }

    zone->used = NGX_HTTP_FITNUDGE_ZONE_NONE;
    zone->entries = NGX_HTTP_FITNUDGE_ZONE_NONE;
    zone->resets = NGX_HTTP_FITNUDGE_ZONE_NONE;

    if (z->tag == &ngx_http_fitnudge_cache_module) {
        cache = z->data;
        zone->used = fn_cache_store_used(cache);
        zone->entries = __atomic_load_n(&cache->entries, __ATOMIC_RELAXED);
        zone->resets = __atomic_load_n(&cache->resets, __ATOMIC_RELAXED);

    } else if (z->tag == &ngx_http_fitnudge_limit_module) {
        zone->entries = fn_limit_store_used(z->data, &zone->used);
    }
}


ngx_uint_t
ngx_http_fitnudge_metrics_next_zone(ngx_uint_t *n, ngx_http_fitnudge_zone_t *zone)
{
    ngx_uint_t        i, at;
    ngx_shm_zone_t   *z;
    ngx_list_part_t  *part;

    at = 0;

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part; part != NULL; part = part->next) {
        z = part->elts;

        for (i = 0; i < part->nelts; i++, at++) {
            if (at >= *n && z[i].shm.addr != NULL) {
                *n = at + 1;
                ngx_http_fitnudge_zone_look(zone, &z[i]);
                return 1;
            }
        }
    }

    return 0;
}
