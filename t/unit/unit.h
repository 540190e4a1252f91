/* A program of one suite and one case, without rows: UNIT_MAIN(name, tests...). The rest is check_main.h's. */
#ifndef FN_UNIT_H
#define FN_UNIT_H

#include "check_main.h"
#include "fn_buf.h"
#include "fn_envelope.h"

#define UNIT_MAIN(name, ...)                                                  \
    static Suite *                                                            \
    unit_suite(void)                                                          \
    {                                                                         \
        size_t        i;                                                      \
        Suite        *suite = suite_create(name);                             \
        TCase        *tcase = tcase_create(name);                             \
        const TTest  *tests[] = { __VA_ARGS__ };                              \
                                                                              \
        for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {              \
            tcase_add_test(tcase, tests[i]);                                  \
        }                                                                     \
        suite_add_tcase(suite, tcase);                                        \
                                                                              \
        return suite;                                                         \
    }                                                                         \
                                                                              \
    FN_TEST_MAIN(unit_suite)

static inline fn_span_t
span(const char *s)
{
    fn_span_t  v = { s, strlen(s) };

    return v;
}

static inline int
span_is(const fn_span_t *s, const char *text)
{
    return s->n == strlen(text) && memcmp(s->p, text, s->n) == 0;
}

#endif
