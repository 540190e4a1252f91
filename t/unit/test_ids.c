/* UUIDs, dates and durations. */
#include "check_main.h"

#include "fn_time.h"
#include "fn_uuid.h"


START_TEST(uuid_v7)
{
    int   i;
    char  a[FN_UUID_LEN + 1], b[FN_UUID_LEN + 1];

    /* the time of RFC 9562, appendix A.6 */
    ck_assert_int_eq(fn_uuid_v7(a, 0x017F22E279B0), 0);
    ck_assert_uint_eq(strlen(a), FN_UUID_LEN);
    ck_assert_int_eq(fn_uuid_valid(a, strlen(a)), 1);
    ck_assert_int_eq(memcmp(a, "017f22e2-79b0-7", 15), 0);
    ck_assert_ptr_nonnull(strchr("89ab", a[19]));

    for (i = 0; i < 1000; i++) {
        ck_assert_int_eq(fn_uuid_v7(b, 0x017F22E279B0), 0);
        ck_assert_int_eq(b[14], '7');
        ck_assert_ptr_nonnull(strchr("89ab", b[19]));
        ck_assert_str_ne(a, b);
        memcpy(a, b, sizeof(a));
    }

    /* later ids sort later */
    ck_assert_int_eq(fn_uuid_v7(a, 1767225600000), 0);
    ck_assert_int_eq(fn_uuid_v7(b, 1767225600001), 0);
    ck_assert_int_lt(strcmp(a, b), 0);
}
END_TEST


START_TEST(uuid_v5)
{
    char  a[FN_UUID_LEN + 1], b[FN_UUID_LEN + 1];

    fn_uuid_v5(a, "u", 1, "POST /x", 7, "k", 1);
    ck_assert_str_eq(a, "37fe2e3d-135f-580b-8f14-8e8430670dc3");
    fn_uuid_v5(a, "", 0, "POST /x", 7, "k", 1);
    ck_assert_str_eq(a, "ff507eb2-196f-519c-8e6b-ed715289298e");

    /* the parts do not run into each other */
    fn_uuid_v5(a, "ab", 2, "c", 1, "d", 1);
    fn_uuid_v5(b, "a", 1, "bc", 2, "d", 1);
    ck_assert_str_ne(a, b);
    fn_uuid_v5(b, "ab", 2, "cd", 2, "", 0);
    ck_assert_str_ne(a, b);
}
END_TEST


static const struct { const char *s; int valid; } uuids[] = {
    { "00000000-0000-0000-0000-000000000000", 1 },
    { "ffffffff-ffff-ffff-ffff-ffffffffffff", 1 },
    { "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 1 },
    { "", 0 },
    { "017f22e2-79b0-7cc3-98c4-dc0c0c07398", 0 },
    { "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", 0 },
    { "017f22e279b07cc398c4dc0c0c07398f", 0 },
    { "017f22e2079b0-7cc3-98c4-dc0c0c07398f", 0 },
    { "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", 0 },
    { "017f22e-279b0-7cc3-98c4-dc0c0c07398f", 0 },
    { "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}", 0 },
    { "017f22e2-79b0-7cc3-98c4-dc0c0c07398 ", 0 },
    { "017f22e2-79b0-7cc3-98c4-dc0c0c0739\xc3\xa9", 0 },
};

START_TEST(uuid_row)
{
    ck_assert_int_eq(fn_uuid_valid(uuids[_i].s, strlen(uuids[_i].s)), uuids[_i].valid);
}
END_TEST


static const struct { const char *s; int valid; } dates[] = {
    { "2026-01-31", 1 }, { "1900-01-01", 1 }, { "2199-12-31", 1 }, { "2024-02-29", 1 }, { "2000-02-29", 1 },
    { "2026-02-29", 0 }, { "2100-02-29", 0 }, { "1900-02-29", 0 }, { "2026-04-31", 0 }, { "2026-00-10", 0 },
    { "2026-13-10", 0 }, { "2026-01-00", 0 }, { "2026-01-32", 0 }, { "1899-12-31", 0 }, { "2200-01-01", 0 },
    { "", 0 }, { "2026-1-31", 0 }, { "2026-01-31T", 0 }, { "2026/01/31", 0 }, { "20260131", 0 }, { "+026-01-31", 0 },
    { "2026-01- 1", 0 }, { "2026--1-01", 0 }, { "2026-01-3\xd9", 0 },
};

START_TEST(date_row)
{
    ck_assert_int_eq(fn_date_valid(dates[_i].s, strlen(dates[_i].s)), dates[_i].valid);
}
END_TEST


static const struct { const char *s; int64_t ms; } durations[] = {
    { "0", 0 }, { "500ms", 500 }, { "15s", 15000 }, { "15", 15000 }, { "10m", 600000 }, { "24h", 86400000 },
    { "7d", 604800000 }, { "007d", 604800000 },
    { "", -1 }, { "s", -1 }, { "-1s", -1 }, { "+1s", -1 }, { " 1s", -1 }, { "1 s", -1 }, { "1s ", -1 }, { "1.5s", -1 },
    { "1x", -1 }, { "1S", -1 }, { "1sm", -1 }, { "0x10", -1 }, { "1e3", -1 }, { "99999999999999999999s", -1 },
    { "99999999999999999d", -1 }, { "9223372036854775807", -1 },
};

START_TEST(duration_row)
{
    ck_assert_int_eq(fn_parse_duration_ms(durations[_i].s), durations[_i].ms);
}
END_TEST


static const struct { const char *s; int64_t bytes; } sizes[] = {
    { "0", 0 }, { "512", 512 }, { "64k", 65536 }, { "64K", 65536 }, { "8m", 8388608 }, { "8M", 8388608 },
    { "1g", 1073741824 }, { "1G", 1073741824 },
    { "", -1 }, { "k", -1 }, { "-1", -1 }, { "1kb", -1 }, { "1t", -1 }, { "1.5m", -1 }, { "99999999999999999g", -1 },
};

START_TEST(size_row)
{
    ck_assert_int_eq(fn_parse_size(sizes[_i].s), sizes[_i].bytes);
}
END_TEST


static const struct { int64_t s; const char *text; } times[] = {
    { 0, "1970-01-01T00:00:00Z" }, { 1768473000, "2026-01-15T10:30:00Z" }, { -1, "1969-12-31T23:59:59Z" },
    { 951782400, "2000-02-29T00:00:00Z" }, { 253402300799, "9999-12-31T23:59:59Z" },
    { 253402300800, "1970-01-01T00:00:00Z" }, { INT64_MAX, "1970-01-01T00:00:00Z" },
};

START_TEST(rfc3339_row)
{
    char  out[FN_RFC3339_LEN + 1];

    fn_rfc3339(out, times[_i].s);
    ck_assert_str_eq(out, times[_i].text);
}
END_TEST


START_TEST(clocks)
{
    uint64_t  wall = fn_now_ms(), mono = fn_mono_ms();

    ck_assert_uint_gt(wall, 1700000000000);
    ck_assert_uint_ge(fn_mono_ms(), mono);
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("ids");
    TCase  *tc = tcase_create("ids");

    fn_add(tc, uuid_v7);
    fn_add(tc, uuid_v5);
    fn_add_rows(tc, uuid_row, uuids);
    fn_add_rows(tc, date_row, dates);
    fn_add_rows(tc, duration_row, durations);
    fn_add_rows(tc, size_row, sizes);
    fn_add_rows(tc, rfc3339_row, times);
    fn_add(tc, clocks);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
