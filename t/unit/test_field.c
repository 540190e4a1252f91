/* Bodies and query strings against field specs. */
#include "unit.h"

#include "fn_field.h"
#include "fn_query.h"

static const fn_field_t  fields[] = {
    { "title", FN_T_STRING, FN_F_REQUIRED, 1, 5, NULL, NULL, "" },
    { "note", FN_T_STRING, FN_F_NULLABLE, 0, 20, NULL, NULL, "" },
    { "mood", FN_T_INT, FN_F_NULLABLE, 1, 5, NULL, NULL, "" },
    { "on", FN_T_BOOL, 0, 0, 0, NULL, NULL, "" },
    { "day", FN_T_DATE, 0, 0, 0, NULL, NULL, "" },
    { "tone", FN_T_ENUM, 0, 0, 0, "calm|friendly", NULL, "" },
    { "email", FN_T_EMAIL, 0, 0, 254, NULL, NULL, "" },
    { "secret", FN_T_SECRET, 0, 2, 9, NULL, NULL, "" },
    { "link", FN_T_URL, 0, 0, 40, NULL, NULL, "" },
    { "zone", FN_T_TIMEZONE, 0, 0, 0, NULL, NULL, "" },
    { "time", FN_T_TIME, 0, 0, 0, NULL, NULL, "" },
    { "days", FN_T_DAYS, FN_F_NULLABLE, 0, 0, NULL, NULL, "" },
    { "week", FN_T_WEEK, 0, 0, 0, NULL, NULL, "" },
    { "ids", FN_T_UUIDS, 0, 0, 2, NULL, NULL, "" },
    { NULL, 0, 0, 0, 0, NULL, NULL, NULL }
};


START_TEST(test_good)
{
    size_t            i;
    fn_buf_t          out = FN_BUF_INIT;
    fn_field_error_t  err;

    static const char *const  cases[][2] = {
        { "{\"title\":\"  a b  \"}", "{\"title\":\"a b\"}" },
        { " \n{ \"title\" : \"\\u00e9\\ud83d\\udcaa\" , \"note\":null,\"mood\":5 } ", "{\"title\":\"\xc3\xa9\xf0\x9f\x92\xaa\",\"note\":null,\"mood\":5}" },
        { "{\"title\":\"12345\",\"note\":\"a\\nb\\tc\",\"on\":false}", "{\"title\":\"12345\",\"note\":\"a\\nb\\tc\",\"on\":false}" },
        { "{\"title\":\"'; --\",\"secret\":\" x \"}", "{\"title\":\"'; --\",\"secret\":\" x \"}" },
        { "{\"title\":\"\\\\u0\",\"day\":\"2024-02-29\",\"tone\":\"calm\"}", "{\"title\":\"\\\\u0\",\"day\":\"2024-02-29\",\"tone\":\"calm\"}" },
        { "{\"title\":\"a\",\"email\":\" a.b+c@d.example \",\"link\":\"https://x.example/a?b=c#d\",\"zone\":\"America/Port-au-Prince\"}",
          "{\"title\":\"a\",\"email\":\"a.b+c@d.example\",\"link\":\"https://x.example/a?b=c#d\",\"zone\":\"America/Port-au-Prince\"}" },
        { "{\"title\":\"a\",\"time\":\"00:00\",\"days\":[ 6, 0 ,3],\"week\":\"2026-W53\"}", "{\"title\":\"a\",\"time\":\"00:00\",\"days\":[6,0,3],\"week\":\"2026-W53\"}" },
        { "{\"days\":[0,1,2,3,4,5,6],\"title\":\"a\",\"time\":\"23:59\"}", "{\"days\":[0,1,2,3,4,5,6],\"title\":\"a\",\"time\":\"23:59\"}" },
        { "{\"title\":\"a\",\"ids\":[]}", "{\"title\":\"a\",\"ids\":[]}" },
        { "{\"title\":\"a\",\"ids\":[ \"01900000-0000-7000-8000-00000000000A\" ,\"01900000-0000-7000-8000-00000000000b\"]}",
          "{\"title\":\"a\",\"ids\":[\"01900000-0000-7000-8000-00000000000a\",\"01900000-0000-7000-8000-00000000000b\"]}" },
        { "{\"days\":null,\"title\":\"a\"}", "{\"days\":null,\"title\":\"a\"}" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fn_buf_reset(&out);
        ck_assert_msg(fn_fields_validate_json(fields, cases[i][0], strlen(cases[i][0]), &out, &err) == 0,
                      "case %zu: %s", i, err.message);
        ck_assert_str_eq(out.data, cases[i][1]);
    }

    fn_buf_reset(&out);
    ck_assert_int_eq(fn_fields_validate_json(fields + 1, "", 0, &out, &err), 0);
    ck_assert_str_eq(out.data, "{}");
    fn_buf_free(&out);
}
END_TEST


START_TEST(test_bad)
{
    size_t            i;
    fn_buf_t          out = FN_BUF_INIT;
    fn_field_error_t  err;

    static const char *const  cases[][3] = {        /* body, field, constraint */
        { "", "title", "required" }, { "{}", "title", "required" }, { "{\"mood\":3}", "title", "required" },
        { "[]", "", "type" }, { "\"x\"", "", "type" }, { "1", "", "type" }, { "null", "", "type" }, { "true", "", "type" },
        { "{", "", "json" }, { "{\"title\":\"a\"", "", "json" }, { "{\"title\":\"a\"} x", "", "json" }, { "{\"title\":\"a\",}", "", "json" },
        { "{'title':1}", "", "json" }, { "nope", "", "json" }, { "{\"title\":\"a\"}{}", "", "json" },
        { "{\"title\":1}", "title", "type" }, { "{\"title\":null}", "title", "type" }, { "{\"title\":{}}", "title", "type" },
        { "{\"title\":[\"a\"]}", "title", "type" }, { "{\"title\":true}", "title", "type" },
        { "{\"title\":\"\"}", "title", "min_length" }, { "{\"title\":\"   \"}", "title", "min_length" },
        { "{\"title\":\"123456\"}", "title", "max_length" }, { "{\"title\":\"a\\u0007\"}", "title", "format" },
        { "{\"title\":\"a\\u0085\"}", "title", "format" }, { "{\"title\":\"a\\u0000\"}", "", "json" },
        { "{\"title\":\"\\ud800\"}", "", "json" }, { "{\"title\":\"\\ud800\\u0041\"}", "", "json" }, { "{\"title\":\"\\udc00\"}", "", "json" },
        { "{\"title\":\"\xff\"}", "", "json" }, { "{\"title\":\"\xed\xa0\x80\"}", "", "json" },
        { "{\"title\":\"a\",\"title\":\"b\"}", "title", "duplicate_field" }, { "{\"t\\u0069tle\":\"a\",\"title\":\"b\"}", "title", "duplicate_field" },
        { "{\"title\":\"a\",\"x\":1}", "x", "unknown_field" }, { "{\"title\":\"a\",\"mood\":0}", "mood", "min" },
        { "{\"title\":\"a\",\"mood\":6}", "mood", "max" }, { "{\"title\":\"a\",\"mood\":1.0}", "mood", "type" },
        { "{\"title\":\"a\",\"mood\":1e0}", "mood", "type" }, { "{\"title\":\"a\",\"mood\":\"1\"}", "mood", "type" },
        { "{\"title\":\"a\",\"mood\":99999999999999999999}", "mood", "max" }, { "{\"title\":\"a\",\"mood\":-99999999999999999999}", "mood", "min" },
        { "{\"title\":\"a\",\"on\":1}", "on", "type" }, { "{\"title\":\"a\",\"on\":null}", "on", "type" },
        { "{\"title\":\"a\",\"day\":\"2023-02-29\"}", "day", "format" }, { "{\"title\":\"a\",\"day\":\"\"}", "day", "format" },
        { "{\"title\":\"a\",\"tone\":\"cal\"}", "tone", "enum" }, { "{\"title\":\"a\",\"tone\":\"calm|friendly\"}", "tone", "enum" },
        { "{\"title\":\"a\",\"email\":\"a@b\"}", "email", "format" }, { "{\"title\":\"a\",\"email\":\"a@@b.c\"}", "email", "format" },
        { "{\"title\":\"a\",\"email\":\"@b.c\"}", "email", "format" }, { "{\"title\":\"a\",\"email\":\"a b@c.d\"}", "email", "format" },
        { "{\"title\":\"a\",\"secret\":\"1\"}", "secret", "min_length" }, { "{\"title\":\"a\",\"secret\":\"1234567890\"}", "secret", "max_length" },
        { "{\"title\":\"a\",\"link\":\"javascript:alert(1)\"}", "link", "format" }, { "{\"title\":\"a\",\"link\":\"https://\"}", "link", "format" },
        { "{\"title\":\"a\",\"link\":\"https://a b\"}", "link", "format" }, { "{\"title\":\"a\",\"zone\":\"../etc\"}", "zone", "format" },
        { "{\"title\":\"a\",\"note\":{\"a\":{\"b\":{}}}}", "note", "type" },
        { "{\"title\":\"a\",\"time\":\"24:00\"}", "time", "format" }, { "{\"title\":\"a\",\"time\":\"23:60\"}", "time", "format" },
        { "{\"title\":\"a\",\"time\":\"7:30\"}", "time", "format" }, { "{\"title\":\"a\",\"time\":\"07:30 \"}", "time", "format" },
        { "{\"title\":\"a\",\"time\":\"\"}", "time", "format" }, { "{\"title\":\"a\",\"time\":730}", "time", "type" },
        { "{\"title\":\"a\",\"week\":\"2026-W00\"}", "week", "format" }, { "{\"title\":\"a\",\"week\":\"2026-W54\"}", "week", "format" },
        { "{\"title\":\"a\",\"week\":\"2026W03\"}", "week", "format" }, { "{\"title\":\"a\",\"week\":\"1969-W01\"}", "week", "format" },
        { "{\"title\":\"a\",\"ids\":[\"01900000-0000-7000-8000-00000000000a\",\"01900000-0000-7000-8000-00000000000A\"]}", "ids", "unique" },
        { "{\"title\":\"a\",\"ids\":[\"01900000-0000-7000-8000-00000000000a\",\"01900000-0000-7000-8000-00000000000b\",\"01900000-0000-7000-8000-00000000000c\"]}", "ids", "max_items" },
        { "{\"title\":\"a\",\"ids\":[\"x\"]}", "ids", "format" }, { "{\"title\":\"a\",\"ids\":[1]}", "ids", "type" },
        { "{\"title\":\"a\",\"ids\":[null]}", "ids", "type" }, { "{\"title\":\"a\",\"ids\":[[]]}", "ids", "type" },
        { "{\"title\":\"a\",\"ids\":\"01900000-0000-7000-8000-00000000000a\"}", "ids", "type" },
        { "{\"title\":\"a\",\"days\":[]}", "days", "min_length" }, { "{\"title\":\"a\",\"days\":[7]}", "days", "max" },
        { "{\"title\":\"a\",\"days\":[10]}", "days", "max" }, { "{\"title\":\"a\",\"days\":[-1]}", "days", "min" },
        { "{\"title\":\"a\",\"days\":[1,2,1]}", "days", "unique" }, { "{\"title\":\"a\",\"days\":[\"1\"]}", "days", "type" },
        { "{\"title\":\"a\",\"days\":[null]}", "days", "type" }, { "{\"title\":\"a\",\"days\":[[1]]}", "days", "type" },
        { "{\"title\":\"a\",\"days\":[{}]}", "days", "type" }, { "{\"title\":\"a\",\"days\":[1.0]}", "days", "type" },
        { "{\"title\":\"a\",\"days\":[true]}", "days", "type" }, { "{\"title\":\"a\",\"days\":1}", "days", "type" },
        { "{\"title\":\"a\",\"days\":\"1\"}", "days", "type" }, { "{\"title\":\"a\",\"days\":[1", "", "json" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fn_buf_reset(&out);
        memset(&err, 0, sizeof(err));
        ck_assert_msg(fn_fields_validate_json(fields, cases[i][0], strlen(cases[i][0]), &out, &err) == -1, "accepted: %s", cases[i][0]);
        ck_assert_msg(strcmp(err.field, cases[i][1]) == 0 && strcmp(err.constraint, cases[i][2]) == 0,
                      "%s: field \"%s\", constraint %s", cases[i][0], err.field, err.constraint);
    }

    ck_assert_int_eq(fn_fields_validate_json(fields, "{\"title\":\"a\0\"}", 14, &out, &err), -1);
    fn_buf_free(&out);
}
END_TEST


START_TEST(test_deep)
{
    char              body[4000];
    fn_buf_t          out = FN_BUF_INIT;
    fn_field_error_t  err;

    memset(body, '[', sizeof(body));
    ck_assert_int_eq(fn_fields_validate_json(fields, body, sizeof(body), &out, &err), -1);
    fn_buf_free(&out);
}
END_TEST


static const fn_field_t  params[] = {
    { "id", FN_T_UUID, FN_F_PATH|FN_F_REQUIRED, 0, 0, NULL, NULL, "" },
    { "limit", FN_T_INT, 0, 1, 100, NULL, "20", "" },
    { "q", FN_T_STRING, 0, 2, 10, NULL, NULL, "" },
    { "active", FN_T_BOOL, 0, 0, 0, NULL, NULL, "" },
    { NULL, 0, 0, 0, 0, NULL, NULL, NULL }
};


START_TEST(test_query)
{
    size_t            i, lens[FN_PARAMS_MAX];
    char              work[256];
    const char       *values[FN_PARAMS_MAX];
    fn_field_error_t  err;

    static const char *const  bad[][3] = {
        { "limit=0", "limit", "min" }, { "limit=101", "limit", "max" }, { "limit=", "limit", "type" }, { "limit", "limit", "type" },
        { "limit=1&limit=2", "limit", "duplicate_field" }, { "x=1", "x", "unknown_field" }, { "id=1", "id", "unknown_field" },
        { "q=%", "q", "format" }, { "q=%4", "q", "format" }, { "q=%zz", "q", "format" }, { "q=ab%00", "q", "format" },
        { "q=%ff%ff", "q", "format" }, { "active=1", "active", "type" }, { "%ff=1", "", "unknown_field" }, { "q=a", "q", "min_length" },
    };

    ck_assert_int_eq(fn_query_parse(params, "q=a+b%21&&active=true", 21, work, values, lens, &err), 0);
    ck_assert_str_eq(values[2], "a b!");
    ck_assert_str_eq(values[1], "20");
    ck_assert_str_eq(values[3], "true");
    ck_assert_ptr_null(values[0]);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&err, 0, sizeof(err));
        ck_assert_msg(fn_query_parse(params, bad[i][0], strlen(bad[i][0]), work, values, lens, &err) == -1, "accepted: %s", bad[i][0]);
        ck_assert_msg(strcmp(err.field, bad[i][1]) == 0 && strcmp(err.constraint, bad[i][2]) == 0,
                      "%s: field \"%s\", constraint %s", bad[i][0], err.field, err.constraint);
    }
}
END_TEST


UNIT_MAIN("field", test_good, test_bad, test_deep, test_query)
