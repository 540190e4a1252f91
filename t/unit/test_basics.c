/* Buffers, ids, clocks, UTF-8, secrets. */
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "fn_secret.h"
#include "fn_time.h"
#include "fn_utf8.h"
#include "fn_uuid.h"


START_TEST(test_buf)
{
    int       i;
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_add_json_string(&b, "a\"\\/\n\t\x01\x7f\xc3\xa9", 10);
    ck_assert_str_eq(b.data, "\"a\\\"\\\\/\\n\\t\\u0001\\u007f\xc3\xa9\"");

    fn_buf_reset(&b);
    for (i = 0; i < 1000; i++) {
        fn_buf_addf(&b, "%d,", i);
    }
    ck_assert_uint_eq(b.len, 3890);

    fn_buf_add(&b, "x", SIZE_MAX - 1);      /* cannot be had */
    ck_assert_int_eq(b.failed, 1);
    fn_buf_adds(&b, "more");
    ck_assert(b.failed && b.len == 0);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_uuid)
{
    char  a[37], b[37];

    ck_assert_int_eq(fn_uuid_v7(a, 0x0123456789abULL), 0);
    ck_assert(memcmp(a, "01234567-89ab-7", 15) == 0 && strchr("89ab", a[19]) != NULL);
    ck_assert(fn_uuid_valid(a, 36));

    fn_uuid_v5(a, "u", 1, "r", 1, "k", 1);
    fn_uuid_v5(b, "u", 1, "r", 1, "k", 1);
    ck_assert_str_eq(a, b);
    ck_assert_int_eq(a[14], '5');
    fn_uuid_v5(b, "ur", 2, "", 0, "k", 1);
    ck_assert_str_ne(a, b);                 /* the parts do not run into each other */

    ck_assert(fn_uuid_valid("7D444840-9DC0-11D1-B245-5FFDCE74FAD2", 36));
    ck_assert(!fn_uuid_valid("7D444840-9DC0-11D1-B245-5FFDCE74FAD", 35));
    ck_assert(!fn_uuid_valid("7D444840x9DC0-11D1-B245-5FFDCE74FAD2", 36));
    ck_assert(!fn_uuid_valid("7G444840-9DC0-11D1-B245-5FFDCE74FAD2", 36));
}
END_TEST


START_TEST(test_time)
{
    char  s[FN_RFC3339_LEN + 1];

    fn_rfc3339(s, 1768473000);
    ck_assert_str_eq(s, "2026-01-15T10:30:00Z");

    ck_assert(fn_date_valid("2024-02-29", 10));
    ck_assert(!fn_date_valid("2023-02-29", 10));
    ck_assert(!fn_date_valid("2100-02-29", 10));
    ck_assert(!fn_date_valid("2026-13-01", 10));
    ck_assert(!fn_date_valid("2026-00-10", 10));
    ck_assert(!fn_date_valid("2026-04-31", 10));
    ck_assert(!fn_date_valid("1899-12-31", 10));
    ck_assert(!fn_date_valid("2026-1-001", 10));
    ck_assert(!fn_date_valid("20260101", 8));

    ck_assert_int_eq(fn_parse_duration_ms("250ms"), 250);
    ck_assert_int_eq(fn_parse_duration_ms("15"), 15000);
    ck_assert_int_eq(fn_parse_duration_ms("7d"), 604800000);
    ck_assert_int_eq(fn_parse_duration_ms("1y"), -1);
    ck_assert_int_eq(fn_parse_duration_ms("-1s"), -1);
    ck_assert_int_eq(fn_parse_duration_ms(""), -1);
    ck_assert_int_eq(fn_parse_duration_ms("999999999999999999d"), -1);
    ck_assert_int_eq(fn_parse_size("64k"), 65536);
    ck_assert_int_eq(fn_parse_size("1x"), -1);
}
END_TEST


START_TEST(test_utf8)
{
    size_t  i;

    static const char *const  good[] = { "", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x92\xaa", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf" };
    static const char *const  bad[] = {
        "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "abcdefgh\xc3", "\xf0\x9f\x92", "\xe2\x28\xa1"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert(fn_utf8_valid(good[i], strlen(good[i])));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert(!fn_utf8_valid(bad[i], strlen(bad[i])));
    }
    ck_assert_uint_eq(fn_utf8_length("a\xc3\xa9\xf0\x9f\x92\xaa", 7), 3);
}
END_TEST


START_TEST(test_secret)
{
    int     fd;
    char    path[] = "/tmp/fn-secret-XXXXXX", spec[64], err[256], *s;
    size_t  n;

    ck_assert_ptr_null(fn_secret_load("literal", &n, err, sizeof(err)));
    ck_assert(strstr(err, "env:NAME") != NULL);

    unsetenv("FN_TEST_SECRET");
    ck_assert_ptr_null(fn_secret_load("env:FN_TEST_SECRET", &n, err, sizeof(err)));
    ck_assert(strstr(err, "FN_TEST_SECRET") != NULL);

    setenv("FN_TEST_SECRET", "value", 1);
    s = fn_secret_load("env:FN_TEST_SECRET", &n, err, sizeof(err));
    ck_assert_str_eq(s, "value");
    free(s);

    fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "from file\n", 10), 10);
    close(fd);
    (void) snprintf(spec, sizeof(spec), "file:%s", path);
    s = fn_secret_load(spec, &n, err, sizeof(err));
    ck_assert_str_eq(s, "from file");
    ck_assert_uint_eq(n, 9);
    free(s);

    unlink(path);
    ck_assert_ptr_null(fn_secret_load(spec, &n, err, sizeof(err)));
}
END_TEST


UNIT_MAIN("basics", test_buf, test_uuid, test_time, test_utf8, test_secret)
