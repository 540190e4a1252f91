/*
 * How many processes a lane should have.  The age of the oldest job is the signal: a long queue that moves needs nobody, a
 * short one that stands does.  Pure arithmetic; the caller measures, forks and retires.
 */
#ifndef FN_SCALE_H
#define FN_SCALE_H

#include <stdint.h>

typedef struct {
    unsigned  least, most, target;
    unsigned  step;                 /* how many are forked next: 1, 2, 4... */
    uint64_t  spare_since_ms;       /* too many are idle since then, 0 = not */
} fn_scale_t;

typedef struct {
    unsigned  min_spare, max_spare;
    uint64_t  age_ms, idle_ms;
} fn_scale_rule_t;

/* most 0 or below least: least. A target that is set already stays within the new bounds. */
void fn_scale_bounds(fn_scale_t *s, int64_t least, int64_t most);

/* Once a turn: by how much the target was changed, -1 or 0 or more. oldest_ms: age of the oldest job that waits, 0 = none. */
int fn_scale(fn_scale_t *s, const fn_scale_rule_t *rule, unsigned spare, uint64_t oldest_ms, uint64_t now);

#endif
