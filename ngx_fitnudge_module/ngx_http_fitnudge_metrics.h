/* What the files of the metrics module have in common. */
#ifndef NGX_HTTP_FITNUDGE_METRICS_H
#define NGX_HTTP_FITNUDGE_METRICS_H

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"

/* Append everything that is known: in Prometheus' text format 0.0.4, and as one JSON object. */
void ngx_http_fitnudge_metrics_text(fn_buf_t *b);
void ngx_http_fitnudge_metrics_json(fn_buf_t *b);

/* A zone of the running configuration, and what is known of it: NGX_HTTP_FITNUDGE_ZONE_NONE where it has no such number. */
typedef struct {
    const ngx_str_t  *name;
    uint64_t          size;
    uint64_t          free;         /* in whole pages */
    uint64_t          failures;     /* allocations for which there was no room */

    /* of the cache and of the limits, who divide up their zones themselves */
    uint64_t          used;         /* bytes */
    uint64_t          entries;
    uint64_t          resets;       /* of the cache */
} ngx_http_fitnudge_zone_t;

#define NGX_HTTP_FITNUDGE_ZONE_NONE  UINT64_MAX

/* A number of a zone: how it is shown. */
typedef struct {
    const char       *key;          /* in JSON */
    const char       *name;         /* in the text format */
    const char       *type;
    const char       *help;
    size_t            offset;       /* in ngx_http_fitnudge_zone_t */
} ngx_http_fitnudge_zone_row_t;

/* The last one has no key. */
extern const ngx_http_fitnudge_zone_row_t  ngx_http_fitnudge_zone_rows[];

uint64_t ngx_http_fitnudge_zone_number(const ngx_http_fitnudge_zone_t *zone, const ngx_http_fitnudge_zone_row_t *row);

/* The zone numbered *n or the next there is, *n is set behind it. 0: there are no more. */
ngx_uint_t ngx_http_fitnudge_metrics_next_zone(ngx_uint_t *n, ngx_http_fitnudge_zone_t *zone);

#endif
