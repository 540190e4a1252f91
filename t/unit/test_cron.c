/* Schedules, with the clock in the test's hands; and that the table of the pool is one. */
#include "unit.h"

#include "crontab.h"
#include "fn_time.h"


static int64_t
at(const char *s)
{
    int64_t  t = -1;

    ck_assert_msg(fn_rfc3339_parse(&t, s, strlen(s)) == 0, "%s", s);

    return t;
}


static const struct {
    const char  *schedule, *at, *last, *next;
} times[] = {
    { "* * *", "2026-01-15T10:30:00Z", "2026-01-15T10:30:00Z", "2026-01-15T10:31:00Z" },
    { "* * *", "2026-01-15T10:30:59Z", "2026-01-15T10:30:00Z", "2026-01-15T10:31:00Z" },
    { "* * *", "2025-12-31T23:59:30Z", "2025-12-31T23:59:00Z", "2026-01-01T00:00:00Z" },
    { "20 3 *", "2026-01-15T03:19:59Z", "2026-01-14T03:20:00Z", "2026-01-15T03:20:00Z" },
    { "20 3 *", "2026-01-15T03:20:00Z", "2026-01-15T03:20:00Z", "2026-01-16T03:20:00Z" },
    { "*/15 * *", "2026-01-15T10:46:10Z", "2026-01-15T10:45:00Z", "2026-01-15T11:00:00Z" },
    { "0 8-18/5 *", "2026-01-15T12:00:00Z", "2026-01-15T08:00:00Z", "2026-01-15T13:00:00Z" },
    { "0 8-18/5 *", "2026-01-15T18:00:00Z", "2026-01-15T18:00:00Z", "2026-01-16T08:00:00Z" },
    { "5,50 0 *", "2026-01-15T00:30:00Z", "2026-01-15T00:05:00Z", "2026-01-15T00:50:00Z" },
    { "0 6 1", "2026-01-15T10:00:00Z", "2026-01-12T06:00:00Z", "2026-01-19T06:00:00Z" },      /* Monday; the 15th is a Thursday */
    { "0 0 0", "2026-01-18T00:00:00Z", "2026-01-18T00:00:00Z", "2026-01-25T00:00:00Z" },      /* Sunday */
    { "59 23 6", "2028-02-26T23:59:00Z", "2028-02-26T23:59:00Z", "2028-03-04T23:59:00Z" },    /* over a leap day */
    { "0 0 1-5", "2026-01-17T09:00:00Z", "2026-01-16T00:00:00Z", "2026-01-19T00:00:00Z" },
    { "every 90s", "2026-01-15T10:30:00Z", "2026-01-15T10:30:00Z", "2026-01-15T10:31:30Z" },
    { "every 6h", "2026-01-15T05:59:59Z", "2026-01-15T00:00:00Z", "2026-01-15T06:00:00Z" },
};


START_TEST(cron_times)
{
    fn_cron_t  c;

    ck_assert_msg(fn_cron_parse(&c, times[_i].schedule) == 0, "%s", times[_i].schedule);
    ck_assert_msg(fn_cron_last(&c, at(times[_i].at)) == at(times[_i].last), "%s: last at %s", times[_i].schedule, times[_i].at);
    ck_assert_msg(fn_cron_next(&c, at(times[_i].at)) == at(times[_i].next), "%s: next at %s", times[_i].schedule, times[_i].at);
}
END_TEST


static const char *const  wrong[] = {
    "", "*", "* *", "* * * *", "* * *  ", " * * *", "60 * *", "* 24 *", "* * 7", "-1 * *", "1- * *", "5-1 * *", "*/0 * *", "*/ * *", "1,, * *",
    "a * *", "100 * *", "*  * *", "every", "every ", "every x", "every 0s", "every 500ms", "every 1500ms", "every 8d", "every -1s", "@daily"
};


START_TEST(cron_wrong)
{
    fn_cron_t  c;

    ck_assert_msg(fn_cron_parse(&c, wrong[_i]) == -1, "taken: \"%s\"", wrong[_i]);
}
END_TEST


/* last and next agree with each other and with a walk over every minute */
START_TEST(cron_walk)
{
    size_t       i;
    int64_t      t, last, from;
    fn_cron_t    c;
    static const char *const  some[] = { "* * *", "20 3 *", "*/7 */5 *", "0 0 1", "13 1,13 0,6", "59 23 3", "every 7m" };

    from = at("2026-12-27T00:00:00Z");

    for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        ck_assert_int_eq(fn_cron_parse(&c, some[i]), 0);
        last = fn_cron_last(&c, from);
        ck_assert_int_le(last, from);

        for (t = from; t < from + 15 * 86400; t += 60) {
            if (fn_cron_next(&c, t - 60) == t) {
                last = t;
            }

            ck_assert_msg(fn_cron_last(&c, t) == last, "%s: last at %lld", some[i], (long long) t);
            ck_assert_msg(fn_cron_last(&c, t + 59) == last, "%s: last in the minute of %lld", some[i], (long long) t);
            ck_assert_int_gt(fn_cron_next(&c, t), t);
        }
    }
}
END_TEST


START_TEST(cron_due)
{
    fn_cron_t  c;
    int64_t    t = at("2026-01-15T10:30:00Z");

    ck_assert_int_eq(fn_cron_parse(&c, "0 * *"), 0);

    /* nothing was ever run: the last time counts, but skip wants it fresh */
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_LAST, -1, t), t - 1800);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_ALL, -1, t), t - 1800);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_SKIP, -1, t), -1);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_SKIP, -1, t - 1800 + FN_CRON_LATE_S - 1), t - 1800);

    /* it was run */
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_LAST, t - 1800, t), -1);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_ALL, t - 1800, t), -1);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_SKIP, t - 1800, t), -1);

    /* the clock went back */
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_LAST, t + 1800, t), -1);

    /* five were missed: none, the last, or each in turn */
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_SKIP, t - 1800 - 5 * 3600, t), -1);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_LAST, t - 1800 - 5 * 3600, t), t - 1800);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_ALL, t - 1800 - 5 * 3600, t), t - 1800 - 4 * 3600);
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_ALL, t - 1800 - 1 * 3600, t), t - 1800);

    /* but not years */
    ck_assert_int_eq(fn_cron_due(&c, FN_CRON_ALL, 0, t), fn_cron_next(&c, t - FN_CRON_BACK_S));
}
END_TEST


START_TEST(cron_table)
{
    int                     i;
    fn_cron_t               c;
    const fn_cron_entry_t  *e, *other;

    for (e = fn_cron_entries, i = 0; e->name != NULL; e++, i++) {
        ck_assert_msg(fn_cron_parse(&c, e->schedule) == 0, "schedule of %s", e->name);
        ck_assert_msg(strspn(e->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(e->name) && strlen(e->name) <= 30, "%s is no name", e->name);
        ck_assert_msg(strcmp(e->job, "clock.run") == 0 || strcmp(e->job, "clock.tidy") == 0, "job of %s", e->name);
        ck_assert_msg(e->help != NULL && *e->help != '\0', "help of %s", e->name);

        for (other = fn_cron_entries; other != e; other++) {
            ck_assert_str_ne(other->name, e->name);
        }
    }

    ck_assert_int_gt(i, 0);
    ck_assert_int_le(i, FN_CRON_ENTRIES);
}
END_TEST


static Suite *
cron_suite(void)
{
    Suite  *suite = suite_create("cron");
    TCase  *tc = tcase_create("cron");

    fn_add_rows(tc, cron_times, times);
    fn_add_rows(tc, cron_wrong, wrong);
    fn_add(tc, cron_walk);
    fn_add(tc, cron_due);
    fn_add(tc, cron_table);
    suite_add_tcase(suite, tc);

    return suite;
}

FN_TEST_MAIN(cron_suite)
