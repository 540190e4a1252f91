/*
 * What every Check test here shares: a main() that prints TAP, for prove, and comparisons whose
 * failures name the case.  A test binary ends with FN_TEST_MAIN(suite).
 */
#ifndef FN_CHECK_MAIN_H
#define FN_CHECK_MAIN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#define FN_ROWS(table)  (int) (sizeof(table) / sizeof((table)[0]))

/* A case and its tests; a table's test runs once a row, with _i as its index. */
#define fn_add(tc, test)          tcase_add_test(tc, test)
#define fn_add_rows(tc, test, t)  tcase_add_loop_test(tc, test, 0, FN_ROWS(t))

/* TAP goes to stdout, failures make the exit status 1. */
#define FN_TEST_MAIN(suite)                                                   \
    int                                                                       \
    main(void)                                                                \
    {                                                                         \
        int       failed;                                                     \
        SRunner  *runner = srunner_create(suite());                           \
                                                                              \
        srunner_set_tap(runner, "-");                                         \
        srunner_run_all(runner, CK_SILENT);                                   \
        failed = srunner_ntests_failed(runner);                               \
        srunner_free(runner);                                                 \
                                                                              \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                          \
    }

#endif
