/* The growable buffer of fn_buf.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fn_buf.h"


static int
fn_buf_reserve(fn_buf_t *b, size_t n)
{
    char    *p;
    size_t   size;

    if (b->failed) {
        return -1;
    }

    if (n >= SIZE_MAX / 2 - b->len) {
        fn_buf_free(b);
        b->failed = 1;
        return -1;
    }

    if (b->len + n + 1 <= b->size) {
        return 0;
    }

    size = b->size ? b->size : 128;
    while (size < b->len + n + 1) {
        size *= 2;
    }

    p = realloc(b->data, size);
    if (p == NULL) {
        fn_buf_free(b);
        b->failed = 1;
        return -1;
    }

    b->data = p;
    b->size = size;

    return 0;
}


void
fn_buf_free(fn_buf_t *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
    b->size = 0;
    b->failed = 0;
}


void
fn_buf_reset(fn_buf_t *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data) {
        b->data[0] = '\0';
    }
}


void
fn_buf_add(fn_buf_t *b, const void *p, size_t n)
{
    if (fn_buf_reserve(b, n) != 0) {
        return;
    }

    if (n) {
        memcpy(b->data + b->len, p, n);
    }
    b->len += n;
    b->data[b->len] = '\0';
}


void
fn_buf_adds(fn_buf_t *b, const char *s)
{
    fn_buf_add(b, s, strlen(s));
}


void
fn_buf_addf(fn_buf_t *b, const char *fmt, ...)
{
    int      n;
    va_list  args, again;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    if (n >= 0 && fn_buf_reserve(b, (size_t) n) == 0) {
        (void) vsnprintf(b->data + b->len, (size_t) n + 1, fmt, again);
        b->len += (size_t) n;
    }

    va_end(again);
}


void
fn_buf_add_json_string(fn_buf_t *b, const char *s, size_t n)
{
    char           esc[7];
    size_t         i, from;
    const char    *name;
    unsigned char  c;

    fn_buf_add(b, "\"", 1);

    for (i = 0, from = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            continue;
        }

        fn_buf_add(b, s + from, i - from);
        from = i + 1;

        switch (c) {
        case '"':  name = "\\\""; break;
        case '\\': name = "\\\\"; break;
        case '\n': name = "\\n";  break;
        case '\r': name = "\\r";  break;
        case '\t': name = "\\t";  break;
        case '\b': name = "\\b";  break;
        case '\f': name = "\\f";  break;
        default:
            (void) snprintf(esc, sizeof(esc), "\\u%04x", c);
            name = esc;
        }

        fn_buf_adds(b, name);
    }

    fn_buf_add(b, s + from, n - from);
    fn_buf_add(b, "\"", 1);
}
