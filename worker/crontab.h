/* The table of what happens by the clock. */
#ifndef FN_CRONTAB_H
#define FN_CRONTAB_H

#include "libfitnudge/fn_cron.h"

typedef struct {
    const char         *name;       /* pool.cron_<name>(now, state) is what it does */
    const char         *schedule;   /* fn_cron.h, UTC */
    fn_cron_catchup_e   catchup;
    const char         *job;        /* "clock.run" soon, "clock.tidy" when there is nothing better to do */
    const char         *help;
} fn_cron_entry_t;

extern const fn_cron_entry_t  fn_cron_entries[];        /* ends with name NULL */
extern const char *const      fn_cron_catchups[];       /* names, by fn_cron_catchup_e */

#define FN_CRON_ENTRIES  16

#endif
