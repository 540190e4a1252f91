#include <string.h>

#include "fn_revoked.h"
#include "fn_uuid.h"

#define FN_REVOKED  "revoked:"


static int
fn_revoked_begins(const fn_span_t *s, const char *with)
{
    return s->n > strlen(with) && memcmp(s->p, with, strlen(with)) == 0;
}


int
fn_revoked_read(const char *tag, size_t n, fn_span_t *what, uint64_t *until)
{
    size_t  i;

    what->p = tag;
    what->n = n;

    if (!fn_revoked_begins(what, FN_REVOKED)) {
        return 0;
    }

    /* the last colon: a jti may have some */
    for (i = n; i > 0 && tag[i - 1] != ':'; i--) { /* void */ }

    what->p = tag + sizeof(FN_REVOKED) - 1;

    if (tag + i <= what->p || i == n || n - i > 12) {
        return 0;
    }

    what->n = (size_t) (tag + i - 1 - what->p);

    for (*until = 0; i < n; i++) {
        if (tag[i] < '0' || tag[i] > '9') {
            return 0;
        }
        *until = *until * 10 + (uint64_t) (tag[i] - '0');
    }

    return what->n <= FN_REVOKED_MAX
           && (fn_uuid_valid(what->p, what->n) || fn_revoked_begins(what, "jti:") || fn_revoked_begins(what, "user:")
               || fn_revoked_begins(what, "barred:"));
}
