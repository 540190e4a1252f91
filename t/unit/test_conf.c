/* The reader of nginx.conf and the settings table. */
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "fn_conf.h"


static fn_buf_t  seen;


static const char *
note(const fn_conf_directive_t *d, void *data)
{
    unsigned  i;

    (void) data;
    for (i = 0; i < d->depth; i++) {
        fn_buf_addf(&seen, "%s/", d->path[i]);
    }
    for (i = 0; i < d->argc; i++) {
        fn_buf_addf(&seen, "%s[%s]", i ? " " : "", d->argv[i]);
    }
    fn_buf_adds(&seen, d->block ? "{ " : "; ");

    return NULL;
}


START_TEST(test_syntax)
{
    size_t  i;
    char    err[512];

    static const char *const  good[][2] = {
        { "a b c;", "[a] [b] [c]; " }, { "a 'b c' \"d;\\\"e\";", "[a] [b c] [d;\"e]; " }, { "# x\na; # y", "[a]; " },
        { "x { y z; w { } }", "[x]{ x/[y] [z]; x/[w]{ " }, { "log ${a}b$c;", "[log] [${a}b$c]; " }, { "a \\d\\.;", "[a] [\\d\\.]; " }, { "", "" },
        { "a '';", "[a] []; " },
    };
    static const char *const  bad[] = {
        "a", "a {", "}", "a; }", ";", "{ }", "a 'b", "a \"b", "a b }", "a 'b'c;"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        fn_buf_reset(&seen);
        ck_assert_msg(fn_conf_parse("f", good[i][0], strlen(good[i][0]), note, NULL, err, sizeof(err)) == 0, "%s: %s", good[i][0], err);
        ck_assert_str_eq(seen.data ? seen.data : "", good[i][1]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_conf_parse("f", bad[i], strlen(bad[i]), note, NULL, err, sizeof(err)) == -1, "accepted: %s", bad[i]);
    }

    ck_assert_int_eq(fn_conf_parse("f", "a;\nb;\nc }", 9, note, NULL, err, sizeof(err)), -1);
    ck_assert_msg(strstr(err, "f:3") != NULL, "%s", err);
    fn_buf_free(&seen);
}
END_TEST


START_TEST(test_limits)
{
    char      err[512];
    int       i;
    fn_buf_t  b = FN_BUF_INIT;

    for (i = 0; i < 17; i++) {
        fn_buf_adds(&b, "a { ");
    }
    ck_assert_int_eq(fn_conf_parse("f", b.data, b.len, note, NULL, err, sizeof(err)), -1);
    ck_assert(strstr(err, "too deep") != NULL);

    fn_buf_reset(&b);
    for (i = 0; i < 65; i++) {
        fn_buf_adds(&b, "a ");
    }
    ck_assert_int_eq(fn_conf_parse("f", b.data, b.len, note, NULL, err, sizeof(err)), -1);

    fn_buf_reset(&b);
    for (i = 0; i < 5000; i++) {
        fn_buf_adds(&b, "a");
    }
    ck_assert_int_eq(fn_conf_parse("f", b.data, b.len, note, NULL, err, sizeof(err)), -1);
    fn_buf_free(&b);
    fn_buf_free(&seen);
}
END_TEST


START_TEST(test_settings)
{
    size_t         i;
    const char    *problem;
    fn_settings_t  s;

    static const char *const  bad[][3] = {
        { "sql_processes", "0", "a number from 1 to 64" }, { "sql_processes", "65", "a number" }, { "sql_processes", "x", "invalid value \"x\"" },
        { "sql_processes", "4x", "a number" }, { "shutdown_timeout", "1h", "a time" }, { "shutdown_timeout", "soon", "a time" },
        { "openai_base_url", "ftp://x", "http" }, { "ai_budget_daily", "-1", "dollars" }, { "ai_budget_daily", "1.1234567", "dollars" },
        { "openai_api_key", "sk-123", "never as a literal" },
        { "openai_api", "soap", "invalid value \"soap\": chat or responses is expected" },
        { "smtp_tls", "yes", "starttls, tls or off is expected" },
        { "smtp_port", "0", "a number from 1 to 65535" }, { "smtp_port", "env:FN_TEST_PORT", "invalid value \"2500x\"" },
        { "slack_webhook_url", "https://hooks.example", "never as a literal" },
        { "slack_webhook_url", "env:FN_TEST_PORT", "it must hold an http" },
        { "fcm_service_account", "env:FN_TEST_PORT", "cannot open secret file \"2500x\"" },
        { "elevenlabs_voices", "calm/xx=1", "voice ids" }, { "r2_bucket", "ab", "3 to 63 characters" },
        { "smtp_from_name", "a\nBcc: x", "one line" }, { "mail_templates", "", "1 to 4096" },
    };

    ck_assert_int_eq(fn_settings_init(&s), 0);
    ck_assert_int_eq(s.sql_processes, 4);
    ck_assert_int_eq(s.access_ttl_ms, 900000);
    ck_assert_int_eq(s.openai_price_input, 1250000);

    setenv("FN_TEST_PORT", "2500x", 1);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(s.seen, 0, sizeof(s.seen));
        problem = fn_setting_apply(&s, fn_setting_find(bad[i][0], FN_SCOPE_WORKER), bad[i][1]);
        ck_assert_msg(problem != NULL && strstr(problem, bad[i][2]) != NULL, "%s %s: %s", bad[i][0], bad[i][1], problem ? problem : "accepted");
    }

    memset(s.seen, 0, sizeof(s.seen));
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("sql_batch", FN_SCOPE_WORKER), "7"));
    ck_assert_str_eq(fn_setting_apply(&s, fn_setting_find("sql_batch", FN_SCOPE_WORKER), "8"), "is duplicate");
    ck_assert_int_eq(s.sql_batch, 7);
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("ai_budget_daily", FN_SCOPE_WORKER), "0.5"));
    ck_assert_int_eq(s.ai_budget_daily, 500000);

    setenv("FN_TEST_PORT", "2500", 1);
    unsetenv("FN_TEST_NONE");
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("smtp_port", FN_SCOPE_WORKER), "env:FN_TEST_PORT"));
    ck_assert_int_eq(s.smtp_port, 2500);
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("smtp_host", FN_SCOPE_WORKER), "env:FN_TEST_NONE"));
    ck_assert_ptr_null(s.smtp_host);
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("otlp_endpoint", FN_SCOPE_WORKER), "env:FN_TEST_NONE"));
    ck_assert_ptr_null(s.otlp_endpoint);
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("elevenlabs_voices", FN_SCOPE_WORKER), "abc calm=def calm/de=ghi"));
    ck_assert_str_eq(s.smtp_tls, "starttls");

    ck_assert(fn_setting_apply(&s, fn_setting_find("fitnudge_redis", FN_SCOPE_HTTP), "localhost:6379") != NULL);
    memset(s.seen, 0, sizeof(s.seen));
    ck_assert_ptr_null(fn_setting_apply(&s, fn_setting_find("fitnudge_redis", FN_SCOPE_HTTP), "127.0.0.1:6379"));
    ck_assert(strstr(fn_settings_check(&s), "fitnudge_jwt_secret") != NULL);
    ck_assert_ptr_null(fn_setting_find("nonsense", FN_SCOPE_WORKER));
    ck_assert_ptr_null(fn_setting_find("postgres", FN_SCOPE_HTTP));
    fn_settings_free(&s);
}
END_TEST


START_TEST(test_load)
{
    char           path[] = "/tmp/fn-conf-XXXXXX", err[512];
    FILE          *f;
    fn_settings_t  s;

    setenv("FN_TEST_JWT", "0123456789abcdef0123456789abcdef", 1);

    f = fdopen(mkstemp(path), "w");
    fputs("user x;\nhttp { server_tokens off; fitnudge_redis unix:/r.sock; fitnudge_jwt_secret env:FN_TEST_JWT;\n"
          "fitnudge_worker { postgres 'dbname=x user=y'; sql_processes 3;\n}\nserver { listen 80; } }\n", f);
    fclose(f);
    ck_assert_msg(fn_conf_load(path, &s, err, sizeof(err)) == 0, "%s", err);
    ck_assert_str_eq(s.postgres, "dbname=x user=y");
    ck_assert_int_eq(s.sql_processes, 3);
    fn_settings_free(&s);

    f = fopen(path, "w");
    fputs("http {\n fitnudge_worker {\n  nonsense 1;\n }\n}\n", f);
    fclose(f);
    ck_assert_int_eq(fn_conf_load(path, &s, err, sizeof(err)), -1);
    ck_assert_msg(strstr(err, "unknown directive \"nonsense\"") != NULL && strstr(err, ":3") != NULL, "%s", err);
    unlink(path);
}
END_TEST


UNIT_MAIN("conf", test_syntax, test_limits, test_settings, test_load)
