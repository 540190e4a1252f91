/*
 * Configuration of the module and the per-request context.  All directives are read here; the
 * backends and the feature modules take them from the main configuration, which nobody changes after
 * it was read.  The settings shared with the pool are checked by the same table
 * that the pool checks them with.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_shm.h"


#define ZONE_SIZE        (4 * 1024 * 1024)


static void *ngx_http_fitnudge_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_fitnudge_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static void ngx_http_fitnudge_free_main_conf(void *data);

static char *ngx_http_fitnudge_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_worker(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_worker_setting(ngx_conf_t *cf, ngx_command_t *dummy, void *conf);
static char *ngx_http_fitnudge_apply(ngx_conf_t *cf, fn_settings_t *settings, const fn_setting_t *setting);
static char *ngx_http_fitnudge_redis_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_missing(ngx_conf_t *cf, const char *name);
static char *ngx_http_fitnudge_redis_sentinels(ngx_conf_t *cf, ngx_http_fitnudge_main_conf_t *fmcf,
    const fn_sentinel_t *parsed);
static char *ngx_http_fitnudge_redis_address(ngx_conf_t *cf, ngx_http_fitnudge_main_conf_t *fmcf);

static void ngx_http_fitnudge_ctx_cleanup(void *data);


#define SETTING(name)                                                                                         \
    { ngx_string(name), NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1, ngx_http_fitnudge_setting,                         \
      NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL }


static ngx_command_t  ngx_http_fitnudge_base_commands[] = {

    { ngx_string("fitnudge"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_fitnudge_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_loc_conf_t, enable),
      NULL },

    { ngx_string("fitnudge_redis_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_redis_timeout,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_main_conf_t, redis_timeout),
      NULL },

    { ngx_string("fitnudge_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_worker"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS,
      ngx_http_fitnudge_worker,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* the rows of fn_settings_table with the scope http */

    SETTING("fitnudge_redis"),
    SETTING("fitnudge_redis_password"),
    SETTING("fitnudge_redis_sentinel_password"),
    SETTING("fitnudge_jwt_secret"),
    SETTING("fitnudge_jwt_keys"),
    SETTING("fitnudge_jwt_issuer"),
    SETTING("fitnudge_jwt_audience"),
    SETTING("fitnudge_locales"),
    SETTING("fitnudge_pseudo_locale"),
    SETTING("fitnudge_cache_redis"),
    SETTING("fitnudge_csrf_secret"),
    SETTING("fitnudge_email_events_key"),
    SETTING("fitnudge_access_token_ttl"),
    SETTING("fitnudge_refresh_token_ttl"),

      ngx_null_command
};


static ngx_http_module_t  ngx_http_fitnudge_base_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
    ngx_http_fitnudge_create_main_conf,    /* create main configuration */
    ngx_http_fitnudge_init_main_conf,      /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    ngx_http_fitnudge_create_loc_conf,     /* create location configuration */
    ngx_http_fitnudge_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_base_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_base_module_ctx,    /* module context */
    ngx_http_fitnudge_base_commands,       /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_fitnudge_main_conf_t *
ngx_http_fitnudge_main_conf(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_fitnudge_base_module);
}


ngx_http_fitnudge_ctx_t *
ngx_http_fitnudge_ctx_find(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_fitnudge_ctx_t  *ctx;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_fitnudge_base_module);
    if (ctx != NULL) {
        return ctx;
    }

    /* an internal redirect clears the contexts of a request, but not its pool */
    for (cln = r->pool->cleanup; cln != NULL; cln = cln->next) {
        if (cln->handler == ngx_http_fitnudge_ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_fitnudge_base_module);
            return cln->data;
        }
    }

    return NULL;
}


ngx_http_fitnudge_ctx_t *
ngx_http_fitnudge_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_fitnudge_ctx_t  *ctx;

    r = r->main;

    ctx = ngx_http_fitnudge_ctx_find(r);
    if (ctx != NULL) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_fitnudge_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ngx_memzero(cln->data, sizeof(ngx_http_fitnudge_ctx_t));
    cln->handler = ngx_http_fitnudge_ctx_cleanup;

    ngx_http_set_ctx(r, cln->data, ngx_http_fitnudge_base_module);

    return cln->data;
}


/* Only a mark by which the context is found. */
static void
ngx_http_fitnudge_ctx_cleanup(void *data)
{
    (void) data;
}


static void *
ngx_http_fitnudge_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_main_conf_t));
    if (fmcf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_fitnudge_free_main_conf;
    cln->data = fmcf;

    if (fn_settings_init(&fmcf->settings) != 0) {
        return NULL;
    }

    fmcf->redis_timeout = NGX_CONF_UNSET_MSEC;
    fmcf->zone_size = NGX_CONF_UNSET_SIZE;

    return fmcf;
}


static char *
ngx_http_fitnudge_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_fitnudge_main_conf_t *fmcf = conf;

    ngx_conf_init_msec_value(fmcf->redis_timeout, 1000);
    ngx_conf_init_size_value(fmcf->zone_size, ZONE_SIZE);

    if (fmcf->settings.redis != NULL
        && ngx_http_fitnudge_redis_address(cf, fmcf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!fmcf->enabled) {
        return NGX_CONF_OK;
    }

    if (fmcf->settings.redis == NULL) {
        return ngx_http_fitnudge_missing(cf, "fitnudge_redis");
    }

    if (fmcf->settings.jwt_secret == NULL) {
        return ngx_http_fitnudge_missing(cf, "fitnudge_jwt_secret");
    }

    fmcf->zone = ngx_fitnudge_shm_add(cf, fmcf->zone_size);
    if (fmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_fitnudge_free_main_conf(void *data)
{
    ngx_http_fitnudge_main_conf_t *fmcf = data;

    fn_settings_free(&fmcf->settings);
}


static char *
ngx_http_fitnudge_missing(ngx_conf_t *cf, const char *name)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge\" is on, but there is no \"%s\" directive", name);
    return NGX_CONF_ERROR;
}


/* The setting was checked already: what is left is to make addresses of it. */
static char *
ngx_http_fitnudge_redis_sentinels(ngx_conf_t *cf, ngx_http_fitnudge_main_conf_t *fmcf, const fn_sentinel_t *parsed)
{
    unsigned    i;
    ngx_str_t   text;
    ngx_url_t   u;

    fmcf->sentinels.name.len = ngx_strlen(parsed->name);
    text.data = (u_char *) parsed->name;
    text.len = fmcf->sentinels.name.len;
    fmcf->sentinels.name.data = ngx_pstrdup(cf->pool, &text);
    fmcf->sentinels.password = fmcf->settings.redis_sentinel_password;

    if (fmcf->sentinels.name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < parsed->n; i++) {
        ngx_memzero(&u, sizeof(ngx_url_t));
        text.data = (u_char *) parsed->address[i];
        text.len = ngx_strlen(parsed->address[i]);
        u.url.len = text.len;
        u.url.data = ngx_pstrdup(cf->pool, &text);
        u.no_resolve = 1;

        if (u.url.data == NULL || ngx_parse_url(cf->pool, &u) != NGX_OK || u.naddrs != 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid address \"%V\" in \"fitnudge_redis\"", &text);
            return NGX_CONF_ERROR;
        }

        fmcf->sentinels.addrs[i] = u.addrs[0];
    }

    fmcf->sentinels.n = parsed->n;

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_redis_address(ngx_conf_t *cf, ngx_http_fitnudge_main_conf_t *fmcf)
{
    ngx_url_t      u;
    fn_sentinel_t  sentinel;

    if (fn_sentinel_parse(&sentinel, fmcf->settings.redis) == 0) {
        return ngx_http_fitnudge_redis_sentinels(cf, fmcf, &sentinel);
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.data = (u_char *) fmcf->settings.redis;
    u.url.len = ngx_strlen(fmcf->settings.redis);
    u.default_port = 6379;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK || u.naddrs != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid address \"%V\" in \"fitnudge_redis\": %s", &u.url,
                           u.err != NULL ? u.err : "unix:/path or ip:port is expected");
        return NGX_CONF_ERROR;
    }

    fmcf->redis = u.addrs[0];

    return NGX_CONF_OK;
}


static void *
ngx_http_fitnudge_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_loc_conf_t  *flcf;

    flcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_loc_conf_t));
    if (flcf == NULL) {
        return NULL;
    }

    flcf->enable = NGX_CONF_UNSET;

    return flcf;
}


static char *
ngx_http_fitnudge_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_fitnudge_loc_conf_t *prev = parent;
    ngx_http_fitnudge_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                           *rv;
    ngx_http_fitnudge_loc_conf_t   *flcf = conf;
    ngx_http_fitnudge_main_conf_t  *fmcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && flcf->enable) {
        fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);
        fmcf->enabled = 1;
    }

    return rv;
}


static char *
ngx_http_fitnudge_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    const fn_setting_t             *setting;
    ngx_http_fitnudge_main_conf_t  *fmcf = conf;

    setting = fn_setting_find((char *) cmd->name.data, FN_SCOPE_HTTP);
    if (setting == NULL) {
        return "is not a setting";
    }

    return ngx_http_fitnudge_apply(cf, &fmcf->settings, setting);
}


static char *
ngx_http_fitnudge_worker(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                           *rv;
    ngx_conf_t                      save;
    const char                     *err;
    ngx_http_fitnudge_main_conf_t  *fmcf = conf;

    if (fmcf->worker_block) {
        return "is duplicate";
    }

    fmcf->worker_block = 1;

    save = *cf;
    cf->handler = ngx_http_fitnudge_worker_setting;
    cf->handler_conf = conf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    err = rv == NGX_CONF_OK ? fn_settings_conflict(&fmcf->settings) : NULL;
    if (err != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", err);
        return NGX_CONF_ERROR;
    }

    return rv;
}


static char *
ngx_http_fitnudge_worker_setting(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_str_t                      *value;
    const fn_setting_t             *setting;
    ngx_http_fitnudge_main_conf_t  *fmcf = conf;

    value = cf->args->elts;

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid number of arguments in \"%V\" directive", &value[0]);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, dummy, conf);
    }

    setting = fn_setting_find((char *) value[0].data, FN_SCOPE_WORKER);
    if (setting == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown directive \"%V\" in \"fitnudge_worker\"", &value[0]);
        return NGX_CONF_ERROR;
    }

    return ngx_http_fitnudge_apply(cf, &fmcf->settings, setting);
}


static char *
ngx_http_fitnudge_apply(ngx_conf_t *cf, fn_settings_t *settings, const fn_setting_t *setting)
{
    const char  *err;
    ngx_str_t   *value;

    value = cf->args->elts;

    err = fn_setting_apply(settings, setting, (char *) value[1].data);
    if (err == NULL) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(err, "is ", 3) == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" directive %s", &value[0], err);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %s", &value[0], err);
    }

    return NGX_CONF_ERROR;
}


static char *
ngx_http_fitnudge_redis_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                           *rv;
    ngx_http_fitnudge_main_conf_t  *fmcf = conf;

    rv = ngx_conf_set_msec_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && (fmcf->redis_timeout < 10 || fmcf->redis_timeout > 60 * 1000)) {
        return "must be from 10ms to 1m";
    }

    return rv;
}


static char *
ngx_http_fitnudge_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    off_t                           size;
    ngx_str_t                      *value;
    ngx_http_fitnudge_main_conf_t  *fmcf = conf;

    if (fmcf->zone_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_FITNUDGE_SHM_MIN || size > NGX_FITNUDGE_SHM_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone size \"%V\" is not between 64k and 1g", &value[1]);
        return NGX_CONF_ERROR;
    }

    fmcf->zone_size = (size_t) size;

    return NGX_CONF_OK;
}
