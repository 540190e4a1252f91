/* Stores of limits in shared memory: see the header. */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_limit_zone.h"


#define ZONE_NAME  "fitnudge_limit_"


static ngx_int_t ngx_fitnudge_limit_init_zone(ngx_shm_zone_t *zone, void *data);
static fn_store_kind_e ngx_fitnudge_limit_kind(const ngx_shm_zone_t *zone);


extern ngx_module_t  ngx_http_fitnudge_limit_module;


/* A class that becomes strict, or ceases to be, gets another zone: what was counted in one way is of no use to the other. */

ngx_shm_zone_t *
ngx_fitnudge_limit_zone_add(ngx_conf_t *cf, const char *name, ngx_uint_t strict, size_t size)
{
    u_char          *p;
    size_t           len;
    ngx_str_t        zone_name;
    ngx_shm_zone_t  *zone;

    len = sizeof(ZONE_NAME) - 1 + ngx_strlen(name) + sizeof("_strict");

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NULL;
    }

    zone_name.data = p;
    zone_name.len = (size_t) (ngx_snprintf(p, len, ZONE_NAME "%s%s", name, strict ? "_strict" : "") - p);

    zone = ngx_shared_memory_add(cf, &zone_name, size, &ngx_http_fitnudge_limit_module);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_fitnudge_limit_init_zone;

    return zone;
}


static fn_store_kind_e
ngx_fitnudge_limit_kind(const ngx_shm_zone_t *zone)
{
    static const char  strict[] = "_strict";
    const ngx_str_t   *name = &zone->shm.name;

    return name->len > sizeof(strict) - 1
           && ngx_memcmp(name->data + name->len - (sizeof(strict) - 1), strict, sizeof(strict) - 1) == 0
           ? FN_STORE_WINDOW : FN_STORE_GCRA;
}


static ngx_int_t
ngx_fitnudge_limit_init_zone(ngx_shm_zone_t *zone, void *data)
{
    void              *mem;
    size_t             bytes;
    fn_store_kind_e    kind;
    ngx_slab_pool_t   *pool;
    fn_limit_store_t  *store;

    pool = (ngx_slab_pool_t *) zone->shm.addr;
    kind = ngx_fitnudge_limit_kind(zone);

    if (data != NULL || zone->shm.exists) {
        store = data != NULL ? data : pool->data;

        if (!fn_limit_store_valid(store, kind)) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "zone \"%V\" has another layout than this module needs: restart nginx", &zone->shm.name);
            return NGX_ERROR;
        }

        zone->data = store;
        return NGX_OK;
    }

    /* all of its pages; nothing else is allocated from this zone */
    bytes = pool->pfree * ngx_pagesize;

    mem = ngx_slab_alloc(pool, bytes);
    if (mem == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(mem, bytes);
#else
    /* fresh memory of the kernel is zero, and what is never written costs nothing */
#endif

    store = fn_limit_store_init(mem, bytes, kind);
    if (store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "zone \"%V\" is too small", &zone->shm.name);
        return NGX_ERROR;
    }

    pool->data = store;
    zone->data = store;

    return NGX_OK;
}


fn_limit_store_t *
ngx_fitnudge_limit_store(ngx_shm_zone_t *zone)
{
    return zone->data;
}


void
ngx_fitnudge_limit_lock(ngx_shm_zone_t *zone)
{
    ngx_shmtx_lock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);
}


void
ngx_fitnudge_limit_unlock(ngx_shm_zone_t *zone)
{
    ngx_shmtx_unlock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);
}


uint64_t
ngx_fitnudge_limit_now(void)
{
    return (uint64_t) ngx_current_msec * FN_NS_PER_MS;
}


ngx_uint_t
ngx_fitnudge_limit_take(ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, uint64_t *evicted)
{
    uint64_t           now;
    ngx_uint_t         i, admitted;
    fn_limit_store_t  *store;

    *evicted = 0;
    now = ngx_fitnudge_limit_now();
    admitted = 1;

    for (i = 0; i < n; i++) {
        fn_limit_store_prefetch(takes[i].zone->data, takes[i].key);
    }

    for (i = 0; i < n; i++) {
        ngx_fitnudge_limit_lock(takes[i].zone);
    }

    for (i = 0; i < n; i++) {
        store = takes[i].zone->data;
        *evicted -= store->evicted;

        fn_limit_store_check(store, takes[i].key, &takes[i].rate, now, &takes[i].ref, &takes[i].answer);

        *evicted += store->evicted;
        admitted &= takes[i].answer.admitted;
    }

    for (i = 0; i < n && admitted; i++) {
        fn_limit_store_take(takes[i].zone->data, &takes[i].ref, &takes[i].rate, now);
    }

    for (i = n; i > 0; i--) {
        ngx_fitnudge_limit_unlock(takes[i - 1].zone);
    }

    return admitted;
}
