/*
 * Everything that is known in Prometheus' text format, version 0.0.4.  Requests by route appear when
 * there was one: a series for each status of each route would be thousands of zeros.
 */
#include "ngx_http_fitnudge_metrics.h"


/* Families that are no rows of the tables. */

#define REQUESTS          "fitnudge_http_requests_total"
#define REQUESTS_HELP     "Requests by route and status; HEAD counts as GET."
#define DURATION          "http_server_request_duration_seconds"
#define DURATION_HELP     "From the whole header of a request to the end of its answer."


static void text_family(fn_buf_t *b, const char *name, const char *type, const char *help);
static void text_rows(fn_buf_t *b, const ngx_fitnudge_metrics_sum_t *sum);
static void text_requests(fn_buf_t *b);
static void text_route_labels(fn_buf_t *b, ngx_uint_t route);
static void text_histogram(fn_buf_t *b, const char *name, const char *labels, const fn_histogram_t *h);
static void text_seconds(fn_buf_t *b, uint64_t ns);
static void text_number(fn_buf_t *b, const char *name, const char *type, const char *help, int64_t value);
static void text_process(fn_buf_t *b, const ngx_fitnudge_metrics_sum_t *sum);
static void text_connections(fn_buf_t *b);
static void text_zones(fn_buf_t *b);
static void text_label_value(fn_buf_t *b, const u_char *p, size_t n);


void
ngx_http_fitnudge_metrics_text(fn_buf_t *b)
{
    ngx_fitnudge_metrics_sum_t  sum;

    ngx_fitnudge_metrics_sum(&sum);

    text_process(b, &sum);
    text_requests(b);
    text_rows(b, &sum);
    text_connections(b);
    text_zones(b);
}


static void
text_family(fn_buf_t *b, const char *name, const char *type, const char *help)
{
    fn_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}


static void
text_rows(fn_buf_t *b, const ngx_fitnudge_metrics_sum_t *sum)
{
    ngx_uint_t                    i;
    const ngx_fitnudge_metric_t  *row;

    for (i = 0; i < NGX_FITNUDGE_M_N; i++) {
        row = &ngx_fitnudge_counter_rows[i];

        if (i == 0 || ngx_strcmp(row->name, row[-1].name) != 0) {
            text_family(b, row->name, "counter", row->help);
        }

        fn_buf_addf(b, *row->labels ? "%s{%s} %" PRIu64 "\n" : "%s%s %" PRIu64 "\n", row->name, row->labels,
                    sum->counters[i]);
    }

    for (i = 0; i < NGX_FITNUDGE_H_N; i++) {
        row = &ngx_fitnudge_histogram_rows[i];

        if (i == 0 || ngx_strcmp(row->name, row[-1].name) != 0) {
            text_family(b, row->name, "histogram", row->help);
        }

        text_histogram(b, row->name, row->labels, &sum->histograms[i]);
    }

    for (i = 0; i < NGX_FITNUDGE_G_N; i++) {
        row = &ngx_fitnudge_gauge_rows[i];

        if (i == 0 || ngx_strcmp(row->name, row[-1].name) != 0) {
            text_family(b, row->name, "gauge", row->help);
        }

        fn_buf_addf(b, *row->labels ? "%s{%s} " : "%s%s ", row->name, row->labels);

        if (row->how == NGX_FITNUDGE_MAX_MS) {
            text_seconds(b, (uint64_t) sum->gauges[i] * 1000000);

        } else {
            fn_buf_addf(b, "%" PRId64, sum->gauges[i]);
        }

        fn_buf_adds(b, "\n");
    }
}


static void
text_requests(fn_buf_t *b)
{
    fn_buf_t                      labels = FN_BUF_INIT, durations = FN_BUF_INIT;
    ngx_uint_t                    i, k;
    ngx_fitnudge_route_metrics_t  row;

    text_family(b, REQUESTS, "counter", REQUESTS_HELP);
    text_family(&durations, DURATION, "histogram", DURATION_HELP);

    for (i = 0; i < NGX_FITNUDGE_ROUTES_N; i++) {
        ngx_fitnudge_metrics_route(i, &row);

        fn_buf_reset(&labels);
        text_route_labels(&labels, i);

        if (labels.failed) {
            break;
        }

        for (k = 0; k < FN_STATUSES_N; k++) {
            if (row.statuses[k] == 0) {
                continue;
            }

            if (k == FN_STATUS_OTHER) {
                fn_buf_addf(b, REQUESTS "{%s,http_response_status_code=\"other\"} %" PRIu64 "\n", labels.data,
                            row.statuses[k]);

            } else {
                fn_buf_addf(b, REQUESTS "{%s,http_response_status_code=\"%u\"} %" PRIu64 "\n", labels.data,
                            (unsigned) fn_statuses[k], row.statuses[k]);
            }
        }

        if (fn_histogram_count(&row.duration) != 0) {
            text_histogram(&durations, DURATION, labels.data, &row.duration);
        }
    }

    if (labels.failed || durations.failed) {
        b->failed = 1;

    } else {
        fn_buf_add(b, durations.data, durations.len);
    }

    fn_buf_free(&labels);
    fn_buf_free(&durations);
}


static void
text_route_labels(fn_buf_t *b, ngx_uint_t route)
{
    if (route == NGX_FITNUDGE_ROUTE_UNMATCHED) {
        fn_buf_adds(b, "http_request_method=\"_OTHER\",http_route=\"unmatched\"");

    } else if (route == NGX_FITNUDGE_ROUTE_OTHER) {
        fn_buf_adds(b, "http_request_method=\"_OTHER\",http_route=\"other\"");

    } else {
        fn_buf_addf(b, "http_request_method=\"%s\",http_route=\"%s\"", fn_method_names[fn_routes[route].method],
                    fn_routes[route].path);
    }
}


static void
text_histogram(fn_buf_t *b, const char *name, const char *labels, const fn_histogram_t *h)
{
    uint64_t     n;
    ngx_uint_t   i;
    const char  *comma;

    comma = *labels ? "," : "";
    n = 0;

    for (i = 0; i < FN_BUCKETS_N; i++) {
        n += h->buckets[i];
        fn_buf_addf(b, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma, fn_bounds_s[i], n);
    }

    fn_buf_addf(b, *labels ? "%s_sum{%s} " : "%s_sum%s ", name, labels);
    text_seconds(b, h->sum_ns);
    fn_buf_addf(b, *labels ? "\n%s_count{%s} %" PRIu64 "\n" : "\n%s_count%s %" PRIu64 "\n", name, labels, n);
}


static void
text_seconds(fn_buf_t *b, uint64_t ns)
{
    fn_buf_addf(b, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}


static void
text_number(fn_buf_t *b, const char *name, const char *type, const char *help, int64_t value)
{
    text_family(b, name, type, help);
    fn_buf_addf(b, "%s %" PRId64 "\n", name, value);
}


static void
text_process(fn_buf_t *b, const ngx_fitnudge_metrics_sum_t *sum)
{
    text_family(b, "fitnudge_build_info", "gauge", "The versions that run; the value is 1.");
    fn_buf_addf(b, "fitnudge_build_info{version=\"%s\",nginx=\"%s\"} 1\n", NGX_FITNUDGE_VERSION, NGINX_VERSION);

    text_number(b, "fitnudge_start_time_seconds", "gauge", "When nginx was started and counting began, Unix time.",
                sum->created);
    text_number(b, "fitnudge_config_loads_total", "counter", "Configurations loaded, the first one included.",
                (int64_t) sum->loads);
    text_number(b, "fitnudge_config_load_time_seconds", "gauge",
                "When the present configuration was loaded, Unix time.", sum->loaded);
    text_number(b, "fitnudge_processes", "gauge",
                "Worker processes that gave a sign of life within 5 s; those that are leaving do not count.",
                (int64_t) sum->processes);
}


/* The numbers of stub_status. */

static void
text_connections(fn_buf_t *b)
{
#if (NGX_STAT_STUB)
    text_number(b, "fitnudge_connections_accepted_total", "counter", "Connections of clients that were accepted.",
                (int64_t) *ngx_stat_accepted);
    text_number(b, "fitnudge_connections_handled_total", "counter",
                "Connections of clients that were handled; the others were refused for want of worker_connections.",
                (int64_t) *ngx_stat_handled);

    text_family(b, "fitnudge_connections", "gauge", "Connections of clients by what nginx does with them.");
    fn_buf_addf(b, "fitnudge_connections{state=\"active\"} %" PRIu64 "\n", (uint64_t) *ngx_stat_active);
    fn_buf_addf(b, "fitnudge_connections{state=\"reading\"} %" PRIu64 "\n", (uint64_t) *ngx_stat_reading);
    fn_buf_addf(b, "fitnudge_connections{state=\"writing\"} %" PRIu64 "\n", (uint64_t) *ngx_stat_writing);
    fn_buf_addf(b, "fitnudge_connections{state=\"waiting\"} %" PRIu64 "\n", (uint64_t) *ngx_stat_waiting);
#endif
}


static void
text_zones(fn_buf_t *b)
{
    uint64_t                             value;
    ngx_uint_t                           n;
    ngx_http_fitnudge_zone_t             zone;
    const ngx_http_fitnudge_zone_row_t  *row;

    for (row = ngx_http_fitnudge_zone_rows; row->key != NULL; row++) {
        text_family(b, row->name, row->type, row->help);

        for (n = 0; ngx_http_fitnudge_metrics_next_zone(&n, &zone); /* void */) {
            value = ngx_http_fitnudge_zone_number(&zone, row);

            if (value != NGX_HTTP_FITNUDGE_ZONE_NONE) {
                fn_buf_addf(b, "%s{zone=\"", row->name);
                text_label_value(b, zone.name->data, zone.name->len);
                fn_buf_addf(b, "\"} %" PRIu64 "\n", value);
            }
        }
    }
}


/* Backslash, quote and newline are escaped; a name that has other bytes than ASCII shows them as question marks. */

static void
text_label_value(fn_buf_t *b, const u_char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        switch (p[i]) {
        case '\\':
            fn_buf_adds(b, "\\\\");
            break;
        case '"':
            fn_buf_adds(b, "\\\"");
            break;
        case '\n':
            fn_buf_adds(b, "\\n");
            break;
        default:
            fn_buf_add(b, p[i] >= 0x20 && p[i] < 0x7f ? (const char *) &p[i] : "?", 1);
        }
    }
}
