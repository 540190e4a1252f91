/*
 * What HTTP clients expect of every answer, whoever made it: CORS for the origins that may send credentials, headers
 * that tell browsers to do nothing with a JSON answer but read it, and notice of what is about to be withdrawn.
 *
 * A filter adds the headers, after the error module's, so that errors have them too.  Preflights are answered in the
 * preaccess phase, after the limits and before anybody asks for a token; there, too, ends who accepts no JSON.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"
#include "fn_accept.h"
#include "fn_origin.h"
#include "../worker/libfitnudge/fn_time.h"


#define NOT_ACCEPTABLE  406

#define MAX_AGE       3600              /* s; of a preflight's answer */
#define MAX_AGE_MAX   86400             /* no browser keeps it longer */
#define HSTS_AGE      (365 * 86400)     /* s */
#define HSTS_AGE_MAX  (10 * 365 * 86400)


typedef struct {
    ngx_array_t        *origins;        /* of ngx_str_t; NULL: no CORS */
    time_t              max_age;        /* s */
    ngx_str_t           max_age_text;

    ngx_flag_t          security;
    time_t              hsts;           /* s */
    ngx_str_t           hsts_text;

    /* header values; no data: not sent */
    ngx_str_t           deprecation;
    ngx_str_t           sunset;
    ngx_str_t           link;
    unsigned            deprecated_set:1;
} ngx_http_fitnudge_headers_conf_t;


typedef struct {
    const char         *name;
    ngx_str_t           value;          /* no data: HSTS, whose value is configured */
} ngx_http_fitnudge_security_t;


typedef struct {
    ngx_conf_post_handler_pt  post_handler;
    time_t                    max;
    char                     *message;
} ngx_http_fitnudge_seconds_post_t;


static ngx_int_t ngx_http_fitnudge_headers_preaccess(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_headers_preflight(ngx_http_request_t *r, ngx_uint_t allowed);
static ngx_int_t ngx_http_fitnudge_headers_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_headers_cors(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    const ngx_http_fitnudge_headers_conf_t *hcf);
static ngx_int_t ngx_http_fitnudge_headers_methods(ngx_http_request_t *r);
static ngx_uint_t ngx_http_fitnudge_headers_allowed(const ngx_http_fitnudge_ctx_t *ctx, const ngx_array_t *origins);
static ngx_int_t ngx_http_fitnudge_headers_security(ngx_http_request_t *r, const ngx_http_fitnudge_headers_conf_t *hcf);
static ngx_int_t ngx_http_fitnudge_headers_deprecated(ngx_http_request_t *r,
    const ngx_http_fitnudge_headers_conf_t *hcf);
static ngx_int_t ngx_http_fitnudge_headers_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);

static ngx_int_t ngx_http_fitnudge_headers_add_variables(ngx_conf_t *cf);
static void *ngx_http_fitnudge_headers_create_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_headers_merge_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_http_fitnudge_headers_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_headers_set_deprecated(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_headers_link(ngx_conf_t *cf, ngx_http_fitnudge_headers_conf_t *hcf, ngx_str_t *url);
static char *ngx_http_fitnudge_headers_check_seconds(ngx_conf_t *cf, void *post, void *data);
static time_t ngx_http_fitnudge_headers_time(const ngx_str_t *value);
static ngx_int_t ngx_http_fitnudge_headers_init(ngx_conf_t *cf);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


static ngx_http_fitnudge_seconds_post_t  ngx_http_fitnudge_max_age_post = {
    ngx_http_fitnudge_headers_check_seconds, MAX_AGE_MAX, "must be from 0 to 1d"
};

static ngx_http_fitnudge_seconds_post_t  ngx_http_fitnudge_hsts_post = {
    ngx_http_fitnudge_headers_check_seconds, HSTS_AGE_MAX, "must be from 0 to 10y"
};


/* What a page may send: everything that docs/api.md knows, and the W3C's trace headers. */
static const ngx_str_t  ngx_http_fitnudge_cors_allow = ngx_string(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Auth-Mode, "
    "X-CSRF-Token, X-Request-Id, traceparent, tracestate");

/* What a page may read. */
static const ngx_str_t  ngx_http_fitnudge_cors_expose = ngx_string(
    "Age, Allow, Cache-Status, Deprecation, ETag, Idempotency-Replayed, Link, Location, RateLimit-Limit, "
    "RateLimit-Remaining, RateLimit-Reset, Retry-After, Sunset, WWW-Authenticate, X-Request-Id");


/*
 * X-XSS-Protection: 0, since the filter it once controlled was itself a way in (mode=block told other pages what a page
 * held), and the policy forbids scripts anyway.
 */
static const ngx_http_fitnudge_security_t  ngx_http_fitnudge_security[] = {
    { "X-Content-Type-Options", ngx_string("nosniff") },
    { "X-Frame-Options", ngx_string("DENY") },
    { "Content-Security-Policy", ngx_string("default-src 'none'; frame-ancestors 'none'") },
    { "Referrer-Policy", ngx_string("no-referrer") },
    { "X-XSS-Protection", ngx_string("0") },
    { "Strict-Transport-Security", ngx_null_string },
    { NULL, ngx_null_string }
};


static ngx_command_t  ngx_http_fitnudge_headers_commands[] = {

    { ngx_string("fitnudge_cors_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_headers_set_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_cors_max_age"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, max_age),
      &ngx_http_fitnudge_max_age_post },

    { ngx_string("fitnudge_security_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, security),
      NULL },

    { ngx_string("fitnudge_hsts"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, hsts),
      &ngx_http_fitnudge_hsts_post },

    { ngx_string("fitnudge_deprecated"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_fitnudge_headers_set_deprecated,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static const ngx_http_variable_t  ngx_http_fitnudge_headers_vars[] = {

    { ngx_string("fitnudge_traceparent"), NULL, ngx_http_fitnudge_headers_variable, 0, 0, 0 },
    { ngx_string("fitnudge_trace_id"), NULL, ngx_http_fitnudge_headers_variable, 1, 0, 0 },

    ngx_http_null_variable
};


static ngx_http_module_t  ngx_http_fitnudge_headers_module_ctx = {
    ngx_http_fitnudge_headers_add_variables, /* preconfiguration */
    ngx_http_fitnudge_headers_init,        /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_fitnudge_headers_create_conf, /* create location configuration */
    ngx_http_fitnudge_headers_merge_conf   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_headers_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_headers_module_ctx, /* module context */
    ngx_http_fitnudge_headers_commands,    /* module directives */
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


static ngx_int_t
ngx_http_fitnudge_headers_preaccess(ngx_http_request_t *r)
{
    const fn_route_match_t                  *m;
    ngx_http_fitnudge_ctx_t                 *ctx;
    const ngx_http_fitnudge_loc_conf_t      *flcf;
    const ngx_http_fitnudge_headers_conf_t  *hcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL || ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        hcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_headers_module);

        /* any other OPTIONS, and the one of a path that there is not, are the route module's */

        if (hcf->origins == NULL || ctx->norigin == 0 || !ctx->request_method || m->allowed == 0) {
            return NGX_DECLINED;
        }

        return ngx_http_fitnudge_headers_preflight(r, ngx_http_fitnudge_headers_allowed(ctx, hcf->origins));
    }

    /* reads and writes answer in JSON and nothing else */

    if (ctx->accept.len && m->route != NULL && (m->route->kind == FN_READ || m->route->kind == FN_WRITE)
        && fn_accept_refuses_json((const char *) ctx->accept.data, ctx->accept.len))
    {
        return ngx_http_fitnudge_reject(r, NOT_ACCEPTABLE, "Accept", "media_type", NULL);
    }

    return NGX_DECLINED;
}


/* The filter adds what it grants. */

static ngx_int_t
ngx_http_fitnudge_headers_preflight(ngx_http_request_t *r, ngx_uint_t allowed)
{
    ngx_int_t  rc;

    static const ngx_str_t  nothing = ngx_null_string;

    ngx_fitnudge_count(allowed ? NGX_FITNUDGE_M_PREFLIGHTS_ALLOWED : NGX_FITNUDGE_M_PREFLIGHTS_REFUSED, 1);

    if (ngx_http_fitnudge_allow(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_fitnudge_send(r, NGX_HTTP_NO_CONTENT, NULL, &nothing, NULL, NULL);

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_fitnudge_headers_filter(ngx_http_request_t *r)
{
    ngx_http_fitnudge_ctx_t                 *ctx;
    const ngx_http_fitnudge_loc_conf_t      *flcf;
    const ngx_http_fitnudge_headers_conf_t  *hcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main || r->headers_out.status < NGX_HTTP_OK) {
        return ngx_http_next_header_filter(r);
    }

    hcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_headers_module);

    if (hcf->origins != NULL) {
        ctx = ngx_http_fitnudge_ctx(r);

        if (ctx == NULL || ngx_http_fitnudge_identify(r, ctx) != NGX_OK
            || ngx_http_fitnudge_headers_cors(r, ctx, hcf) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (hcf->security && ngx_http_fitnudge_headers_security(r, hcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (hcf->deprecation.data != NULL && ngx_http_fitnudge_headers_deprecated(r, hcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Fetch standard, "CORS protocol". */

static ngx_int_t
ngx_http_fitnudge_headers_cors(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    const ngx_http_fitnudge_headers_conf_t *hcf)
{
    /* also for who is refused and who sent none: a cache must not give one's answer to another */

    if (ngx_http_fitnudge_header(r, "Vary", (u_char *) "Origin", 6) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_http_fitnudge_headers_allowed(ctx, hcf->origins)) {
        return NGX_OK;
    }

    if (ngx_http_fitnudge_header(r, "Access-Control-Allow-Origin", ctx->origin.data, ctx->origin.len) != NGX_OK
        || ngx_http_fitnudge_header(r, "Access-Control-Allow-Credentials", (u_char *) "true", 4) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->method != NGX_HTTP_OPTIONS || !ctx->request_method) {
        return ngx_http_fitnudge_header(r, "Access-Control-Expose-Headers", ngx_http_fitnudge_cors_expose.data,
                                        ngx_http_fitnudge_cors_expose.len);
    }

    if (ngx_http_fitnudge_headers_methods(r) != NGX_OK
        || ngx_http_fitnudge_header(r, "Access-Control-Allow-Headers", ngx_http_fitnudge_cors_allow.data,
                                    ngx_http_fitnudge_cors_allow.len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_fitnudge_header(r, "Access-Control-Max-Age", hcf->max_age_text.data, hcf->max_age_text.len);
}


static ngx_int_t
ngx_http_fitnudge_headers_methods(ngx_http_request_t *r)
{
    u_char                  *p, *begin, *last;
    ngx_uint_t               i;
    const fn_route_match_t  *m;

    m = ngx_http_fitnudge_route_of(r);
    if (m == NULL) {
        return NGX_ERROR;
    }

    if (m->allowed == 0) {
        return NGX_OK;
    }

    begin = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, PUT, PATCH, DELETE"));
    if (begin == NULL) {
        return NGX_ERROR;
    }

    p = begin;
    last = begin + sizeof("GET, HEAD, POST, PUT, PATCH, DELETE");

    for (i = 0; i < FN_METHODS; i++) {
        if (m->allowed & (1u << i)) {
            p = ngx_slprintf(p, last, "%s%s%s", p == begin ? "" : ", ", fn_method_names[i], i == FN_GET ? ", HEAD" : "");
        }
    }

    return ngx_http_fitnudge_header(r, "Access-Control-Allow-Methods", begin, (size_t) (p - begin));
}


/* Two Origin headers are nobody's. */

static ngx_uint_t
ngx_http_fitnudge_headers_allowed(const ngx_http_fitnudge_ctx_t *ctx, const ngx_array_t *origins)
{
    ngx_uint_t        i;
    const ngx_str_t  *origin;

    if (ctx->norigin != 1) {
        return 0;
    }

    origin = origins->elts;

    for (i = 0; i < origins->nelts; i++) {
        if (fn_origin_match((const char *) origin[i].data, origin[i].len, (const char *) ctx->origin.data, ctx->origin.len)) {
            return 1;
        }
    }

    return 0;
}


/* What somebody has set on this answer before stays as it is. */

static ngx_int_t
ngx_http_fitnudge_headers_security(ngx_http_request_t *r, const ngx_http_fitnudge_headers_conf_t *hcf)
{
    size_t                               n;
    ngx_str_t                            value;
    ngx_uint_t                           i, k, present;
    ngx_list_part_t                     *part;
    ngx_table_elt_t                     *h;
    const ngx_http_fitnudge_security_t  *s;

    present = 0;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            for (s = ngx_http_fitnudge_security, k = 0; s->name != NULL; s++, k++) {
                n = ngx_strlen(s->name);

                if (h[i].hash != 0 && h[i].key.len == n && ngx_strncasecmp(h[i].key.data, (u_char *) s->name, n) == 0) {
                    present |= 1u << k;
                }
            }
        }
    }

    for (s = ngx_http_fitnudge_security, k = 0; s->name != NULL; s++, k++) {
        value = s->value;

        if (value.data == NULL) {
#if (NGX_HTTP_SSL)
            /* RFC 6797, section 7.2: never without TLS */
            if (r->connection->ssl != NULL) {
                value = hcf->hsts_text;
            }
#endif
            if (value.data == NULL) {
                continue;
            }
        }

        if (!(present & (1u << k)) && ngx_http_fitnudge_header(r, s->name, value.data, value.len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* RFC 9745 and RFC 8594. */

static ngx_int_t
ngx_http_fitnudge_headers_deprecated(ngx_http_request_t *r, const ngx_http_fitnudge_headers_conf_t *hcf)
{
    if (ngx_http_fitnudge_header(r, "Deprecation", hcf->deprecation.data, hcf->deprecation.len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (hcf->sunset.data != NULL
        && ngx_http_fitnudge_header(r, "Sunset", hcf->sunset.data, hcf->sunset.len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (hcf->link.data != NULL && ngx_http_fitnudge_header(r, "Link", hcf->link.data, hcf->link.len) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_headers_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);

    if (ctx == NULL || ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    v->data = ctx->traceparent.data;
    v->len = ctx->traceparent.len;

    if (data == 1) {
        /* 00-<32 digits>-<16 digits>-<2 digits> */
        v->data += 3;
        v->len = 32;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_headers_add_variables(ngx_conf_t *cf)
{
    ngx_str_t                   name;
    ngx_http_variable_t        *var;
    const ngx_http_variable_t  *v;

    for (v = ngx_http_fitnudge_headers_vars; v->name.len; v++) {
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
ngx_http_fitnudge_headers_create_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_headers_conf_t  *hcf;

    hcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_headers_conf_t));
    if (hcf == NULL) {
        return NULL;
    }

    hcf->origins = NGX_CONF_UNSET_PTR;
    hcf->max_age = NGX_CONF_UNSET;
    hcf->security = NGX_CONF_UNSET;
    hcf->hsts = NGX_CONF_UNSET;

    return hcf;
}


static char *
ngx_http_fitnudge_headers_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    u_char                            *p;
    ngx_http_fitnudge_headers_conf_t  *prev = parent;
    ngx_http_fitnudge_headers_conf_t  *conf = child;

    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_merge_sec_value(conf->max_age, prev->max_age, MAX_AGE);
    ngx_conf_merge_value(conf->security, prev->security, 1);
    ngx_conf_merge_sec_value(conf->hsts, prev->hsts, HSTS_AGE);

    if (!conf->deprecated_set) {
        conf->deprecated_set = prev->deprecated_set;
        conf->deprecation = prev->deprecation;
        conf->sunset = prev->sunset;
        conf->link = prev->link;
    }

    p = ngx_pnalloc(cf->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->max_age_text.data = p;
    conf->max_age_text.len = (size_t) (ngx_sprintf(p, "%T", conf->max_age) - p);

    p = ngx_pnalloc(cf->pool, sizeof("max-age=; includeSubDomains") + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->hsts_text.data = p;
    conf->hsts_text.len = (size_t) (ngx_sprintf(p, "max-age=%T; includeSubDomains", conf->hsts) - p);

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_check_seconds(ngx_conf_t *cf, void *post, void *data)
{
    const time_t                            *seconds = data;
    const ngx_http_fitnudge_seconds_post_t  *p = post;

    (void) cf;

    return *seconds > p->max ? p->message : NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         *value, *origin;
    ngx_uint_t                         i;
    const char                        *err;
    ngx_http_fitnudge_headers_conf_t  *hcf = conf;

    if (hcf->origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        hcf->origins = NULL;
        return NGX_CONF_OK;
    }

    hcf->origins = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(ngx_str_t));
    if (hcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        err = fn_origin_check((const char *) value[i].data, value[i].len);

        if (err != NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid origin \"%V\" in \"%V\" directive: it %s",
                               &value[i], &cmd->name, err);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(hcf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_set_deprecated(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                            *p;
    time_t                             since, sunset;
    ngx_str_t                         *value, s;
    ngx_uint_t                         i;
    ngx_http_fitnudge_headers_conf_t  *hcf = conf;

    if (hcf->deprecated_set) {
        return "is duplicate";
    }

    hcf->deprecated_set = 1;
    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    i = 1;
    since = ngx_http_fitnudge_headers_time(&value[1]);
    sunset = (time_t) NGX_ERROR;

    if (since == (time_t) NGX_ERROR) {
        goto invalid;
    }

    p = ngx_pnalloc(cf->pool, NGX_TIME_T_LEN + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    /* a Date of RFC 9651 */
    hcf->deprecation.data = p;
    hcf->deprecation.len = (size_t) (ngx_sprintf(p, "@%T", since) - p);

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "sunset=", 7) == 0 && sunset == (time_t) NGX_ERROR) {
            s.data = value[i].data + 7;
            s.len = value[i].len - 7;

            sunset = ngx_http_fitnudge_headers_time(&s);
            if (sunset == (time_t) NGX_ERROR) {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "link=", 5) == 0 && hcf->link.data == NULL) {
            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_http_fitnudge_headers_link(cf, hcf, &s) == NGX_CONF_OK) {
                continue;
            }
        }

        goto invalid;
    }

    if (sunset == (time_t) NGX_ERROR) {
        return NGX_CONF_OK;
    }

    /* RFC 9745, section 4 */
    if (sunset < since) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the sunset in \"%V\" directive is earlier than the deprecation", &cmd->name);
        return NGX_CONF_ERROR;
    }

    hcf->sunset.data = ngx_pnalloc(cf->pool, sizeof("Mon, 28 Sep 1970 06:00:00 GMT"));
    if (hcf->sunset.data == NULL) {
        return NGX_CONF_ERROR;
    }

    hcf->sunset.len = (size_t) (ngx_http_time(hcf->sunset.data, sunset) - hcf->sunset.data);

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" in \"%V\" directive", &value[i], &cmd->name);
    return NGX_CONF_ERROR;
}


/* RFC 8288; one link tells of both, and what it says stays between its angle brackets. */

static char *
ngx_http_fitnudge_headers_link(ngx_conf_t *cf, ngx_http_fitnudge_headers_conf_t *hcf, ngx_str_t *url)
{
    size_t   size, i;

    if (!(url->len > 8 && (ngx_strncmp(url->data, "https://", 8) == 0 || ngx_strncmp(url->data, "http://", 7) == 0))) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f || url->data[i] == '<' || url->data[i] == '>' || url->data[i] == '"') {
            return NGX_CONF_ERROR;
        }
    }

    size = sizeof("<>; rel=\"deprecation sunset\"") + url->len;

    hcf->link.data = ngx_pnalloc(cf->pool, size);
    if (hcf->link.data == NULL) {
        return NGX_CONF_ERROR;
    }

    hcf->link.len = (size_t) (ngx_snprintf(hcf->link.data, size, "<%V>; rel=\"deprecation sunset\"", url) - hcf->link.data);

    return NGX_CONF_OK;
}


/* "@<unix s>", YYYY-MM-DD or an RFC 3339 time; NGX_ERROR when it is none of them. */

static time_t
ngx_http_fitnudge_headers_time(const ngx_str_t *value)
{
    time_t     t;
    u_char     text[sizeof("2026-01-01T00:00:00Z")];
    int64_t    unix_s;
    ngx_str_t  date;

    if (value->len > 1 && value->data[0] == '@') {
        t = ngx_atotm(value->data + 1, value->len - 1);

        return (t == (time_t) NGX_ERROR || t > 253402300799) ? (time_t) NGX_ERROR : t;
    }

    if (value->len == 10) {
        (void) ngx_snprintf(text, sizeof(text), "%VT00:00:00Z%Z", value);
        date.data = text;
        date.len = sizeof(text) - 1;
        value = &date;
    }

    if (fn_rfc3339_parse(&unix_s, (const char *) value->data, value->len) != 0 || unix_s < 0) {
        return (time_t) NGX_ERROR;
    }

    return (time_t) unix_s;
}


static ngx_int_t
ngx_http_fitnudge_headers_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                  *h;
    ngx_http_core_main_conf_t            *cmcf;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_headers_preaccess;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_fitnudge_headers_filter;

    return NGX_OK;
}
