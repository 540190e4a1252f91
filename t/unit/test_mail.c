/* Mails: templates, words, messages on the wire, signed links, and what SMTP servers answer. */
#include "provider_test.h"

#include <curl/curl.h>

#include "libfitnudge/fn_mail_link.h"
#include "mail/message.h"
#include "mail/templates.h"
#include "mail/words.h"
#include "providers/process.h"
#include "providers/smtp.h"

#define KEY   "0123456789abcdef0123456789abcdef"
#define USER  "01900000-0000-7000-8000-000000000001"
#define pair  fn_provider_smtp.pairs

static fn_process_t  process;

static void
on(void)
{
    char  problem[1024];

    set(smtp_host, "mail.example");
    set(smtp_username, "hello@fitnudge.example");
    set(smtp_password, "secret");
    settings.jwt_secret = strdup(KEY);
    memset(&process, 0, sizeof(process));
    process.templates = fn_mail_templates_load("../../conf/templates/mail", problem, sizeof(problem));
    if (process.templates == NULL) {
        process.templates = fn_mail_templates_load("conf/templates/mail", problem, sizeof(problem));
    }
    ck_assert_msg(process.templates != NULL, "%s", problem);
    call.process = &process;
}

static void
off(void)
{
    fn_mail_templates_free(process.templates);
    end();
}


/* Undoes quoted-printable and MIME's line ends. */
static void
unquote(fn_buf_t *out, const char *s)
{
    char  hex[3] = "";

    fn_buf_reset(out);
    for (; *s != '\0'; s++) {
        if (*s == '=' && s[1] == '\r') {
            s += 2;
        } else if (*s == '=' && strspn(s + 1, "0123456789ABCDEF") >= 2) {
            memcpy(hex, s + 1, 2);
            *hex = (char) strtol(hex, NULL, 16);
            fn_buf_add(out, hex, 1);
            s += 2;
        } else if (*s != '\r') {
            fn_buf_add(out, s, 1);
        }
    }
}


/* Lines of at most 78 characters that end in CRLF, and nothing but ASCII. */
static void
lines_ok(const char *s)
{
    const char  *p, *eol;

    for (p = s; *p != '\0'; p = eol + 2) {
        eol = strstr(p, "\r\n");
        ck_assert_msg(eol != NULL, "no end of line: %.40s", p);
        ck_assert_msg(eol - p <= 78 || strncmp(p, " <http", 6) == 0, "long: %.100s", p);
        ck_assert(memchr(p, '\n', (size_t) (eol - p)) == NULL);
    }
    for (p = s; *p != '\0'; p++) {
        ck_assert_msg((*p >= 0x20 && *p < 0x7f) || *p == '\r' || *p == '\n', "byte %d", *p);
    }
}


START_TEST(test_words)
{
    size_t    i;
    fn_buf_t  b = FN_BUF_INIT;

    static const struct { const char *language; int64_t n; const char *expected; } counts[] = {
        { "en", 1, "1 day" }, { "en", 0, "0 days" }, { "en", 2, "2 days" }, { "en", 1234, "1,234 days" }, { "de", 1234, "1.234 days" },
        { "fr", 0, "0 day" }, { "fr", 1, "1 day" }, { "fr", 2, "2 days" }, { "es", 1, "1 day" }, { "de", -5, "-5 days" }
    };
    static const char *const  dates[][2] = {
        { "en", "January 5, 2026" }, { "es", "5 de enero de 2026" }, { "fr", "5 janvier 2026" }, { "de", "5. Januar 2026" }
    };

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_words_count(&b, counts[i].language, counts[i].n, "day", 3, "days", 4), 0);
        ck_assert_str_eq(b.data, counts[i].expected);
    }
    for (i = 0; i < 4; i++) {
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_words_date(&b, dates[i][0], "2026-01-05"), 0);
        ck_assert_str_eq(b.data, dates[i][1]);
    }
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_words_date(&b, "fr", "2026-02-01"), 0);
    ck_assert_str_eq(b.data, "1er f\xc3\xa9vrier 2026");
    ck_assert_int_eq(fn_words_date(&b, "en", "2026-02-30"), -1);
    ck_assert_int_eq(fn_words_date(&b, "en", "soon"), -1);
    fn_buf_free(&b);
}
END_TEST


static const fn_mail_var_t  some[] = { { "user_name", "Zo\xc3\xab <b> & \"Co\"", 0 }, { "n", NULL, 1 }, { "day", "2026-01-05", 0 },
    { "x_url", "https://a.example/?a=1&b='2'", 0 }, { "bad_url", "javascript:alert(1)", 0 }, { "lines", "a\r\nBcc: b\x01\xc2\x85", 0 } };

static const struct { const char *template; int html; const char *expected; } substitutions[] = {
    { "", 0, "" }, { "plain } { text", 0, "plain } { text" }, { "Hi {{user_name}}!", 0, "Hi Zo\xc3\xab <b> & \"Co\"!" },
    { "Hi {{user_name}}!", 1, "Hi Zo\xc3\xab &lt;b&gt; &amp; &quot;Co&quot;!" }, { "{{n|day|days}}.", 0, "1 day." }, { "{{n}}", 0, "1" },
    { "{{day|date}}", 0, "January 5, 2026" }, { "<a href=\"{{x_url}}\">", 1, "<a href=\"https://a.example/?a=1&amp;b=&#39;2&#39;\">" },
    { "{{lines}}", 0, "aBcc: b" }, { "{{bad_url}}", 0, NULL }, { "{{nothing}}", 0, NULL }, { "{{user_name", 0, NULL }, { "{{}}", 0, NULL },
    { "{{ user_name }}", 0, NULL }, { "{{day|time}}", 0, NULL }, { "{{n|date}}", 0, NULL }, { "{{day|a|b}}", 0, NULL }, { "{{n|a|b|c}}", 0, NULL },
    { "{{n|a|}}", 0, NULL }, { "{{{user_name}}}", 0, NULL }, { "{{|}}", 0, NULL }, { "{{user_name|date}}", 0, NULL }
};

START_TEST(test_substitute)
{
    int               rc;
    fn_buf_t          b = FN_BUF_INIT;
    fn_mail_values_t  v = { "en", some, 6, NULL, NULL };

    rc = fn_mail_substitute(&b, substitutions[_i].template, &v, substitutions[_i].html);
    if (substitutions[_i].expected == NULL) {
        ck_assert_msg(rc == -1, "%s gave %s", substitutions[_i].template, text_of(&b));
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert_str_eq(text_of(&b), substitutions[_i].expected);
    }
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_addresses)
{
    char    long_one[300];
    size_t  i;

    static const char *const  good[] = { "a@b", "a.b+c@d-e.example", "o'neil@x.co", "{x}@y.example" };
    static const char *const  bad[] = { "", "a", "@b", "a@", "a@@b", "a@b@c", ".a@b", "a.@b", "a..b@c", "a b@c", "a@b c", "a@-b", "a@b-", "a@b..c", "a@b.",
        "a\r\n@b", "a@b\r\nBcc: c@d", "<a@b>", "a@b>", "\"a\"@b", "a@[127.0.0.1]", "z\xc3\xab@b", "a,b@c", "a@b,c@d", "a;b@c", "(a)@b" };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(fn_message_address_valid(good[i]), "%s", good[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!fn_message_address_valid(bad[i]), "%s", bad[i]);
    }
    ck_assert(!fn_message_address_valid(NULL));
    memset(long_one, 'a', sizeof(long_one));
    memcpy(long_one + 65, "@b", 3);
    ck_assert(!fn_message_address_valid(long_one));
    ck_assert(fn_message_address_valid(long_one + 1));
    memset(long_one, 'a', sizeof(long_one));
    long_one[1] = '@';
    long_one[299] = '\0';
    ck_assert(!fn_message_address_valid(long_one));
}
END_TEST


START_TEST(test_quoted)
{
    char      big[400];
    size_t    i;
    fn_buf_t  b = FN_BUF_INIT, back = FN_BUF_INIT;

    static const char *const  cases[][2] = {
        { "", "" }, { "a=b", "a=3Db" }, { "caf\xc3\xa9", "caf=C3=A9" }, { "end \n x\t", "end=20\r\n x=09" }, { ".\n..", "=2E\r\n=2E." },
        { "From me\nFrom", "=46rom me\r\nFrom" }, { "a\r\nb\rc", "a\r\nbc" }, { "\x01\x7f", "=01=7F" }, { " ", "=20" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fn_buf_reset(&b);
        fn_message_quoted(&b, cases[i][0], strlen(cases[i][0]));
        ck_assert_str_eq(text_of(&b), cases[i][1]);
    }

    for (i = 0; i < sizeof(big) - 1; i++) {
        big[i] = i % 7 == 3 ? '.' : i % 11 == 5 ? (char) 0xc3 : i % 11 == 6 ? (char) 0xa9 : ' ';
    }
    big[i] = '\0';
    fn_buf_reset(&b);
    fn_message_quoted(&b, big, strlen(big));
    fn_buf_adds(&b, "\r\n");
    lines_ok(b.data);
    ck_assert_ptr_null(strstr(b.data, "\r\n."));
    unquote(&back, b.data);
    ck_assert(strncmp(back.data, big, strlen(big)) == 0);
    fn_buf_free(&b);
    fn_buf_free(&back);
}
END_TEST


START_TEST(test_message)
{
    fn_buf_t      b = FN_BUF_INIT;
    fn_message_t  m = { "hello@fitnudge.example", "FitNudge", "u@x.example", "Zo\xc3\xab \"Z\"", "Gr\xc3\xbc\xc3\x9f" "e", "Hi\n", "<p>Hi</p>\n", "de", JOB_ID,
                        "https://fitnudge.example/u/1", 1768473000 };

    ck_assert_int_eq(fn_message_build(&b, &m), 0);
    ck_assert_str_eq(b.data,
        "Date: Thu, 15 Jan 2026 10:30:00 +0000\r\n"
        "From: \"FitNudge\"\r\n <hello@fitnudge.example>\r\n"
        "To: =?utf-8?B?Wm/DqyAiWiI=?=\r\n <u@x.example>\r\n"
        "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"
        "Message-ID: <" JOB_ID "@fitnudge.example>\r\n"
        "Content-Language: de\r\nAuto-Submitted: auto-generated\r\n"
        "List-Unsubscribe:\r\n <https://fitnudge.example/u/1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"=_" JOB_ID "\"\r\n\r\n"
        "--=_" JOB_ID "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHi\r\n\r\n"
        "--=_" JOB_ID "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Hi</p>\r\n\r\n"
        "--=_" JOB_ID "--\r\n");
    fn_buf_free(&b);
}
END_TEST


/* Nothing that users write ends up at the beginning of a header line. */
START_TEST(test_injection)
{
    char          name[700];
    size_t        i;
    fn_buf_t      b = FN_BUF_INIT;
    fn_message_t  m = { "hello@fitnudge.example", "F", "u@x.example", NULL, NULL, "Hi\n", NULL, "en", JOB_ID, NULL, 1768473000 };

    static const char *const  evil[] = { "a\r\nBcc: evil@x.example", "a\nBcc: evil@x.example\n\nbody", "\r\n\r\nbody", "=?utf-8?Q?a=0d=0aBcc:_x?=", "a\xe2\x80\xa8" "Bcc: x",
        "\"><evil@x.example>", "a\\", "a\\\"\r", "\x0b\x0c\x1b[2J", " lead and trail ", "\xc2\x85" "Bcc: x" };

    for (i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
        m.subject = m.to_name = evil[i];
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_message_build(&b, &m), 0);
        lines_ok(b.data);
        ck_assert_ptr_null(strstr(b.data, "\nBcc"));
        ck_assert_ptr_null(strstr(b.data, "\nbody"));
        ck_assert_ptr_null(strstr(b.data, "=?utf-8?Q"));
    }

    /* long ones are folded, within no character */
    for (i = 0; i < 600; i += 3) {
        memcpy(name + i, "\xe2\x82\xac", 3);
    }
    name[i] = '\0';
    m.subject = m.to_name = name;
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_message_build(&b, &m), 0);
    lines_ok(b.data);
    memset(name, 'a', 600);
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_message_build(&b, &m), 0);
    lines_ok(b.data);

    memset(name, '"', 60);
    name[60] = '\0';
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_message_build(&b, &m), 0);
    lines_ok(b.data);

    m.subject = m.to_name = "x";
    m.to = "u@x.example\r\nBcc: y";
    ck_assert_int_eq(fn_message_build(&b, &m), -1);
    m.to = "u@x.example";
    m.id = "x";
    ck_assert_int_eq(fn_message_build(&b, &m), -1);
    m.id = JOB_ID;
    m.language = "e\n";
    ck_assert_int_eq(fn_message_build(&b, &m), -1);
    m.language = "en";
    m.unsubscribe = "https://x/\r\nBcc: y";
    ck_assert_int_eq(fn_message_build(&b, &m), -1);
    m.unsubscribe = NULL;
    m.text = "\xff";
    ck_assert_int_eq(fn_message_build(&b, &m), -1);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_links)
{
    char        user[37], list[33], token[128];
    size_t      i;
    fn_buf_t    b = FN_BUF_INIT;
    const char *s;

    static const char *const  targets[] = { "", "javascript:alert(1)", "//evil.example", "https://", "https://a b", "https://a\r\nX: y", "https://a\"", "ftp://x/y" };

    ck_assert_int_eq(fn_mail_link(&b, "https://x.example//", KEY, FN_MAIL_OPEN, USER, ""), 0);
    ck_assert(strncmp(b.data, "https://x.example/api/v1/e/o/" USER ".gif?s=", 72) == 0);
    s = b.data + b.len - 22;
    ck_assert(fn_mail_link_verify(KEY, FN_MAIL_OPEN, USER, 36, "", 0, s, 22));
    ck_assert(!fn_mail_link_verify(KEY, FN_MAIL_CLICK, USER, 36, "https://a.example/", 18, s, 22));
    ck_assert(!fn_mail_link_verify(KEY "x", FN_MAIL_OPEN, USER, 36, "", 0, s, 22));
    ck_assert(!fn_mail_link_verify(KEY, FN_MAIL_OPEN, JOB_ID, 36, "", 0, s, 22));
    ck_assert(!fn_mail_link_verify(KEY, FN_MAIL_OPEN, USER, 36, "", 0, s, 21));
    ck_assert(!fn_mail_link_verify(KEY, FN_MAIL_OPEN, USER, 36, "", 0, "", 0));
    ck_assert(!fn_mail_link_verify(NULL, FN_MAIL_OPEN, USER, 36, "", 0, s, 22));
    ck_assert(!fn_mail_link_verify("", FN_MAIL_OPEN, USER, 36, "", 0, s, 22));

    fn_buf_reset(&b);
    ck_assert_int_eq(fn_mail_link(&b, "https://x.example", KEY, FN_MAIL_CLICK, USER, "https://a.example/?q=1&r=caf%C3%A9#x"), 0);
    ck_assert(strstr(b.data, "&u=https%3A%2F%2Fa.example%2F%3Fq%3D1%26r%3Dcaf%25C3%25A9%23x") != NULL);
    s = strstr(b.data, "?s=") + 3;
    ck_assert(fn_mail_link_verify(KEY, FN_MAIL_CLICK, USER, 36, "https://a.example/?q=1&r=caf%C3%A9#x", 36, s, 22));
    ck_assert(!fn_mail_link_verify(KEY, FN_MAIL_CLICK, USER, 36, "https://a.example/?q=1&r=caf%C3%A9#y", 36, s, 22));
    for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        fn_buf_reset(&b);
        ck_assert_msg(fn_mail_link(&b, "https://x.example", KEY, FN_MAIL_CLICK, USER, targets[i]) == -1, "%s", targets[i]);
    }

    fn_buf_reset(&b);
    ck_assert_int_eq(fn_mail_link(&b, "https://x.example", KEY, FN_MAIL_UNSUBSCRIBE, USER, "weekly_summary"), 0);
    snprintf(token, sizeof(token), "%s", strrchr(b.data, '/') + 1);
    ck_assert(fn_mail_unsubscribe(KEY, token, strlen(token), user, list));
    ck_assert_str_eq(user, USER);
    ck_assert_str_eq(list, "weekly_summary");
    for (i = 0; i < strlen(token); i++) {
        ck_assert(!fn_mail_unsubscribe(KEY, token, i, user, list));
        token[i] ^= 1;
        ck_assert_msg(!fn_mail_unsubscribe(KEY, token, strlen(token), user, list), "byte %zu", i);
        token[i] ^= 1;
    }
    ck_assert_int_eq(fn_mail_link(&b, "https://x.example", KEY, FN_MAIL_UNSUBSCRIBE, USER, "a.b"), -1);
    ck_assert_int_eq(fn_mail_link(&b, "https://x.example", KEY, FN_MAIL_UNSUBSCRIBE, "../x", "list"), -1);
    fn_buf_free(&b);
}
END_TEST


static const struct { const char *name, *vars; } kinds[] = {
    { "verification", "\"verification_code\":\"123456\",\"expires_minutes\":15" },
    { "password_reset", "\"reset_url\":\"https://fitnudge.app/r?t=1\",\"expires_hours\":24" },
    { "welcome", "\"app_download_url\":\"https://fitnudge.app/download\"" },
    { "payment_receipt", "\"amount\":\"$9.99\",\"plan_name\":\"Pro\",\"period_start\":\"2026-01-01\",\"period_end\":\"2026-02-01\",\"payment_method\":\"Visa 4242\","
                         "\"invoice_url\":\"https://x.example/i\",\"next_billing_date\":\"2026-02-01\"" },
    { "payment_failed", "\"amount\":\"$9.99\",\"plan_name\":\"Pro\",\"update_url\":\"https://x.example/u\"" },
    { "weekly_summary", "\"week_start\":\"2026-01-05\",\"week_end\":\"2026-01-11\",\"checkins\":5,\"streak\":1,\"completion_rate\":80,\"app_url\":\"https://fitnudge.app\"" },
    { "data_export", "\"export_url\":\"https://x.example/e\",\"expires_hours\":1" },
    { "account_deleted", "\"nothing\":null" },
    { "beta_build", "\"build_version\":\"1.2\",\"build_url\":\"https://x.example/b\"" }
};

/* Every mail in every language. */
START_TEST(test_every)
{
    char        ctx[1024];
    size_t      l;
    fn_buf_t    text = FN_BUF_INIT;

    static const char *const  languages[] = { "en", "es", "fr", "de", "it" };

    begin();
    on();
    for (l = 0; l < 5; l++) {
        snprintf(ctx, sizeof(ctx), "{\"template\":\"%s\",\"language\":\"%s\",\"to\":\"u@x.example\",\"name\":\"Zo\\u00eb <script>\",\"user_id\":\"" USER "\","
                 "\"vars\":{%s}}", kinds[_i].name, languages[l], kinds[_i].vars);
        ck_assert_msg(build(pair, ctx) == FN_BUILT, "%s %s", languages[l], kinds[_i].name);
        lines_ok(x.body.data);
        unquote(&text, x.body.data);
        ck_assert_ptr_null(strstr(text.data, "{{"));
        ck_assert_ptr_null(strstr(strstr(text.data, "text/html"), "<script>"));
        ck_assert_ptr_nonnull(strstr(text.data, "Zo\xc3\xab &lt;script&gt;"));
        ck_assert_ptr_nonnull(strstr(text.data, l == 4 ? "Content-Language: en" : "Content-Language: "));
        ck_assert_int_eq(strstr(x.body.data, "List-Unsubscribe-Post") != NULL, fn_mail_kind(kinds[_i].name)->list != NULL);
        ck_assert_int_eq(strstr(text.data, "/api/v1/e/o/") != NULL, fn_mail_kind(kinds[_i].name)->tracked);
        ck_assert_int_eq(strstr(text.data, "/api/v1/e/c/") != NULL, fn_mail_kind(kinds[_i].name)->tracked);
    }
    fn_buf_free(&text);
    off();
}
END_TEST


#define WELCOME  "{\"template\":\"welcome\",\"language\":\"en\",\"to\":\"u@x.example\",\"name\":\"U\",\"user_id\":\"" USER "\",\"vars\":{\"app_download_url\":\"https://a.example/\"}}"

START_TEST(test_transport)
{
    size_t  i;

    static const char *const  bad[] = {
        "{\"template\":\"nothing\",\"language\":\"en\",\"to\":\"u@x.example\",\"name\":\"U\"}",
        "{\"template\":\"account_deleted\",\"language\":\"en\",\"to\":\"u@x\\u0000.example\",\"name\":\"U\"}",
        "{\"template\":\"account_deleted\",\"language\":\"en\",\"to\":\"u@x.example\\r\\nRCPT TO:<y>\",\"name\":\"U\"}",
        "{\"template\":\"account_deleted\",\"language\":\"en\",\"name\":\"U\"}",
        "{\"template\":\"account_deleted\",\"language\":\"en\",\"to\":[\"u@x.example\"],\"name\":\"U\"}",
        "{\"template\":\"account_deleted\",\"to\":\"u@x.example\",\"name\":\"U\",\"vars\":[1]}",
        "{\"template\":\"account_deleted\",\"to\":\"u@x.example\",\"name\":\"U\",\"vars\":{\"a\":{}}}",
        "{\"template\":\"account_deleted\",\"to\":\"u@x.example\",\"name\":\"U\",\"vars\":{\"user_name\":\"x\"}}",
        "{\"template\":\"welcome\",\"to\":\"u@x.example\",\"name\":\"U\",\"user_id\":\"x\",\"vars\":{\"app_download_url\":\"https://a.example/\"}}",
        "{\"template\":\"welcome\",\"to\":\"u@x.example\",\"name\":\"U\",\"user_id\":\"" USER "\",\"vars\":{\"app_download_url\":\"javascript:x\"}}",
        "{\"template\":\"welcome\",\"to\":\"u@x.example\",\"name\":\"U\",\"user_id\":\"" USER "\",\"vars\":{}}",
        "{\"template\":\"verification\",\"to\":\"u@x.example\",\"name\":\"U\",\"vars\":{\"verification_code\":\"1\",\"expires_minutes\":\"15\"}}",
        "{\"template\":\"account_deleted\",\"to\":\"u@x.example\",\"name\":\"U\",\"vars\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
        "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1}}"
    };

    begin();
    ck_assert_int_eq(build(pair, WELCOME), FN_OFF);
    on();
    ck_assert_int_eq(build(pair, WELCOME), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_MAIL);
    ck_assert_str_eq(x.url, "smtp://mail.example:587/fitnudge.example");
    ck_assert_str_eq(x.mail.from, "hello@fitnudge.example");
    ck_assert_str_eq(x.mail.to, "u@x.example");
    ck_assert_str_eq(x.mail.username, "hello@fitnudge.example");
    ck_assert_str_eq(x.mail.password, "secret");
    ck_assert_int_eq(x.mail.starttls, 1);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(build(pair, bad[i]) == FN_OFF, "%s", bad[i]);
    }
    hostile_contexts(pair);

    set(smtp_tls, "tls");
    set(smtp_from, "news@fitnudge.example");
    ck_assert_int_eq(build(pair, WELCOME), FN_BUILT);
    ck_assert_str_eq(x.url, "smtps://mail.example:587/fitnudge.example");
    ck_assert_str_eq(x.mail.from, "news@fitnudge.example");
    ck_assert_int_eq(x.mail.starttls, 0);
    set(smtp_tls, "off");
    ck_assert_int_eq(build(pair, WELCOME), FN_OFF);          /* the password would be in the clear */
    set(smtp_host, "127.0.0.1");
    ck_assert_int_eq(build(pair, WELCOME), FN_BUILT);
    set(smtp_host, "mail.example/x");
    ck_assert_int_eq(build(pair, WELCOME), FN_OFF);
    set(smtp_host, "::1");
    ck_assert_int_eq(build(pair, WELCOME), FN_BUILT);
    ck_assert_str_eq(x.url, "smtp://[::1]:587/fitnudge.example");
    set(smtp_from, "not an address");
    ck_assert_int_eq(build(pair, WELCOME), FN_OFF);
    off();
}
END_TEST


static const struct { int curl; long status; fn_outcome_e outcome; long wait; int alert, refused; } answers[] = {
    { CURLE_OK, 250, FN_DONE, -1, 0, 0 }, { CURLE_SEND_ERROR, 550, FN_DEAD, -1, 0, 1 }, { CURLE_SEND_ERROR, 450, FN_RETRY, 60000, 0, 0 },
    { CURLE_RECV_ERROR, 354, FN_RETRY, -1, 0, 0 }, { CURLE_WEIRD_SERVER_REPLY, 554, FN_DEAD, -1, 0, 1 }, { CURLE_LOGIN_DENIED, 535, FN_DEAD, -1, 1, 0 },
    { CURLE_LOGIN_DENIED, 454, FN_RETRY, -1, 1, 0 }, { CURLE_USE_SSL_FAILED, 220, FN_DEAD, -1, 1, 0 }, { CURLE_PEER_FAILED_VERIFICATION, 220, FN_RETRY, -1, 1, 0 },
    { CURLE_COULDNT_CONNECT, 0, FN_RETRY, -1, 0, 0 }, { CURLE_OPERATION_TIMEDOUT, 354, FN_RETRY, -1, 0, 0 }, { CURLE_WEIRD_SERVER_REPLY, 421, FN_RETRY, 60000, 0, 0 }
};

START_TEST(test_answers)
{
    begin();
    on();
    memset(&answer, 0, sizeof(answer));
    answer.transport_error = answers[_i].curl;
    answer.status = answers[_i].status;
    answer.retry_after_ms = -1;
    answer.should_retry = -1;
    ck_assert_int_eq(fn_call_parse(pair, &answer, &call, &result), answers[_i].outcome);
    ck_assert_int_eq(call.wait_ms, answers[_i].wait);
    ck_assert_int_eq(call.alert != NULL, answers[_i].alert);
    if (answers[_i].outcome == FN_DONE) {
        ck_assert_str_eq(result.data, "{\"message_id\":\"<" JOB_ID "@fitnudge.example>\",\"refused\":false,\"status\":250}");
    } else {
        ck_assert_int_eq(result.len > 0, answers[_i].refused);
    }
    off();
}
END_TEST


START_TEST(test_load)
{
    char  problem[1024] = "";

    ck_assert_ptr_null(fn_mail_templates_load("/nonexistent", problem, sizeof(problem)));
    ck_assert(strstr(problem, "no such file") != NULL);
}
END_TEST


static Suite *
mail_suite(void)
{
    Suite  *s = suite_create("mail");
    TCase  *tc = tcase_create("mail");

    fn_add(tc, test_words);
    fn_add_rows(tc, test_substitute, substitutions);
    fn_add(tc, test_addresses);
    fn_add(tc, test_quoted);
    fn_add(tc, test_message);
    fn_add(tc, test_injection);
    fn_add(tc, test_links);
    fn_add_rows(tc, test_every, kinds);
    fn_add(tc, test_transport);
    fn_add_rows(tc, test_answers, answers);
    fn_add(tc, test_load);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(mail_suite)
