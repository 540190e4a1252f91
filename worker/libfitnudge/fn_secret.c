/* Loading secrets from the environment or a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "fn_secret.h"

#define FN_SECRET_MAX  65536


static char *
fn_secret_file(const char *path, size_t *len, char *err, size_t err_size)
{
    char    *buf, *p;
    FILE    *f;
    size_t   n;

    f = fopen(path, "re");
    if (f == NULL) {
        (void) snprintf(err, err_size, "cannot open secret file \"%s\": %s", path,
                        errno == ENOENT ? "no such file" : "not readable");
        return NULL;
    }

    buf = malloc(FN_SECRET_MAX + 1);
    if (buf == NULL) {
        (void) snprintf(err, err_size, "no memory for secret file \"%s\"", path);
        fclose(f);
        return NULL;
    }

    n = fread(buf, 1, FN_SECRET_MAX + 1, f);
    fclose(f);

    if (n > FN_SECRET_MAX) {
        (void) snprintf(err, err_size, "secret file \"%s\" is larger than %d bytes", path, FN_SECRET_MAX);
        goto failed;
    }

    while (n && (buf[n - 1] == '\n' || buf[n - 1] == '\r')) {
        n--;
    }

    if (n == 0 || memchr(buf, '\0', n) != NULL) {
        (void) snprintf(err, err_size, "secret file \"%s\" is empty or not text", path);
        goto failed;
    }

    buf[n] = '\0';
    *len = n;

    p = realloc(buf, n + 1);

    return p ? p : buf;

failed:

    OPENSSL_cleanse(buf, FN_SECRET_MAX + 1);
    free(buf);

    return NULL;
}


char *
fn_secret_load(const char *spec, size_t *len, char *err, size_t err_size)
{
    char        *s;
    const char  *v;

    if (strncmp(spec, "file:", 5) == 0) {
        return fn_secret_file(spec + 5, len, err, err_size);
    }

    if (strncmp(spec, "env:", 4) != 0) {
        (void) snprintf(err, err_size, "a secret is written as env:NAME or file:PATH, never as a literal");
        return NULL;
    }

    v = getenv(spec + 4);
    if (v == NULL || *v == '\0') {
        (void) snprintf(err, err_size, "environment variable \"%s\" is not set: set it before starting", spec + 4);
        return NULL;
    }

    s = strdup(v);
    if (s == NULL) {
        (void) snprintf(err, err_size, "no memory for a secret");
        return NULL;
    }

    *len = strlen(s);

    return s;
}
