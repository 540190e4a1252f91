/* The table of what happens by the clock. docs/time.md has it for people. */
#include <stddef.h>

#include "crontab.h"

const char *const  fn_cron_catchups[] = { "skip", "last", "all" };

const fn_cron_entry_t  fn_cron_entries[] = {
    { "reminders",  "* * *",    FN_CRON_LAST, "clock.run",  "pushes reminders that are due" },
    { "weekly",     "5 * *",    FN_CRON_LAST, "clock.run",  "sums up the week where it is Monday morning" },
    { "partitions", "10 * *",   FN_CRON_LAST, "clock.run",  "makes and drops partitions of check-ins and inbox" },
    { "views",      "*/15 * *", FN_CRON_SKIP, "clock.tidy", "refreshes materialized views" },
    { "media",      "25 * *",   FN_CRON_LAST, "clock.tidy", "deletes uploads that were never completed" },
    { "barred",     "35 * *",   FN_CRON_LAST, "clock.tidy", "tells every edge again who is suspended" },
    { "cleanup",    "20 3 *",   FN_CRON_LAST, "clock.tidy", "deletes what has been kept long enough" },
    { "translations", "40 4 1", FN_CRON_LAST, "clock.tidy", "asks for translations that are missing" },
    { NULL, NULL, FN_CRON_SKIP, NULL, NULL }
};
