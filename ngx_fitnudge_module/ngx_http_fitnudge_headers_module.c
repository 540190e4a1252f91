/*
 * What HTTP clients expect of every answer, whoever made it: CORS for the origins that may send credentials, headers
 * that tell browsers to do nothing with a JSON answer but read it, and notice of what is about to be withdrawn.
 *
 * A filter adds the headers, after the error module's, so that errors have them too.  Preflights are answered in the
 * preaccess phase, after the limits and before anybody asks for a token; there, too, ends who accepts no JSON.  The
 * directives are read in ngx_http_fitnudge_headers_conf.c.
 */
#include "ngx_http_fitnudge_headers.h"
#include "ngx_fitnudge_metrics.h"
#include "fn_accept.h"
#include "fn_origin.h"


#define NOT_ACCEPTABLE  406


typedef struct {
    const char         *name;
    ngx_str_t           value;          /* no data: HSTS, whose value is configured */
} ngx_http_fitnudge_security_t;


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
static ngx_int_t ngx_http_fitnudge_headers_init(ngx_conf_t *cf);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/* What a page may send: all that the API reads, and the trace headers of W3C. */
static const ngx_str_t  ngx_http_fitnudge_cors_allow = ngx_string(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Auth-Mode, "
    "X-CSRF-Token, X-Request-Id, traceparent, tracestate");

/* What a page may read. */
static const ngx_str_t  ngx_http_fitnudge_cors_expose = ngx_string(
    "Age, Allow, Cache-Status, Deprecation, ETag, Idempotency-Replayed, Link, Location, "
    "Preference-Applied, RateLimit, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, Sunset, WWW-Authenticate, X-Request-Id");


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
        && !(m->route->flags & FN_R_PAGE)
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
