/* Secrets are never literals in nginx.conf: `env:NAME` or `file:/path` (trailing newline removed). */
#ifndef FN_SECRET_H
#define FN_SECRET_H

#include <stddef.h>

/* Returns malloc'ed text and its length (caller wipes and frees), NULL with `err` = a full sentence. An unset variable or missing file is an error. */
char *fn_secret_load(const char *spec, size_t *len, char *err, size_t err_size);

#endif
