/* Buffers, UTF-8 and base64url. */
#include "check_main.h"

#include "fn_buf.h"
#include "fn_jwt.h"
#include "fn_utf8.h"


START_TEST(buf_grows)
{
    int       i;
    fn_buf_t  b = FN_BUF_INIT;

    for (i = 0; i < 1000; i++) {
        fn_buf_addf(&b, "%d,", i % 10);
    }
    ck_assert_uint_eq(b.len, 2000);
    ck_assert_uint_eq(strlen(b.data), 2000);

    fn_buf_reset(&b);
    ck_assert_uint_eq(b.len, 0);
    fn_buf_adds(&b, "again");
    ck_assert_str_eq(b.data, "again");

    fn_buf_free(&b);
    ck_assert_ptr_null(b.data);
    fn_buf_free(&b);
}
END_TEST


START_TEST(buf_too_large)
{
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_adds(&b, "x");
    fn_buf_add(&b, "x", SIZE_MAX / 2);
    ck_assert_int_eq(b.failed, 1);
    ck_assert_uint_eq(b.len, 0);

    fn_buf_adds(&b, "y");
    ck_assert_uint_eq(b.len, 0);
    ck_assert_int_eq(b.failed, 1);
    fn_buf_free(&b);
}
END_TEST


static const struct { const char *in; size_t n; const char *out; } json_strings[] = {
    { "", 0, "\"\"" },
    { "a/b", 3, "\"a/b\"" },
    { "\"\\", 2, "\"\\\"\\\\\"" },
    { "\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\"" },
    { "a\0b", 3, "\"a\\u0000b\"" },
    { "\x01\x1f", 2, "\"\\u0001\\u001f\"" },
    { "\xc3\xa9\xf0\x9f\x8f\x83", 6, "\"\xc3\xa9\xf0\x9f\x8f\x83\"" },
};

START_TEST(json_string)
{
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_add_json_string(&b, json_strings[_i].in, json_strings[_i].n);
    ck_assert_str_eq(b.data, json_strings[_i].out);
    fn_buf_free(&b);
}
END_TEST


static const struct { const char *p; size_t n; int valid; size_t length; } utf8[] = {
    { "", 0, 1, 0 },
    { "plain ascii of more than eight bytes", 36, 1, 36 },
    { "\xc2\x80", 2, 1, 1 }, { "\xdf\xbf", 2, 1, 1 },
    { "\xe0\xa0\x80", 3, 1, 1 }, { "\xed\x9f\xbf", 3, 1, 1 }, { "\xee\x80\x80", 3, 1, 1 }, { "\xef\xbf\xbf", 3, 1, 1 },
    { "\xf0\x90\x80\x80", 4, 1, 1 }, { "\xf4\x8f\xbf\xbf", 4, 1, 1 },
    { "12345678\xc3\xa9", 10, 1, 9 }, { "1234567\xc3\xa9", 9, 1, 8 },
    { "\x80", 1, 0, 0 }, { "\xbf", 1, 0, 0 }, { "\xfe", 1, 0, 0 }, { "\xff", 1, 0, 0 },
    { "\xc0\x80", 2, 0, 0 }, { "\xc1\xbf", 2, 0, 0 },                           /* overlong */
    { "\xe0\x80\x80", 3, 0, 0 }, { "\xe0\x9f\xbf", 3, 0, 0 },
    { "\xf0\x80\x80\x80", 4, 0, 0 }, { "\xf0\x8f\xbf\xbf", 4, 0, 0 },
    { "\xed\xa0\x80", 3, 0, 0 }, { "\xed\xbf\xbf", 3, 0, 0 },                   /* surrogates */
    { "\xf4\x90\x80\x80", 4, 0, 0 }, { "\xf5\x80\x80\x80", 4, 0, 0 },           /* above U+10FFFF */
    { "\xf8\x88\x80\x80\x80", 5, 0, 0 },
    { "\xc3", 1, 0, 0 }, { "\xe2\x82", 2, 0, 0 }, { "\xf0\x9f\x8f", 3, 0, 0 },  /* cut */
    { "\xc3(", 2, 0, 0 }, { "\xe2\x28\xa1", 3, 0, 0 }, { "\xe2\x82\x28", 3, 0, 0 }, { "\xf0\x9f\x28\xbc", 4, 0, 0 },
    { "ok ok ok\xc3", 9, 0, 0 },
};

START_TEST(utf8_row)
{
    char  *p = malloc(utf8[_i].n + 1);      /* exact, so that a sanitizer sees a read beyond */

    ck_assert_ptr_nonnull(p);
    memcpy(p, utf8[_i].p, utf8[_i].n);
    p = realloc(p, utf8[_i].n ? utf8[_i].n : 1);
    ck_assert_ptr_nonnull(p);

    ck_assert_int_eq(fn_utf8_valid(p, utf8[_i].n), utf8[_i].valid);
    if (utf8[_i].valid) {
        ck_assert_uint_eq(fn_utf8_length(p, utf8[_i].n), utf8[_i].length);
    }
    free(p);
}
END_TEST


/* RFC 4648, section 10, without padding. */
static const struct { const char *plain, *encoded; } base64[] = {
    { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xfe", "-__-" },
};

START_TEST(base64_row)
{
    char      out[16];
    long      n;
    size_t    len = strlen(base64[_i].plain);
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_adds(&b, "");
    fn_base64url_encode(&b, base64[_i].plain, len);
    ck_assert_str_eq(b.data, base64[_i].encoded);
    fn_buf_free(&b);

    n = fn_base64url_decode(out, sizeof(out), base64[_i].encoded, strlen(base64[_i].encoded));
    ck_assert_int_eq(n, (long) len);
    ck_assert_mem_eq(out, base64[_i].plain, len);
}
END_TEST


static const char *const  base64_bad[] = {
    "A", "AAAAA", "Zg==", "Zg=", "Zm8=", "Zm9v\n", "Zm 9", "Z+9v", "Z/9v", "Zh", "Zm9", "Zm9vYh", "AA\xc3\xa9", ".", "....",
};

START_TEST(base64_refused)
{
    char  out[16];

    ck_assert_int_eq(fn_base64url_decode(out, sizeof(out), base64_bad[_i], strlen(base64_bad[_i])), -1);
}
END_TEST


START_TEST(base64_bounds)
{
    int            i;
    char           out[2];
    fn_buf_t       b = FN_BUF_INIT;
    unsigned char  all[256], back[256];

    ck_assert_int_eq(fn_base64url_decode(out, 2, "Zm9v", 4), -1);
    ck_assert_int_eq(fn_base64url_decode(out, 2, "Zm8", 3), 2);
    ck_assert_int_eq(fn_base64url_decode(out, 2, "A\0AA", 4), -1);

    for (i = 0; i < 256; i++) {
        all[i] = (unsigned char) i;
    }
    fn_base64url_encode(&b, all, sizeof(all));
    ck_assert_int_eq(fn_base64url_decode(back, sizeof(back), b.data, b.len), 256);
    ck_assert_mem_eq(all, back, sizeof(all));
    fn_buf_free(&b);
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("text");
    TCase  *tc = tcase_create("text");

    fn_add(tc, buf_grows);
    fn_add(tc, buf_too_large);
    fn_add_rows(tc, json_string, json_strings);
    fn_add_rows(tc, utf8_row, utf8);
    fn_add_rows(tc, base64_row, base64);
    fn_add_rows(tc, base64_refused, base64_bad);
    fn_add(tc, base64_bounds);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
