/*
 * Rate limits: their directives, and the start of what they need.  What becomes of a request is in
 * ngx_http_fitnudge_limit_handler.c, the counting in fn_gcra.c, its memory in fn_limit_store.c, what instances tell each other in
 * ngx_fitnudge_limit_sync.c.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "ngx_http_fitnudge_limit.h"
#include "ngx_fitnudge_limit_sync.h"


#define ZONE_SIZE       (4 * 1024 * 1024)
#define SYNC_DEFAULT    100                 /* ms */
#define SYNC_MIN        10
#define SYNC_MAX        10000


static ngx_int_t ngx_http_fitnudge_limit_add_variables(ngx_conf_t *cf);
static void *ngx_http_fitnudge_limit_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_fitnudge_limit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_limit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_http_fitnudge_limit_class(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_limit_parameter(ngx_conf_t *cf, ngx_http_fitnudge_limit_class_t *c, ngx_str_t *value, ngx_str_t *rate);
static char *ngx_http_fitnudge_limit_complex(ngx_conf_t *cf, ngx_str_t *text, ngx_http_complex_value_t **value);
static char *ngx_http_fitnudge_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_limit_sync(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_fitnudge_limit_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_limit_init_class(ngx_conf_t *cf, ngx_http_fitnudge_limit_main_conf_t *lmcf, ngx_uint_t class);
static ngx_int_t ngx_http_fitnudge_limit_init_process(ngx_cycle_t *cycle);
static void ngx_http_fitnudge_limit_exit_process(ngx_cycle_t *cycle);


const ngx_http_fitnudge_limit_default_t  ngx_http_fitnudge_limit_defaults[CLASSES] = {
    { "anonymous", "20r/m", 0, 0, NGX_FITNUDGE_M_LIMIT_REFUSED_ANONYMOUS },
    { "auth", "30r/10m", 0, 0, NGX_FITNUDGE_M_LIMIT_REFUSED_AUTH },
    { "user", "100r/m", 0, 1, NGX_FITNUDGE_M_LIMIT_REFUSED_USER },
    { "user_hour", "1000r/h", 1, 1, NGX_FITNUDGE_M_LIMIT_REFUSED_USER_HOUR },
    { "ai", "10r/h", 1, 1, NGX_FITNUDGE_M_LIMIT_REFUSED_AI },
    { "uploads", "20r/h", 1, 1, NGX_FITNUDGE_M_LIMIT_REFUSED_UPLOADS }
};


/* five failed sign-ins at once are what a person may need */
#define AUTH_BURST  10


static ngx_conf_enum_t  ngx_http_fitnudge_limit_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_fitnudge_limit_status_bounds = {
    ngx_conf_check_num_bounds, 400, 599
};


static ngx_command_t  ngx_http_fitnudge_limit_commands[] = {

    { ngx_string("fitnudge_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_loc_conf_t, enable),
      NULL },

    { ngx_string("fitnudge_limit_anonymous"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_ANONYMOUS]),
      NULL },

    { ngx_string("fitnudge_limit_auth"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_AUTH]),
      NULL },

    { ngx_string("fitnudge_limit_user"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_USER]),
      NULL },

    { ngx_string("fitnudge_limit_user_hour"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_USER_HOUR]),
      NULL },

    { ngx_string("fitnudge_limit_ai"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_AI]),
      NULL },

    { ngx_string("fitnudge_limit_uploads"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_limit_class,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, classes[CLASS_UPLOADS]),
      NULL },

    { ngx_string("fitnudge_limit_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_limit_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_limit_sync"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_limit_sync,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_main_conf_t, sync),
      NULL },

    { ngx_string("fitnudge_limit_bypass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_set_predicate_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_loc_conf_t, bypass),
      NULL },

    { ngx_string("fitnudge_limit_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_loc_conf_t, dry_run),
      NULL },

    { ngx_string("fitnudge_limit_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_loc_conf_t, log_level),
      &ngx_http_fitnudge_limit_log_levels },

    { ngx_string("fitnudge_limit_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_limit_loc_conf_t, status),
      &ngx_http_fitnudge_limit_status_bounds },

      ngx_null_command
};


static const ngx_http_variable_t  ngx_http_fitnudge_limit_vars[] = {

    { ngx_string("fitnudge_limit_status"), NULL, ngx_http_fitnudge_limit_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },
    { ngx_string("fitnudge_limit_class"), NULL, ngx_http_fitnudge_limit_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },
    { ngx_string("fitnudge_limit_remaining"), NULL, ngx_http_fitnudge_limit_variable, 2, NGX_HTTP_VAR_NOCACHEABLE, 0 },
    { ngx_string("fitnudge_plan"), NULL, ngx_http_fitnudge_limit_variable, 3, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    ngx_http_null_variable
};


static ngx_http_module_t  ngx_http_fitnudge_limit_module_ctx = {
    ngx_http_fitnudge_limit_add_variables,     /* preconfiguration */
    ngx_http_fitnudge_limit_init,              /* postconfiguration */

    ngx_http_fitnudge_limit_create_main_conf,  /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_fitnudge_limit_create_loc_conf,   /* create location configuration */
    ngx_http_fitnudge_limit_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_limit_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_limit_module_ctx,   /* module context */
    ngx_http_fitnudge_limit_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_fitnudge_limit_init_process,  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_fitnudge_limit_exit_process,  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_fitnudge_limit_add_variables(ngx_conf_t *cf)
{
    ngx_str_t                   name;
    ngx_http_variable_t        *var;
    const ngx_http_variable_t  *v;

    for (v = ngx_http_fitnudge_limit_vars; v->name.len; v++) {
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


static void *
ngx_http_fitnudge_limit_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_limit_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_limit_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    lmcf->zone_size = NGX_CONF_UNSET_SIZE;
    lmcf->sync = NGX_CONF_UNSET_MSEC;

    return lmcf;
}


static void *
ngx_http_fitnudge_limit_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_limit_loc_conf_t  *llcf;

    llcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_limit_loc_conf_t));
    if (llcf == NULL) {
        return NULL;
    }

    llcf->enable = NGX_CONF_UNSET;
    llcf->dry_run = NGX_CONF_UNSET;
    llcf->log_level = NGX_CONF_UNSET_UINT;
    llcf->status = NGX_CONF_UNSET_UINT;
    llcf->bypass = NGX_CONF_UNSET_PTR;

    return llcf;
}


static char *
ngx_http_fitnudge_limit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_fitnudge_limit_loc_conf_t   *prev = parent;
    ngx_http_fitnudge_limit_loc_conf_t   *conf = child;
    ngx_http_fitnudge_limit_main_conf_t  *lmcf;

    ngx_conf_merge_value(conf->enable, prev->enable, 1);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_NOTICE);
    ngx_conf_merge_uint_value(conf->status, prev->status, NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_ptr_value(conf->bypass, prev->bypass, NULL);

    if (conf->enable) {
        lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_limit_module);
        lmcf->used = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_limit_class(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                             *p = conf;
    ngx_str_t                        *value, rate;
    ngx_uint_t                        i;
    ngx_http_fitnudge_limit_class_t  *c;

    c = (ngx_http_fitnudge_limit_class_t *) (p + cmd->offset);

    if (c->set) {
        return "is duplicate";
    }

    c->set = 1;
    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        c->off = 1;
        return NGX_CONF_OK;
    }

    ngx_str_null(&rate);

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_fitnudge_limit_parameter(cf, c, &value[i], &rate) != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (rate.data == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" must have \"rate\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (c->strict && c->burst) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"burst\" and \"strict\" exclude each other in \"%V\"", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_script_variables_count(&rate) > 0) {
        return ngx_http_fitnudge_limit_complex(cf, &rate, &c->rate_value);
    }

    if (fn_rate_parse(&c->rate, (const char *) rate.data, rate.len) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid rate \"%V\" in \"%V\": it must be from 1 to %d requests in 1s to 1d, "
                           "like 100r/m or 20r/10s", &rate, &cmd->name, FN_RATE_LIMIT_MAX);
        return NGX_CONF_ERROR;
    }

    if (c->strict && c->rate.limit > FN_RATE_STRICT_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "a strict rate in \"%V\" must be from 1 to %d requests", &cmd->name, FN_RATE_STRICT_MAX);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_limit_parameter(ngx_conf_t *cf, ngx_http_fitnudge_limit_class_t *c, ngx_str_t *value, ngx_str_t *rate)
{
    ngx_int_t  n;
    ngx_str_t  s;

    if (ngx_strncmp(value->data, "rate=", 5) == 0 && rate->data == NULL && value->len > 5) {
        rate->data = value->data + 5;
        rate->len = value->len - 5;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "burst=", 6) == 0 && c->burst == 0) {
        n = ngx_atoi(value->data + 6, value->len - 6);

        if (n < 1 || n > FN_RATE_BURST_MAX) {
            return NGX_CONF_ERROR;
        }

        c->burst = (ngx_uint_t) n;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "strict") == 0 && !c->strict) {
        c->strict = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "key=", 4) == 0 && c->key == NULL && value->len > 4) {
        s.data = value->data + 4;
        s.len = value->len - 4;
        return ngx_http_fitnudge_limit_complex(cf, &s, &c->key);
    }

    return NGX_CONF_ERROR;
}


static char *
ngx_http_fitnudge_limit_complex(ngx_conf_t *cf, ngx_str_t *text, ngx_http_complex_value_t **value)
{
    ngx_http_compile_complex_value_t  ccv;

    *value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*value == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = *value;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_fitnudge_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    off_t                                 size;
    ngx_str_t                            *value;
    ngx_http_fitnudge_limit_main_conf_t  *lmcf = conf;

    (void) cmd;

    if (lmcf->zone_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_FITNUDGE_LIMIT_ZONE_MIN || size > NGX_FITNUDGE_LIMIT_ZONE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone size \"%V\" is not between 64k and 1g", &value[1]);
        return NGX_CONF_ERROR;
    }

    lmcf->zone_size = (size_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_limit_sync(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                                 *rv;
    ngx_str_t                            *value;
    ngx_http_fitnudge_limit_main_conf_t  *lmcf = conf;

    if (lmcf->sync != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lmcf->sync = 0;
        return NGX_CONF_OK;
    }

    rv = ngx_conf_set_msec_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && (lmcf->sync < SYNC_MIN || lmcf->sync > SYNC_MAX)) {
        return "must be from 10ms to 10s";
    }

    return rv;
}


static ngx_int_t
ngx_http_fitnudge_limit_init(ngx_conf_t *cf)
{
    u_char                                digest[EVP_MAX_MD_SIZE];
    ngx_uint_t                            i;
    const char                           *secret;
    ngx_http_handler_pt                  *h;
    ngx_http_core_main_conf_t            *cmcf;
    ngx_http_fitnudge_main_conf_t        *fmcf;
    ngx_http_fitnudge_limit_main_conf_t  *lmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);
    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_limit_module);

    ngx_conf_init_size_value(lmcf->zone_size, ZONE_SIZE);
    ngx_conf_init_msec_value(lmcf->sync, SYNC_DEFAULT);

    if (!fmcf->enabled || !lmcf->used) {
        return NGX_OK;
    }

    /*
     * A secret that instances share: nobody can choose addresses that collide, and Redis does not learn who was there.
     */
    secret = fmcf->settings.jwt_secret != NULL ? fmcf->settings.jwt_secret
             : fmcf->settings.csrf_secret != NULL ? fmcf->settings.csrf_secret : "";

    if (HMAC(EVP_sha256(), secret, (int) ngx_strlen(secret), (const u_char *) "limits", 6, digest, NULL) == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(&lmcf->seed, digest, sizeof(lmcf->seed));

    for (i = 0; i < CLASSES; i++) {
        if (!lmcf->classes[i].off && ngx_http_fitnudge_limit_init_class(cf, lmcf, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_limit_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_limit_init_class(ngx_conf_t *cf, ngx_http_fitnudge_limit_main_conf_t *lmcf, ngx_uint_t class)
{
    u_char                                   *p;
    size_t                                    size;
    ngx_http_fitnudge_limit_class_t          *c;
    const ngx_http_fitnudge_limit_default_t  *d;

    c = &lmcf->classes[class];
    d = &ngx_http_fitnudge_limit_defaults[class];

    if (!c->set) {
        c->strict = d->strict;
    }

    /* also what is used instead of a variable rate that is none */
    if (!c->set || c->rate_value != NULL) {
        if (fn_rate_parse(&c->rate, d->rate, ngx_strlen(d->rate)) != 0) {
            return NGX_ERROR;
        }

        if (class == CLASS_AUTH && !c->set) {
            c->burst = AUTH_BURST;
        }
    }

    if (c->burst) {
        fn_rate_set_burst(&c->rate, (uint32_t) c->burst);
    }

    c->zone = ngx_fitnudge_limit_zone_add(cf, d->name, c->strict, lmcf->zone_size);
    if (c->zone == NULL) {
        return NGX_ERROR;
    }

    size = sizeof("\"\";q=;w=") + ngx_strlen(d->name) + 3 * NGX_INT32_LEN;

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    c->policy.data = p;
    p = ngx_sprintf(p, "\"%s\";q=%uD;w=%uD", d->name, c->rate.limit, c->rate.period_s);
    c->policy.len = (size_t) (p - c->policy.data);

    c->limit.data = p;
    c->limit.len = (size_t) (ngx_sprintf(p, "%uD", c->rate.limit) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_limit_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                            i, n;
    ngx_fitnudge_limit_sync_zone_t        zones[CLASSES];
    ngx_http_fitnudge_main_conf_t        *fmcf;
    ngx_http_fitnudge_limit_main_conf_t  *lmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    lmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_limit_module);

    if (lmcf == NULL || lmcf->sync == 0) {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    for (i = 0, n = 0; i < CLASSES; i++) {
        if (lmcf->classes[i].zone != NULL) {
            zones[n].name = ngx_http_fitnudge_limit_defaults[i].name;
            zones[n++].zone = lmcf->classes[i].zone;
        }
    }

    if (n > 0) {
        ngx_fitnudge_limit_sync_start(zones, n, lmcf->sync, fmcf->redis_timeout);
    }

    return NGX_OK;
}


static void
ngx_http_fitnudge_limit_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    ngx_fitnudge_limit_sync_stop();
}
