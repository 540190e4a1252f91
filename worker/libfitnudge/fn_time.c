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


/* Days since 1970-01-01 of a date of the Gregorian calendar. */

static int64_t
fn_days(int y, int m, int d)
{
    int64_t  leap;

    /* years begin in March, so that the leap day is the last */
    y -= m <= 2;
    m += m <= 2 ? 9 : -3;
    leap = y / 4 - y / 100 + y / 400;

    return (int64_t) y * 365 + leap + (153 * m + 2) / 5 + d - 1 - 719468;
}


int
fn_rfc3339_parse(int64_t *unix_s, const char *s, size_t len)
{
    int          h, m, sec, oh, om;
    size_t       i;
    int64_t      t;

    /* 2026-01-15T10:30:00 and at least the zone */
    if (len < 20 || !fn_date_valid(s, 10) || (s[10] != 'T' && s[10] != 't') || s[13] != ':' || s[16] != ':') {
        return -1;
    }

    h = fn_digits(s + 11, 2);
    m = fn_digits(s + 14, 2);
    sec = fn_digits(s + 17, 2);

    if (h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 60) {
        return -1;
    }

    i = 19;

    if (s[i] == '.') {
        for (i++; i < len && s[i] >= '0' && s[i] <= '9'; i++) { /* void */ }

        if (i == 20) {
            return -1;
        }
    }

    t = fn_days(fn_digits(s, 4), fn_digits(s + 5, 2), fn_digits(s + 8, 2)) * 86400
        + h * 3600 + m * 60 + (sec == 60 ? 59 : sec);

    if (len - i == 1 && (s[i] == 'Z' || s[i] == 'z')) {
        *unix_s = t;
        return 0;
    }

    if (len - i != 6 || (s[i] != '+' && s[i] != '-') || s[i + 3] != ':') {
        return -1;
    }

    oh = fn_digits(s + i + 1, 2);
    om = fn_digits(s + i + 4, 2);

    if (oh < 0 || oh > 23 || om < 0 || om > 59) {
        return -1;
    }

    *unix_s = s[i] == '+' ? t - (oh * 3600 + om * 60) : t + (oh * 3600 + om * 60);

    return 0;
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
