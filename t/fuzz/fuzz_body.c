/* Bodies against every spec of the route table: what is accepted is accepted again, unchanged. */
#include <stdlib.h>
#include <string.h>

#include "fn_routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fn_buf_t           once = FN_BUF_INIT, twice = FN_BUF_INIT;
    fn_field_error_t   err;
    const fn_route_t  *r;

    for (r = fn_routes; r->path != NULL; r++) {
        if (r->body == NULL) {
            continue;
        }

        fn_buf_reset(&once);
        fn_buf_reset(&twice);

        if (fn_fields_validate_json(r->body, (const char *) data, size, &once, &err) == 0
            && (fn_fields_validate_json(r->body, once.data, once.len, &twice, &err) != 0
                || once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0))
        {
            abort();
        }
    }

    fn_buf_free(&once);
    fn_buf_free(&twice);

    return 0;
}
