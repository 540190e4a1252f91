/* Languages: which one a client means, what is refused as a file of texts, and whether ours are whole (ICU MessageFormat). */
#include <stdlib.h>
#include <string.h>

#include <unicode/umsg.h>
#include <unicode/upluralrules.h>
#include <unicode/ustring.h>
#include <yajl/yajl_parse.h>

#include "fn_locales.h"
#include "unit.h"

#define TEXT_MAX  4000
#define T(s)      s, sizeof(s) - 1


START_TEST(lookup)
{
    size_t  i;

    static const struct { const char *tag; int want; }  cases[] = {
        { "en", 0 }, { "EN", 0 }, { "en-US", 0 }, { "es-419", 1 }, { "fr-CA", 2 }, { "de-AT", 3 }, { "de-Latn-CH-1996", 3 }, { "ar", 4 }, { "he-IL", 5 }, { "iw", 5 },
        { "en-XA", FN_PSEUDO }, { "EN-xa", FN_PSEUDO }, { "", -1 }, { "d", -1 }, { "deu", -1 }, { "de-", -1 }, { "-de", -1 }, { "de_AT", -1 }, { "de-waytoolongsubtag", -1 },
        { "de--AT", -1 }, { "../de", -1 }, { "de/x", -1 }, { "zh", -1 }, { "*", -1 }, { "de-\xc3\xa9", -1 }, { "de-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd", -1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(fn_language_lookup(cases[i].tag, strlen(cases[i].tag)) == cases[i].want, "%s", cases[i].tag);
    }
}
END_TEST


START_TEST(negotiation)
{
    size_t  i;

    static const struct { const char *header; int want; }  cases[] = {
        { "de", 3 }, { "de-AT, en;q=0.8", 3 }, { "en;q=0.8,de", 3 }, { "zh, ja;q=0.9, fr;q=0.1", 2 }, { "de;q=0, en", 0 }, { "de;q=0", -1 }, { "*", -1 }, { "*;q=0.5, he;q=0.2", 5 },
        { "fr;q=0.500, es;q=0.501", 1 }, { "fr , es", 2 }, { " ,, ar ;  q=1.0 ", 4 }, { "en;q=0.5, de;q=0.5", 0 }, { "de;q=1.5, en;q=0.1", 0 }, { "de;q=x, en;q=0.1", 0 },
        { "de;level=1, en;q=0.1", 0 }, { "de;q=1.001, en;q=0.1", 0 }, { "de;q=0.0001", -1 }, { "", -1 }, { ",", -1 }, { ";q=1", -1 }, { "de;", -1 }, { "en-XA, de;q=0.1", 3 }, { "iw-IL", 5 },
        { "de\x01", -1 }, { "DE-at;Q=0.7", 3 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(fn_language_negotiate(cases[i].header, strlen(cases[i].header)) == cases[i].want, "%s: %d", cases[i].header,
                      fn_language_negotiate(cases[i].header, strlen(cases[i].header)));
    }
}
END_TEST


static int
parsed(int language, const char *text, char problem[160])
{
    int            rc;
    fn_locales_t  *l;

    l = fn_locales_new();
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(fn_locales_parse(l, 0, T("{\"a\":\"A\",\"b.c\":\"B {n}\"}"), problem, 160), 0);
    rc = fn_locales_parse(l, language, text, strlen(text), problem, 160);
    fn_locales_free(l);

    return rc;
}


START_TEST(hostile)
{
    char    problem[160];
    size_t  i;

    static const struct { int language; const char *text; const char *like; }  cases[] = {
        { 3, "", "no JSON" }, { 3, "{", "no JSON" }, { 3, "[]", "texts only" }, { 3, "\"x\"", "object is expected" }, { 3, "{\"z\":\"Z\"}", "English has no key \"z\"" },
        { 3, "{\"a\":\"A\",\"a\":\"A\"}", "twice" }, { 3, "{\"a\":{\"b\":\"c\"}}", "not an object" }, { 3, "{\"a\":1}", "texts only" }, { 3, "{\"a\":null}", "texts only" },
        { 3, "{\"a\":true}", "texts only" }, { 3, "{\"a\":[\"x\"]}", "texts only" }, { 3, "{\"a\":\"\"}", "empty" }, { 3, "{\"a\":\"x\\u0000y\"}", "control" },
        { 3, "{\"a\":\"\\u001b[31m\"}", "control" }, { 3, "{\"a\":\"\xff\"}", "no JSON" }, { 3, "{\"A b\":\"x\"}", "not a key" }, { 3, "{\"\":\"x\"}", "not a key" },
        { 3, "{\"a\":\"x\"} {", "no JSON" }, { 0, "{\"a\":\"again\"}", "twice" }, { -1, "{\"xx\":{}}", "no language \"xx\"" }, { -1, "{\"de\":\"x\"}", "object is expected" },
        { -1, "{\"de\":{\"z\":\"Z\"}}", "English has no key" }, { -1, "{\"de\":{\"a\":{}}}", "not an object" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(parsed(cases[i].language, cases[i].text, problem) == -1, "taken: %s", cases[i].text);
        ck_assert_msg(strstr(problem, cases[i].like) != NULL, "%s: %s", cases[i].text, problem);
    }

    ck_assert_int_eq(parsed(3, "{\"a\":\"\xc3\x84\"}", problem), 0);
    ck_assert_int_eq(parsed(-1, "{\"de\":{\"tone\":\"x\"},\"en\":{\"tone\":\"y\"}}", problem), 0);
    ck_assert_ptr_null(fn_locales_load("/no/such/directory", problem, sizeof(problem)));
    ck_assert_ptr_nonnull(strstr(problem, "no such file"));
}
END_TEST


START_TEST(fallback)
{
    char           problem[160];
    size_t         n;
    fn_locales_t  *l;

    l = fn_locales_new();
    ck_assert_int_eq(fn_locales_parse(l, 0, T("{\"a\":\"One {n, plural, one {day} other {# days}}\",\"b\":\"B\"}"), problem, sizeof(problem)), 0);
    ck_assert_int_eq(fn_locales_parse(l, -1, T("{\"de\":{\"c\":\"K\"},\"en\":{\"c\":\"C\"}}"), problem, sizeof(problem)), 0);
    ck_assert_int_eq(fn_locales_parse(l, 3, T("{\"b\":\"\\\"\xc3\x84\\\"\"}"), problem, sizeof(problem)), 0);
    ck_assert_int_eq(fn_locales_finish(l, problem, sizeof(problem)), 0);

    ck_assert_str_eq(fn_locales_text(l, "de", "b"), "\"\xc3\x84\"");
    ck_assert_str_eq(fn_locales_text(l, "de", "c"), "K");
    ck_assert_str_eq(fn_locales_text(l, "fr", "c"), "C");
    ck_assert_str_eq(fn_locales_text(l, "xx", "b"), "B");
    ck_assert_ptr_null(fn_locales_text(l, "de", "none"));
    ck_assert_ptr_null(fn_locales_text(NULL, "de", "b"));
    ck_assert_ptr_null(fn_locales_own(l, 3, 0));
    ck_assert_str_eq(fn_locales_json(l, 3, &n), "{\"language\":\"de\",\"dir\":\"ltr\",\"messages\":{\"a\":\"One {n, plural, one {day} other {# days}}\",\"b\":\"\\\"\xc3\x84\\\"\",\"c\":\"K\"}}");
    ck_assert_ptr_nonnull(strstr(fn_locales_json(l, 4, &n), "\"dir\":\"rtl\""));
    ck_assert_ptr_nonnull(strstr(fn_locales_json(l, FN_PSEUDO, &n), "\"a\":\"[\xce\xbf\xce\xbd\xce\xb5 {n, plural, one {\xce\xb4\xce\xb1\xcf\x88} other {# \xce\xb4\xce\xb1\xcf\x88\xcf\x83}}"));
    fn_locales_free(l);
}
END_TEST


/* The arguments of a message, "{name" each: a set as text, in order of appearance and without repetition. */
static void
arguments(const char *s, char out[TEXT_MAX])
{
    char      name[80];
    size_t    n, len;
    unsigned  depth;

    out[0] = '\0';
    len = 0;

    for (depth = 0; *s != '\0'; s++) {
        if (*s == '{' && depth++ % 2 == 0) {
            n = strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_");
            ck_assert_uint_lt(n, 60);
            snprintf(name, sizeof(name), "{%.*s}", (int) n, s + 1);

            if (strstr(out, name) == NULL) {
                len += (size_t) snprintf(out + len, TEXT_MAX - len, "%s", name);
                ck_assert_uint_lt(len, TEXT_MAX);
            }
        }

        depth -= *s == '}' && depth > 0;
    }
}


/* Each plural of a message names all categories that its language has. */
static void
plurals(const char *language, const char *s)
{
    char           want[40];
    const char    *p;
    int32_t        n;
    UErrorCode     status = U_ZERO_ERROR;
    UPluralRules  *rules;
    UEnumeration  *keywords;

    for (p = s; (p = strstr(p, ", plural,")) != NULL; p++) {
        rules = uplrules_openForType(language, UPLURAL_TYPE_CARDINAL, &status);
        keywords = uplrules_getKeywords(rules, &status);
        ck_assert(U_SUCCESS(status));

        for ( ;; ) {
            const char  *k = uenum_next(keywords, &n, &status);

            if (k == NULL) {
                break;
            }

            snprintf(want, sizeof(want), " %.30s {", k);
            ck_assert_msg(strstr(p, want) != NULL, "%s lacks the category%s: %s", language, want, s);
        }

        uenum_close(keywords);
        uplrules_close(rules);
    }
}


static void
message(const char *language, const char *key, const char *s)
{
    UChar            text[TEXT_MAX];
    int32_t          n;
    UErrorCode       status = U_ZERO_ERROR;
    UParseError      where;
    UMessageFormat  *format;

    u_strFromUTF8(text, TEXT_MAX, &n, s, -1, &status);
    format = umsg_open(text, n, language, &where, &status);
    ck_assert_msg(U_SUCCESS(status), "%s, %s: %s at %d", language, key, u_errorName(status), where.offset);
    umsg_close(format);
    plurals(language, s);
}


START_TEST(ours)
{
    int            i;
    char           problem[400], ours_[TEXT_MAX], theirs[TEXT_MAX];
    unsigned       k;
    const char    *own;
    fn_locales_t  *l;

    l = fn_locales_load(FN_LOCALES_DIR, problem, sizeof(problem));
    ck_assert_msg(l != NULL, "%s", problem);
    ck_assert_uint_gt(fn_locales_n(l), 40);

    for (i = 0; i < FN_LANGUAGES_N; i++) {
        for (k = 0; k < fn_locales_n(l); k++) {
            own = fn_locales_own(l, i, k);
            ck_assert_msg(own != NULL, "%s lacks %s", fn_languages[i].code, fn_locales_key(l, k));
            message(fn_languages[i].code, fn_locales_key(l, k), own);
            arguments(fn_locales_own(l, 0, k), ours_);
            arguments(own, theirs);
            ck_assert_msg(strcmp(ours_, theirs) == 0, "%s, %s: %s instead of %s", fn_languages[i].code, fn_locales_key(l, k), theirs, ours_);
        }
    }

    fn_locales_free(l);
}
END_TEST


/* en-XA as an app gets it: still messages, with the same arguments. */
static int
pseudo_text(void *ctx, const unsigned char *s, size_t n)
{
    char  text[TEXT_MAX];

    (void) ctx;
    ck_assert_uint_lt(n, sizeof(text));
    memcpy(text, s, n);
    text[n] = '\0';

    if (text[0] == '[') {
        message("en", "en-XA", text);
    }

    return 1;
}


START_TEST(pseudo)
{
    char            problem[400];
    size_t          n;
    const char     *json;
    yajl_handle     h;
    fn_locales_t   *l;
    yajl_callbacks  callbacks;

    memset(&callbacks, 0, sizeof(callbacks));
    callbacks.yajl_string = pseudo_text;

    l = fn_locales_load(FN_LOCALES_DIR, problem, sizeof(problem));
    ck_assert_ptr_nonnull(l);
    json = fn_locales_json(l, FN_PSEUDO, &n);
    h = yajl_alloc(&callbacks, NULL, NULL);
    ck_assert(yajl_parse(h, (const unsigned char *) json, n) == yajl_status_ok && yajl_complete_parse(h) == yajl_status_ok);
    yajl_free(h);
    fn_locales_free(l);
}
END_TEST


UNIT_MAIN("locales", lookup, negotiation, hostile, fallback, ours, pseudo)
