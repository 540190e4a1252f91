/* Check with TAP on stdout: a program is one suite, its main is UNIT_MAIN. */
#ifndef FN_UNIT_H
#define FN_UNIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fn_buf.h"
#include "fn_envelope.h"

#define UNIT_MAIN(name, ...)                                                  \
int                                                                           \
main(void)                                                                    \
{                                                                             \
    int                 failed;                                               \
    size_t              i;                                                    \
    Suite              *suite = suite_create(name);                           \
    TCase              *tcase = tcase_create(name);                           \
    SRunner            *runner;                                               \
    const TTest        *tests[] = { __VA_ARGS__ };                            \
                                                                              \
    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {                  \
        tcase_add_test(tcase, tests[i]);                                      \
    }                                                                         \
    suite_add_tcase(suite, tcase);                                            \
    runner = srunner_create(suite);                                           \
    srunner_set_fork_status(runner, CK_NOFORK);                               \
    srunner_set_tap(runner, "-");                                             \
    srunner_run_all(runner, CK_SILENT);                                       \
    failed = srunner_ntests_failed(runner);                                   \
    srunner_free(runner);                                                     \
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;                              \
}

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
