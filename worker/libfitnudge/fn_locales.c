/* Reading the texts of fn_locales.h, and making what is sent of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "fn_buf.h"
#include "fn_locales.h"

#define FN_LOCALES_ALL  (FN_LANGUAGES_N + 1)        /* and the pseudo-locale */

struct fn_locales_s {
    unsigned   n;
    char      *key[FN_LOCALES_KEYS];
    char      *text[FN_LANGUAGES_N][FN_LOCALES_KEYS];   /* NULL: none */
    fn_buf_t   json[FN_LOCALES_ALL];
};

typedef struct {
    fn_locales_t *l;
    int           common;           /* one object a language */
    int           only;             /* of common.json: English only (1), or all others (0) */
    int           language;         /* of what is being read; -1: to be passed over */
    int           depth;
    int           key;              /* the next value is its text; -1 */
    char         *problem;
    size_t        size;
} fn_locales_reader_t;


static int
fn_locales_wrong(fn_locales_reader_t *r, const char *what, const char *key, size_t n)
{
    if (r->problem[0] == '\0') {
        (void) snprintf(r->problem, r->size, "%s \"%.*s\"", what, (int) (n < FN_LOCALES_KEY_MAX ? n : FN_LOCALES_KEY_MAX), key);
    }

    return 0;       /* yajl stops */
}


static int
fn_locales_find(const fn_locales_t *l, const char *key, size_t n)
{
    unsigned  i;

    for (i = 0; i < l->n; i++) {
        if (strncmp(l->key[i], key, n) == 0 && l->key[i][n] == '\0') {
            return (int) i;
        }
    }

    return -1;
}


static int
fn_locales_is_key(const char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '_' || p[i] == '.')) {
            return 0;
        }
    }

    return n > 0 && n <= FN_LOCALES_KEY_MAX;
}


static int
fn_locales_start(void *ctx)
{
    fn_locales_reader_t  *r = ctx;

    return ++r->depth <= 1 + r->common ? 1 : fn_locales_wrong(r, "a text is expected, not an object, in", "", 0);
}


static int
fn_locales_end(void *ctx)
{
    fn_locales_reader_t  *r = ctx;

    r->depth--;

    return 1;
}


static int
fn_locales_on_key(void *ctx, const unsigned char *s, size_t n)
{
    int                   i;
    const char           *p = (const char *) s;
    fn_locales_reader_t  *r = ctx;

    r->key = -1;

    if (r->common && r->depth == 1) {
        for (i = 0; i < FN_LANGUAGES_N; i++) {
            if (strncmp(fn_languages[i].code, p, n) == 0 && fn_languages[i].code[n] == '\0') {
                r->language = (i == 0) == r->only ? i : -1;
                return 1;
            }
        }

        return fn_locales_wrong(r, "there is no language", p, n);
    }

    if (!fn_locales_is_key(p, n)) {
        return fn_locales_wrong(r, "not a key:", p, n);
    }

    if (r->language < 0) {
        return 1;
    }

    i = fn_locales_find(r->l, p, n);

    if (i < 0) {
        if (r->language != 0) {
            return fn_locales_wrong(r, "English has no key", p, n);
        }

        if (r->l->n == FN_LOCALES_KEYS) {
            return fn_locales_wrong(r, "too many keys before", p, n);
        }

        r->l->key[r->l->n] = strndup(p, n);
        if (r->l->key[r->l->n] == NULL) {
            return fn_locales_wrong(r, "no memory for", p, n);
        }

        i = (int) r->l->n++;

    } else if (r->l->text[r->language][i] != NULL) {
        return fn_locales_wrong(r, "twice there is a key", p, n);
    }

    r->key = i;

    return 1;
}


static int
fn_locales_on_text(void *ctx, const unsigned char *s, size_t n)
{
    size_t                i;
    const char           *key;
    fn_locales_reader_t  *r = ctx;

    if (r->depth != 1 + r->common) {
        return fn_locales_wrong(r, "an object is expected, not the text", (const char *) s, n);
    }

    if (r->language < 0) {
        return 1;
    }

    key = r->l->key[r->key];

    if (n == 0 || n > FN_LOCALES_TEXT_MAX) {
        return fn_locales_wrong(r, "empty or too long is the text of", key, strlen(key));
    }

    for (i = 0; i < n; i++) {
        if ((s[i] < 0x20 && s[i] != '\n') || s[i] == 0x7f) {
            return fn_locales_wrong(r, "a control character is in the text of", key, strlen(key));
        }
    }

    r->l->text[r->language][r->key] = strndup((const char *) s, n);

    return r->l->text[r->language][r->key] != NULL ? 1 : fn_locales_wrong(r, "no memory for", key, strlen(key));
}


static int fn_locales_other(void *ctx) { return fn_locales_wrong(ctx, "texts only are expected in", "", 0); }
static int fn_locales_bool(void *ctx, int v) { (void) v; return fn_locales_other(ctx); }
static int fn_locales_number(void *ctx, const char *s, size_t n) { (void) s; (void) n; return fn_locales_other(ctx); }


static int
fn_locales_read(fn_locales_reader_t *r, const char *p, size_t n)
{
    int          rc;
    yajl_handle  h;

    static const yajl_callbacks  callbacks = {
        fn_locales_other, fn_locales_bool, NULL, NULL, fn_locales_number, fn_locales_on_text, fn_locales_start, fn_locales_on_key, fn_locales_end,
        fn_locales_other, fn_locales_other
    };

    r->depth = 0;
    r->key = -1;

    h = yajl_alloc(&callbacks, NULL, r);
    if (h == NULL) {
        return -1;
    }

    rc = n <= FN_LOCALES_FILE_MAX && yajl_parse(h, (const unsigned char *) p, n) == yajl_status_ok
         && yajl_complete_parse(h) == yajl_status_ok ? 0 : -1;
    yajl_free(h);

    if (rc != 0 && r->problem[0] == '\0') {
        (void) snprintf(r->problem, r->size, "it is no JSON object in UTF-8");
    }

    return rc;
}


int
fn_locales_parse(fn_locales_t *l, int language, const char *p, size_t n, char *problem, size_t size)
{
    fn_locales_reader_t  r;

    memset(&r, 0, sizeof(r));
    r.l = l;
    r.common = language == -1;
    r.language = language;
    r.problem = problem;
    r.size = size;
    problem[0] = '\0';

    if (!r.common) {
        return fn_locales_read(&r, p, n);
    }

    /* English says which keys there are */
    r.only = 1;

    if (fn_locales_read(&r, p, n) != 0) {
        return -1;
    }

    r.only = 0;

    return fn_locales_read(&r, p, n);
}


/*
 * The text in other letters, between brackets, and longer. Within braces arguments stay as they are, and what is in braces of those
 * is text again ("{n, plural, one {# day} other {# days}}").
 */
static void
fn_locales_pseudo(fn_buf_t *b, const char *s)
{
    size_t       n, pad;
    unsigned     depth;

    static const char *const  letters[] = {
        "\xce\xb1", "\xce\xb2", "\xcf\x82", "\xce\xb4", "\xce\xb5", "\xcf\x86", "\xce\xb3", "\xce\xb7", "\xce\xb9", "\xcf\x91", "\xce\xba", "\xce\xbb",
        "\xce\xbc", "\xce\xbd", "\xce\xbf", "\xcf\x80", "\xcf\x99", "\xcf\x81", "\xcf\x83", "\xcf\x84", "\xcf\x85", "\xd1\xb5", "\xcf\x89", "\xcf\x87",
        "\xcf\x88", "\xce\xb6"
    };

    fn_buf_adds(b, "[");

    for (n = 0, depth = 0; *s != '\0'; s++) {
        if (*s == '{' || *s == '}') {
            depth += *s == '{' ? 1u : depth > 0 ? -1u : 0;
            fn_buf_add(b, s, 1);

        } else if (depth % 2 == 0 && (*s | 0x20) >= 'a' && (*s | 0x20) <= 'z') {
            fn_buf_adds(b, letters[(*s | 0x20) - 'a']);
            n++;

        } else {
            fn_buf_add(b, s, 1);
        }
    }

    for (pad = 0; pad < n * 2 / 5 + 1; pad++) {
        fn_buf_adds(b, pad % 2 ? "\xc8\xa6" : "\xe1\xb8\x82");
    }

    fn_buf_adds(b, "]");
}


static int
fn_locales_render(fn_locales_t *l, int language)
{
    unsigned     i;
    fn_buf_t    *b = &l->json[language], text = FN_BUF_INIT;
    const char  *own;

    fn_buf_addf(b, "{\"language\":\"%s\",\"dir\":\"%s\",\"messages\":{", language == FN_PSEUDO ? FN_PSEUDO_CODE : fn_languages[language].code,
                language == FN_PSEUDO ? "ltr" : fn_languages[language].dir);

    for (i = 0; i < l->n; i++) {
        fn_buf_addf(b, "%s\"%s\":", i ? "," : "", l->key[i]);
        fn_buf_reset(&text);

        if (language == FN_PSEUDO) {
            fn_locales_pseudo(&text, l->text[0][i]);

        } else {
            own = l->text[language][i] != NULL ? l->text[language][i] : l->text[0][i];
            fn_buf_adds(&text, own);
        }

        fn_buf_add_json_string(b, text.data, text.len);
        b->failed |= text.failed;
    }

    fn_buf_adds(b, "}}");
    fn_buf_free(&text);

    return b->failed ? -1 : 0;
}


int
fn_locales_finish(fn_locales_t *l, char *problem, size_t size)
{
    int       i;
    unsigned  k;

    for (k = 0; k < l->n; k++) {
        if (l->text[0][k] == NULL) {
            (void) snprintf(problem, size, "English has no text for \"%s\"", l->key[k]);
            return -1;
        }
    }

    for (i = 0; i < FN_LOCALES_ALL; i++) {
        if (fn_locales_render(l, i) != 0) {
            (void) snprintf(problem, size, "no memory for locales");
            return -1;
        }
    }

    return 0;
}


static int
fn_locales_file(fn_locales_t *l, const char *directory, int language, char *problem, size_t size)
{
    int          rc;
    char         path[4200], why[160], *text;
    FILE        *f;
    size_t       n;
    const char  *name = language < 0 ? "common" : fn_languages[language].code;

    (void) snprintf(path, sizeof(path), "%s/%s.json", directory, name);
    why[0] = '\0';

    f = fopen(path, "re");
    if (f == NULL) {
        (void) snprintf(problem, size, "cannot open locale \"%.300s\": %s", path, errno == ENOENT ? "no such file" : "not readable");
        return -1;
    }

    text = malloc(FN_LOCALES_FILE_MAX + 1);
    n = text != NULL ? fread(text, 1, FN_LOCALES_FILE_MAX + 1, f) : 0;
    (void) fclose(f);

    rc = text != NULL ? fn_locales_parse(l, language, text, n, why, sizeof(why)) : -1;
    free(text);

    if (rc != 0) {
        (void) snprintf(problem, size, "locale \"%.300s\": %s", path, why);
    }

    return rc;
}


fn_locales_t *
fn_locales_new(void)
{
    return calloc(1, sizeof(fn_locales_t));
}


fn_locales_t *
fn_locales_load(const char *directory, char *problem, size_t size)
{
    int            i, rc;
    fn_locales_t  *l;

    l = fn_locales_new();
    if (l == NULL) {
        (void) snprintf(problem, size, "no memory for locales");
        return NULL;
    }

    rc = fn_locales_file(l, directory, 0, problem, size);

    if (rc == 0) {
        rc = fn_locales_file(l, directory, -1, problem, size);
    }

    for (i = 1; rc == 0 && i < FN_LANGUAGES_N; i++) {
        rc = fn_locales_file(l, directory, i, problem, size);
    }

    if (rc == 0) {
        rc = fn_locales_finish(l, problem, size);
    }

    if (rc != 0) {
        fn_locales_free(l);
        return NULL;
    }

    return l;
}


void
fn_locales_free(fn_locales_t *l)
{
    int       i;
    unsigned  k;

    if (l == NULL) {
        return;
    }

    for (k = 0; k < l->n; k++) {
        free(l->key[k]);

        for (i = 0; i < FN_LANGUAGES_N; i++) {
            free(l->text[i][k]);
        }
    }

    for (i = 0; i < FN_LOCALES_ALL; i++) {
        fn_buf_free(&l->json[i]);
    }

    free(l);
}


const char *
fn_locales_json(const fn_locales_t *l, int language, size_t *len)
{
    *len = l->json[language].len;

    return l->json[language].data;
}


unsigned
fn_locales_n(const fn_locales_t *l)
{
    return l->n;
}


const char *
fn_locales_key(const fn_locales_t *l, unsigned i)
{
    return l->key[i];
}


const char *
fn_locales_own(const fn_locales_t *l, int language, unsigned i)
{
    return l->text[language][i];
}


const char *
fn_locales_text(const fn_locales_t *l, const char *language, const char *key)
{
    int  i, k;

    if (l == NULL || (k = fn_locales_find(l, key, strlen(key))) < 0) {
        return NULL;
    }

    i = fn_language_lookup(language, strlen(language));

    return i > 0 && i < FN_LANGUAGES_N && l->text[i][k] != NULL ? l->text[i][k] : l->text[0][k];
}
