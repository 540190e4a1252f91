/* Growing by doubling steps, shrinking by one. */
#include "fn_scale.h"

#define STEP_MAX  32


void
fn_scale_bounds(fn_scale_t *s, int64_t least, int64_t most)
{
    s->least = (unsigned) least;
    s->most = most > least ? (unsigned) most : s->least;
    s->target = s->target < s->least ? s->least : s->target > s->most ? s->most : s->target;
    s->step = 1;
    s->spare_since_ms = 0;
}


int
fn_scale(fn_scale_t *s, const fn_scale_rule_t *rule, unsigned spare, uint64_t oldest_ms, uint64_t now)
{
    unsigned  n;

    if (spare < rule->min_spare && oldest_ms >= rule->age_ms) {
        n = s->most - s->target;
        n = n < s->step ? n : s->step;
        s->target += n;
        s->step = s->step < STEP_MAX ? s->step * 2 : STEP_MAX;
        s->spare_since_ms = 0;
        return (int) n;
    }

    s->step = 1;

    if (spare <= rule->max_spare || s->target == s->least) {
        s->spare_since_ms = 0;
        return 0;
    }

    if (s->spare_since_ms == 0) {
        s->spare_since_ms = now;
    }

    if (now - s->spare_since_ms < rule->idle_ms) {
        return 0;
    }

    s->spare_since_ms = now;
    s->target--;

    return -1;
}
