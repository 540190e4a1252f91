/* Looking for one claim of a token that was accepted: what few ask for is not kept with the others. */
#include <string.h>

#include <yajl/yajl_parse.h>

#include "fn_jwt.h"


typedef struct {
    fn_buf_t    *b;
    const char  *name;
    size_t       len;
    int          depth, named, found;
} fn_jwt_finder_t;


static int
fn_jwt_find_text(void *ctx, const char *p, size_t n)
{
    fn_jwt_finder_t  *f = ctx;

    if (f->depth == 1 && f->named) {
        fn_buf_add(f->b, p, n);
        f->found = 1;
        return 0;
    }

    return 1;
}


static int
fn_jwt_find_string(void *ctx, const unsigned char *p, size_t n)
{
    return fn_jwt_find_text(ctx, (const char *) p, n);
}


static int
fn_jwt_find_boolean(void *ctx, int value)
{
    return fn_jwt_find_text(ctx, value ? "true" : "false", value ? 4 : 5);
}


static int
fn_jwt_find_name(void *ctx, const unsigned char *p, size_t n)
{
    fn_jwt_finder_t  *f = ctx;

    f->named = f->depth == 1 && n == f->len && memcmp(p, f->name, n) == 0;

    return 1;
}


static int
fn_jwt_find_open(void *ctx)
{
    ((fn_jwt_finder_t *) ctx)->depth++;

    return 1;
}


static int
fn_jwt_find_close(void *ctx)
{
    ((fn_jwt_finder_t *) ctx)->depth--;

    return 1;
}


int
fn_jwt_claim(fn_buf_t *b, const char *token, size_t len, const char *name, size_t name_len)
{
    char             text[FN_JWT_MAX];
    long             n;
    fn_jwt_t         t;
    yajl_handle      h;
    fn_jwt_finder_t  f = { b, name, name_len, 0, 0, 0 };

    static const yajl_callbacks  callbacks = {
        NULL, fn_jwt_find_boolean, NULL, NULL, fn_jwt_find_text, fn_jwt_find_string,
        fn_jwt_find_open, fn_jwt_find_name, fn_jwt_find_close, fn_jwt_find_open, fn_jwt_find_close
    };

    if (fn_jwt_open(&t, token, len) != FN_JWT_OK) {
        return -1;
    }

    n = fn_base64url_decode(text, sizeof(text), t.payload.p, t.payload.n);
    h = n > 0 ? yajl_alloc(&callbacks, NULL, &f) : NULL;

    if (h == NULL) {
        return -1;
    }

    (void) yajl_parse(h, (const unsigned char *) text, (size_t) n);
    (void) yajl_complete_parse(h);
    yajl_free(h);

    return f.found && !b->failed ? 0 : -1;
}
