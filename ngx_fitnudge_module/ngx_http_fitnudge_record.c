/*
 * After a search: the job that notes what was asked and how much was found.  A read writes nothing, so the edge, which has given the answer,
 * queues the writing.  Nobody waits for it, and a search that cannot be noted is still answered.
 *
 * Called by who has an answer of PostgreSQL in hand.  What came out of the cache is a user looking at the same results again.
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_http_fitnudge_query.h"


#define TOTAL  "\"total\":"


static ngx_int_t ngx_http_fitnudge_record_total(const ngx_str_t *body, uint64_t *total);
static ngx_uint_t ngx_http_fitnudge_record_first_page(const fn_field_t *f, const char *const *values);


void
ngx_http_fitnudge_record(ngx_http_request_t *r, const ngx_str_t *answer)
{
    fn_buf_t                      body = FN_BUF_INIT;
    uint64_t                      total;
    ngx_int_t                     rc;
    const fn_route_match_t       *m;
    ngx_http_fitnudge_forward_t  *fw;

    m = ngx_http_fitnudge_route_of(r);

    if (m == NULL || !(m->route->flags & FN_R_RECORDED) || ngx_http_fitnudge_record_total(answer, &total) != NGX_OK) {
        return;
    }

    fw = ngx_pcalloc(r->pool, sizeof(ngx_http_fitnudge_forward_t));
    if (fw == NULL || ngx_http_fitnudge_params(r, m, fw->values, &rc) != NGX_OK
        || !ngx_http_fitnudge_record_first_page(m->route->params, fw->values))
    {
        return;
    }

    fn_buf_addf(&body, "{\"search\":\"%s\",\"results\":%llu}", m->route->function, (unsigned long long) total);
    ngx_http_fitnudge_tell(r, fw, m->route, "search.record", &body);
    fn_buf_free(&body);
}


/* It is the last member of the last object. */

static ngx_int_t
ngx_http_fitnudge_record_total(const ngx_str_t *body, uint64_t *total)
{
    u_char  *p;
    size_t   n;

    for (n = 0; n < body->len && n < 2 && body->data[body->len - n - 1] == '}'; n++) { /* void */ }

    p = body->data + body->len - n;

    while (p > body->data && p[-1] >= '0' && p[-1] <= '9') {
        p--;
    }

    n = (size_t) (body->data + body->len - n - p);

    if (n == 0 || n > 9 || (size_t) (p - body->data) < sizeof(TOTAL) - 1
        || ngx_memcmp(p - (sizeof(TOTAL) - 1), TOTAL, sizeof(TOTAL) - 1) != 0)
    {
        return NGX_DECLINED;
    }

    *total = (uint64_t) ngx_atoi(p, n);

    return NGX_OK;
}


/* Who turns the page does not search again. */

static ngx_uint_t
ngx_http_fitnudge_record_first_page(const fn_field_t *f, const char *const *values)
{
    ngx_uint_t  i;

    for (i = 0; f != NULL && f[i].name != NULL; i++) {
        if (ngx_strcmp(f[i].name, "page") == 0) {
            return values[i] != NULL && ngx_strcmp(values[i], "1") == 0;
        }
    }

    return 1;
}
