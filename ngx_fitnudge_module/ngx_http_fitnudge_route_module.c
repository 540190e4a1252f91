/*
 * Finds a request's row in the route table and hands it to the handler of its
 * kind.  Works in the content phase, so that locations with their own content handler
 * (proxy_pass, stub_status) and `return` stay what they are; files are served
 * where fitnudge is off.
 */
#include "ngx_http_fitnudge.h"


typedef struct {
    const char                *name;
    ngx_http_handler_pt        handler;
} ngx_http_fitnudge_local_t;


static ngx_int_t ngx_http_fitnudge_route_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_route_options(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_route_local(ngx_http_request_t *r, const fn_route_t *route);
static fn_method_e ngx_http_fitnudge_route_method(ngx_uint_t method);
static ngx_int_t ngx_http_fitnudge_route_init(ngx_conf_t *cf);


static const ngx_http_fitnudge_local_t  ngx_http_fitnudge_locals[] = {
    { "health", ngx_http_fitnudge_health_handler },
    { "live", ngx_http_fitnudge_health_handler },
    { "ready", ngx_http_fitnudge_health_handler },
    { "csrf", ngx_http_fitnudge_csrf_handler },
    { "jwks", ngx_http_fitnudge_jwks_handler },
    { "i18n", ngx_http_fitnudge_i18n_handler },
    { "languages", ngx_http_fitnudge_languages_handler },
    { "openapi", ngx_http_fitnudge_openapi_handler },
    { "job", ngx_http_fitnudge_job_handler },
    { "mail_open", ngx_http_fitnudge_mail_open_handler },
    { "mail_click", ngx_http_fitnudge_mail_click_handler },
    { "mail_unsubscribe", ngx_http_fitnudge_mail_unsubscribe_handler },
    { NULL, NULL }
};


static ngx_http_module_t  ngx_http_fitnudge_route_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_fitnudge_route_init,          /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_route_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_route_module_ctx,   /* module context */
    NULL,                                  /* module directives */
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
ngx_http_fitnudge_route_handler(ngx_http_request_t *r)
{
    ngx_int_t                            rc;
    const fn_route_match_t              *m;
    ngx_http_fitnudge_ctx_t             *ctx;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable) {
        return NGX_DECLINED;
    }

    /* subrequests have not passed the access phase and share the headers of another request */
    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* stray events must not run this phase again while an answer is under way */
    r->write_event_handler = ngx_http_request_empty_handler;

    if (m->route == NULL) {
        if (m->allowed == 0) {
            return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
        }

        if (r->method == NGX_HTTP_OPTIONS) {
            return ngx_http_fitnudge_route_options(r);
        }

        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_ALLOWED, NULL, NULL, NULL);
    }

    /* the access phase has seen to it, unless something redirected past it */
    if (m->route->who != FN_ANYONE && !ctx->authenticated) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_UNAUTHORIZED, NULL, "required", NULL);
    }

    if (m->route->kind == FN_WRITE) {
        return ngx_http_fitnudge_forward_handler(r);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (m->route->kind == FN_READ) {
        return ngx_http_fitnudge_query_handler(r);
    }

    return ngx_http_fitnudge_route_local(r, m->route);
}


static ngx_int_t
ngx_http_fitnudge_route_options(ngx_http_request_t *r)
{
    static const ngx_str_t  nothing = ngx_null_string;

    if (ngx_http_fitnudge_allow(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_fitnudge_send(r, NGX_HTTP_NO_CONTENT, NULL, &nothing, NULL, NULL);
}


static ngx_int_t
ngx_http_fitnudge_route_local(ngx_http_request_t *r, const fn_route_t *route)
{
    const ngx_http_fitnudge_local_t  *l;

    for (l = ngx_http_fitnudge_locals; l->name != NULL; l++) {
        if (ngx_strcmp(l->name, route->function) == 0) {
            return l->handler(r);
        }
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "fitnudge: the route table names an unknown handler \"%s\"", route->function);

    return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
}


const fn_route_match_t *
ngx_http_fitnudge_route_of(ngx_http_request_t *r)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NULL;
    }

    if (!ctx->matched || ctx->match_uri.data != r->uri.data || ctx->match_uri.len != r->uri.len
        || ctx->match_method != r->method)
    {
        fn_route_match(&ctx->match, ngx_http_fitnudge_route_method(r->method),
                       (const char *) r->uri.data, r->uri.len);

        ctx->match_uri = r->uri;
        ctx->match_method = r->method;
        ctx->matched = 1;
    }

    return &ctx->match;
}


static fn_method_e
ngx_http_fitnudge_route_method(ngx_uint_t method)
{
    switch (method) {
    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        return FN_GET;
    case NGX_HTTP_POST:
        return FN_POST;
    case NGX_HTTP_PUT:
        return FN_PUT;
    case NGX_HTTP_PATCH:
        return FN_PATCH;
    case NGX_HTTP_DELETE:
        return FN_DELETE;
    default:
        return FN_METHODS;
    }
}


/* The Allow header of the matched path. */

ngx_int_t
ngx_http_fitnudge_allow(ngx_http_request_t *r)
{
    u_char                  *p, *last;
    size_t                   size;
    ngx_str_t                allow;
    ngx_uint_t               i;
    const fn_route_match_t  *m;

    m = ngx_http_fitnudge_route_of(r);
    if (m == NULL) {
        return NGX_ERROR;
    }

    size = sizeof("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

    allow.data = ngx_pnalloc(r->pool, size);
    if (allow.data == NULL) {
        return NGX_ERROR;
    }

    p = allow.data;
    last = p + size;

    for (i = 0; i < FN_METHODS; i++) {
        if (m->allowed & (1u << i)) {
            p = ngx_slprintf(p, last, "%s, %s", fn_method_names[i], i == FN_GET ? "HEAD, " : "");
        }
    }

    p = ngx_slprintf(p, last, "OPTIONS");
    allow.len = p - allow.data;

    return ngx_http_fitnudge_header(r, "Allow", allow.data, allow.len);
}


static ngx_int_t
ngx_http_fitnudge_route_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_CONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_route_handler;

    return NGX_OK;
}
