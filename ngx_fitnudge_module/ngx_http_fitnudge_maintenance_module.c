/*
 * Maintenance mode: every request but those for health is refused with 503 and what the operator has to say.
 *
 * `fitnudgectl maintenance` writes the state to one key of Redis and tells the change channel; every process then reads
 * the key by itself and puts what it finds into a small shared zone, from which requests are answered.  The zone keeps the
 * last state that was heard of while Redis is away, over reloads and for processes that have just started.
 *
 * The zone has two slots.  A writer, under the zone's mutex, fills the one that is not in use and then switches over with
 * one atomic store, so that a process that dies while it writes leaves the state as it was; readers take no lock, and read
 * again when there was a switch meanwhile.
 */
#include "ngx_http_fitnudge_maintenance.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_keys.h"


#define LAYOUT        1
#define ZONE_PAGES    8         /* the least nginx takes */
#define RETRY_AFTER   60        /* s; when nobody knows how long it takes */

#define MODE_OFF      0
#define MODE_ON       1
#define MODE_AUTO     2


typedef struct {
    ngx_uint_t               layout;
    uint64_t                 turn;          /* the slot in use is turn & 1 */
    fn_maintenance_t         slot[2];       /* since_s 0: no maintenance */
} ngx_http_fitnudge_maintenance_shm_t;


typedef struct {
    ngx_shm_zone_t          *zone;          /* NULL: fitnudge is nowhere on */
} ngx_http_fitnudge_maintenance_main_conf_t;


typedef struct {
    ngx_uint_t               mode;
    ngx_array_t             *bypass;        /* of ngx_http_complex_value_t, or NULL */
} ngx_http_fitnudge_maintenance_loc_conf_t;


static ngx_int_t ngx_http_fitnudge_maintenance_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_fitnudge_maintenance_exempt(ngx_http_request_t *r);
static ngx_uint_t ngx_fitnudge_maintenance_read(fn_maintenance_t *m);
static void ngx_fitnudge_maintenance_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data);
static void ngx_fitnudge_maintenance_write(const fn_maintenance_t *m);

static ngx_int_t ngx_fitnudge_maintenance_init_zone(ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_fitnudge_maintenance_init_process(ngx_cycle_t *cycle);
static void *ngx_http_fitnudge_maintenance_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_fitnudge_maintenance_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_maintenance_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_fitnudge_maintenance_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_fitnudge_maintenance_modes[] = {
    { ngx_string("off"), MODE_OFF },
    { ngx_string("on"), MODE_ON },
    { ngx_string("auto"), MODE_AUTO },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_fitnudge_maintenance_commands[] = {

    { ngx_string("fitnudge_maintenance"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_maintenance_loc_conf_t, mode),
      &ngx_http_fitnudge_maintenance_modes },

    { ngx_string("fitnudge_maintenance_bypass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_set_predicate_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_maintenance_loc_conf_t, bypass),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_fitnudge_maintenance_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_fitnudge_maintenance_init,    /* postconfiguration */

    ngx_http_fitnudge_maintenance_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_fitnudge_maintenance_create_loc_conf, /* create location configuration */
    ngx_http_fitnudge_maintenance_merge_loc_conf /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_maintenance_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_maintenance_module_ctx, /* module context */
    ngx_http_fitnudge_maintenance_commands, /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_fitnudge_maintenance_init_process, /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* of this process */
static struct {
    ngx_http_fitnudge_maintenance_shm_t  *shm;
    ngx_slab_pool_t                      *pool;
    unsigned                              stale:1;      /* the key has to be read */
    unsigned                              loading:1;
} ngx_fitnudge_maintenance;


/* PREACCESS, before everybody else: neither tokens nor limits matter to who is refused anyway. */

static ngx_int_t
ngx_http_fitnudge_maintenance_handler(ngx_http_request_t *r)
{
    u_char                                          *p;
    ngx_int_t                                        rc;
    ngx_str_t                                        retry, message;
    fn_maintenance_t                                 m;
    const ngx_http_fitnudge_loc_conf_t              *flcf;
    const ngx_http_fitnudge_maintenance_loc_conf_t  *mlcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main || !ngx_http_fitnudge_maintenance(r, &m) || ngx_http_fitnudge_maintenance_exempt(r)) {
        return NGX_DECLINED;
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_maintenance_module);

    switch (ngx_http_test_predicates(r, mlcf->bypass)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return NGX_DECLINED;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_fitnudge_count(NGX_FITNUDGE_M_MAINTENANCE, 1);

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + m.len + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    retry.data = p;
    retry.len = (size_t) (ngx_sprintf(p, "%T", m.until_s ? (time_t) (m.until_s - ngx_time()) : (time_t) RETRY_AFTER) - p);

    message.data = p + retry.len;
    *ngx_cpymem(message.data, m.message, m.len) = '\0';

    if (ngx_http_fitnudge_header(r, "Retry-After", retry.data, retry.len) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, "maintenance", (char *) message.data);

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/*
 * Health is asked because of maintenance; and a preflight that fails would keep the notice from the page that is to show it.
 */
static ngx_uint_t
ngx_http_fitnudge_maintenance_exempt(ngx_http_request_t *r)
{
    const char              *function;
    const fn_route_match_t  *m;

    if (r->method == NGX_HTTP_OPTIONS) {
        return 1;
    }

    m = ngx_http_fitnudge_route_of(r);

    if (m == NULL || m->route == NULL || m->route->kind != FN_LOCAL) {
        return 0;
    }

    function = m->route->function;

    return ngx_strcmp(function, "health") == 0 || ngx_strcmp(function, "live") == 0 || ngx_strcmp(function, "ready") == 0;
}


ngx_uint_t
ngx_http_fitnudge_maintenance(ngx_http_request_t *r, fn_maintenance_t *m)
{
    const ngx_http_fitnudge_maintenance_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_maintenance_module);

    switch (mlcf->mode) {

    case MODE_AUTO:
        return ngx_fitnudge_maintenance_read(m);

    case MODE_ON:
        m->since_s = 0;
        m->until_s = 0;
        m->len = sizeof(FN_MAINTENANCE_MESSAGE) - 1;
        ngx_memcpy(m->message, FN_MAINTENANCE_MESSAGE, sizeof(FN_MAINTENANCE_MESSAGE));
        return 1;

    default:
        return 0;
    }
}


/* 1: on, and not over yet. */

static ngx_uint_t
ngx_fitnudge_maintenance_read(fn_maintenance_t *m)
{
    uint64_t                              turn;
    ngx_uint_t                            tries;
    const fn_maintenance_t               *slot;
    ngx_http_fitnudge_maintenance_shm_t  *sh = ngx_fitnudge_maintenance.shm;

    if (sh == NULL) {
        return 0;
    }

    for (tries = 0; tries < 4; tries++) {
        turn = __atomic_load_n(&sh->turn, __ATOMIC_ACQUIRE);
        slot = &sh->slot[turn & 1];

        m->since_s = __atomic_load_n(&slot->since_s, __ATOMIC_RELAXED);

        if (m->since_s == 0) {
            return 0;
        }

        m->until_s = slot->until_s;
        m->len = ngx_min(slot->len, (size_t) FN_MAINTENANCE_BYTES);
        ngx_memcpy(m->message, slot->message, m->len);
        m->message[m->len] = '\0';

        __atomic_thread_fence(__ATOMIC_ACQUIRE);

        if (turn == __atomic_load_n(&sh->turn, __ATOMIC_RELAXED)) {
            break;
        }
    }

    return m->until_s == 0 || ngx_time() < m->until_s;
}


void
ngx_fitnudge_maintenance_changed(void)
{
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    ngx_fitnudge_maintenance.stale = 1;

    fmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_http_fitnudge_base_module);

    ngx_fitnudge_maintenance_load(fmcf->redis_timeout);
}


void
ngx_fitnudge_maintenance_load(ngx_msec_t timeout)
{
    size_t              lens[2];
    const char         *argv[2];
    ngx_fitnudge_op_t  *op;

    if (!ngx_fitnudge_maintenance.stale || ngx_fitnudge_maintenance.loading) {
        return;
    }

    op = ngx_fitnudge_op_create(NULL, timeout, ngx_fitnudge_maintenance_loaded, NULL);
    if (op == NULL) {
        return;
    }

    op->timeout.cancelable = 1;

    argv[0] = "GET";
    argv[1] = FN_K_MAINTENANCE;
    lens[0] = ngx_strlen(argv[0]);
    lens[1] = ngx_strlen(argv[1]);

    /* an answer that finds the flag set again was overtaken by another change */
    ngx_fitnudge_maintenance.stale = 0;

    if (ngx_fitnudge_redis_command(op, 2, argv, lens) == NGX_OK) {
        ngx_fitnudge_maintenance.loading = 1;

    } else {
        ngx_fitnudge_maintenance.stale = 1;
    }
}


static void
ngx_fitnudge_maintenance_loaded(ngx_fitnudge_op_t *op, ngx_int_t rc, void *data)
{
    redisReply        *reply = data;
    fn_maintenance_t   m;

    (void) op;

    ngx_fitnudge_maintenance.loading = 0;

    if (rc != NGX_OK || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_NIL)) {
        /* tried again by the next tick, or when the connection is back */
        ngx_fitnudge_maintenance.stale = 1;

        if (rc == NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: \"%s\" cannot be read: %*s", FN_K_MAINTENANCE,
                          reply->type == REDIS_REPLY_ERROR ? (size_t) reply->len : sizeof("unexpected type") - 1,
                          reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected type");
        }

        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {
        m.since_s = 0;
        m.until_s = 0;
        m.len = 0;
        ngx_fitnudge_maintenance_write(&m);

    } else if (fn_maintenance_parse(&m, reply->str, (size_t) reply->len) == 0) {
        ngx_fitnudge_maintenance_write(&m);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: malformed \"%s\" ignored", FN_K_MAINTENANCE);
    }

    if (ngx_fitnudge_maintenance.stale) {
        ngx_fitnudge_maintenance_changed();
    }
}


/* Every process comes here with the same news: the first one writes. */

static void
ngx_fitnudge_maintenance_write(const fn_maintenance_t *m)
{
    ngx_uint_t                            changed;
    fn_maintenance_t                     *slot;
    ngx_http_fitnudge_maintenance_shm_t  *sh = ngx_fitnudge_maintenance.shm;

    if (sh == NULL) {
        return;
    }

    ngx_shmtx_lock(&ngx_fitnudge_maintenance.pool->mutex);

    slot = &sh->slot[sh->turn & 1];

    changed = slot->since_s != m->since_s || slot->until_s != m->until_s || slot->len != m->len
              || ngx_memcmp(slot->message, m->message, m->len) != 0;

    if (changed) {
        slot = &sh->slot[(sh->turn + 1) & 1];

        __atomic_store_n(&slot->since_s, m->since_s, __ATOMIC_RELAXED);
        slot->until_s = m->until_s;
        slot->len = m->len;
        ngx_memcpy(slot->message, m->message, m->len);

        __atomic_store_n(&sh->turn, sh->turn + 1, __ATOMIC_RELEASE);
    }

    ngx_shmtx_unlock(&ngx_fitnudge_maintenance.pool->mutex);

    if (changed) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "fitnudge: maintenance mode is %s", m->since_s ? "on" : "off");
    }
}


static ngx_int_t
ngx_fitnudge_maintenance_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t                      *pool;
    ngx_http_fitnudge_maintenance_shm_t  *sh;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data != NULL || zone->shm.exists) {
        sh = data != NULL ? data : pool->data;

        if (sh->layout != LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "zone \"%V\" has layout %ui, this module needs %ui: restart nginx",
                          &zone->shm.name, sh->layout, (ngx_uint_t) LAYOUT);
            return NGX_ERROR;
        }

        zone->data = sh;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(pool, sizeof(ngx_http_fitnudge_maintenance_shm_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->layout = LAYOUT;

    pool->data = sh;
    zone->data = sh;

    return NGX_OK;
}


static ngx_int_t
ngx_fitnudge_maintenance_init_process(ngx_cycle_t *cycle)
{
    const ngx_http_fitnudge_maintenance_main_conf_t  *mmcf;

    ngx_fitnudge_maintenance.shm = NULL;
    ngx_fitnudge_maintenance.stale = 1;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_maintenance_module);

    if (mmcf != NULL && mmcf->zone != NULL) {
        ngx_fitnudge_maintenance.shm = mmcf->zone->data;
        ngx_fitnudge_maintenance.pool = (ngx_slab_pool_t *) mmcf->zone->shm.addr;
    }

    return NGX_OK;
}


static void *
ngx_http_fitnudge_maintenance_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_maintenance_main_conf_t));
}


static void *
ngx_http_fitnudge_maintenance_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_maintenance_loc_conf_t  *mlcf;

    mlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_maintenance_loc_conf_t));
    if (mlcf == NULL) {
        return NULL;
    }

    mlcf->mode = NGX_CONF_UNSET_UINT;
    mlcf->bypass = NGX_CONF_UNSET_PTR;

    return mlcf;
}


static char *
ngx_http_fitnudge_maintenance_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_fitnudge_maintenance_loc_conf_t *prev = parent;
    ngx_http_fitnudge_maintenance_loc_conf_t *conf = child;

    (void) cf;

    ngx_conf_merge_uint_value(conf->mode, prev->mode, MODE_AUTO);
    ngx_conf_merge_ptr_value(conf->bypass, prev->bypass, NULL);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_fitnudge_maintenance_init(ngx_conf_t *cf)
{
    ngx_str_t                                   name = ngx_string("fitnudge_maintenance");
    ngx_http_handler_pt                        *h;
    ngx_http_core_main_conf_t                  *cmcf;
    const ngx_http_fitnudge_main_conf_t        *fmcf;
    ngx_http_fitnudge_maintenance_main_conf_t  *mmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_maintenance_module);

    mmcf->zone = ngx_shared_memory_add(cf, &name, ZONE_PAGES * ngx_pagesize, &ngx_http_fitnudge_maintenance_module);
    if (mmcf->zone == NULL) {
        return NGX_ERROR;
    }

    mmcf->zone->init = ngx_fitnudge_maintenance_init_zone;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_maintenance_handler;

    return NGX_OK;
}
