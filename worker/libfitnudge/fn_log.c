/* JSON log lines, one write(2) each. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fn_buf.h"
#include "fn_log.h"
#include "fn_time.h"
#include "fn_utf8.h"

static void fn_log_text(fn_buf_t *b, const char *s);

static int       fn_log_fd = STDERR_FILENO;
static fn_log_e  fn_log_least = FN_LOG_INFO;


int
fn_log_open(const char *target, fn_log_e least)
{
    int  fd, old = fn_log_fd;

    fn_log_least = least;
    fd = STDERR_FILENO;

    if (strcmp(target, "stderr") != 0) {
        fd = open(target, O_WRONLY|O_APPEND|O_CREAT|O_CLOEXEC, 0640);
        if (fd == -1) {
            return -1;
        }
    }

    fn_log_fd = fd;

    if (old != STDERR_FILENO) {
        (void) close(old);
    }

    return 0;
}


void
fn_log(fn_log_e level, const char *msg, ...)
{
    char         now[FN_RFC3339_LEN + 1];
    va_list      args;
    uint64_t     ms;
    fn_buf_t     b = FN_BUF_INIT;
    const char  *key, *value;

    static const char *const  levels[] = { "debug", "info", "warn", "error" };

    if (level < fn_log_least) {
        return;
    }

    ms = fn_now_ms();
    fn_rfc3339(now, (int64_t) (ms / 1000));

    fn_buf_addf(&b, "{\"time\":\"%.19s.%03uZ\",\"level\":\"%s\",\"msg\":", now, (unsigned) (ms % 1000), levels[level]);
    fn_log_text(&b, msg);
    fn_buf_addf(&b, ",\"pid\":%d", (int) getpid());

    va_start(args, msg);

    while ((key = va_arg(args, const char *)) != NULL) {
        value = va_arg(args, const char *);
        if (value == NULL) {
            continue;
        }
        fn_buf_add(&b, ",", 1);
        fn_buf_add_json_string(&b, key, strlen(key));
        fn_buf_add(&b, ":", 1);
        fn_log_text(&b, value);
    }

    va_end(args);

    fn_buf_add(&b, "}\n", 2);

    if (!b.failed && write(fn_log_fd, b.data, b.len) < 0) {
        /* nowhere is left to say so */
    }

    fn_buf_free(&b);
}


/* What others say (libpq, the resolver) may be in any encoding; a line of JSON is UTF-8. */

static void
fn_log_text(fn_buf_t *b, const char *s)
{
    size_t    i, from = b->len, n = strlen(s);

    if (fn_utf8_valid(s, n)) {
        fn_buf_add_json_string(b, s, n);
        return;
    }

    fn_buf_add_json_string(b, s, n);

    for (i = from; i < b->len; i++) {
        if ((unsigned char) b->data[i] >= 0x80) {
            b->data[i] = '?';
        }
    }
}
