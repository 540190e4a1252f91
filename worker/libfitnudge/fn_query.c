/* Query strings against the route's parameter specs. */
#include <stdio.h>
#include <string.h>

#include "fn_query.h"


static int
fn_query_error(fn_field_error_t *err, const char *field, size_t n, const char *constraint, const char *message)
{
    if (n >= sizeof(err->field)) {
        n = sizeof(err->field) - 1;
    }
    if (n) {
        memcpy(err->field, field, n);
    }
    err->field[n] = '\0';
    err->constraint = constraint;
    (void) snprintf(err->message, sizeof(err->message), "%s", message);

    return -1;
}


static int
fn_query_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }

    return -1;
}


/* Decodes [s, end) into out; bytes written, or -1 for bad percent-encoding or NUL. */

static long
fn_query_decode(char *out, const char *s, const char *end)
{
    int   hi, lo;
    char *o = out;

    while (s < end) {
        if (*s == '+') {
            *o++ = ' ';
            s++;

        } else if (*s == '%') {
            hi = end - s > 2 ? fn_query_hex(s[1]) : -1;
            lo = end - s > 2 ? fn_query_hex(s[2]) : -1;
            if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
                return -1;
            }
            *o++ = (char) (hi << 4 | lo);
            s += 3;

        } else if (*s == '\0') {
            return -1;

        } else {
            *o++ = *s++;
        }
    }

    return o - out;
}


static int
fn_query_pair(const fn_field_t *fields, const char *s, const char *end, char **work,
              const char **values, size_t *lens, fn_field_error_t *err)
{
    int          i;
    char        *name = *work, *value;
    long         n, v;
    const char  *eq;

    eq = memchr(s, '=', (size_t) (end - s));

    n = fn_query_decode(name, s, eq ? eq : end);
    if (n < 0) {
        return fn_query_error(err, "", 0, "format", "The query string is not valid percent-encoded text.");
    }

    for (i = 0; fields[i].name != NULL; i++) {
        if (!(fields[i].flags & FN_F_PATH) && strlen(fields[i].name) == (size_t) n
            && memcmp(fields[i].name, name, (size_t) n) == 0)
        {
            break;
        }
    }

    if (fields[i].name == NULL) {
        /* the name is echoed only when it is plain text */
        for (v = 0; v < n && name[v] > 0x20 && name[v] < 0x7f; v++) { /* void */ }
        return fn_query_error(err, name, v == n ? (size_t) n : 0, "unknown_field",
                              "There is no such query parameter.");
    }

    if (values[i] != NULL) {
        return fn_query_error(err, fields[i].name, (size_t) n, "duplicate_field",
                              "The query parameter is given more than once.");
    }

    value = name;
    v = eq ? fn_query_decode(value, eq + 1, end) : 0;
    if (v < 0) {
        return fn_query_error(err, fields[i].name, (size_t) n, "format", "The value is not valid percent-encoded text.");
    }

    lens[i] = (size_t) v;
    if (fn_field_validate_text(&fields[i], value, &lens[i], err) != 0) {
        return -1;
    }

    value[lens[i]] = '\0';
    values[i] = value;
    *work = value + lens[i] + 1;

    return 0;
}


int
fn_query_parse(const fn_field_t *fields, const char *qs, size_t n, char *work,
               const char **values, size_t *lens, fn_field_error_t *err)
{
    int          i;
    const char  *end = qs + n, *amp, *stop;

    for (i = 0; fields[i].name != NULL; i++) {
        if (i == FN_PARAMS_MAX) {
            return fn_query_error(err, "", 0, "format", "The route has too many parameters.");
        }
        values[i] = NULL;
        lens[i] = 0;
    }

    while (qs < end) {
        amp = memchr(qs, '&', (size_t) (end - qs));
        stop = amp ? amp : end;

        if (stop > qs && fn_query_pair(fields, qs, stop, &work, values, lens, err) != 0) {
            return -1;
        }

        qs = stop + 1;
    }

    for (i = 0; fields[i].name != NULL; i++) {
        if (values[i] != NULL || (fields[i].flags & FN_F_PATH)) {
            continue;
        }
        if (fields[i].flags & FN_F_REQUIRED) {
            return fn_query_error(err, fields[i].name, strlen(fields[i].name), "required",
                                  "The query parameter is required.");
        }
        if (fields[i].fallback != NULL) {
            values[i] = fields[i].fallback;
            lens[i] = strlen(fields[i].fallback);
        }
    }

    return 0;
}
