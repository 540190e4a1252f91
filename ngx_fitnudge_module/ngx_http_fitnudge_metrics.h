/* What the files of the metrics module have in common. */
#ifndef NGX_HTTP_FITNUDGE_METRICS_H
#define NGX_HTTP_FITNUDGE_METRICS_H

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"

/* Append everything that is known: in Prometheus' text format 0.0.4, and as one JSON object. */
void ngx_http_fitnudge_metrics_text(fn_buf_t *b);
void ngx_http_fitnudge_metrics_json(fn_buf_t *b);

/* A zone of the running configuration. */
typedef struct {
    const ngx_str_t  *name;
    size_t            size;
    size_t            free;         /* in whole pages */
    uint64_t          failures;     /* allocations for which there was no room */
} ngx_http_fitnudge_zone_t;

/* The zone numbered *n or the next there is, *n is set behind it. 0: there are no more. */
ngx_uint_t ngx_http_fitnudge_metrics_next_zone(ngx_uint_t *n, ngx_http_fitnudge_zone_t *zone);

#endif
