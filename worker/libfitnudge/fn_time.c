/* Clocks, RFC 3339 and the durations and sizes of nginx.conf. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fn_time.h"


uint64_t
fn_now_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


uint64_t
fn_mono_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


void
fn_rfc3339(char out[FN_RFC3339_LEN + 1], int64_t unix_s)
{
    time_t     t = (time_t) unix_s;
    struct tm  tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, FN_RFC3339_LEN + 1, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(out, "1970-01-01T00:00:00Z", FN_RFC3339_LEN + 1);
    }
}


static int
fn_digits(const char *s, size_t n)
{
    int  v = 0;

    while (n--) {
        if (*s < '0' || *s > '9') {
            return -1;
        }
        v = v * 10 + (*s++ - '0');
    }

    return v;
}


int
fn_date_valid(const char *s, size_t len)
{
    int  y, m, d, last;

    static const int  days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    if (len != 10 || s[4] != '-' || s[7] != '-') {
        return 0;
    }

    y = fn_digits(s, 4);
    m = fn_digits(s + 5, 2);
    d = fn_digits(s + 8, 2);

    if (y < 1900 || y > 2199 || m < 1 || m > 12 || d < 1) {
        return 0;
    }

    last = days[m - 1];
    if (m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0)) {
        last = 29;
    }

    return d <= last;
}


/* A decimal number followed by one of the units; -1 on anything else or overflow. */

static int64_t
fn_parse_unit(const char *s, const char *const *units, const int64_t *factors, int64_t bare)
{
    char      *end;
    size_t     i;
    long long  v;

    if (*s < '0' || *s > '9' || strlen(s) > 18) {
        return -1;
    }

    v = strtoll(s, &end, 10);

    if (*end == '\0') {
        return v > INT64_MAX / bare ? -1 : v * bare;
    }

    for (i = 0; units[i] != NULL; i++) {
        if (strcmp(end, units[i]) == 0) {
            return v > INT64_MAX / factors[i] ? -1 : v * factors[i];
        }
    }

    return -1;
}


int64_t
fn_parse_duration_ms(const char *s)
{
    static const char *const  units[] = { "ms", "s", "m", "h", "d", NULL };
    static const int64_t      factors[] = { 1, 1000, 60000, 3600000, 86400000 };

    return fn_parse_unit(s, units, factors, 1000);
}


int64_t
fn_parse_size(const char *s)
{
    static const char *const  units[] = { "k", "K", "m", "M", "g", "G", NULL };
    static const int64_t      factors[] = { 1024, 1024, 1048576, 1048576, 1073741824, 1073741824 };

    return fn_parse_unit(s, units, factors, 1);
}
