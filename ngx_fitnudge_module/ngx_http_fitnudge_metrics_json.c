/*
 * The same numbers as one JSON object, for people: names and labels as in /metrics, histograms as mean and quantiles.
 * A quantile is the boundary of the bucket that it falls into.
 */
#include "ngx_http_fitnudge_metrics.h"


static void json_processes(fn_buf_t *b);
static void json_metric(fn_buf_t *b, ngx_uint_t first, const ngx_fitnudge_metric_t *row);
static void json_histogram(fn_buf_t *b, const fn_histogram_t *h);
static void json_quantile(fn_buf_t *b, const char *name, const fn_histogram_t *h, unsigned percent);
static void json_routes(fn_buf_t *b);
static void json_zones(fn_buf_t *b);


void
ngx_http_fitnudge_metrics_json(fn_buf_t *b)
{
    ngx_uint_t                    i;
    ngx_fitnudge_metrics_sum_t    sum;
    const ngx_fitnudge_metric_t  *row;

    ngx_fitnudge_metrics_sum(&sum);

    fn_buf_addf(b, "{\"version\":\"%s\",\"nginx\":\"%s\",\"uptime_s\":%" PRId64 ",\"config_loads\":%" PRIu64
                ",\"config_age_s\":%" PRId64 ",\"processes\":",
                NGX_FITNUDGE_VERSION, NGINX_VERSION, (int64_t) (ngx_time() - sum.created), sum.loads,
                (int64_t) (ngx_time() - sum.loaded));

    json_processes(b);

#if (NGX_STAT_STUB)
    fn_buf_addf(b, ",\"connections\":{\"accepted\":%" PRIu64 ",\"handled\":%" PRIu64 ",\"active\":%" PRIu64
                ",\"reading\":%" PRIu64 ",\"writing\":%" PRIu64 ",\"waiting\":%" PRIu64 "}",
                (uint64_t) *ngx_stat_accepted, (uint64_t) *ngx_stat_handled, (uint64_t) *ngx_stat_active,
                (uint64_t) *ngx_stat_reading, (uint64_t) *ngx_stat_writing, (uint64_t) *ngx_stat_waiting);
#endif

    fn_buf_adds(b, ",\"gauges\":{");

    for (i = 0; i < NGX_FITNUDGE_G_N; i++) {
        row = &ngx_fitnudge_gauge_rows[i];
        json_metric(b, i == 0, row);

        if (row->how == NGX_FITNUDGE_MAX_MS) {
            fn_buf_addf(b, "%.3f", (double) sum.gauges[i] / 1e3);

        } else {
            fn_buf_addf(b, "%" PRId64, sum.gauges[i]);
        }
    }

    fn_buf_adds(b, "},\"counters\":{");

    for (i = 0; i < NGX_FITNUDGE_M_N; i++) {
        json_metric(b, i == 0, &ngx_fitnudge_counter_rows[i]);
        fn_buf_addf(b, "%" PRIu64, sum.counters[i]);
    }

    fn_buf_adds(b, "},\"histograms\":{");

    for (i = 0; i < NGX_FITNUDGE_H_N; i++) {
        json_metric(b, i == 0, &ngx_fitnudge_histogram_rows[i]);
        json_histogram(b, &sum.histograms[i]);
    }

    fn_buf_adds(b, "},\"routes\":");
    json_routes(b);
    fn_buf_adds(b, ",\"zones\":");
    json_zones(b);
    fn_buf_adds(b, "}\n");
}


/* Gauges as they are: milliseconds where they are of time. */

static void
json_processes(fn_buf_t *b)
{
    ngx_uint_t                     i, n;
    const ngx_fitnudge_process_t  *process;

    fn_buf_adds(b, "[");

    for (i = 0, n = 0; (process = ngx_fitnudge_metrics_process(&n)) != NULL; i++, n++) {
        fn_buf_addf(b, "%s{\"number\":%u,\"pid\":%" PRIu64 ",\"uptime_s\":%" PRId64 ",\"postgres_ready\":%" PRId64
                    ",\"redis_ready\":%" PRId64 ",\"changes_subscribed\":%s,\"event_loop_lag_ms\":%" PRId64 "}",
                    i == 0 ? "" : ",", (unsigned) n, process->pid,
                    (int64_t) (ngx_time() - (time_t) process->started),
                    process->gauges[NGX_FITNUDGE_G_POSTGRES_READY],
                    process->gauges[NGX_FITNUDGE_G_REDIS_COMMANDS] + process->gauges[NGX_FITNUDGE_G_REDIS_REPLIES]
                    + process->gauges[NGX_FITNUDGE_G_REDIS_CHANGES],
                    process->gauges[NGX_FITNUDGE_G_CHANGES_SUBSCRIBED] ? "true" : "false",
                    process->gauges[NGX_FITNUDGE_G_LOOP_LAG]);
    }

    fn_buf_adds(b, "]");
}


/* The member's name: name{labels}. */

static void
json_metric(fn_buf_t *b, ngx_uint_t first, const ngx_fitnudge_metric_t *row)
{
    int   n;
    char  text[256];

    n = snprintf(text, sizeof(text), *row->labels ? "%s{%s}" : "%s%s", row->name, row->labels);

    fn_buf_adds(b, first ? "" : ",");
    fn_buf_add_json_string(b, text, (size_t) ngx_min(n, (int) sizeof(text) - 1));
    fn_buf_adds(b, ":");
}


static void
json_histogram(fn_buf_t *b, const fn_histogram_t *h)
{
    uint64_t  n;

    n = fn_histogram_count(h);

    fn_buf_addf(b, "{\"count\":%" PRIu64 ",\"mean_ms\":%.3f", n, n ? (double) h->sum_ns / (double) n / 1e6 : 0);
    json_quantile(b, "p50_ms", h, 50);
    json_quantile(b, "p95_ms", h, 95);
    json_quantile(b, "p99_ms", h, 99);
    fn_buf_adds(b, "}");
}


static void
json_quantile(fn_buf_t *b, const char *name, const fn_histogram_t *h, unsigned percent)
{
    uint64_t  ns;

    ns = fn_histogram_quantile(h, percent);

    /* none, or above all boundaries */
    if (ns == 0 || ns == UINT64_MAX) {
        fn_buf_addf(b, ",\"%s\":null", name);

    } else {
        fn_buf_addf(b, ",\"%s\":%g", name, (double) ns / 1e6);
    }
}


static void
json_routes(fn_buf_t *b)
{
    ngx_uint_t                    i, k, n, first;
    ngx_fitnudge_route_metrics_t  row;

    fn_buf_adds(b, "[");

    for (i = 0, n = 0; i < NGX_FITNUDGE_ROUTES_N; i++) {
        ngx_fitnudge_metrics_route(i, &row);

        if (fn_histogram_count(&row.duration) == 0) {
            continue;
        }

        fn_buf_addf(b, "%s{\"method\":\"%s\",\"route\":\"%s\",\"statuses\":{", n++ == 0 ? "" : ",",
                    i < fn_routes_n ? fn_method_names[fn_routes[i].method] : "_OTHER",
                    i < fn_routes_n ? fn_routes[i].path : i == NGX_FITNUDGE_ROUTE_UNMATCHED ? "unmatched" : "other");

        for (k = 0, first = 1; k < FN_STATUSES_N; k++) {
            if (row.statuses[k] == 0) {
                continue;
            }

            if (k == FN_STATUS_OTHER) {
                fn_buf_addf(b, "%s\"other\":%" PRIu64, first ? "" : ",", row.statuses[k]);

            } else {
                fn_buf_addf(b, "%s\"%u\":%" PRIu64, first ? "" : ",", (unsigned) fn_statuses[k], row.statuses[k]);
            }

            first = 0;
        }

        fn_buf_adds(b, "},\"duration\":");
        json_histogram(b, &row.duration);
        fn_buf_adds(b, "}");
    }

    fn_buf_adds(b, "]");
}


static void
json_zones(fn_buf_t *b)
{
    uint64_t                             value;
    ngx_uint_t                           n, first;
    ngx_http_fitnudge_zone_t             zone;
    const ngx_http_fitnudge_zone_row_t  *row;

    fn_buf_adds(b, "{");

    for (n = 0, first = 1; ngx_http_fitnudge_metrics_next_zone(&n, &zone); first = 0) {
        fn_buf_adds(b, first ? "" : ",");
        fn_buf_add_json_string(b, (const char *) zone.name->data, zone.name->len);
        fn_buf_adds(b, ":{");

        for (row = ngx_http_fitnudge_zone_rows; row->key != NULL; row++) {
            value = ngx_http_fitnudge_zone_number(&zone, row);

            if (value != NGX_HTTP_FITNUDGE_ZONE_NONE) {
                fn_buf_addf(b, "%s\"%s\":%" PRIu64, row == ngx_http_fitnudge_zone_rows ? "" : ",", row->key, value);
            }
        }

        fn_buf_adds(b, "}");
    }

    fn_buf_adds(b, "}");
}
