/* One pass over the items of a header; no allocation. */
#include <string.h>
#include <strings.h>

#include "fn_accept.h"

#define OWS(c)  ((c) == ' ' || (c) == '\t')

typedef enum { ACCEPT_OTHER, ACCEPT_ALL, ACCEPT_APPLICATION, ACCEPT_JSON, ACCEPT_RANGES } fn_accept_range_e;


static void
fn_accept_trim(const char **p, const char **end)
{
    while (*p < *end && OWS(**p)) {
        (*p)++;
    }

    while (*end > *p && OWS((*end)[-1])) {
        (*end)--;
    }
}


/* The first `c` outside of quoted strings, or `end`. */
static const char *
fn_accept_find(const char *p, const char *end, char c)
{
    int  quoted = 0;

    for ( ; p < end; p++) {
        if (quoted && *p == '\\' && p + 1 < end) {
            p++;

        } else if (*p == '"') {
            quoted = !quoted;

        } else if (!quoted && *p == c) {
            break;
        }
    }

    return p;
}


static fn_accept_range_e
fn_accept_range(const char *p, const char *end)
{
    static const struct { const char *text; size_t n; fn_accept_range_e range; } ranges[] = {
        { "*/*", 3, ACCEPT_ALL },
        { "application/*", 13, ACCEPT_APPLICATION },
        { "application/json", 16, ACCEPT_JSON },
    };

    size_t  i;

    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if ((size_t) (end - p) == ranges[i].n && strncasecmp(p, ranges[i].text, ranges[i].n) == 0) {
            return ranges[i].range;
        }
    }

    return ACCEPT_OTHER;
}


/* "q=0", "q=0.", "q=0.0" to "q=0.000" */
static int
fn_accept_zero(const char *p, const char *end)
{
    size_t  i, n = (size_t) (end - p);

    if (n < 3 || n > 7 || (p[0] != 'q' && p[0] != 'Q') || p[1] != '=' || p[2] != '0') {
        return 0;
    }

    for (i = 3; i < n; i++) {
        if (p[i] != (i == 3 ? '.' : '0')) {
            return 0;
        }
    }

    return 1;
}


int
fn_accept_refuses_json(const char *p, size_t n)
{
    int                wanted[ACCEPT_RANGES] = { 0 }, refused[ACCEPT_RANGES] = { 0 };
    int                zero, parameters;
    const char        *end = p + n, *item_end, *q, *q_end, *name_end;
    fn_accept_range_e  range;
    int                i;

    for ( ; p < end; p = item_end + 1) {
        item_end = fn_accept_find(p, end, ',');

        q = p;
        name_end = fn_accept_find(p, item_end, ';');
        q_end = name_end;
        fn_accept_trim(&q, &q_end);

        range = fn_accept_range(q, q_end);
        zero = 0;
        parameters = 0;

        while (name_end < item_end) {
            q = name_end + 1;
            name_end = fn_accept_find(q, item_end, ';');
            q_end = name_end;
            fn_accept_trim(&q, &q_end);

            if (q_end - q > 1 && (q[0] == 'q' || q[0] == 'Q') && q[1] == '=') {
                zero = fn_accept_zero(q, q_end);

            } else if (q < q_end) {
                parameters = 1;
            }
        }

        /* a refusal with parameters is one of another representation; a wish with them we take for ours */
        wanted[range] |= !zero;
        refused[range] |= zero && !parameters;
    }

    for (i = ACCEPT_JSON; i > ACCEPT_OTHER; i--) {
        if (wanted[i]) {
            return 0;
        }

        if (refused[i]) {
            return 1;
        }
    }

    return 0;
}


int
fn_accept_encoding(const char *p, size_t n, const char *coding)
{
    int          zero;
    size_t       len = strlen(coding);
    const char  *end = p + n, *item_end, *q, *q_end, *name_end;

    for ( ; p < end; p = item_end + 1) {
        item_end = fn_accept_find(p, end, ',');

        q = p;
        name_end = fn_accept_find(p, item_end, ';');
        q_end = name_end;
        fn_accept_trim(&q, &q_end);

        if ((size_t) (q_end - q) != len || strncasecmp(q, coding, len) != 0) {
            continue;
        }

        for (zero = 0; name_end < item_end; ) {
            q = name_end + 1;
            name_end = fn_accept_find(q, item_end, ';');
            q_end = name_end;
            fn_accept_trim(&q, &q_end);
            zero |= fn_accept_zero(q, q_end);
        }

        return !zero;
    }

    return 0;
}
