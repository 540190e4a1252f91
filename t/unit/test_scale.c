/* How lanes grow and shrink, what names a Redis behind Sentinels, and what is counted. */
#include "unit.h"

#include <string.h>

#include "fn_counts.h"
#include "fn_scale.h"
#include "fn_sentinel.h"


START_TEST(test_grow)
{
    fn_scale_t             s = { 0 };
    const fn_scale_rule_t  rule = { .min_spare = 1, .max_spare = 2, .age_ms = 200, .idle_ms = 60000 };

    fn_scale_bounds(&s, 4, 20);
    ck_assert_uint_eq(s.target, 4);

    /* somebody is free, or what waits is young */
    ck_assert_int_eq(fn_scale(&s, &rule, 1, 5000, 1000), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 199, 1500), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 0, 1500), 0);

    ck_assert_int_eq(fn_scale(&s, &rule, 0, 200, 2000), 1);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 2500), 2);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 3000), 4);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 3500), 8);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 4000), 1);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 4500), 0);
    ck_assert_uint_eq(s.target, 20);

    /* a pause, and the steps begin anew */
    s.target = 10;
    ck_assert_int_eq(fn_scale(&s, &rule, 1, 0, 5000), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 0, 300, 5500), 1);
}
END_TEST


START_TEST(test_shrink)
{
    fn_scale_t             s = { 0 };
    const fn_scale_rule_t  rule = { .min_spare = 1, .max_spare = 2, .age_ms = 200, .idle_ms = 60000 };

    fn_scale_bounds(&s, 2, 8);
    s.target = 4;

    ck_assert_int_eq(fn_scale(&s, &rule, 4, 0, 1000), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 4, 0, 60999), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 2, 0, 61000), 0);          /* once in between: it begins anew */
    ck_assert_int_eq(fn_scale(&s, &rule, 4, 0, 62000), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 4, 0, 121999), 0);
    ck_assert_int_eq(fn_scale(&s, &rule, 4, 0, 122000), -1);
    ck_assert_int_eq(fn_scale(&s, &rule, 3, 0, 122500), 0);         /* one at a time */
    ck_assert_int_eq(fn_scale(&s, &rule, 3, 0, 182000), -1);
    ck_assert_int_eq(fn_scale(&s, &rule, 8, 0, 999999999), 0);
    ck_assert_uint_eq(s.target, 2);
}
END_TEST


START_TEST(test_bounds)
{
    fn_scale_t  s = { 0 };

    fn_scale_bounds(&s, 4, 0);
    ck_assert_uint_eq(s.most, 4);
    fn_scale_bounds(&s, 2, 8);
    ck_assert_uint_eq(s.target, 4);             /* a reload keeps what the lane had grown to */
    s.target = 8;
    fn_scale_bounds(&s, 1, 3);
    ck_assert_uint_eq(s.target, 3);
    fn_scale_bounds(&s, 6, 3);
    ck_assert_uint_eq(s.target, 6);
}
END_TEST


START_TEST(test_sentinel)
{
    size_t         i;
    fn_sentinel_t  s;

    static const char *const  bad[] = {
        "", "sentinel:", "127.0.0.1:6379", "unix:/x", "sentinel:a", "sentinel:@1.2.3.4:5", "sentinel:a@", "sentinel:a@1.2.3.4", "sentinel:a@1.2.3.4:",
        "sentinel:a@1.2.3.4:0", "sentinel:a@1.2.3.4:65536", "sentinel:a@1.2.3.4:123456", "sentinel:a@1.2.3.4:5x", "sentinel:a@host:5", "sentinel:a@::1:5",
        "sentinel:a@[::1:5", "sentinel:a@[1.2.3.4]:5", "sentinel:a@1.2.3.4:5,", "sentinel:a@1.2.3.4:5,,1.2.3.4:6", "sentinel:a b@1.2.3.4:5", "sentinel:a\n@1.2.3.4:5",
        "sentinel:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@1.2.3.4:5",
        "sentinel:a@1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_sentinel_parse(&s, bad[i]) == -1, "%s", bad[i]);
    }

    ck_assert_int_eq(fn_sentinel_parse(&s, "sentinel:my.master-1_x@10.0.0.1:26379,[2001:db8::1]:26380"), 0);
    ck_assert_str_eq(s.name, "my.master-1_x");
    ck_assert_uint_eq(s.n, 2);
    ck_assert_str_eq(s.address[0], "10.0.0.1:26379");
    ck_assert_str_eq(s.address[1], "[2001:db8::1]:26380");
}
END_TEST


START_TEST(test_counts)
{
    unsigned            i;
    const fn_job_t     *job;
    static fn_counts_t  c;

    /* nowhere to count: nothing happens */
    fn_count(FN_C_REAPED, 1);
    fn_count_job(NULL, FN_RESULT_DONE, 5);
    fn_count_call("r2", FN_CALL_DONE, 5);

    for (job = fn_jobs, i = 0; job->name != NULL; job++) {
        i++;
    }
    ck_assert_uint_lt(i, FN_COUNT_JOBS);

    fn_counts_use(&c);
    fn_count(FN_C_REAPED, 2);
    fn_count((fn_counter_e) (FN_C_CRASHED_MANAGER + 3), 1);
    fn_count(FN_C_N, 1);
    fn_count_job(&fn_jobs[1], FN_RESULT_DONE, 5);
    fn_count_job(&fn_jobs[1], FN_RESULT_NEXT, 0);
    fn_count_job(NULL, FN_RESULT_DEAD, 0);
    fn_count_call("r2", FN_CALL_RETRY, 5);
    fn_count_call("nobody", FN_CALL_DONE, 5);
    fn_count_call("r2", FN_CALLS_N, 5);
    fn_counts_use(NULL);

    ck_assert_uint_eq(c.counter[FN_C_REAPED], 2);
    ck_assert_uint_eq(c.counter[FN_C_CRASHED_NET], 1);
    ck_assert_uint_eq(c.job[1][FN_RESULT_DONE], 1);
    ck_assert_uint_eq(c.job[1][FN_RESULT_NEXT], 1);
    ck_assert_uint_eq(c.job[FN_COUNT_JOBS - 1][FN_RESULT_DEAD], 1);
    ck_assert_uint_eq(fn_histogram_count(&c.job_time[1]), 1);
    ck_assert_uint_eq(c.call[FN_SERVICE_R2][FN_CALL_RETRY], 1);
    ck_assert_uint_eq(c.call[FN_SERVICE_OTHER][FN_CALL_DONE], 1);
    ck_assert_uint_eq(fn_histogram_count(&c.call_time[FN_SERVICE_R2]), 1);

    /* the first row of each name, and no other, says what it is */
    for (i = 0; i < FN_C_N; i++) {
        ck_assert_msg((i > 0 && strcmp(fn_counter_rows[i].name, fn_counter_rows[i - 1].name) == 0) == (fn_counter_rows[i].help[0] == '\0'),
                      "%s", fn_counter_rows[i].name);
    }
}
END_TEST


UNIT_MAIN("scale", test_grow, test_shrink, test_bounds, test_sentinel, test_counts)
