/*
 * Every error has one body, whoever noticed it.  What our modules notice is
 * sent from here; what nginx or another module answers with 400 and above is given
 * that body by a pair of filters.  The header filter also names every request.
 */
#include "ngx_http_fitnudge.h"
#include "../worker/libfitnudge/fn_time.h"


typedef struct {
    ngx_uint_t   status;
    const char  *code;
    const char  *message;       /* when nobody knew better */
} ngx_http_fitnudge_error_t;


static const ngx_http_fitnudge_error_t *ngx_http_fitnudge_error_find(ngx_uint_t status);
static ngx_int_t ngx_http_fitnudge_error_render(ngx_http_request_t *r,
    ngx_http_fitnudge_ctx_t *ctx, ngx_uint_t status, const char *field,
    const char *constraint, const char *message, ngx_str_t *body);
static ngx_uint_t ngx_http_fitnudge_error_has_header(ngx_http_request_t *r, const char *name,
    size_t len);
static ngx_uint_t ngx_http_fitnudge_error_text_valid(const char *s);
static ngx_int_t ngx_http_fitnudge_error_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_error_body_filter(ngx_http_request_t *r, ngx_chain_t *in);
static ngx_int_t ngx_http_fitnudge_error_replace(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx);
static ngx_int_t ngx_http_fitnudge_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_fitnudge_error_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_error_init(ngx_conf_t *cf);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static const ngx_http_fitnudge_error_t  ngx_http_fitnudge_errors[] = {
    { 400, "VALIDATION_ERROR", "The request is not valid." },
    { 401, "AUTHENTICATION_ERROR", "Sign in to do this." },
    { 403, "AUTHORIZATION_ERROR", "You may not do this." },
    { 404, "NOT_FOUND", "There is no such thing." },
    { 405, "METHOD_NOT_ALLOWED", "The method is not allowed here." },
    { 406, "VALIDATION_ERROR", "Answers are application/json, which Accept rules out." },
    { 408, "VALIDATION_ERROR", "The request took too long to arrive." },
    { 409, "CONFLICT", "The request conflicts with the present state." },
    { 412, "PRECONDITION_FAILED", "Somebody else has changed this in between." },
    { 413, "PAYLOAD_TOO_LARGE", "The body is too large." },
    { 414, "VALIDATION_ERROR", "The address is too long." },
    { 415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json." },
    { 422, "IDEMPOTENCY_MISMATCH", "The idempotency key was used for another request." },
    { 429, "RATE_LIMIT_ERROR", "Too many requests; try again later." },
    { 431, "VALIDATION_ERROR", "The headers are too large." },
    { 500, "INTERNAL_ERROR", "Something went wrong on our side." },
    { 501, "VALIDATION_ERROR", "The request asks for something that is not supported." },
    { 502, "SERVICE_UNAVAILABLE", "The service cannot answer now; try again soon." },
    { 503, "SERVICE_UNAVAILABLE", "The service cannot answer now; try again soon." },
    { 504, "SERVICE_UNAVAILABLE", "The service cannot answer now; try again soon." },
    { 505, "VALIDATION_ERROR", "The version of HTTP is not supported." },
    { 0, NULL, NULL }
};


static const ngx_http_variable_t  ngx_http_fitnudge_vars[] = {

    { ngx_string("fitnudge_request_id"), NULL, ngx_http_fitnudge_variable, 0, 0, 0 },
    { ngx_string("fitnudge_user_id"), NULL, ngx_http_fitnudge_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },
    { ngx_string("fitnudge_route"), NULL, ngx_http_fitnudge_variable, 2, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    ngx_http_null_variable
};


static ngx_http_module_t  ngx_http_fitnudge_error_module_ctx = {
    ngx_http_fitnudge_error_add_variables, /* preconfiguration */
    ngx_http_fitnudge_error_init,          /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_error_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_error_module_ctx,   /* module context */
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


ngx_int_t
ngx_http_fitnudge_error(ngx_http_request_t *r, ngx_uint_t status, const char *field,
    const char *constraint, const char *message)
{
    ngx_str_t                 body;
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);

    if (ctx == NULL
        || ngx_http_fitnudge_error_render(r, ctx, status, field, constraint, message, &body) != NGX_OK
        || ngx_http_fitnudge_error_headers(r, status) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_fitnudge_send(r, status, NULL, &body, NULL, NULL);
}


ngx_int_t
ngx_http_fitnudge_reject(ngx_http_request_t *r, ngx_uint_t status, const char *field,
    const char *constraint, const char *message)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);

    if (ctx != NULL) {
        ctx->err_status = status;
        ctx->err_field = field;
        ctx->err_constraint = constraint;
        ctx->err_message = message;
    }

    return status;
}


static const ngx_http_fitnudge_error_t *
ngx_http_fitnudge_error_find(ngx_uint_t status)
{
    const ngx_http_fitnudge_error_t  *e;

    for (e = ngx_http_fitnudge_errors; e->status != 0; e++) {
        if (e->status == status) {
            return e;
        }
    }

    return ngx_http_fitnudge_error_find(status < 500 ? 400 : 500);
}


static ngx_int_t
ngx_http_fitnudge_error_render(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    ngx_uint_t status, const char *field, const char *constraint, const char *message,
    ngx_str_t *body)
{
    char                              time[FN_RFC3339_LEN + 1];
    size_t                            size, nfield, nmessage;
    u_char                           *p;
    const ngx_http_fitnudge_error_t  *e;

    if (ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    e = ngx_http_fitnudge_error_find(status);

    if (message == NULL || *message == '\0' || !ngx_http_fitnudge_error_text_valid(message)) {
        message = e->message;
    }

    if (field != NULL && (*field == '\0' || !ngx_http_fitnudge_error_text_valid(field))) {
        field = NULL;
    }

    nmessage = ngx_strlen(message);
    nfield = field ? ngx_strlen(field) : 0;

    size = sizeof("{\"error\":{\"code\":\"\",\"message\":\"\",\"details\":{\"field\":\"\",\"constraint\":\"\"},"
                  "\"timestamp\":\"\",\"request_id\":\"\"}}")
           + ngx_strlen(e->code) + FN_RFC3339_LEN + ctx->request_id.len
           + nmessage + ngx_escape_json(NULL, (u_char *) message, nmessage)
           + (field ? nfield + ngx_escape_json(NULL, (u_char *) field, nfield) : 0)
           + (constraint ? ngx_strlen(constraint) : 0);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fn_rfc3339(time, ngx_time());

    body->data = p;

    p = ngx_slprintf(p, body->data + size, "{\"error\":{\"code\":\"%s\",\"message\":\"", e->code);
    p = (u_char *) ngx_escape_json(p, (u_char *) message, nmessage);
    p = ngx_cpymem(p, "\",\"details\":{", sizeof("\",\"details\":{") - 1);

    if (field != NULL) {
        p = ngx_cpymem(p, "\"field\":\"", sizeof("\"field\":\"") - 1);
        p = (u_char *) ngx_escape_json(p, (u_char *) field, nfield);
        *p++ = '"';
    }

    if (constraint != NULL) {
        p = ngx_slprintf(p, body->data + size, "%s\"constraint\":\"%s\"", field ? "," : "", constraint);
    }

    p = ngx_slprintf(p, body->data + size, "},\"timestamp\":\"%s\",\"request_id\":\"%V\"}}",
                     time, &ctx->request_id);

    body->len = p - body->data;

    return NGX_OK;
}


/* A name taken from the request may hold anything, but the answer is UTF-8. */

static ngx_uint_t
ngx_http_fitnudge_error_text_valid(const char *s)
{
    u_char  *p, *last;

    p = (u_char *) s;
    last = p + ngx_strlen(s);

    while (p < last) {
        if (*p < 0x80) {
            p++;
            continue;
        }

        if (ngx_utf8_decode(&p, last - p) > 0x10ffff) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_fitnudge_error_headers(ngx_http_request_t *r, ngx_uint_t status)
{
    const fn_route_match_t  *m;

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:

        if (r->headers_out.www_authenticate != NULL) {
            return NGX_OK;
        }

        if (ngx_http_fitnudge_header(r, "WWW-Authenticate", (u_char *) "Bearer", 6) != NGX_OK) {
            return NGX_ERROR;
        }

        r->headers_out.www_authenticate = (ngx_table_elt_t *) r->headers_out.headers.last->elts
                                          + r->headers_out.headers.last->nelts - 1;
        return NGX_OK;

    case NGX_HTTP_NOT_ALLOWED:

        /* when nginx refuses a method by itself, this is the first to ask for the route */
        m = ngx_http_fitnudge_route_of(r);

        return (m != NULL && m->allowed) ? ngx_http_fitnudge_allow(r) : NGX_OK;

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        break;

    default:
        return NGX_OK;
    }

    /* who limits or sheds knows better, if he has said so */

    if (ngx_http_fitnudge_error_has_header(r, "Retry-After", sizeof("Retry-After") - 1)) {
        return NGX_OK;
    }

    return ngx_http_fitnudge_header(r, "Retry-After", (u_char *) "1", 1);
}


static ngx_uint_t
ngx_http_fitnudge_error_has_header(ngx_http_request_t *r, const char *name, size_t len)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash != 0 && h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return 1;
        }
    }
}


static ngx_int_t
ngx_http_fitnudge_error_header_filter(ngx_http_request_t *r)
{
    ngx_http_fitnudge_ctx_t             *ctx;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (r->headers_out.status >= NGX_HTTP_BAD_REQUEST && !ctx->answered
        && ngx_http_fitnudge_error_replace(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_fitnudge_header(r, "X-Request-Id", ctx->request_id.data, ctx->request_id.len) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_fitnudge_error_replace(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx)
{
    ngx_uint_t  status;

    status = r->headers_out.status;

    if (ctx->err_status != status) {
        /* what was noted did not become the answer */
        ctx->err_field = NULL;
        ctx->err_constraint = NULL;
        ctx->err_message = NULL;

        /* nginx refuses these by itself, while it reads the headers */
        if (status == NGX_HTTP_BAD_REQUEST && ctx->nauthorization > 1) {
            ctx->err_field = "Authorization";
            ctx->err_constraint = "duplicate_field";
            ctx->err_message = "Only one Authorization header is allowed.";
        }
    }

    if (ngx_http_fitnudge_error_render(r, ctx, status, ctx->err_field, ctx->err_constraint,
                                       ctx->err_message, &ctx->error_body)
        != NGX_OK
        || ngx_http_fitnudge_error_headers(r, status) != NGX_OK
        || ngx_http_fitnudge_header(r, "Cache-Control", (u_char *) "no-store", 8) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    if (r->headers_out.content_encoding != NULL) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = NULL;
    }

    r->allow_ranges = 0;
    r->disable_not_modified = 1;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    r->headers_out.content_length_n = ctx->error_body.len;

    ctx->replace = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_error_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl, out;
    ngx_http_fitnudge_ctx_t  *ctx;

    if (in == NULL || r != r->main || r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_fitnudge_ctx(r);

    if (ctx == NULL || !ctx->replace) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl != NULL; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->replaced) {
        return NGX_OK;
    }

    ctx->replaced = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->error_body.data;
    b->last = b->pos + ctx->error_body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static ngx_int_t
ngx_http_fitnudge_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    switch (data) {

    case 0:
        if (ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        v->data = ctx->request_id.data;
        v->len = ctx->request_id.len;
        return NGX_OK;

    case 1:
        if (ctx->authenticated) {
            v->data = (u_char *) ctx->claims.sub;
            v->len = ngx_strlen(ctx->claims.sub);
            return NGX_OK;
        }

        break;

    default:
        if (ctx->matched && ctx->match.route != NULL) {
            v->data = (u_char *) ctx->match.route->path;
            v->len = ngx_strlen(ctx->match.route->path);
            return NGX_OK;
        }

        break;
    }

    v->valid = 0;
    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_error_add_variables(ngx_conf_t *cf)
{
    ngx_str_t                   name;
    ngx_http_variable_t        *var;
    const ngx_http_variable_t  *v;

    for (v = ngx_http_fitnudge_vars; v->name.len; v++) {
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
ngx_http_fitnudge_error_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_fitnudge_error_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_fitnudge_error_body_filter;

    return NGX_OK;
}
