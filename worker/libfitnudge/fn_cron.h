/*
 * When something is due: the arithmetic of schedules, in UTC and unix seconds.  Pure; the clock is a parameter.
 *
 *   "17 3 *"        minute, hour and day of the week (0 is Sunday) as in crontab(5): numbers, lists, ranges, steps
 *   "every 90s"     at the multiples of so many seconds since 1970; s, m, h or d
 */
#ifndef FN_CRON_H
#define FN_CRON_H

#include <stdint.h>

typedef struct {
    uint64_t    minutes;            /* bit n: minute n */
    uint32_t    hours;
    uint32_t    days;               /* of the week */
    int64_t     every_s;            /* not 0: the above do not count */
} fn_cron_t;

/* What becomes of times that nobody was there for. */
typedef enum {
    FN_CRON_SKIP,                   /* nothing, unless it is less than FN_CRON_LATE_S ago */
    FN_CRON_LAST,                   /* the last of them is made up for */
    FN_CRON_ALL                     /* each of the last FN_CRON_BACK_S, the oldest first */
} fn_cron_catchup_e;

#define FN_CRON_LATE_S  60
#define FN_CRON_BACK_S  (7 * 86400)

/* 0, or -1: it is no schedule, or it names no time. */
int fn_cron_parse(fn_cron_t *c, const char *text);

/* The first time after t. */
int64_t fn_cron_next(const fn_cron_t *c, int64_t t);

/* The last time that is not after t. */
int64_t fn_cron_last(const fn_cron_t *c, int64_t t);

/* The time to run for at `now`, when `ran` was the last one that was run for (-1: none was); -1 = there is none. */
int64_t fn_cron_due(const fn_cron_t *c, fn_cron_catchup_e catchup, int64_t ran, int64_t now);

#endif
