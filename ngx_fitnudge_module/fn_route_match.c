/*
 * Finding a request's row.  Rows are refused by the length and the last byte of what stands before their first
 * parameter, both worked out once; the table is small enough that nothing cleverer pays.
 */
#include <string.h>

#include "fn_routes.h"

#define ROWS_MAX    256

/* of each row: bytes before the first parameter; 0 until the first request of the process */
static unsigned char  fn_route_fixed[ROWS_MAX];

static void
fn_route_measure(void)
{
    unsigned  i;

    for (i = 0; i < fn_routes_n && i < ROWS_MAX; i++) {
        fn_route_fixed[i] = (unsigned char) strcspn(fn_routes[i].path, "{");
    }
}


/* Whether `path` has the form of `pattern`; its parameters are collected. */

static int
fn_route_fits(const char *pattern, const char *path, size_t len, fn_route_match_t *m)
{
    size_t       n, suffix;
    const char  *end = path + len, *slash;

    m->nparams = 0;

    for ( ;; ) {
        n = strcspn(pattern, "{");

        if ((size_t) (end - path) < n || memcmp(pattern, path, n) != 0) {
            return 0;
        }

        pattern += n;
        path += n;

        if (*pattern == '\0') {
            return path == end;
        }

        slash = memchr(path, '/', (size_t) (end - path));
        if (slash == NULL) {
            slash = end;
        }

        /* "{id}.gif": what follows the parameter in its segment is compared with the segment's end */
        pattern += strcspn(pattern, "}") + 1;
        suffix = strcspn(pattern, "/");

        if ((size_t) (slash - path) <= suffix || m->nparams == FN_PATH_PARAMS_MAX) {
            return 0;
        }

        slash -= suffix;
        m->params[m->nparams].p = path;
        m->params[m->nparams].n = (size_t) (slash - path);
        m->nparams++;

        path = slash;
    }
}


void
fn_route_match(fn_route_match_t *m, fn_method_e method, const char *path, size_t len)
{
    int                literal;
    size_t             fixed;
    unsigned           i;
    const fn_route_t  *row;
    fn_route_match_t   probe;

    m->route = NULL;
    m->allowed = 0;
    m->nparams = 0;
    literal = 0;

    if (fn_route_fixed[0] == 0) {
        fn_route_measure();
    }

    for (i = 0, row = fn_routes; row->path != NULL; i++, row++) {
        fixed = i < ROWS_MAX ? fn_route_fixed[i] : 1;

        if (len < fixed || path[fixed - 1] != row->path[fixed - 1] || !fn_route_fits(row->path, path, len, &probe)) {
            continue;
        }

        /* a path that is written out is no parameter of another one, whatever the method */
        if (probe.nparams == 0 && !literal) {
            literal = 1;
            m->route = NULL;
            m->allowed = 0;

        } else if (probe.nparams > 0 && literal) {
            continue;
        }

        m->allowed |= 1u << row->method;

        if (row->method == method && m->route == NULL) {
            m->route = row;
            m->nparams = probe.nparams;
            memcpy(m->params, probe.params, sizeof(m->params));
        }
    }
}
