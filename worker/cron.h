/* The leader's clock: begins what the table says, see crontab.h. */
#ifndef FN_CLOCK_H
#define FN_CLOCK_H

#include "crontab.h"
#include "db.h"
#include "redis.h"

/* The leader's memory. Zeroed: nothing is known. */
typedef struct {
    int         loaded;             /* `ran` is what the database knows */
    fn_cron_t   schedule[FN_CRON_ENTRIES];
    int64_t     ran[FN_CRON_ENTRIES];
    int64_t     looked_s;
} fn_clock_t;

/*
 * Begins what is due at now_s, once a second, and pushes its first jobs. *epoch is the leader's; it comes back greater when somebody
 * acted with a greater one: then nothing was begun and the caller leads no more. 0, or -1: the database did not answer.
 */
int fn_clock_tick(fn_clock_t *c, fn_db_t *db, fn_redis_t *r, int64_t now_s, int64_t *epoch);

/*
 * Begins runs, [{"name","job","due_at"}], and pushes their jobs; what cannot be pushed stays in the outbox. epoch NULL: by hand.
 * *epoch as above. How many jobs were pushed or left to the sweep, or -1 = the database did not answer.
 */
int fn_cron_begin(fn_db_t *db, fn_redis_t *r, const char *runs, int64_t *epoch);

#endif
