/*
 * Requests are counted and measured here, gauges are taken every second, and all of it is shown: to Prometheus by
 * `fitnudge_metrics`, to people by `fitnudge_status`.
 *
 * A request is measured from the moment its header was read until it is logged; two readings of the clock and
 * three atomic additions are what that costs.
 */
#include "ngx_http_fitnudge_metrics.h"
#include "ngx_fitnudge_pg.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_fitnudge_shm.h"


#define INTERVAL  1000          /* ms between two looks at the gauges */


typedef struct {
    ngx_flag_t        shown;    /* some location shows them */
    ngx_shm_zone_t   *zone;
} ngx_http_fitnudge_metrics_main_conf_t;


static ngx_int_t ngx_http_fitnudge_metrics_start(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_metrics_log(ngx_http_request_t *r);
static ngx_uint_t ngx_http_fitnudge_metrics_route(ngx_http_request_t *r, const ngx_http_fitnudge_ctx_t *ctx);
static uint64_t ngx_http_fitnudge_metrics_elapsed(ngx_http_request_t *r, const ngx_http_fitnudge_ctx_t *ctx);
static ngx_int_t ngx_http_fitnudge_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_metrics_send(ngx_http_request_t *r, void (*write)(fn_buf_t *b),
    const ngx_str_t *type);
static void ngx_http_fitnudge_metrics_free(void *data);
static void ngx_http_fitnudge_metrics_gauges(void);
static void ngx_http_fitnudge_metrics_timer(ngx_event_t *ev);
static ngx_int_t ngx_http_fitnudge_metrics_duration(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static char *ngx_http_fitnudge_metrics_show(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void *ngx_http_fitnudge_metrics_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_metrics_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_metrics_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_metrics_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_fitnudge_metrics_init_process(ngx_cycle_t *cycle);
static void ngx_http_fitnudge_metrics_exit_process(ngx_cycle_t *cycle);


extern ngx_module_t  ngx_http_fitnudge_metrics_module;


/* of this process */
static struct {
    ngx_event_t       timer;
    ngx_connection_t  dummy;    /* nginx's debug log wants a descriptor for each timer */
    uint64_t          due;      /* ns */
    uint64_t          lag;      /* ns */
} ngx_http_fitnudge_metrics;


static ngx_command_t  ngx_http_fitnudge_metrics_commands[] = {

    { ngx_string("fitnudge_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_fitnudge_metrics_show,
      0,
      0,
      ngx_http_fitnudge_metrics_handler },

    { ngx_string("fitnudge_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_fitnudge_metrics_show,
      0,
      0,
      ngx_http_fitnudge_status_handler },

      ngx_null_command
};


static const ngx_http_variable_t  ngx_http_fitnudge_metrics_vars[] = {

    { ngx_string("fitnudge_duration"), NULL, ngx_http_fitnudge_metrics_duration, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_http_module_t  ngx_http_fitnudge_metrics_module_ctx = {
    ngx_http_fitnudge_metrics_add_variables, /* preconfiguration */
    ngx_http_fitnudge_metrics_init,        /* postconfiguration */

    ngx_http_fitnudge_metrics_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_metrics_module_ctx, /* module context */
    ngx_http_fitnudge_metrics_commands,    /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_fitnudge_metrics_init_module, /* init module */
    ngx_http_fitnudge_metrics_init_process, /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_fitnudge_metrics_exit_process, /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* POST_READ, once a request. */

static ngx_int_t
ngx_http_fitnudge_metrics_start(ngx_http_request_t *r)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);

    if (ctx != NULL && ctx->start_ns == 0) {
        ctx->start_ns = ngx_fitnudge_now_ns();
    }

    return NGX_DECLINED;
}


/* LOG. */

static ngx_int_t
ngx_http_fitnudge_metrics_log(ngx_http_request_t *r)
{
    ngx_uint_t                      status;
    const ngx_http_fitnudge_ctx_t  *ctx;
    ngx_fitnudge_route_metrics_t   *row;

    if (r != r->main || ngx_fitnudge_routes == NULL) {
        return NGX_OK;
    }

    ctx = ngx_http_fitnudge_ctx_find(r);
    row = &ngx_fitnudge_routes[ngx_http_fitnudge_metrics_route(r, ctx)];

    /* as nginx's own log has it */
    status = r->err_status ? r->err_status : r->headers_out.status;

    (void) __atomic_fetch_add(&row->statuses[fn_status_place(status)], 1, __ATOMIC_RELAXED);

    fn_histogram_observe(&row->duration, ngx_http_fitnudge_metrics_elapsed(r, ctx));

    return NGX_OK;
}


/*
 * What it was at first counts, wherever error_page has led since.  A request that was refused before anybody asked for
 * its route (413, a redirect, `return`) is looked up now.
 */
static ngx_uint_t
ngx_http_fitnudge_metrics_route(ngx_http_request_t *r, const ngx_http_fitnudge_ctx_t *ctx)
{
    const fn_route_match_t              *m;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    if (ctx != NULL && ctx->matched) {
        return ctx->match.route != NULL ? (ngx_uint_t) (ctx->match.route - fn_routes) : NGX_FITNUDGE_ROUTE_UNMATCHED;
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable) {
        return NGX_FITNUDGE_ROUTE_OTHER;
    }

    if (ctx == NULL) {
        return NGX_FITNUDGE_ROUTE_UNMATCHED;
    }

    m = ngx_http_fitnudge_route_of(r);

    return (m != NULL && m->route != NULL) ? (ngx_uint_t) (m->route - fn_routes) : NGX_FITNUDGE_ROUTE_UNMATCHED;
}


/* ns.  A request whose header was never whole has nginx's own time, in ms. */
static uint64_t
ngx_http_fitnudge_metrics_elapsed(ngx_http_request_t *r, const ngx_http_fitnudge_ctx_t *ctx)
{
    int64_t      ms;
    ngx_time_t  *now;

    if (ctx != NULL && ctx->start_ns != 0) {
        return ngx_fitnudge_now_ns() - ctx->start_ns;
    }

    now = ngx_timeofday();
    ms = (int64_t) (now->sec - r->start_sec) * 1000 + ((int64_t) now->msec - (int64_t) r->start_msec);

    return ms > 0 ? (uint64_t) ms * 1000000 : 0;
}


static ngx_int_t
ngx_http_fitnudge_metrics_handler(ngx_http_request_t *r)
{
    static const ngx_str_t  type = ngx_string("text/plain; version=0.0.4; charset=utf-8");

    return ngx_http_fitnudge_metrics_send(r, ngx_http_fitnudge_metrics_text, &type);
}


static ngx_int_t
ngx_http_fitnudge_status_handler(ngx_http_request_t *r)
{
    return ngx_http_fitnudge_metrics_send(r, ngx_http_fitnudge_metrics_json, NULL);
}


static ngx_int_t
ngx_http_fitnudge_metrics_send(ngx_http_request_t *r, void (*write)(fn_buf_t *b), const ngx_str_t *type)
{
    fn_buf_t            *b;
    ngx_int_t            rc;
    ngx_str_t            body;
    ngx_pool_cleanup_t  *cln;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(fn_buf_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = cln->data;
    ngx_memzero(b, sizeof(fn_buf_t));
    cln->handler = ngx_http_fitnudge_metrics_free;

    /* the other processes' are a second old at most */
    ngx_http_fitnudge_metrics_gauges();

    write(b);

    if (b->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = (u_char *) b->data;
    body.len = b->len;

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, type, &body, NULL, NULL);
}


static void
ngx_http_fitnudge_metrics_free(void *data)
{
    fn_buf_free(data);
}


/* gauges */

static void
ngx_http_fitnudge_metrics_gauges(void)
{
    ngx_fitnudge_pg_gauges();
    ngx_fitnudge_redis_gauges();

    ngx_fitnudge_gauge(NGX_FITNUDGE_G_CONNECTIONS_FREE, (int64_t) ngx_cycle->free_connection_n);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_LOOP_LAG, (int64_t) (ngx_http_fitnudge_metrics.lag / 1000000));
}


static void
ngx_http_fitnudge_metrics_timer(ngx_event_t *ev)
{
    uint64_t  now;

    now = ngx_fitnudge_now_ns();

    ngx_http_fitnudge_metrics.lag = now > ngx_http_fitnudge_metrics.due ? now - ngx_http_fitnudge_metrics.due : 0;
    ngx_http_fitnudge_metrics.due = now + (uint64_t) INTERVAL * 1000000;

    ngx_fitnudge_shm_gauges();
    ngx_http_fitnudge_metrics_gauges();

    if (ngx_fitnudge_gauges_set()) {
        ngx_add_timer(ev, INTERVAL);
    }
}


/* $fitnudge_duration: seconds since the header was read. */

static ngx_int_t
ngx_http_fitnudge_metrics_duration(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char    *p;
    uint64_t   us;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000000") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    us = ngx_http_fitnudge_metrics_elapsed(r, ngx_http_fitnudge_ctx_find(r)) / 1000;

    v->data = p;
    v->len = ngx_sprintf(p, "%uL.%06uL", us / 1000000, us % 1000000) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* configuration and processes */

/* As stub_status does: what the location answers.  It is no part of the API, whatever the server around it is. */

static char *
ngx_http_fitnudge_metrics_show(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t               *clcf;
    ngx_http_fitnudge_loc_conf_t           *flcf;
    ngx_http_fitnudge_metrics_main_conf_t  *mmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler != NULL) {
        return clcf->handler == (ngx_http_handler_pt) cmd->post ? "is duplicate"
                                                                 : "conflicts with what else the location answers";
    }

    clcf->handler = (ngx_http_handler_pt) cmd->post;

    flcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_fitnudge_base_module);

    if (flcf->enable == NGX_CONF_UNSET) {
        flcf->enable = 0;
    }

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_metrics_module);
    mmcf->shown = 1;

    return NGX_CONF_OK;
}


static void *
ngx_http_fitnudge_metrics_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_metrics_main_conf_t));
}


static ngx_int_t
ngx_http_fitnudge_metrics_add_variables(ngx_conf_t *cf)
{
    ngx_str_t                   name;
    ngx_http_variable_t        *var;
    const ngx_http_variable_t  *v;

    for (v = ngx_http_fitnudge_metrics_vars; v->name.len; v++) {
        name = v->name;

        var = ngx_http_add_variable(cf, &name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_metrics_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                    *h;
    ngx_http_core_main_conf_t              *cmcf;
    ngx_http_fitnudge_main_conf_t          *fmcf;
    ngx_http_fitnudge_metrics_main_conf_t  *mmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);
    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_metrics_module);

    if (!fmcf->enabled && !mmcf->shown) {
        return NGX_OK;
    }

    mmcf->zone = ngx_fitnudge_metrics_zone(cf);
    if (mmcf->zone == NULL) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_metrics_start;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_metrics_log;

    return NGX_OK;
}


/* In the master, with a configuration that has been taken over. */

static ngx_int_t
ngx_http_fitnudge_metrics_init_module(ngx_cycle_t *cycle)
{
    const ngx_http_fitnudge_metrics_main_conf_t  *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_metrics_module);

    if (mmcf != NULL && mmcf->zone != NULL) {
        ngx_fitnudge_metrics_loaded(mmcf->zone);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_metrics_init_process(ngx_cycle_t *cycle)
{
    ngx_event_t                                  *ev;
    const ngx_http_fitnudge_metrics_main_conf_t  *mmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_metrics_module);

    if (mmcf == NULL || mmcf->zone == NULL) {
        return NGX_OK;
    }

    ngx_fitnudge_metrics_attach(mmcf->zone);

    ngx_http_fitnudge_metrics.dummy.fd = (ngx_socket_t) -1;
    ngx_http_fitnudge_metrics.due = ngx_fitnudge_now_ns() + (uint64_t) INTERVAL * 1000000;

    ev = &ngx_http_fitnudge_metrics.timer;
    ev->handler = ngx_http_fitnudge_metrics_timer;
    ev->data = &ngx_http_fitnudge_metrics.dummy;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, INTERVAL);

    return NGX_OK;
}


static void
ngx_http_fitnudge_metrics_exit_process(ngx_cycle_t *cycle)
{
    ngx_fitnudge_metrics_detach();
}
