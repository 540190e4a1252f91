/* Who may answer a read: the primary, a replica, or the connections of slow statements. */
#include "ngx_http_fitnudge.h"
#include "ngx_http_fitnudge_query.h"
#include "ngx_fitnudge_shm.h"


#define TAG_MAX  256


static ngx_uint_t ngx_http_fitnudge_target_settled(const char *tags, const fn_route_match_t *m, const char *user,
    const char *const *values, ngx_msec_t ms);
static const char *ngx_http_fitnudge_target_param(const fn_route_match_t *m, const char *name, size_t len,
    const char *const *values);


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
        || !ngx_http_fitnudge_target_settled(route->cache.tags, m, ctx->authenticated ? ctx->claims.sub : NULL,
                                             values, sticky))
    {
        return NGX_FITNUDGE_PG_PRIMARY;
    }

    return NGX_FITNUDGE_PG_REPLICA_OK;
}


/* 1 when none of the tags was bumped within `ms`; 0 also for a tag that cannot be told. */
static ngx_uint_t
ngx_http_fitnudge_target_settled(const char *tags, const fn_route_match_t *m, const char *user,
    const char *const *values, ngx_msec_t ms)
{
    u_char      *p, *last, tag[TAG_MAX];
    size_t       n;
    const char  *s, *text;

    s = tags;
    last = tag + sizeof(tag);

    for ( ;; ) {
        s += strspn(s, " ");
        if (*s == '\0') {
            return 1;
        }

        for (p = tag; *s != '\0' && *s != ' '; s += n) {
            text = s;
            n = 1;

            if (*s == '@') {
                text = user;

            } else if (*s == '{') {
                n = strcspn(s, "}");
                text = s[n] == '}' ? ngx_http_fitnudge_target_param(m, s + 1, n - 1, values) : NULL;
                n++;
            }

            if (text == NULL) {
                return 0;
            }

            if (text != s) {
                p = ngx_cpystrn(p, (u_char *) text, last - p);

            } else if (p < last) {
                *p++ = (u_char) *s;
            }

            if (last - p < 2) {
                return 0;
            }
        }

        if (ngx_fitnudge_shm_bumped_within(tag, p - tag, ms)) {
            return 0;
        }
    }
}


/* The value of a parameter, as it was validated. */
static const char *
ngx_http_fitnudge_target_param(const fn_route_match_t *m, const char *name, size_t len, const char *const *values)
{
    ngx_uint_t         i;
    const fn_field_t  *f;

    f = m->route->params;

    if (f == NULL) {
        return NULL;
    }

    for (i = 0; f[i].name != NULL; i++) {
        if (ngx_strlen(f[i].name) == len && ngx_memcmp(f[i].name, name, len) == 0) {
            return values[i];
        }
    }

    return NULL;
}
