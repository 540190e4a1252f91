/* Origins, Accept, times and the state of maintenance mode. */
#include <stdlib.h>
#include <string.h>

#include "fn_accept.h"
#include "fn_maintenance.h"
#include "fn_origin.h"
#include "fn_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char  wild[] = "https://*.app.example";


static void
fuzz_maintenance(const char *text, size_t size)
{
    fn_buf_t          b = FN_BUF_INIT;
    fn_maintenance_t  m, again;

    if (fn_maintenance_parse(&m, text, size) != 0) {
        return;
    }

    fn_maintenance_format(&b, &m);

    if (b.failed || fn_maintenance_parse(&again, b.data, b.len) != 0 || again.since_s != m.since_s || again.until_s != m.until_s
        || again.len != m.len || memcmp(again.message, m.message, m.len) != 0)
    {
        abort();
    }

    fn_buf_free(&b);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char     *text, rfc[FN_RFC3339_LEN + 1];
    size_t    i;
    int64_t   t, back;

    /* exact allocations, so that a byte too far is seen */
    text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }

    if (size != 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';

    fuzz_maintenance(text, size);

    text = realloc(text, size ? size : 1);
    if (text == NULL) {
        return 0;
    }

    (void) fn_accept_refuses_json(text, size);

    /* an origin that may be configured is its own; one with a star is never its own */
    if (fn_origin_check(text, size) == NULL && fn_origin_match(text, size, text, size) != (memchr(text, '*', size) == NULL)) {
        abort();
    }

    if (fn_origin_match(wild, sizeof(wild) - 1, text, size)) {
        for (i = 8; text[i] != '.'; i++) {
            if (text[i] == '/' || text[i] == ':' || text[i] == '@') {
                abort();
            }
        }

        if (size - i != sizeof(".app.example") - 1) {
            abort();
        }
    }

    if (fn_rfc3339_parse(&t, text, size) == 0) {
        fn_rfc3339(rfc, t);
        if (t >= 0 && t < 7258118400 && (fn_rfc3339_parse(&back, rfc, FN_RFC3339_LEN) != 0 || back != t)) {
            abort();
        }
    }

    free(text);

    return 0;
}
