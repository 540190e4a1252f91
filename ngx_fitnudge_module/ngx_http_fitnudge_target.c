/* Who may answer a read: the primary, a replica, or the connections of slow statements. */
#include "ngx_http_fitnudge.h"
#include "ngx_http_fitnudge_query.h"
#include "ngx_fitnudge_shm.h"


static ngx_uint_t ngx_http_fitnudge_target_settled(const fn_route_t *route, const char *user, const char *const *values, ngx_msec_t ms);


/*
 * What a user has just changed, he reads from the primary, on this edge at once and on the others as soon as they have heard of it;
 * ngx_fitnudge_pg_lag.c says why that is long enough.
 */
ngx_fitnudge_pg_target_e
ngx_http_fitnudge_target(ngx_http_request_t *r, const fn_route_match_t *m, const char *const *values)
{
    ngx_msec_t                      sticky;
    const fn_route_t               *route = m->route;
    const ngx_http_fitnudge_ctx_t  *ctx;

    if (route->flags & FN_R_SLOW) {
        return NGX_FITNUDGE_PG_SLOW;
    }

    if (!(route->flags & FN_R_REPLICA) || route->cache.tags == NULL) {
        return NGX_FITNUDGE_PG_PRIMARY;
    }

    sticky = ngx_fitnudge_pg_sticky();
    ctx = ngx_http_fitnudge_ctx(r);

    if (sticky == 0 || ctx == NULL
        || !ngx_http_fitnudge_target_settled(route, ctx->authenticated ? ctx->claims.sub : NULL, values, sticky))
    {
        return NGX_FITNUDGE_PG_PRIMARY;
    }

    return NGX_FITNUDGE_PG_REPLICA_OK;
}


/* 1 when none of the tags was bumped within `ms`; 0 also for a tag that cannot be told. */
static ngx_uint_t
ngx_http_fitnudge_target_settled(const fn_route_t *route, const char *user, const char *const *values, ngx_msec_t ms)
{
    int          n;
    char         tag[FN_TAG_MAX];
    const char  *tags = route->cache.tags;

    while ((n = fn_route_tag(route, &tags, user, values, tag)) > 0) {
        if (ngx_fitnudge_shm_bumped_within((u_char *) tag, (size_t) n, ms)) {
            return 0;
        }
    }

    return n == 0;
}
