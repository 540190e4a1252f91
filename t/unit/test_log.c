/* Log lines: each is one JSON object, whatever is put into it. */
#include "check_main.h"

#include <fcntl.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "fn_log.h"

static char  path[] = "/tmp/fn-log-XXXXXX";
static char  text[65536];


static void
set_up(void)
{
    int  fd;

    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    fd = mkstemp(path);
    ck_assert_int_ne(fd, -1);
    close(fd);
    ck_assert_int_eq(fn_log_open(path, FN_LOG_INFO), 0);
}


static void
tear_down(void)
{
    (void) fn_log_open("stderr", FN_LOG_ERROR);
    unlink(path);
}


static const char *
written(void)
{
    int      fd = open(path, O_RDONLY);
    ssize_t  n = read(fd, text, sizeof(text) - 1);

    close(fd);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';

    return text;
}


static const char *
member(yajl_val line, const char *name)
{
    yajl_val  v = yajl_tree_get(line, (const char *[]) { name, NULL }, yajl_t_string);

    return v ? YAJL_GET_STRING(v) : "";
}


START_TEST(one_line)
{
    char      err[256];
    yajl_val  line;

    fn_log(FN_LOG_WARN, "a \"job\"\nfailed", "job", "goals.create", "absent", NULL, "detail", "\x01\t\\", NULL);

    ck_assert_ptr_eq(strchr(written(), '\n'), text + strlen(text) - 1);
    line = yajl_tree_parse(text, err, sizeof(err));
    ck_assert_msg(line != NULL, "%s: %s", text, err);

    ck_assert_str_eq(member(line, "level"), "warn");
    ck_assert_str_eq(member(line, "msg"), "a \"job\"\nfailed");
    ck_assert_str_eq(member(line, "job"), "goals.create");
    ck_assert_str_eq(member(line, "detail"), "\x01\t\\");
    ck_assert_ptr_null(strstr(text, "absent"));
    ck_assert_uint_eq(strlen(member(line, "time")), strlen("2026-01-15T10:30:00.123Z"));
    ck_assert_ptr_nonnull(yajl_tree_get(line, (const char *[]) { "pid", NULL }, yajl_t_number));
    yajl_tree_free(line);
}
END_TEST


START_TEST(levels)
{
    fn_log(FN_LOG_DEBUG, "quiet", NULL);
    ck_assert_str_eq(written(), "");

    ck_assert_int_eq(fn_log_open(path, FN_LOG_ERROR), 0);
    fn_log(FN_LOG_WARN, "quiet", NULL);
    ck_assert_str_eq(written(), "");
    fn_log(FN_LOG_ERROR, "loud", NULL);
    ck_assert_ptr_nonnull(strstr(written(), "\"msg\":\"loud\""));
}
END_TEST


START_TEST(reopened)
{
    fn_log(FN_LOG_INFO, "first", NULL);
    ck_assert_int_eq(unlink(path), 0);                      /* as logrotate moves it away */
    ck_assert_int_eq(fn_log_open(path, FN_LOG_INFO), 0);
    fn_log(FN_LOG_INFO, "second", NULL);

    ck_assert_ptr_null(strstr(written(), "first"));
    ck_assert_ptr_nonnull(strstr(text, "second"));

    /* what cannot be opened leaves the old one in use */
    ck_assert_int_eq(fn_log_open("/nowhere/at/all", FN_LOG_INFO), -1);
    fn_log(FN_LOG_INFO, "third", NULL);
    ck_assert_ptr_nonnull(strstr(written(), "third"));
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("log");
    TCase  *tc = tcase_create("log");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    fn_add(tc, one_line);
    fn_add(tc, levels);
    fn_add(tc, reopened);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
