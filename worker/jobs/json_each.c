/* Members of JSON objects and arrays: see json_each.h. */
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "json_each.h"

typedef struct {
    fn_json_each_pt   each;
    void             *data;
    const char       *text;
    size_t            start;        /* of the container that is a member */
    size_t            end;          /* behind the last token */
    unsigned          depth;
    int               seen;         /* the outermost value is a container */
    fn_buf_t          key;
    fn_json_field_t   value;
    yajl_handle       yajl;
} fn_json_each_t;

static int fn_each_null(void *data);
static int fn_each_boolean(void *data, int value);
static int fn_each_number(void *data, const char *p, size_t n);
static int fn_each_string(void *data, const unsigned char *p, size_t n);
static int fn_each_start_map(void *data);
static int fn_each_key(void *data, const unsigned char *p, size_t n);
static int fn_each_start_array(void *data);
static int fn_each_end_map(void *data);
static int fn_each_end_array(void *data);
static int fn_each_value(fn_json_each_t *w, fn_json_type_e type, size_t start);

static const yajl_callbacks  fn_json_each_callbacks = {
    fn_each_null, fn_each_boolean, NULL, NULL, fn_each_number, fn_each_string,
    fn_each_start_map, fn_each_key, fn_each_end_map, fn_each_start_array, fn_each_end_array
};


int
fn_json_each(const char *p, size_t n, fn_json_each_pt each, void *data)
{
    int             rc;
    fn_json_each_t  w;

    memset(&w, 0, sizeof(w));
    w.each = each;
    w.data = data;
    w.text = p;

    w.yajl = yajl_alloc(&fn_json_each_callbacks, NULL, &w);
    if (w.yajl == NULL) {
        return -1;
    }

    rc = yajl_parse(w.yajl, (const unsigned char *) p, n) == yajl_status_ok
         && yajl_complete_parse(w.yajl) == yajl_status_ok
         && w.seen ? 0 : -1;

    yajl_free(w.yajl);
    fn_buf_free(&w.key);
    fn_buf_free(&w.value.text);

    return rc;
}


/* A scalar: it begins behind the last token. */
static int
fn_each_scalar(fn_json_each_t *w, fn_json_type_e type)
{
    size_t  start;

    start = w->end;
    w->end = yajl_get_bytes_consumed(w->yajl);

    while (start < w->end && strchr(" \t\r\n:,", w->text[start]) != NULL) {
        start++;
    }

    return w->depth == 1 ? fn_each_value(w, type, start) : w->depth > 1;
}


static int
fn_each_value(fn_json_each_t *w, fn_json_type_e type, size_t start)
{
    int  rc;

    w->value.type = type;
    w->value.raw.p = w->text + start;
    w->value.raw.n = w->end - start;

    if (w->key.failed || w->value.text.failed) {
        return 0;
    }

    rc = w->each(w->data, w->key.len > 0 ? w->key.data : "", w->key.len, &w->value) == 0;

    fn_buf_reset(&w->key);
    fn_buf_reset(&w->value.text);
    w->value.number = 0;

    return rc;
}


static int
fn_each_null(void *data)
{
    return fn_each_scalar(data, FN_JSON_NULL);
}


static int
fn_each_boolean(void *data, int value)
{
    fn_json_each_t  *w = data;

    w->value.number = value != 0;

    return fn_each_scalar(w, FN_JSON_BOOL);
}


static int
fn_each_number(void *data, const char *p, size_t n)
{
    char             text[24];
    fn_json_each_t  *w = data;

    if (n < sizeof(text)) {
        memcpy(text, p, n);
        text[n] = '\0';
        w->value.number = strpbrk(text, ".eE") == NULL ? strtoll(text, NULL, 10) : 0;
    }

    return fn_each_scalar(w, FN_JSON_NUMBER);
}


static int
fn_each_string(void *data, const unsigned char *p, size_t n)
{
    fn_json_each_t  *w = data;

    if (w->depth == 1) {
        fn_buf_add(&w->value.text, p, n);
    }

    return fn_each_scalar(w, FN_JSON_STRING);
}


static int
fn_each_key(void *data, const unsigned char *p, size_t n)
{
    fn_json_each_t  *w = data;

    w->end = yajl_get_bytes_consumed(w->yajl);

    if (w->depth == 1) {
        fn_buf_reset(&w->key);
        fn_buf_add(&w->key, p, n);
    }

    return 1;
}


static int
fn_each_start(fn_json_each_t *w)
{
    w->end = yajl_get_bytes_consumed(w->yajl);

    if (w->depth == FN_JSON_DEPTH) {
        return 0;
    }

    if (w->depth == 1) {
        w->start = w->end - 1;
    }

    w->seen = 1;
    w->depth++;

    return 1;
}


static int
fn_each_start_map(void *data)
{
    return fn_each_start(data);
}


static int
fn_each_start_array(void *data)
{
    return fn_each_start(data);
}


static int
fn_each_end(fn_json_each_t *w, fn_json_type_e type)
{
    w->end = yajl_get_bytes_consumed(w->yajl);
    w->depth--;

    return w->depth == 1 ? fn_each_value(w, type, w->start) : 1;
}


static int
fn_each_end_map(void *data)
{
    return fn_each_end(data, FN_JSON_OBJECT);
}


static int
fn_each_end_array(void *data)
{
    return fn_each_end(data, FN_JSON_ARRAY);
}
