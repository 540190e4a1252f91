/*
 * A reader of nginx.conf syntax for the pool: tokens with nginx's quoting and escapes, blocks, comments,
 * `include` with globs relative to the file. It knows nothing about directives: it calls back for each.
 */
#ifndef FN_CONF_H
#define FN_CONF_H

#include "fn_settings.h"

typedef struct {
    const char   *file;
    unsigned      line;
    unsigned      depth;            /* 0 = main */
    const char  **path;             /* names of the enclosing blocks, path[0..depth-1] */
    unsigned      argc;             /* argv[0] is the directive's name */
    const char  **argv;
    int           block;            /* opens a block */
} fn_conf_directive_t;

/* Returns NULL to go on, or a message: parsing stops with it. */
typedef const char *(*fn_conf_pt)(const fn_conf_directive_t *d, void *data);

/* Parses text (n bytes, named `file` in messages). 0, or -1 with err "message in file:line". Depth at most 16, a token at most 4096 bytes, 64 tokens a directive, 64 nested includes. */
int fn_conf_parse(const char *file, const char *p, size_t n, fn_conf_pt cb, void *data, char *err, size_t err_size);
int fn_conf_parse_file(const char *file, fn_conf_pt cb, void *data, char *err, size_t err_size);

/* Reads the http-level fitnudge_* settings and the block fitnudge_worker of `file` into `s`, and checks them. 0 or -1. */
int fn_conf_load(const char *file, fn_settings_t *s, char *err, size_t err_size);

#endif
