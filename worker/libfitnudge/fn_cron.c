/* Schedules. See fn_cron.h. */
#include <stdlib.h>
#include <string.h>

#include "fn_cron.h"
#include "fn_time.h"

#define FN_CRON_DAY  86400


/* A number of one or two digits; -1 = none. */
static int
fn_cron_number(const char **p)
{
    int          v;
    const char  *s;

    for (v = 0, s = *p; *s >= '0' && *s <= '9' && s - *p < 2; s++) {
        v = v * 10 + (*s - '0');
    }

    if (s == *p) {
        return -1;
    }

    *p = s;

    return v;
}


/* One field: "*", "5", "1-5", "*" "/15", "8-18/2", or several with commas. Sets bits 0 .. max. 0 or -1. */
static int
fn_cron_field(uint64_t *bits, const char **p, int max)
{
    int  i, from, to, step;

    *bits = 0;

    do {
        from = 0;
        to = max;
        step = 1;

        if (**p == '*') {
            (*p)++;

        } else {
            from = to = fn_cron_number(p);

            if (**p == '-') {
                (*p)++;
                to = fn_cron_number(p);
            }
        }

        if (**p == '/') {
            (*p)++;
            step = fn_cron_number(p);
        }

        if (from < 0 || to < from || to > max || step < 1) {
            return -1;
        }

        for (i = from; i <= to; i += step) {
            *bits |= 1ULL << i;
        }

    } while (**p == ',' && (*p)++);

    return 0;
}


int
fn_cron_parse(fn_cron_t *c, const char *text)
{
    int64_t   ms;
    uint64_t  hours, days;

    memset(c, 0, sizeof(*c));

    if (strncmp(text, "every ", 6) == 0) {
        ms = fn_parse_duration_ms(text + 6);

        if (ms < 1000 || ms % 1000 != 0 || ms / 1000 > 7 * FN_CRON_DAY) {
            return -1;
        }

        c->every_s = ms / 1000;

        return 0;
    }

    if (fn_cron_field(&c->minutes, &text, 59) != 0 || *text++ != ' '
        || fn_cron_field(&hours, &text, 23) != 0 || *text++ != ' '
        || fn_cron_field(&days, &text, 6) != 0 || *text != '\0')
    {
        return -1;
    }

    c->hours = (uint32_t) hours;
    c->days = (uint32_t) days;

    return 0;
}


/* The first minute at or after t (step 1), or the last at or before it (step -1). t is at the start of a minute. */
static int64_t
fn_cron_search(const fn_cron_t *c, int64_t t, int step)
{
    int      minute, hour, weekday;
    int64_t  hours;

    for ( ;; ) {
        minute = (int) (t / 60 % 60);
        hours = t / 3600;
        hour = (int) (hours % 24);
        weekday = (int) ((hours / 24 + 4) % 7);             /* 1970 began on a Thursday */

        if (!(c->days >> weekday & 1)) {
            t = step > 0 ? (hours / 24 + 1) * FN_CRON_DAY : hours / 24 * FN_CRON_DAY - 60;

        } else if (!(c->hours >> hour & 1)) {
            t = step > 0 ? (hours + 1) * 3600 : hours * 3600 - 60;

        } else if (!(c->minutes >> minute & 1)) {
            t += step * 60;

        } else {
            return t;
        }

        if (t < 0) {
            return -1;
        }
    }
}


int64_t
fn_cron_next(const fn_cron_t *c, int64_t t)
{
    if (c->every_s) {
        return (t / c->every_s + 1) * c->every_s;
    }

    return fn_cron_search(c, (t / 60 + 1) * 60, 1);
}


int64_t
fn_cron_last(const fn_cron_t *c, int64_t t)
{
    if (c->every_s) {
        return t / c->every_s * c->every_s;
    }

    return fn_cron_search(c, t / 60 * 60, -1);
}


int64_t
fn_cron_due(const fn_cron_t *c, fn_cron_catchup_e catchup, int64_t ran, int64_t now)
{
    int64_t  last;

    last = fn_cron_last(c, now);

    if (last <= ran) {
        return -1;
    }

    if (catchup == FN_CRON_SKIP && now - last >= FN_CRON_LATE_S) {
        return -1;
    }

    if (catchup == FN_CRON_ALL && ran >= 0) {
        return fn_cron_next(c, ran > now - FN_CRON_BACK_S ? ran : now - FN_CRON_BACK_S);
    }

    return last;
}
