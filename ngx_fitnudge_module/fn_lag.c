/* The ring of positions that the primary has named. */
#include <string.h>

#include "fn_lag.h"


void
fn_lag_note(fn_lag_t *lag, uint64_t asked, uint64_t position)
{
    unsigned  last = (lag->next + FN_LAG_SAMPLES - 1) % FN_LAG_SAMPLES;

    if (lag->n > 0 && position < lag->samples[last].position) {
        lag->n = 0;
    }

    lag->samples[lag->next].asked = asked;
    lag->samples[lag->next].position = position;
    lag->next = (lag->next + 1) % FN_LAG_SAMPLES;

    if (lag->n < FN_LAG_SAMPLES) {
        lag->n++;
    }
}


int
fn_lag_reached(const fn_lag_t *lag, uint64_t position, uint64_t *t)
{
    unsigned  i, k;

    for (i = 1; i <= lag->n; i++) {
        k = (lag->next + FN_LAG_SAMPLES - i) % FN_LAG_SAMPLES;

        if (lag->samples[k].position <= position) {
            *t = lag->samples[k].asked;
            return 1;
        }
    }

    return 0;
}
