/* What the process says of itself: health for balancers and people, and the OpenAPI document of its routes. */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_http_fitnudge_maintenance.h"
#include "../worker/libfitnudge/fn_time.h"


#define OPENAI_BASE_URL  "https://api.openai.com/v1"


static const char *ngx_http_fitnudge_health_openai(const fn_settings_t *s);
static ngx_int_t ngx_http_fitnudge_health_maintenance(ngx_http_request_t *r, ngx_str_t *json);


ngx_int_t
ngx_http_fitnudge_health_handler(ngx_http_request_t *r)
{
    char                                  time[FN_RFC3339_LEN + 1];
    u_char                               *p;
    ngx_str_t                             body, maintenance;
    ngx_uint_t                            pg, redis, status;
    const char                           *function, *state;
    const fn_route_match_t               *m;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    m = ngx_http_fitnudge_route_of(r);
    fmcf = ngx_http_fitnudge_main_conf(r);

    function = m->route->function;

    if (ngx_strcmp(function, "live") == 0) {
        ngx_str_set(&body, "{\"status\":\"alive\"}");
        return ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, &body, 0);
    }

    pg = ngx_fitnudge_pg_up();
    redis = ngx_fitnudge_redis_up();

    state = (pg && redis) ? "healthy" : (pg || redis) ? "degraded" : "unhealthy";

    if (ngx_http_fitnudge_health_maintenance(r, &maintenance) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (maintenance.len > 0 && ngx_strcmp(function, "ready") == 0) {
        state = "maintenance";
    }

    body.data = ngx_pnalloc(r->pool, 256 + maintenance.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    fn_rfc3339(time, ngx_time());

    p = ngx_snprintf(body.data, 256 + maintenance.len,
                     "{\"status\":\"%s\",\"timestamp\":\"%s\",\"services\":"
                     "{\"database\":\"%s\",\"redis\":\"%s\",\"openai\":\"%s\"}%V}",
                     state, time, pg ? "healthy" : "unhealthy", redis ? "healthy" : "unhealthy",
                     ngx_http_fitnudge_health_openai(&fmcf->settings), &maintenance);

    body.len = p - body.data;

    status = NGX_HTTP_OK;

    /*
     * In maintenance mode the process can serve what there is to serve, whatever is switched off meanwhile: a balancer
     * that took it out would answer with an error of its own instead of the notice.
     */
    if (ngx_strcmp(function, "ready") == 0 && !(pg && redis) && maintenance.len == 0) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;

        if (ngx_http_fitnudge_header(r, "Retry-After", (u_char *) "1", 1) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_fitnudge_send_json(r, status, &body, 0);
}


/* A member to append, or nothing. */

static ngx_int_t
ngx_http_fitnudge_health_maintenance(ngx_http_request_t *r, ngx_str_t *json)
{
    char               since[FN_RFC3339_LEN + 1], until[FN_RFC3339_LEN + 1];
    size_t             size;
    u_char            *p;
    fn_maintenance_t   m;

    ngx_str_null(json);

    if (!ngx_http_fitnudge_maintenance(r, &m)) {
        return NGX_OK;
    }

    fn_rfc3339(since, m.since_s);
    fn_rfc3339(until, m.until_s);

    size = sizeof(",\"maintenance\":{\"message\":\"\",\"since\":\"\",\"until\":\"\"}") + 2 * FN_RFC3339_LEN
           + m.len + ngx_escape_json(NULL, (u_char *) m.message, m.len);

    json->data = ngx_pnalloc(r->pool, size);
    if (json->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_slprintf(json->data, json->data + size, ",\"maintenance\":{\"message\":\"");
    p = (u_char *) ngx_escape_json(p, (u_char *) m.message, m.len);
    p = ngx_slprintf(p, json->data + size, m.since_s ? "\",\"since\":\"%s\"" : "\",\"since\":null", since);
    p = ngx_slprintf(p, json->data + size, m.until_s ? ",\"until\":\"%s\"}" : ",\"until\":null}", until);
    json->len = (size_t) (p - json->data);

    return NGX_OK;
}


/* A compatible service of one's own needs no key. */

static const char *
ngx_http_fitnudge_health_openai(const fn_settings_t *s)
{
    if (s->openai_api_key == NULL
        && (s->openai_base_url == NULL || ngx_strcmp(s->openai_base_url, OPENAI_BASE_URL) == 0))
    {
        return "not_configured";
    }

    return "configured";
}


ngx_int_t
ngx_http_fitnudge_openapi_handler(ngx_http_request_t *r)
{
    ngx_str_t  body, etag;

    /* the same for all configurations, so made once a process and never freed */
    static fn_buf_t         document = FN_BUF_INIT;
    static u_char           tag[NGX_FITNUDGE_ETAG_LEN];
    static const ngx_str_t  cache = ngx_string("public, max-age=300");

    if (document.len == 0) {
        if (fn_openapi_write(&document) != 0 || document.failed) {
            fn_buf_free(&document);
            return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
        }

        ngx_http_fitnudge_etag(tag, (u_char *) document.data, document.len);
    }

    body.data = (u_char *) document.data;
    body.len = document.len;
    etag.data = tag;
    etag.len = sizeof(tag);

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, NULL, &body, &etag, &cache);
}
