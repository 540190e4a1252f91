/*
 * The stores of the limits (fn_limit_store.h) in shared memory: a zone for each class, so that a flood of one class takes
 * neither the memory nor the lock of another.  Zones outlive a reload.
 */
#ifndef NGX_FITNUDGE_LIMIT_ZONE_H
#define NGX_FITNUDGE_LIMIT_ZONE_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "fn_limit_store.h"

#define NGX_FITNUDGE_LIMIT_ZONE_MIN   (64 * 1024)
#define NGX_FITNUDGE_LIMIT_ZONE_MAX   (1024 * 1024 * 1024)

/* One limit that a request is subject to. */
typedef struct {
    ngx_shm_zone_t     *zone;
    fn_limit_key_t      key;
    fn_rate_t           rate;
    fn_limit_ref_t      ref;
    fn_limit_answer_t   answer;
} ngx_fitnudge_limit_take_t;

/* Configuration time. `name` is that of the class. NULL: an error was logged. */
ngx_shm_zone_t *ngx_fitnudge_limit_zone_add(ngx_conf_t *cf, const char *name, ngx_uint_t strict, size_t size);

fn_limit_store_t *ngx_fitnudge_limit_store(ngx_shm_zone_t *zone);
void ngx_fitnudge_limit_lock(ngx_shm_zone_t *zone);
void ngx_fitnudge_limit_unlock(ngx_shm_zone_t *zone);

/* The clock of the stores, ns: monotonic, the same for all processes of a host. */
uint64_t ngx_fitnudge_limit_now(void);

/*
 * Takes a request from all limits, or, when one refuses, from none; in one step that no other process comes between. The zones
 * must always be in the same order. Fills the answers. Returns 1 when it was admitted; `evicted` counts entries that were
 * given up too early.
 */
ngx_uint_t ngx_fitnudge_limit_take(ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, uint64_t *evicted);

#endif
