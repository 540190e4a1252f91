/* Query strings, application/x-www-form-urlencoded as WHATWG URL parses it ('+' is a space). */
#ifndef FN_QUERY_H
#define FN_QUERY_H

#include "fn_field.h"

#define FN_PARAMS_MAX   16

/*
 * Splits `qs` (without '?'), decodes it into `work` (which must hold at least n + FN_PARAMS_MAX bytes),
 * and matches it against `fields` (FN_F_PATH ones are skipped). values[i]/lens[i] belong to fields[i];
 * an absent parameter gets its fallback, or NULL. Unknown or repeated parameters, bad
 * percent-encoding and NUL are refused. 0 or -1 with `err`.
 */
int fn_query_parse(const fn_field_t *fields, const char *qs, size_t n, char *work,
                   const char **values, size_t *lens, fn_field_error_t *err);

#endif
