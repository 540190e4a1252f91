/* Query strings and paths against the route table. */
#include <stdlib.h>
#include <string.h>

#include "fn_query.h"
#include "fn_routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char              *work;
    size_t             lens[FN_PARAMS_MAX];
    unsigned           i;
    const char        *values[FN_PARAMS_MAX];
    fn_route_match_t   m;
    fn_field_error_t   err;
    const fn_route_t  *r;

    fn_route_match(&m, FN_GET, (const char *) data, size);
    for (i = 0; m.route != NULL && i < m.nparams; i++) {
        if (m.params[i].n == 0 || memchr(m.params[i].p, '/', m.params[i].n) != NULL) {
            abort();
        }
    }

    work = malloc(size + FN_PARAMS_MAX);
    for (r = fn_routes; r->path != NULL && work != NULL; r++) {
        if (r->params != NULL) {
            (void) fn_query_parse(r->params, (const char *) data, size, work, values, lens, &err);
        }
    }
    free(work);

    return 0;
}
