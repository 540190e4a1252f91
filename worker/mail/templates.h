/*
 * The templates of mails: <directory>/<language>/<name>.txt and .html, read once and checked then.
 *
 * The .txt begins with "Subject: ..." and an empty line. In both:
 *
 *   {{name}}                 the value; HTML-escaped in .html
 *   {{name|date}}            a YYYY-MM-DD as the language writes it
 *   {{name|point|points}}    a number and its noun, singular and plural
 *
 * Nothing else may stand in double braces, and a mail has no other names than those of its row in the table of templates.c. A name
 * that ends in _url is an http or https address. layout.html goes around every .html, at {{content}}; footer.txt and
 * footer.html of the language end every mail, unsubscribe.txt and unsubscribe.html those that one can do without.
 */
#ifndef FN_TEMPLATES_H
#define FN_TEMPLATES_H

#include "../libfitnudge/fn_buf.h"

#define FN_MAIL_VARS  16

typedef struct fn_mail_templates_s fn_mail_templates_t;

typedef struct {
    const char *name;
    const char *list;                       /* what can be unsubscribed from; NULL: a mail one has to get */
    int         tracked;                    /* its links and its opening are counted */
    const char *vars[FN_MAIL_VARS];         /* besides "user_name"; ended by NULL */
} fn_mail_kind_t;

/* A value; the names and texts are the caller's. */
typedef struct {
    const char *name;
    const char *text;           /* of a string, else NULL */
    int64_t     number;
} fn_mail_var_t;

/* What a mail is made of. */
typedef struct {
    const char           *language;         /* one there is no template for is "en" */
    const fn_mail_var_t  *vars;
    unsigned              nvars;
    const char           *open_url;         /* NULL: not counted */
    const char           *unsubscribe_url;  /* NULL: no such lines */
} fn_mail_values_t;

/* NULL, with a sentence in problem. Blocks on files. */
fn_mail_templates_t *fn_mail_templates_load(const char *directory, char *problem, size_t size);
void fn_mail_templates_free(fn_mail_templates_t *t);

/* The row, or NULL. */
const fn_mail_kind_t *fn_mail_kind(const char *name);

/* 0, or -1: a value is missing or of the wrong kind, or memory is short. Language is set to the one that was used. */
int fn_mail_render(const fn_mail_templates_t *t, const fn_mail_kind_t *kind, fn_mail_values_t *v,
                   fn_buf_t *subject, fn_buf_t *text, fn_buf_t *html);

/* One template's substitution, for tests: html = escape. 0, or -1. */
int fn_mail_substitute(fn_buf_t *b, const char *template, const fn_mail_values_t *v, int html);

#endif
