/* The commands of fitnudgectl. Each returns the exit status. */
#ifndef FN_CTL_H
#define FN_CTL_H

#include "../delivery.h"
#include "../db.h"
#include "../redis.h"

typedef struct {
    fn_redis_t            redis;
    int                   json;
    const fn_settings_t  *settings;
} fn_ctl_t;

extern const char *const  fn_ctl_lanes[];       /* ends with NULL */

/* The lane's name, or NULL after a message. */
const char *fn_ctl_lane(const char *name);

/* An RFC 3339 time within the next year, or + and a duration: unix ms. 0, or -1 after a message. */
int fn_ctl_until(int64_t *until_ms, const char *s);

/* Whether a job waits, works or is delayed: 1, 0, or -1 after a message. */
int fn_ctl_known(fn_ctl_t *c, const char *id);

/* What is ordered of a lane, in words; "-" when nothing is. */
void fn_ctl_orders(fn_ctl_t *c, const char *lane, char *out, size_t size);

int fn_ctl_cmd_inflight(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_pause(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_resume(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_limit(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_rate(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_refuse(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_accept(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_cancel(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_lanes(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_ls(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_show(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_dead(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_breaker(fn_ctl_t *c, int argc, char **argv);

/* Needs no Redis, which may be what is wrong. online: outside services are asked as well. resolver: ip:port of a name server, or NULL. */
int fn_ctl_doctor(const char *conf, int json, int online, const char *resolver);

int fn_ctl_cmd_budget(fn_ctl_t *c, int argc, char **argv);
/*
 * One statement, on the pool's connection, which is made for it. Rows, which the caller clears; NULL after a message: what a function raises
 * with FN... is said as it is.
 */
PGresult *fn_ctl_sql(fn_ctl_t *c, const char *sql, int n, const char *const *values);

/* The same for one that changes something. Its last column is fn_ctl_changes: every edge is told before this returns. */
#define fn_ctl_changes  "concat_ws(' ', string_to_array(nullif(current_setting('fitnudge.changes', true), ''), ',')," \
                        " string_to_array(nullif(current_setting('fitnudge.tags', true), ''), ','))"
PGresult *fn_ctl_sql_change(fn_ctl_t *c, const char *sql, int n, const char *const *values);

/* Who is at the keyboard, for audits. */
const char *fn_ctl_actor(void);

int fn_ctl_cmd_flags(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_i18n(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_experiments(fn_ctl_t *c, int argc, char **argv);

int fn_ctl_cmd_cron(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_maintenance(fn_ctl_t *c, int argc, char **argv);

#endif
