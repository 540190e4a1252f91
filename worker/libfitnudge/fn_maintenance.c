/* The state of maintenance mode, written and read. */
#include <string.h>

#include <yajl/yajl_tree.h>

#include "fn_maintenance.h"
#include "fn_utf8.h"

#define VALUE_MAX   16384               /* bytes; the longest message, escaped, is less */
#define TIME_LAST   253402300799LL      /* the end of the year 9999 */


const char *
fn_maintenance_message(fn_maintenance_t *m, const char *p, size_t n)
{
    size_t  i;

    while (n > 0 && strchr(" \t\r\n", *p) != NULL) {
        p++;
        n--;
    }

    while (n > 0 && strchr(" \t\r\n", p[n - 1]) != NULL) {
        n--;
    }

    if (n == 0) {
        return "must not be empty";
    }

    if (!fn_utf8_valid(p, n)) {
        return "must be UTF-8";
    }

    if (n > FN_MAINTENANCE_BYTES || fn_utf8_length(p, n) > FN_MAINTENANCE_CHARS) {
        return "must not be longer than 500 characters";
    }

    for (i = 0; i < n; i++) {
        if (((unsigned char) p[i] < 0x20 && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f) {
            return "must not have control characters";
        }
    }

    memmove(m->message, p, n);
    m->message[n] = '\0';
    m->len = n;

    return NULL;
}


/* A time of the object; `null` or absent gives 0, anything else -1. */
static int64_t
fn_maintenance_time(yajl_val root, const char *name)
{
    yajl_val     v;
    const char  *path[] = { name, NULL };

    v = yajl_tree_get(root, path, yajl_t_any);

    if (v == NULL || YAJL_IS_NULL(v)) {
        return 0;
    }

    if (!YAJL_IS_INTEGER(v) || YAJL_GET_INTEGER(v) < 1 || YAJL_GET_INTEGER(v) > TIME_LAST) {
        return -1;
    }

    return YAJL_GET_INTEGER(v);
}


int
fn_maintenance_parse(fn_maintenance_t *m, const char *p, size_t n)
{
    int          rc;
    yajl_val     root, v;
    const char  *text;

    static const char  *path[] = { "message", NULL };

    if (n > VALUE_MAX || strlen(p) != n) {
        return -1;
    }

    root = yajl_tree_parse(p, NULL, 0);
    if (root == NULL) {
        return -1;
    }

    rc = -1;

    if (!YAJL_IS_OBJECT(root)) {
        goto done;
    }

    m->since_s = fn_maintenance_time(root, "since");
    m->until_s = fn_maintenance_time(root, "until");

    if (m->since_s < 1 || m->until_s < 0) {
        goto done;
    }

    v = yajl_tree_get(root, path, yajl_t_any);
    text = FN_MAINTENANCE_MESSAGE;

    if (v != NULL && !YAJL_IS_NULL(v)) {
        text = YAJL_GET_STRING(v);
    }

    if (text != NULL && fn_maintenance_message(m, text, strlen(text)) == NULL) {
        rc = 0;
    }

done:

    yajl_tree_free(root);

    return rc;
}


void
fn_maintenance_format(fn_buf_t *b, const fn_maintenance_t *m)
{
    fn_buf_adds(b, "{\"message\":");
    fn_buf_add_json_string(b, m->message, m->len);
    fn_buf_addf(b, ",\"since\":%lld,\"until\":", (long long) m->since_s);

    if (m->until_s != 0) {
        fn_buf_addf(b, "%lld}", (long long) m->until_s);

    } else {
        fn_buf_adds(b, "null}");
    }
}
