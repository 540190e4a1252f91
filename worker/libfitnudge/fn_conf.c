/*
 * nginx.conf for the pool.  The syntax is nginx's (ngx_conf_read_token): words split by
 * blanks, '...' and "..." with backslash escapes, # comments, ; { }, ${name} inside words.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fn_conf.h"

#define FN_CONF_DEPTH     16
#define FN_CONF_TOKENS    64
#define FN_CONF_TOKEN     4096
#define FN_CONF_INCLUDES  64
#define FN_CONF_FILE_MAX  (4 * 1024 * 1024)


typedef enum { FN_TOKEN_WORD, FN_TOKEN_END, FN_TOKEN_OPEN, FN_TOKEN_CLOSE, FN_TOKEN_EOF, FN_TOKEN_ERROR } fn_token_e;

typedef struct {
    fn_conf_pt    cb;
    void         *data;
    char         *err;
    size_t        err_size;
    unsigned      includes;         /* nested now */
    unsigned      depth;
    const char   *path[FN_CONF_DEPTH];
} fn_conf_t;

typedef struct {
    const char   *file;
    const char   *p, *end;
    unsigned      line;
    char          token[FN_CONF_TOKEN + 1];
    size_t        len;
    const char   *message;          /* of FN_TOKEN_ERROR */
} fn_conf_input_t;


static int fn_conf_input(fn_conf_t *c, const char *file, const char *p, size_t n);
static int fn_conf_file(fn_conf_t *c, const char *file);


static int
fn_conf_error(fn_conf_t *c, const char *file, unsigned line, const char *message)
{
    if (line) {
        (void) snprintf(c->err, c->err_size, "%s in %s:%u", message, file, line);
    } else {
        (void) snprintf(c->err, c->err_size, "%s: %s", file, message);
    }

    return -1;
}


static int
fn_conf_blank(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}


static int
fn_conf_add(fn_conf_input_t *in, char ch)
{
    if (ch == '\0') {
        in->message = "unexpected NUL";
        return -1;
    }

    if (in->len == FN_CONF_TOKEN) {
        in->message = "too long parameter";
        return -1;
    }

    in->token[in->len++] = ch;

    return 0;
}


/* One escape: \" \' \\ \t \r \n become the character, any other keeps its backslash, as nginx has it. */

static int
fn_conf_escape(fn_conf_input_t *in)
{
    char  ch = in->p + 1 < in->end ? in->p[1] : '\0';

    switch (ch) {
    case '"': case '\'': case '\\':
        break;
    case 't':
        ch = '\t';
        break;
    case 'r':
        ch = '\r';
        break;
    case 'n':
        ch = '\n';
        break;
    default:
        in->p++;
        return fn_conf_add(in, '\\');
    }

    in->p += 2;

    return fn_conf_add(in, ch);
}


static fn_token_e
fn_conf_quoted(fn_conf_input_t *in)
{
    char  quote = *in->p++;

    while (in->p < in->end && *in->p != quote) {
        if (*in->p == '\n') {
            in->line++;
        }

        if (*in->p == '\\') {
            if (fn_conf_escape(in) != 0) {
                return FN_TOKEN_ERROR;
            }
        } else if (fn_conf_add(in, *in->p++) != 0) {
            return FN_TOKEN_ERROR;
        }
    }

    if (in->p == in->end) {
        in->message = "unexpected end of file, expecting the closing quote";
        return FN_TOKEN_ERROR;
    }

    in->p++;

    if (in->p < in->end && !fn_conf_blank(*in->p) && *in->p != ';' && *in->p != '{' && *in->p != ')') {
        in->message = "unexpected character after a quoted parameter";
        return FN_TOKEN_ERROR;
    }

    return FN_TOKEN_WORD;
}


static fn_token_e
fn_conf_word(fn_conf_input_t *in)
{
    int  variable = 0;

    while (in->p < in->end && !fn_conf_blank(*in->p) && *in->p != ';') {
        if (*in->p == '{') {
            if (in->len == 0 || in->token[in->len - 1] != '$') {
                break;
            }
            variable = 1;       /* ${name} belongs to the word */
        }

        if (*in->p == '}' && variable) {
            variable = 0;
        }

        if (*in->p == '\\') {
            if (fn_conf_escape(in) != 0) {
                return FN_TOKEN_ERROR;
            }
        } else if (fn_conf_add(in, *in->p++) != 0) {
            return FN_TOKEN_ERROR;
        }
    }

    return FN_TOKEN_WORD;
}


static fn_token_e
fn_conf_token(fn_conf_input_t *in)
{
    in->len = 0;

    for ( ; in->p < in->end; in->p++) {
        if (*in->p == '\n') {
            in->line++;

        } else if (*in->p == '#') {
            while (in->p + 1 < in->end && in->p[1] != '\n') {
                in->p++;
            }

        } else if (!fn_conf_blank(*in->p)) {
            break;
        }
    }

    if (in->p == in->end) {
        return FN_TOKEN_EOF;
    }

    switch (*in->p) {
    case ';':
        in->p++;
        return FN_TOKEN_END;
    case '{':
        in->p++;
        return FN_TOKEN_OPEN;
    case '}':
        in->p++;
        return FN_TOKEN_CLOSE;
    case '"':
    case '\'':
        return fn_conf_quoted(in);
    default:
        return fn_conf_word(in);
    }
}


/* include, relative to the including file's folder; a pattern may match nothing, a plain name must exist. */

static int
fn_conf_include(fn_conf_t *c, const fn_conf_input_t *in, const char *pattern)
{
    int          rc = 0;
    char         path[FN_CONF_TOKEN * 2];
    glob_t       found;
    size_t       i;
    const char  *slash = strrchr(in->file, '/');

    if (c->includes == FN_CONF_INCLUDES) {
        return fn_conf_error(c, in->file, in->line, "too many nested includes");
    }

    if (pattern[0] == '/' || slash == NULL) {
        (void) snprintf(path, sizeof(path), "%s", pattern);
    } else {
        (void) snprintf(path, sizeof(path), "%.*s/%s", (int) (slash - in->file), in->file, pattern);
    }

    c->includes++;

    if (strpbrk(pattern, "*?[") == NULL) {
        rc = fn_conf_file(c, path);

    } else if (glob(path, 0, NULL, &found) == 0) {
        for (i = 0; i < found.gl_pathc && rc == 0; i++) {
            rc = fn_conf_file(c, found.gl_pathv[i]);
        }
        globfree(&found);
    }

    c->includes--;

    return rc;
}


static int
fn_conf_directive(fn_conf_t *c, const fn_conf_input_t *in, unsigned line, unsigned argc, char **argv, int block)
{
    const char           *message;
    fn_conf_directive_t   d;

    if (!block && strcmp(argv[0], "include") == 0 && argc == 2) {
        return fn_conf_include(c, in, argv[1]);
    }

    d.file = in->file;
    d.line = line;
    d.depth = c->depth;
    d.path = c->path;
    d.argc = argc;
    d.argv = (const char **) argv;
    d.block = block;

    message = c->cb(&d, c->data);

    return message ? fn_conf_error(c, in->file, line, message) : 0;
}


static void
fn_conf_clear(unsigned *argc, char **argv)
{
    while (*argc) {
        free(argv[--*argc]);
    }
}


/* Statements until the end of the input; blocks must close in the file that opens them. */

static int
fn_conf_statements(fn_conf_t *c, fn_conf_input_t *in)
{
    int          rc = -1;
    char        *argv[FN_CONF_TOKENS], *names[FN_CONF_DEPTH] = { NULL };
    unsigned     argc = 0, line = 0, base = c->depth;
    fn_token_e   token;

    for ( ;; ) {
        token = fn_conf_token(in);

        if (token == FN_TOKEN_WORD) {
            if (argc == 0) {
                line = in->line;
            }
            if (argc == FN_CONF_TOKENS) {
                fn_conf_error(c, in->file, in->line, "too many parameters");
                break;
            }
            in->token[in->len] = '\0';
            argv[argc] = strdup(in->token);
            if (argv[argc] == NULL) {
                fn_conf_error(c, in->file, in->line, "no memory");
                break;
            }
            argc++;

        } else if (token == FN_TOKEN_END || token == FN_TOKEN_OPEN) {
            if (argc == 0) {
                fn_conf_error(c, in->file, in->line, token == FN_TOKEN_END ? "unexpected \";\"" : "unexpected \"{\"");
                break;
            }
            if (fn_conf_directive(c, in, line, argc, argv, token == FN_TOKEN_OPEN) != 0) {
                break;
            }
            if (token == FN_TOKEN_OPEN) {
                if (c->depth == FN_CONF_DEPTH) {
                    fn_conf_error(c, in->file, in->line, "too deep nesting");
                    break;
                }
                names[c->depth] = argv[0];
                c->path[c->depth++] = argv[0];
                argv[0] = NULL;
            }
            fn_conf_clear(&argc, argv);

        } else if (token == FN_TOKEN_CLOSE) {
            if (argc || c->depth == base) {
                fn_conf_error(c, in->file, in->line, "unexpected \"}\"");
                break;
            }
            free(names[--c->depth]);

        } else if (token == FN_TOKEN_EOF) {
            if (argc || c->depth != base) {
                fn_conf_error(c, in->file, in->line,
                              argc ? "unexpected end of file, expecting \";\" or \"}\""
                                   : "unexpected end of file, expecting \"}\"");
                break;
            }
            rc = 0;
            break;

        } else {
            fn_conf_error(c, in->file, in->line, in->message);
            break;
        }
    }

    fn_conf_clear(&argc, argv);
    while (c->depth > base) {
        free(names[--c->depth]);
    }

    return rc;
}


static int
fn_conf_input(fn_conf_t *c, const char *file, const char *p, size_t n)
{
    int               rc;
    fn_conf_input_t  *in;

    in = malloc(sizeof(fn_conf_input_t));
    if (in == NULL) {
        return fn_conf_error(c, file, 0, "no memory");
    }

    in->file = file;
    in->p = p;
    in->end = p + n;
    in->line = 1;
    in->len = 0;
    in->message = NULL;

    rc = fn_conf_statements(c, in);
    free(in);

    return rc;
}


static int
fn_conf_file(fn_conf_t *c, const char *file)
{
    int      rc;
    FILE    *f;
    char    *text;
    size_t   n;

    f = fopen(file, "re");
    if (f == NULL) {
        return fn_conf_error(c, file, 0, errno == ENOENT ? "no such file" : "cannot be read");
    }

    text = malloc(FN_CONF_FILE_MAX);
    if (text == NULL) {
        fclose(f);
        return fn_conf_error(c, file, 0, "no memory");
    }

    n = fread(text, 1, FN_CONF_FILE_MAX, f);
    rc = ferror(f) || n == FN_CONF_FILE_MAX ? fn_conf_error(c, file, 0, "cannot be read, or is too large")
                                            : fn_conf_input(c, file, text, n);
    fclose(f);
    free(text);

    return rc;
}


int
fn_conf_parse(const char *file, const char *p, size_t n, fn_conf_pt cb, void *data, char *err, size_t err_size)
{
    fn_conf_t  c = { .cb = cb, .data = data, .err = err, .err_size = err_size };

    return fn_conf_input(&c, file, p, n);
}


int
fn_conf_parse_file(const char *file, fn_conf_pt cb, void *data, char *err, size_t err_size)
{
    fn_conf_t  c = { .cb = cb, .data = data, .err = err, .err_size = err_size };

    return fn_conf_file(&c, file);
}


/* --- the pool's settings ------------------------------------------------- */

typedef struct {
    fn_settings_t  *settings;
    int             worker;         /* a fitnudge_worker block was seen */
} fn_conf_load_t;


static const char *
fn_conf_setting(const fn_conf_directive_t *d, void *data)
{
    int                   worker;
    fn_conf_load_t       *load = data;
    static char           message[768];
    const char           *problem;
    const fn_setting_t   *setting;

    worker = d->depth == 2 && strcmp(d->path[0], "http") == 0 && strcmp(d->path[1], "fitnudge_worker") == 0;

    if (!worker && !(d->depth == 1 && strcmp(d->path[0], "http") == 0)) {
        return NULL;
    }

    if (!worker && d->block && strcmp(d->argv[0], "fitnudge_worker") == 0) {
        return load->worker++ ? "\"fitnudge_worker\" directive is duplicate" : NULL;
    }

    setting = fn_setting_find(d->argv[0], worker ? FN_SCOPE_WORKER : FN_SCOPE_HTTP);

    if (setting == NULL) {
        if (!worker) {
            return NULL;
        }
        (void) snprintf(message, sizeof(message), "unknown directive \"%.100s\"", d->argv[0]);
        return message;
    }

    if (d->block || d->argc != 2) {
        (void) snprintf(message, sizeof(message), "invalid number of arguments in \"%.100s\" directive", d->argv[0]);
        return message;
    }

    problem = fn_setting_apply(load->settings, setting, d->argv[1]);
    if (problem == NULL) {
        return NULL;
    }

    (void) snprintf(message, sizeof(message), strncmp(problem, "is ", 3) == 0 ? "\"%.100s\" directive %s" : "\"%.100s\": %s",
                    d->argv[0], problem);

    return message;
}


int
fn_conf_load(const char *file, fn_settings_t *s, char *err, size_t err_size)
{
    const char      *problem;
    fn_conf_load_t   load = { s, 0 };

    if (fn_settings_init(s) != 0) {
        (void) snprintf(err, err_size, "no memory");
        return -1;
    }

    if (fn_conf_parse_file(file, fn_conf_setting, &load, err, err_size) != 0) {
        fn_settings_free(s);
        return -1;
    }

    problem = fn_settings_check(s);
    if (problem != NULL) {
        (void) snprintf(err, err_size, "%s: %s", file, problem);
        fn_settings_free(s);
        return -1;
    }

    return 0;
}
