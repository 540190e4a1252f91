/* What the edge reads from HTTP headers and from maintenance mode's key: origins, Accept, times, the state itself. */
#include "unit.h"

#include "fn_accept.h"
#include "fn_maintenance.h"
#include "fn_origin.h"
#include "fn_time.h"


static int
allowed(const char *pattern, const char *origin)
{
    return fn_origin_match(pattern, strlen(pattern), origin, strlen(origin));
}


START_TEST(test_origin_match)
{
    size_t  i;

    static const char *const  other[] = {
        "https://app.example.evil", "https://app.example/", "https://app.example:8443", "http://app.example", "HTTPS://app.example",
        "https://app.exampl", "https://xapp.example", "https://", "", "null", "*", "https://app.example, https://app.example",
    };
    static const char *const  outside[] = {
        "https://app.example", "https://.app.example", "https://a.b.app.example", "https://evil.com/.app.example", "https://evil.com?.app.example",
        "https://evil.com#.app.example", "https://u@.app.example", "https://evil.com:80.app.example", "https://x.app.example:443",
        "https://x.app.example.evil", "https://xapp.example", "http://x.app.example", "https://X.app.example", "https://\xc3\xa9.app.example",
        "https://a b.app.example", "https://*.app.example", "https://app.example.app.exampl",
    };

    ck_assert_int_eq(allowed("https://app.example", "https://app.example"), 1);
    ck_assert_int_eq(allowed("http://localhost:3000", "http://localhost:3000"), 1);
    ck_assert_int_eq(allowed("capacitor://localhost", "capacitor://localhost"), 1);

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        ck_assert_msg(!allowed("https://app.example", other[i]), "%s", other[i]);
    }

    ck_assert_int_eq(allowed("https://*.app.example", "https://x.app.example"), 1);
    ck_assert_int_eq(allowed("https://*.app.example", "https://preview-12_a.app.example"), 1);
    ck_assert_int_eq(allowed("https://*.app.example:8443", "https://x.app.example:8443"), 1);
    ck_assert_int_eq(allowed("https://*.app.example:8443", "https://x.app.example"), 0);

    for (i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        ck_assert_msg(!allowed("https://*.app.example", outside[i]), "%s", outside[i]);
    }
}
END_TEST


START_TEST(test_origin_check)
{
    size_t  i;

    static const char *const  good[] = {
        "https://app.example", "https://*.example", "http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:3000", "http://[::1]",
        "capacitor://localhost", "https://a-b.c_d.example:65535", "https://x.example:80", "chrome-extension://abcdef",
    };
    static const char *const  bad[] = {
        "", "*", "null", "https://", "https://*", "https://*.", "https://a.*.example", "https://x*.example", "https://**.example", "*.example",
        "app.example", "https://App.example", "HTTPS://app.example", "https://app.example/", "https://app.example/x", "https://app.example?",
        "https://app.example:", "https://app.example:0", "https://app.example:65536", "https://app.example:080", "https://app.example:8o",
        "https://app.example:443", "http://app.example:80", "https://u@app.example", "https://.example", "https://a..example", "https://a.example.",
        "https:/a.example", "1a://x", "://x", "https://[::1", "https://[]", "https://*.[::1]", "https://a example", "https://\xc3\xa9.example",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(fn_origin_check(good[i], strlen(good[i])) == NULL, "%s: %s", good[i], fn_origin_check(good[i], strlen(good[i])));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_origin_check(bad[i], strlen(bad[i])) != NULL, "%s", bad[i]);
    }
}
END_TEST


START_TEST(test_accept)
{
    size_t  i;

    static const struct { const char *value; int refuses; } cases[] = {
        { "", 0 }, { "*/*", 0 }, { "application/json", 0 }, { "text/html", 0 }, { "text/html;q=0", 0 }, { "application/xml, text/*;q=0.1", 0 },
        { "application/json;q=0", 1 }, { "application/json; q=0.000", 1 }, { "Application/JSON ; Q=0.", 1 }, { "application/json;q=0.001", 0 },
        { "application/json;q=0.0000", 0 }, { "application/json;q=0, */*", 1 }, { "*/*, application/json;q=0", 1 }, { "*/*;q=0", 1 },
        { "text/html, */*;q=0", 1 }, { "application/*;q=0, */*;q=1", 1 }, { "application/json, */*;q=0", 0 }, { "application/*, */*;q=0", 0 },
        { "application/json;charset=utf-8, */*;q=0", 0 }, { "application/json;profile=\"a;q=0,b\"", 0 }, { "application/json;profile=x;q=0", 0 },
        { "application/json;q=0, application/json", 0 }, { "application/problem+json, */*;q=0", 1 }, { ",,;;,=", 0 }, { "application/json;q=", 0 },
        { "application/json;\"", 0 }, { "application/json;x=\"\\", 0 }, { "application/jsonx;q=0", 0 }, { "q=0", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(fn_accept_refuses_json(cases[i].value, strlen(cases[i].value)) == cases[i].refuses, "%s", cases[i].value);
    }
}
END_TEST


START_TEST(test_rfc3339_parse)
{
    char     text[FN_RFC3339_LEN + 1];
    size_t   i;
    int64_t  t, back;

    static const struct { const char *text; int64_t t; } good[] = {
        { "1970-01-01T00:00:00Z", 0 }, { "2026-01-15T10:30:00Z", 1768473000 }, { "2024-02-29T23:59:59Z", 1709251199 },
        { "2024-03-01T00:00:00z", 1709251200 }, { "2026-01-15t12:30:00+02:00", 1768473000 }, { "2026-01-15T05:00:00.123456-05:30", 1768473000 },
        { "1900-01-01T00:00:00Z", -2208988800 }, { "2016-12-31T23:59:60Z", 1483228799 }, { "2000-03-01T00:00:00Z", 951868800 },
    };
    static const char *const  bad[] = {
        "", "2026-01-15", "2026-01-15T10:30:00", "2026-01-15 10:30:00Z", "2026-02-30T10:30:00Z", "2026-01-15T24:00:00Z", "2026-01-15T10:60:00Z",
        "2026-01-15T10:30:61Z", "2026-01-15T10:30:00.Z", "2026-01-15T10:30:00+0200", "2026-01-15T10:30:00+24:00", "2026-01-15T10:30:00Zx",
        "2026-01-15T1x:30:00Z", "2026-01-15T10:30:00.5", "2026-01-15T10:30Z00000",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(fn_rfc3339_parse(&t, good[i].text, strlen(good[i].text)) == 0, "%s", good[i].text);
        ck_assert_msg(t == good[i].t, "%s: %lld", good[i].text, (long long) t);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_rfc3339_parse(&t, bad[i], strlen(bad[i])) == -1, "%s", bad[i]);
    }

    for (t = -2208988800; t < 7258118400; t += 86400 * 13 + 4321) {
        fn_rfc3339(text, t);
        ck_assert_int_eq(fn_rfc3339_parse(&back, text, FN_RFC3339_LEN), 0);
        ck_assert_int_eq(back, t);
    }
}
END_TEST


START_TEST(test_maintenance)
{
    char              long_text[FN_MAINTENANCE_BYTES + 8];
    size_t            i;
    fn_buf_t          b = FN_BUF_INIT;
    fn_maintenance_t  m, got;

    static const char *const  bad[] = {
        "", "{", "[]", "null", "\"x\"", "{}", "{\"since\":\"1\"}", "{\"since\":0}", "{\"since\":-1}", "{\"since\":1.5}", "{\"since\":1,\"until\":\"x\"}",
        "{\"since\":1,\"until\":99999999999999}", "{\"since\":1,\"message\":1}", "{\"since\":1,\"message\":\"\"}", "{\"since\":1,\"message\":\"a\\u0007\"}",
        "{\"since\":1}x", "{\"since\":1,\"message\":\"\xff\"}",
    };

    memset(&m, 0, sizeof(m));
    ck_assert_ptr_null(fn_maintenance_message(&m, " Back \"soon\"\n\xf0\x9f\x8f\x83 ", 18));
    ck_assert_str_eq(m.message, "Back \"soon\"\n\xf0\x9f\x8f\x83");
    m.since_s = 1768473000;
    m.until_s = 1768474800;
    fn_maintenance_format(&b, &m);
    ck_assert_str_eq(b.data, "{\"message\":\"Back \\\"soon\\\"\\n\xf0\x9f\x8f\x83\",\"since\":1768473000,\"until\":1768474800}");
    ck_assert_int_eq(fn_maintenance_parse(&got, b.data, b.len), 0);
    ck_assert(got.since_s == m.since_s && got.until_s == m.until_s && got.len == m.len && strcmp(got.message, m.message) == 0);

    m.until_s = 0;
    fn_buf_reset(&b);
    fn_maintenance_format(&b, &m);
    ck_assert_int_eq(fn_maintenance_parse(&got, b.data, b.len), 0);
    ck_assert_int_eq(got.until_s, 0);
    fn_buf_free(&b);

    ck_assert_int_eq(fn_maintenance_parse(&got, "{\"since\":1}", 11), 0);
    ck_assert_str_eq(got.message, FN_MAINTENANCE_MESSAGE);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_maintenance_parse(&got, bad[i], strlen(bad[i])) == -1, "%s", bad[i]);
    }
    ck_assert_int_eq(fn_maintenance_parse(&got, "{\"since\":1}\0", 12), -1);

    for (i = 0; i < FN_MAINTENANCE_CHARS + 1; i++) {
        memcpy(long_text + 4 * i, "\xf0\x9f\x8f\x83", 4);
    }
    ck_assert_ptr_null(fn_maintenance_message(&m, long_text, FN_MAINTENANCE_BYTES));
    ck_assert_ptr_nonnull(fn_maintenance_message(&m, long_text, FN_MAINTENANCE_BYTES + 4));
    memset(long_text, 'x', sizeof(long_text));
    ck_assert_ptr_null(fn_maintenance_message(&m, long_text, FN_MAINTENANCE_CHARS));
    ck_assert_ptr_nonnull(fn_maintenance_message(&m, long_text, FN_MAINTENANCE_CHARS + 1));
    ck_assert_ptr_nonnull(fn_maintenance_message(&m, " \t\n", 3));
    ck_assert_ptr_nonnull(fn_maintenance_message(&m, "a\0b", 3));
    ck_assert_ptr_nonnull(fn_maintenance_message(&m, "\xed\xa0\x80", 3));
}
END_TEST


START_TEST(test_accept_encoding)
{
    size_t  i;

    static const struct { const char *value; int br; } cases[] = {
        { "", 0 }, { "br", 1 }, { "BR", 1 }, { "gzip, deflate, br", 1 }, { "gzip,br;q=0.5", 1 }, { "br;q=0", 0 }, { "br;q=0.000", 0 }, { " br ; q=0 ", 0 },
        { "brotli", 0 }, { "b", 0 }, { "*", 0 }, { "gzip", 0 }, { ",,br,", 1 }, { "br;", 1 }, { ";br", 0 }, { "gzip;q=br", 0 }, { "\"br\"", 0 }, { "br;q=1", 1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(fn_accept_encoding(cases[i].value, strlen(cases[i].value), "br") == cases[i].br, "%s", cases[i].value);
    }
}
END_TEST


UNIT_MAIN("manners", test_origin_match, test_origin_check, test_accept, test_accept_encoding, test_rfc3339_parse, test_maintenance)
