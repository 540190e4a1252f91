/* The commands of fitnudgectl. Each returns the exit status. */
#ifndef FN_CTL_H
#define FN_CTL_H

#include "../delivery.h"
#include "../redis.h"

typedef struct {
    fn_redis_t            redis;
    int                   json;
    const fn_settings_t  *settings;
} fn_ctl_t;

extern const char *const  fn_ctl_lanes[];       /* ends with NULL */

/* The lane's name, or NULL after a message. */
const char *fn_ctl_lane(const char *name);

int fn_ctl_cmd_lanes(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_ls(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_show(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_dead(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_cron(fn_ctl_t *c, int argc, char **argv);
int fn_ctl_cmd_maintenance(fn_ctl_t *c, int argc, char **argv);

#endif
