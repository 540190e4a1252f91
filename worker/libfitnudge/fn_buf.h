/*
 * A growable byte buffer: the one place where libfitnudge and the pool build
 * text.  All functions are safe to chain after a failed allocation: the buffer
 * turns into the error state (`failed`) and stays empty; check it once at the end.
 */
#ifndef FN_BUF_H
#define FN_BUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char    *data;      /* NUL-terminated whenever len > 0; owned by the buffer */
    size_t   len;
    size_t   size;
    int      failed;    /* an allocation failed: contents are lost */
} fn_buf_t;

#define FN_BUF_INIT  { NULL, 0, 0, 0 }

void fn_buf_free(fn_buf_t *b);
void fn_buf_reset(fn_buf_t *b);                     /* keeps the memory */
void fn_buf_add(fn_buf_t *b, const void *p, size_t n);
void fn_buf_adds(fn_buf_t *b, const char *s);
void fn_buf_addf(fn_buf_t *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends `s` as a quoted JSON string (RFC 8259, section 7); '/' and non-ASCII stay as they are. */
void fn_buf_add_json_string(fn_buf_t *b, const char *s, size_t n);

#endif
