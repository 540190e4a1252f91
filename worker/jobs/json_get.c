/* Picking values out of JSON: yajl reads, this file follows the path. See json_get.h. */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <yajl/yajl_parse.h>

#include "json_get.h"

#define FN_JSON_FIELDS  48      /* in one call */

typedef struct {
    fn_json_field_t  *fields;
    size_t            nfields;
    unsigned          hit[FN_JSON_FIELDS];      /* leading parts of the field's path that lead to where we are */
    size_t            start[FN_JSON_DEPTH];     /* offset of each open container */
    long              index[FN_JSON_DEPTH];     /* of the next element, -1 in an object */
    unsigned          depth;
    size_t            end;                      /* offset behind the last token */
    const char       *text;
    size_t            len;
    yajl_handle       yajl;
} fn_json_walk_t;

static int fn_json_null(void *data);
static int fn_json_boolean(void *data, int value);
static int fn_json_number(void *data, const char *p, size_t n);
static int fn_json_string(void *data, const unsigned char *p, size_t n);
static int fn_json_start_map(void *data);
static int fn_json_key(void *data, const unsigned char *p, size_t n);
static int fn_json_start_array(void *data);
static int fn_json_end(void *data);

static const yajl_callbacks  fn_json_callbacks = {
    fn_json_null, fn_json_boolean, NULL, NULL, fn_json_number, fn_json_string,
    fn_json_start_map, fn_json_key, fn_json_end, fn_json_start_array, fn_json_end
};


int
fn_json_get(const char *p, size_t n, fn_json_field_t *fields)
{
    int             rc;
    fn_json_walk_t  w;

    memset(&w, 0, sizeof(w));
    w.fields = fields;
    w.text = p;
    w.len = n;

    while (fields[w.nfields].path != NULL) {
        fields[w.nfields].type = FN_JSON_ABSENT;
        w.nfields++;
    }

    if (w.nfields > FN_JSON_FIELDS) {
        return -1;
    }

    w.yajl = yajl_alloc(&fn_json_callbacks, NULL, &w);
    if (w.yajl == NULL) {
        return -1;
    }

    rc = -1;

    if (yajl_parse(w.yajl, (const unsigned char *) p, n) == yajl_status_ok
        && yajl_complete_parse(w.yajl) == yajl_status_ok)
    {
        rc = 0;
    }

    yajl_free(w.yajl);

    return rc;
}


void
fn_json_free(fn_json_field_t *fields)
{
    for (; fields->path != NULL; fields++) {
        if (fields->text.data != NULL) {
            OPENSSL_cleanse(fields->text.data, fields->text.size);
        }

        fn_buf_free(&fields->text);
    }
}


const char *
fn_json_text(const fn_json_field_t *f)
{
    return f->type == FN_JSON_STRING && f->text.len > 0 ? f->text.data : "";
}


void
fn_json_add_raw(fn_buf_t *b, const fn_json_field_t *f)
{
    if (f->type == FN_JSON_ABSENT) {
        fn_buf_adds(b, "null");
        return;
    }

    fn_buf_add(b, f->raw.p, f->raw.n);
}


/* Compares part number `part` of a dotted path. */
static int
fn_json_part_is(const char *path, unsigned part, const char *p, size_t n)
{
    while (part-- > 0) {
        path = strchr(path, '.');
        if (path == NULL) {
            return 0;
        }
        path++;
    }

    return strcspn(path, ".") == n && memcmp(path, p, n) == 0;
}


/* The next value belongs to this key of the innermost container. */
static void
fn_json_step(fn_json_walk_t *w, const char *p, size_t n)
{
    size_t    i;
    unsigned  outer;

    outer = w->depth - 1;

    for (i = 0; i < w->nfields; i++) {
        if (w->hit[i] < outer) {
            continue;
        }

        w->hit[i] = outer + (unsigned) fn_json_part_is(w->fields[i].path, outer, p, n);
    }
}


/* Called before every value: in an array its key is its index. */
static void
fn_json_element(fn_json_walk_t *w)
{
    char     digits[24];
    long     i;
    size_t   n;

    if (w->depth == 0 || w->index[w->depth - 1] < 0) {
        return;
    }

    i = w->index[w->depth - 1]++;
    n = sizeof(digits);

    do {
        digits[--n] = (char) ('0' + i % 10);
        i /= 10;
    } while (i > 0);

    fn_json_step(w, digits + n, sizeof(digits) - n);
}


/* The field whose whole path leads to the value at hand, from number *i on. */
static fn_json_field_t *
fn_json_next(fn_json_walk_t *w, size_t *i)
{
    unsigned          parts;
    const char       *s;
    fn_json_field_t  *f;

    while (*i < w->nfields) {
        f = &w->fields[(*i)++];

        if (w->hit[*i - 1] != w->depth || w->depth == 0) {
            continue;
        }

        parts = 1;
        for (s = f->path; *s != '\0'; s++) {
            parts += *s == '.';
        }

        if (parts == w->depth) {
            return f;
        }
    }

    return NULL;
}


static int
fn_json_value(fn_json_walk_t *w, fn_json_type_e type, int64_t number, const char *text, size_t n)
{
    size_t            i, start, end;
    fn_json_field_t  *f;

    fn_json_element(w);

    start = w->end;
    end = yajl_get_bytes_consumed(w->yajl);
    w->end = end;

    while (start < end && strchr(" \t\r\n:,", w->text[start]) != NULL) {
        start++;
    }

    i = 0;

    while ((f = fn_json_next(w, &i)) != NULL) {
        f->type = type;
        f->number = number;
        f->raw.p = w->text + start;
        f->raw.n = end - start;
        fn_buf_reset(&f->text);

        if (type == FN_JSON_STRING && n > 0) {
            fn_buf_add(&f->text, text, n);
            if (f->text.failed) {
                return 0;
            }
        }
    }

    return 1;
}


static int
fn_json_null(void *data)
{
    return fn_json_value(data, FN_JSON_NULL, 0, NULL, 0);
}


static int
fn_json_boolean(void *data, int value)
{
    return fn_json_value(data, FN_JSON_BOOL, value != 0, NULL, 0);
}


static int
fn_json_number(void *data, const char *p, size_t n)
{
    char     text[64];
    double   d;
    int64_t  number;

    number = 0;

    if (n < sizeof(text)) {
        memcpy(text, p, n);
        text[n] = '\0';

        if (strpbrk(text, ".eE") == NULL) {
            number = strtoll(text, NULL, 10);
        } else {
            d = strtod(text, NULL);
            number = d > -9e18 && d < 9e18 ? (int64_t) d : 0;
        }
    }

    return fn_json_value(data, FN_JSON_NUMBER, number, NULL, 0);
}


static int
fn_json_string(void *data, const unsigned char *p, size_t n)
{
    return fn_json_value(data, FN_JSON_STRING, 0, (const char *) p, n);
}


static int
fn_json_start(fn_json_walk_t *w, long index)
{
    if (w->depth == FN_JSON_DEPTH) {
        return 0;
    }

    fn_json_element(w);
    w->end = yajl_get_bytes_consumed(w->yajl);
    w->start[w->depth] = w->end - 1;
    w->index[w->depth] = index;
    w->depth++;

    return 1;
}


static int
fn_json_start_map(void *data)
{
    return fn_json_start(data, -1);
}


static int
fn_json_start_array(void *data)
{
    return fn_json_start(data, 0);
}


static int
fn_json_key(void *data, const unsigned char *p, size_t n)
{
    fn_json_walk_t  *w = data;

    w->end = yajl_get_bytes_consumed(w->yajl);
    fn_json_step(w, (const char *) p, n);

    return 1;
}


static int
fn_json_end(void *data)
{
    size_t            i;
    fn_json_walk_t   *w = data;
    fn_json_field_t  *f;

    w->end = yajl_get_bytes_consumed(w->yajl);
    w->depth--;

    /* A child may have moved `hit` one part further: a container's own value has exactly depth parts. */
    for (i = 0; i < w->nfields; i++) {
        if (w->hit[i] > w->depth) {
            w->hit[i] = w->depth;
        }
    }

    i = 0;

    while ((f = fn_json_next(w, &i)) != NULL) {
        f->type = w->text[w->start[w->depth]] == '{' ? FN_JSON_OBJECT : FN_JSON_ARRAY;
        f->number = 0;
        f->raw.p = w->text + w->start[w->depth];
        f->raw.n = w->end - w->start[w->depth];
        fn_buf_reset(&f->text);
    }

    return 1;
}
