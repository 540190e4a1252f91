/*
 * The shared memory of what is counted and measured.
 *
 * The layout is for BLOCKS processes: those beyond share their blocks, which costs nothing but cache lines, since all
 * additions are atomic.  So the number of worker processes may change at a reload and nothing is lost.  Memory
 * of numbers that no process ever had is never touched, and so never taken from the system.
 */
#include "ngx_fitnudge_metrics.h"
#include "fn_routes.h"


#define LAYOUT      1           /* of the structures; a zone of another layout is refused */
#define BLOCKS      64
#define PROCESSES   NGX_MAX_PROCESSES
#define STALE       5000        /* ms; a process writes its gauges every second */


/* What the processes of one number count; requests by route follow. */
typedef struct {
    uint64_t                      counters[NGX_FITNUDGE_M_N];
    fn_histogram_t                histograms[NGX_FITNUDGE_H_N];
    ngx_fitnudge_route_metrics_t  routes[];
} ngx_fitnudge_metrics_block_t;


typedef struct {
    ngx_uint_t                layout, ncounters, nhistograms, ngauges, nroutes;
    time_t                    created;
    time_t                    loaded;
    uint64_t                  loads;
    uint64_t                  numbers;      /* of worker processes, the highest there was + 1 */
    size_t                    block_size;
    u_char                   *blocks;
    ngx_fitnudge_process_t   *processes;
} ngx_fitnudge_metrics_t;


static size_t ngx_fitnudge_metrics_block_size(void);
static size_t ngx_fitnudge_metrics_processes_size(void);
static ngx_int_t ngx_fitnudge_metrics_init_zone(ngx_shm_zone_t *zone, void *data);
static void *ngx_fitnudge_metrics_pages(ngx_slab_pool_t *pool, size_t size);
static ngx_uint_t ngx_fitnudge_metrics_numbers(ngx_uint_t max);
static ngx_uint_t ngx_fitnudge_metrics_alive(const ngx_fitnudge_process_t *process);


#define COUNTER_ROW(id, name, labels, help)      { name, labels, help, NGX_FITNUDGE_SUM },
#define GAUGE_ROW(id, name, labels, how, help)   { name, labels, help, NGX_FITNUDGE_##how },

const ngx_fitnudge_metric_t  ngx_fitnudge_counter_rows[] = { NGX_FITNUDGE_COUNTERS(COUNTER_ROW) };
const ngx_fitnudge_metric_t  ngx_fitnudge_histogram_rows[] = { NGX_FITNUDGE_HISTOGRAMS(COUNTER_ROW) };
const ngx_fitnudge_metric_t  ngx_fitnudge_gauge_rows[] = { NGX_FITNUDGE_GAUGES(GAUGE_ROW) };


static uint64_t                 ngx_fitnudge_metrics_own[NGX_FITNUDGE_M_N];
static fn_histogram_t           ngx_fitnudge_metrics_own_histograms[NGX_FITNUDGE_H_N];
static ngx_fitnudge_process_t   ngx_fitnudge_metrics_own_process;

uint64_t                      *ngx_fitnudge_counters = ngx_fitnudge_metrics_own;
fn_histogram_t                *ngx_fitnudge_histograms = ngx_fitnudge_metrics_own_histograms;
ngx_fitnudge_route_metrics_t  *ngx_fitnudge_routes;

/* of this process, set when it starts */
static ngx_fitnudge_metrics_t  *ngx_fitnudge_metrics;
static ngx_fitnudge_process_t  *ngx_fitnudge_process = &ngx_fitnudge_metrics_own_process;


/* its address says whose zone it is: a new copy of the module gets a new zone */
static ngx_uint_t  ngx_fitnudge_metrics_tag;


ngx_shm_zone_t *
ngx_fitnudge_metrics_zone(ngx_conf_t *cf)
{
    size_t           pages;
    ngx_str_t        name = ngx_string("fitnudge_metrics");
    ngx_shm_zone_t  *zone;

    pages = (BLOCKS * ngx_fitnudge_metrics_block_size() + ngx_fitnudge_metrics_processes_size()) / ngx_pagesize;

    /* the slab allocator wants a little of its own, and something for each page */
    zone = ngx_shared_memory_add(cf, &name, (pages + 8) * (ngx_pagesize + sizeof(ngx_slab_page_t)) + 8 * ngx_pagesize,
                                 &ngx_fitnudge_metrics_tag);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_fitnudge_metrics_init_zone;

    return zone;
}


static size_t
ngx_fitnudge_metrics_block_size(void)
{
    return ngx_align(sizeof(ngx_fitnudge_metrics_block_t)
                     + NGX_FITNUDGE_ROUTES_N * sizeof(ngx_fitnudge_route_metrics_t), ngx_pagesize);
}


static size_t
ngx_fitnudge_metrics_processes_size(void)
{
    return ngx_align(PROCESSES * sizeof(ngx_fitnudge_process_t), ngx_pagesize);
}


static ngx_int_t
ngx_fitnudge_metrics_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t         *pool;
    ngx_fitnudge_metrics_t  *sh;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data != NULL || zone->shm.exists) {
        sh = data != NULL ? data : pool->data;

        if (sh->layout != LAYOUT || sh->ncounters != NGX_FITNUDGE_M_N || sh->nhistograms != NGX_FITNUDGE_H_N
            || sh->ngauges != NGX_FITNUDGE_G_N || sh->nroutes != fn_routes_n)
        {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "zone \"%V\" was made by another version of the module: restart nginx", &zone->shm.name);
            return NGX_ERROR;
        }

        zone->data = sh;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(pool, sizeof(ngx_fitnudge_metrics_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->layout = LAYOUT;
    sh->ncounters = NGX_FITNUDGE_M_N;
    sh->nhistograms = NGX_FITNUDGE_H_N;
    sh->ngauges = NGX_FITNUDGE_G_N;
    sh->nroutes = fn_routes_n;
    sh->created = ngx_time();
    sh->block_size = ngx_fitnudge_metrics_block_size();

    sh->blocks = ngx_fitnudge_metrics_pages(pool, BLOCKS * sh->block_size);
    sh->processes = ngx_fitnudge_metrics_pages(pool, ngx_fitnudge_metrics_processes_size());

    if (sh->blocks == NULL || sh->processes == NULL) {
        return NGX_ERROR;
    }

    pool->data = sh;
    zone->data = sh;

    return NGX_OK;
}


/* Zeroed memory: that of a new zone is, unless nginx was built to fill it with junk. */
static void *
ngx_fitnudge_metrics_pages(ngx_slab_pool_t *pool, size_t size)
{
#if (NGX_DEBUG_MALLOC)
    return ngx_slab_calloc(pool, size);
#else
    return ngx_slab_alloc(pool, size);
#endif
}


void
ngx_fitnudge_metrics_loaded(const ngx_shm_zone_t *zone)
{
    ngx_fitnudge_metrics_t  *sh = zone->data;

    sh->loads++;
    sh->loaded = ngx_time();
}


void
ngx_fitnudge_metrics_attach(const ngx_shm_zone_t *zone)
{
    uint64_t                       numbers;
    ngx_uint_t                     i;
    ngx_fitnudge_process_t        *process;
    ngx_fitnudge_metrics_block_t  *block;

    ngx_fitnudge_metrics = zone->data;

    numbers = __atomic_load_n(&ngx_fitnudge_metrics->numbers, __ATOMIC_SEQ_CST);

    while (numbers <= ngx_worker
           && !__atomic_compare_exchange_n(&ngx_fitnudge_metrics->numbers, &numbers, ngx_worker + 1, 0,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    {
        /* another process was faster: `numbers` is what it has stored */
    }

    block = (ngx_fitnudge_metrics_block_t *)
                (ngx_fitnudge_metrics->blocks + ngx_worker % BLOCKS * ngx_fitnudge_metrics->block_size);

    ngx_fitnudge_counters = block->counters;
    ngx_fitnudge_histograms = block->histograms;
    ngx_fitnudge_routes = block->routes;

    process = &ngx_fitnudge_metrics->processes[ngx_worker % PROCESSES];

    /* the one that had the number before stops writing when it sees that it is another's */
    __atomic_store_n(&process->pid, (uint64_t) ngx_pid, __ATOMIC_SEQ_CST);

    for (i = 0; i < NGX_FITNUDGE_G_N; i++) {
        __atomic_store_n(&process->gauges[i], 0, __ATOMIC_RELAXED);
    }

    process->started = (uint64_t) ngx_time();
    __atomic_store_n(&process->updated, (uint64_t) ngx_current_msec, __ATOMIC_RELEASE);

    ngx_fitnudge_process = process;
}


void
ngx_fitnudge_metrics_detach(void)
{
    if (ngx_fitnudge_metrics != NULL && ngx_fitnudge_process->pid == (uint64_t) ngx_pid) {
        __atomic_store_n(&ngx_fitnudge_process->updated, 0, __ATOMIC_RELEASE);
    }
}


void
ngx_fitnudge_gauge(ngx_fitnudge_gauge_e id, int64_t value)
{
    if (ngx_fitnudge_process->pid == (uint64_t) ngx_pid) {
        __atomic_store_n(&ngx_fitnudge_process->gauges[id], value, __ATOMIC_RELAXED);
    }
}


ngx_uint_t
ngx_fitnudge_gauges_set(void)
{
    if (ngx_fitnudge_process->pid != (uint64_t) ngx_pid) {
        return 0;
    }

    __atomic_store_n(&ngx_fitnudge_process->updated, (uint64_t) ngx_current_msec, __ATOMIC_RELEASE);

    return 1;
}


void
ngx_fitnudge_metrics_sum(ngx_fitnudge_metrics_sum_t *sum)
{
    int64_t                              value;
    ngx_uint_t                           i, n;
    const ngx_fitnudge_process_t        *process;
    const ngx_fitnudge_metrics_block_t  *block;

    ngx_memzero(sum, sizeof(ngx_fitnudge_metrics_sum_t));

    if (ngx_fitnudge_metrics == NULL) {
        return;
    }

    sum->created = ngx_fitnudge_metrics->created;
    sum->loaded = ngx_fitnudge_metrics->loaded;
    sum->loads = ngx_fitnudge_metrics->loads;

    for (n = 0; n < ngx_fitnudge_metrics_numbers(BLOCKS); n++) {
        block = (ngx_fitnudge_metrics_block_t *) (ngx_fitnudge_metrics->blocks + n * ngx_fitnudge_metrics->block_size);

        for (i = 0; i < NGX_FITNUDGE_M_N; i++) {
            sum->counters[i] += __atomic_load_n(&block->counters[i], __ATOMIC_RELAXED);
        }

        for (i = 0; i < NGX_FITNUDGE_H_N; i++) {
            fn_histogram_add(&sum->histograms[i], &block->histograms[i]);
        }
    }

    for (n = 0; (process = ngx_fitnudge_metrics_process(&n)) != NULL; n++) {
        sum->processes++;

        for (i = 0; i < NGX_FITNUDGE_G_N; i++) {
            value = __atomic_load_n(&process->gauges[i], __ATOMIC_RELAXED);

            if (ngx_fitnudge_gauge_rows[i].how == NGX_FITNUDGE_SUM) {
                sum->gauges[i] += value;

            } else {
                sum->gauges[i] = ngx_max(sum->gauges[i], value);
            }
        }
    }
}


void
ngx_fitnudge_metrics_route(ngx_uint_t route, ngx_fitnudge_route_metrics_t *sum)
{
    ngx_uint_t                           i, n;
    const ngx_fitnudge_metrics_block_t  *block;

    ngx_memzero(sum, sizeof(ngx_fitnudge_route_metrics_t));

    if (ngx_fitnudge_metrics == NULL) {
        return;
    }

    for (n = 0; n < ngx_fitnudge_metrics_numbers(BLOCKS); n++) {
        block = (ngx_fitnudge_metrics_block_t *) (ngx_fitnudge_metrics->blocks + n * ngx_fitnudge_metrics->block_size);

        for (i = 0; i < FN_STATUSES_N; i++) {
            sum->statuses[i] += __atomic_load_n(&block->routes[route].statuses[i], __ATOMIC_RELAXED);
        }

        fn_histogram_add(&sum->duration, &block->routes[route].duration);
    }
}


const ngx_fitnudge_process_t *
ngx_fitnudge_metrics_process(ngx_uint_t *number)
{
    if (ngx_fitnudge_metrics == NULL) {
        return NULL;
    }

    for ( /* void */ ; *number < ngx_fitnudge_metrics_numbers(PROCESSES); (*number)++) {
        if (ngx_fitnudge_metrics_alive(&ngx_fitnudge_metrics->processes[*number])) {
            return &ngx_fitnudge_metrics->processes[*number];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_fitnudge_metrics_numbers(ngx_uint_t max)
{
    return ngx_min(__atomic_load_n(&ngx_fitnudge_metrics->numbers, __ATOMIC_SEQ_CST), max);
}


/* The clock is the system's and does not go back; this process's view of it may be the older one. */
static ngx_uint_t
ngx_fitnudge_metrics_alive(const ngx_fitnudge_process_t *process)
{
    uint64_t  updated;

    updated = __atomic_load_n(&process->updated, __ATOMIC_ACQUIRE);

    return updated != 0 && updated + STALE > (uint64_t) ngx_current_msec;
}
