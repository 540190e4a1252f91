/* Rates of nginx.conf and of variables, and cells as Redis returns them; what they lead to is checked. */
#include <stdlib.h>

#include "fn_gcra.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t           now = size > 0 ? data[0] * UINT32_C(16843009) : 0;
    fn_rate_t          rate;
    fn_window_t        w;
    fn_limit_answer_t  a;

    if (fn_rate_parse(&rate, (const char *) data, size) == 0) {
        fn_gcra_check(&a, &rate, fn_gcra_take(&rate, UINT64_MAX - 1, now), now);
        if (rate.interval_ns == 0 || rate.limit == 0 || rate.period_s == 0 || a.admitted) {
            abort();
        }
    }

    if (fn_rate_parse(&rate, "50r/10s", 7) != 0) {
        abort();
    }

    if (fn_window_parse(&w, (const char *) data, size, rate.period_s, now) == 0) {
        fn_window_add(&w, rate.period_s, now, 1);
        fn_window_expire(&w, rate.period_s, now);
        fn_window_check(&a, &rate, &w, now);
        if (w.n > FN_WINDOW_CELLS || a.admitted != (fn_window_used(&w) < rate.limit)) {
            abort();
        }
    }

    return 0;
}
