/*
 * What the rate limits do with a request, in the preaccess phase: after the token was read and before anybody acts on it.
 *
 * The route says which classes a request counts in; who has no valid token counts as an address, whatever
 * the route. All classes of a request are taken together or not at all.  Every answer says how much is left of the one
 * that will be used up first.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_http_fitnudge_limit.h"


#define TAKES_MAX       3

#define S_IN(ns)        (((ns) + FN_NS_PER_S - 1) / FN_NS_PER_S)


static ngx_uint_t ngx_http_fitnudge_limit_classes(const fn_route_match_t *m, const ngx_http_fitnudge_ctx_t *ctx, ngx_uint_t *classes);
static ngx_int_t ngx_http_fitnudge_limit_prepare(ngx_http_request_t *r, const ngx_http_fitnudge_limit_main_conf_t *lmcf,
    ngx_uint_t class, ngx_fitnudge_limit_take_t *take);
static ngx_int_t ngx_http_fitnudge_limit_rate(ngx_http_request_t *r, const ngx_http_fitnudge_limit_class_t *c, ngx_uint_t class,
    fn_rate_t *rate);
static size_t ngx_http_fitnudge_limit_address(const struct sockaddr *sa, u_char *key);
static ngx_uint_t ngx_http_fitnudge_limit_binding(const ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, ngx_uint_t admitted);
static ngx_int_t ngx_http_fitnudge_limit_headers(ngx_http_request_t *r, const ngx_http_fitnudge_limit_main_conf_t *lmcf,
    const ngx_uint_t *classes, const ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, ngx_uint_t binding, ngx_uint_t refused);


static const ngx_str_t  ngx_http_fitnudge_limit_statuses[] = {
    ngx_null_string,
    ngx_string("PASSED"),
    ngx_string("REJECTED"),
    ngx_string("REJECTED_DRY_RUN"),
    ngx_string("BYPASSED")
};


ngx_int_t
ngx_http_fitnudge_limit_handler(ngx_http_request_t *r)
{
    uint64_t                                    evicted;
    ngx_int_t                                   rc;
    ngx_uint_t                                  i, n, nclasses, admitted, binding, classes[TAKES_MAX];
    const fn_route_match_t                     *m;
    ngx_http_fitnudge_ctx_t                    *ctx;
    ngx_fitnudge_limit_take_t                   takes[TAKES_MAX];
    const ngx_http_fitnudge_loc_conf_t         *flcf;
    const ngx_http_fitnudge_limit_loc_conf_t   *llcf;
    const ngx_http_fitnudge_limit_main_conf_t  *lmcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);
    llcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_limit_module);

    if (!flcf->enable || !llcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* an internal redirect is the same request */
    if (ctx->limit_status != STATUS_NONE) {
        return NGX_DECLINED;
    }

    /* a browser asks before each request of a web page, which cannot make it ask less often */
    if (r->method == NGX_HTTP_OPTIONS && ctx->origin.len != 0 && ctx->request_method) {
        return NGX_DECLINED;
    }

    nclasses = ngx_http_fitnudge_limit_classes(m, ctx, classes);

    if (nclasses == 0) {
        return NGX_DECLINED;
    }

    if (llcf->bypass != NULL && ngx_http_test_predicates(r, llcf->bypass) == NGX_DECLINED) {
        ctx->limit_status = STATUS_BYPASSED;
        ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_BYPASSED, 1);
        return NGX_DECLINED;
    }

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_limit_module);

    for (i = 0, n = 0; i < nclasses; i++) {
        rc = ngx_http_fitnudge_limit_prepare(r, lmcf, classes[i], &takes[n]);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc == NGX_OK) {
            classes[n++] = classes[i];
        }
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    admitted = ngx_fitnudge_limit_take(takes, n, &evicted);

    if (evicted) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_EVICTED, evicted);
    }

    binding = ngx_http_fitnudge_limit_binding(takes, n, admitted);

    ctx->limit_status = admitted ? STATUS_PASSED : llcf->dry_run ? STATUS_REJECTED_DRY_RUN : STATUS_REJECTED;
    ctx->limit_class = classes[binding];
    ctx->limit_remaining = takes[binding].answer.remaining;

    if (ngx_http_fitnudge_limit_headers(r, lmcf, classes, takes, n, binding, ctx->limit_status == STATUS_REJECTED) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (admitted) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_PASSED, 1);
        return NGX_DECLINED;
    }

    ngx_fitnudge_count(ngx_http_fitnudge_limit_defaults[classes[binding]].refused, 1);

    ngx_log_error(llcf->log_level, r->connection->log, 0, "fitnudge: limiting requests%s by \"%s\", next one in %uL s",
                  llcf->dry_run ? ", dry run," : "", ngx_http_fitnudge_limit_defaults[classes[binding]].name,
                  S_IN(takes[binding].answer.retry_ns));

    if (llcf->dry_run) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_DRY_RUN, 1);
        return NGX_DECLINED;
    }

    ngx_fitnudge_count(NGX_FITNUDGE_M_LIMIT_REJECTED, 1);

    return ngx_http_fitnudge_reject(r, llcf->status, NULL, ngx_http_fitnudge_limit_defaults[classes[binding]].name, NULL);
}


/* The classes that a request counts in, in their order. */

static ngx_uint_t
ngx_http_fitnudge_limit_classes(const fn_route_match_t *m, const ngx_http_fitnudge_ctx_t *ctx, ngx_uint_t *classes)
{
    ngx_uint_t  n = 0;
    fn_limit_e  limit;

    /* who looks for paths that there are not is somebody, too */
    limit = m->route != NULL ? m->route->limit : FN_LIMIT_ANONYMOUS;

    if (limit == FN_LIMIT_NONE) {
        return 0;
    }

    if (limit == FN_LIMIT_ANONYMOUS || limit == FN_LIMIT_AUTH || !ctx->authenticated) {
        classes[n++] = CLASS_ANONYMOUS;

        if (limit == FN_LIMIT_AUTH) {
            classes[n++] = CLASS_AUTH;
        }

        return n;
    }

    classes[n++] = CLASS_USER;
    classes[n++] = CLASS_USER_HOUR;

    if (limit == FN_LIMIT_AI) {
        classes[n++] = CLASS_AI;

    } else if (limit == FN_LIMIT_UPLOAD) {
        classes[n++] = CLASS_UPLOADS;
    }

    return n;
}


/* Rate and key. NGX_DECLINED: this class does not limit this request. */

static ngx_int_t
ngx_http_fitnudge_limit_prepare(ngx_http_request_t *r, const ngx_http_fitnudge_limit_main_conf_t *lmcf, ngx_uint_t class,
    ngx_fitnudge_limit_take_t *take)
{
    u_char                                  address[16];
    ngx_str_t                               key;
    XXH128_hash_t                           hash;
    const ngx_http_fitnudge_ctx_t          *ctx;
    const ngx_http_fitnudge_limit_class_t  *c;

    c = &lmcf->classes[class];

    if (c->zone == NULL) {
        return NGX_DECLINED;
    }

    if (c->key != NULL) {
        if (ngx_http_complex_value(r, c->key, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key.len == 0) {
            return NGX_DECLINED;
        }

    } else if (ngx_http_fitnudge_limit_defaults[class].by_user) {
        ctx = ngx_http_fitnudge_ctx(r);
        key.data = (u_char *) ctx->claims.sub;
        key.len = ngx_strlen(ctx->claims.sub);

    } else {
        key.data = address;
        key.len = ngx_http_fitnudge_limit_address(r->connection->sockaddr, address);
    }

    hash = XXH3_128bits_withSeed(key.data, key.len, lmcf->seed);

    take->key.hi = hash.high64;
    take->key.lo = hash.low64;
    take->zone = c->zone;

    if (c->rate_value == NULL) {
        take->rate = c->rate;
        return NGX_OK;
    }

    return ngx_http_fitnudge_limit_rate(r, c, class, &take->rate);
}


/* A rate with variables: an empty one does not limit, and one that is none is the product's. */

static ngx_int_t
ngx_http_fitnudge_limit_rate(ngx_http_request_t *r, const ngx_http_fitnudge_limit_class_t *c, ngx_uint_t class,
    fn_rate_t *rate)
{
    ngx_str_t      value;
    static time_t  complain;

    if (ngx_http_complex_value(r, c->rate_value, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_DECLINED;
    }

    if (fn_rate_parse(rate, (const char *) value.data, value.len) != 0
        || (c->strict && rate->limit > FN_RATE_STRICT_MAX))
    {
        *rate = c->rate;

        if (ngx_time() >= complain) {
            complain = ngx_time() + 60;
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "fitnudge: invalid rate \"%V\" of \"fitnudge_limit_%s\", \"%s\" is used",
                          &value, ngx_http_fitnudge_limit_defaults[class].name, ngx_http_fitnudge_limit_defaults[class].rate);
        }

        return NGX_OK;
    }

    if (c->burst) {
        fn_rate_set_burst(rate, (uint32_t) c->burst);
    }

    return NGX_OK;
}


/* What a client can choose freely is no part of the key: of an IPv6 address the first 64 bits are. */

static size_t
ngx_http_fitnudge_limit_address(const struct sockaddr *sa, u_char *key)
{
#if (NGX_HAVE_INET6)
    const struct in6_addr  *in6;
#endif

    switch (sa->sa_family) {

    case AF_INET:
        key[0] = '4';
        ngx_memcpy(key + 1, &((const struct sockaddr_in *) sa)->sin_addr, 4);
        return 5;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        in6 = &((const struct sockaddr_in6 *) sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            key[0] = '4';
            ngx_memcpy(key + 1, &in6->s6_addr[12], 4);
            return 5;
        }

        key[0] = '6';
        ngx_memcpy(key + 1, in6->s6_addr, 8);
        return 9;
#endif

    default:
        key[0] = 'u';
        return 1;
    }
}


/* The limit that the answer speaks of: who refuses longest, or of whom the fewest requests are left. */

static ngx_uint_t
ngx_http_fitnudge_limit_binding(const ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, ngx_uint_t admitted)
{
    ngx_uint_t  i, best;

    best = 0;

    for (i = 1; i < n; i++) {
        if (admitted ? takes[i].answer.remaining < takes[best].answer.remaining
                     : takes[i].answer.retry_ns > takes[best].answer.retry_ns)
        {
            best = i;
        }
    }

    return best;
}


/* docs/api.md, and draft-ietf-httpapi-ratelimit-headers. All values are written into one piece of memory. */

static ngx_int_t
ngx_http_fitnudge_limit_headers(ngx_http_request_t *r, const ngx_http_fitnudge_limit_main_conf_t *lmcf,
    const ngx_uint_t *classes, const ngx_fitnudge_limit_take_t *takes, ngx_uint_t n, ngx_uint_t binding, ngx_uint_t refused)
{
    u_char                                 *p, *start;
    size_t                                  size;
    uint64_t                                retry, reset;
    ngx_str_t                               limit;
    ngx_uint_t                              i;
    const char                             *name;
    const fn_limit_answer_t                *a;
    const ngx_http_fitnudge_limit_class_t  *c;

    c = &lmcf->classes[classes[binding]];
    a = &takes[binding].answer;
    name = ngx_http_fitnudge_limit_defaults[classes[binding]].name;

    retry = S_IN(a->retry_ns);

    /* when both are there, they speak of the same moment */
    reset = a->admitted ? S_IN(a->reset_ns) : retry;

    size = 6 * NGX_INT64_LEN + sizeof("\"user_hour\";r=;t=") + n * (sizeof(", \"user_hour\";q=;w=") + 2 * NGX_INT32_LEN);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (c->rate_value == NULL) {
        limit = c->limit;

    } else {
        limit.data = p;
        p = ngx_sprintf(p, "%uD", takes[binding].rate.limit);
        limit.len = (size_t) (p - limit.data);
    }

    if (ngx_http_fitnudge_header(r, "RateLimit-Limit", limit.data, limit.len) != NGX_OK) {
        return NGX_ERROR;
    }

    start = p;
    p = ngx_sprintf(p, "%uD", a->remaining);

    if (ngx_http_fitnudge_header(r, "RateLimit-Remaining", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_ERROR;
    }

    start = p;
    p = ngx_sprintf(p, "%uL", reset);

    if (ngx_http_fitnudge_header(r, "RateLimit-Reset", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the text of the number is that of Retry-After as well */
    if (refused && ngx_http_fitnudge_header(r, "Retry-After", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_ERROR;
    }

    start = p;
    p = ngx_sprintf(p, "\"%s\";r=%uD;t=%uL", name, a->remaining, reset);

    if (ngx_http_fitnudge_header(r, "RateLimit", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_ERROR;
    }

    start = p;

    for (i = 0; i < n; i++) {
        if (i > 0) {
            *p++ = ',';
            *p++ = ' ';
        }

        c = &lmcf->classes[classes[i]];

        if (c->rate_value == NULL) {
            p = ngx_cpymem(p, c->policy.data, c->policy.len);

        } else {
            p = ngx_sprintf(p, "\"%s\";q=%uD;w=%uD", ngx_http_fitnudge_limit_defaults[classes[i]].name,
                            takes[i].rate.limit, takes[i].rate.period_s);
        }
    }

    return ngx_http_fitnudge_header(r, "RateLimit-Policy", start, (size_t) (p - start));
}


ngx_int_t
ngx_http_fitnudge_limit_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                         *p;
    const ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (data == 3) {
        if (ctx->authenticated && ctx->claims.plan[0] != '\0') {
            v->data = (u_char *) ctx->claims.plan;
            v->len = ngx_strlen(ctx->claims.plan);
            return NGX_OK;
        }

    } else if (data == 0) {
        if (ctx->limit_status != STATUS_NONE) {
            v->data = ngx_http_fitnudge_limit_statuses[ctx->limit_status].data;
            v->len = ngx_http_fitnudge_limit_statuses[ctx->limit_status].len;
            return NGX_OK;
        }

    } else if (ctx->limit_status != STATUS_NONE && ctx->limit_status != STATUS_BYPASSED) {
        if (data == 1) {
            v->data = (u_char *) ngx_http_fitnudge_limit_defaults[ctx->limit_class].name;
            v->len = ngx_strlen(v->data);
            return NGX_OK;
        }

        p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = (unsigned) (ngx_sprintf(p, "%ui", ctx->limit_remaining) - p);
        return NGX_OK;
    }

    v->valid = 0;
    v->not_found = 1;

    return NGX_OK;
}
