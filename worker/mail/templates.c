/* Templates of mails: see templates.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_utf8.h"
#include "../providers/exchange.h"
#include "templates.h"
#include "words.h"

#define FN_TEMPLATE_MAX  65536      /* bytes */
#define FN_VALUE_MAX     500        /* code points of a value */
#define FN_SUBJECT       "Subject: "

static const fn_mail_kind_t  fn_mail_kinds[] = {
    { "verification",    NULL,             0, { "verification_code", "expires_minutes", NULL } },
    { "password_reset",  NULL,             0, { "reset_url", "expires_hours", NULL } },
    { "welcome",         "product",        1, { "app_download_url", NULL } },
    { "payment_receipt", NULL,             0, { "amount", "plan_name", "period_start", "period_end", "payment_method",
                                                "invoice_url", "next_billing_date", NULL } },
    { "payment_failed",  NULL,             0, { "amount", "plan_name", "update_url", NULL } },
    { "weekly_summary",  "weekly_summary", 1, { "week_start", "week_end", "checkins", "streak", "completion_rate", "app_url", NULL } },
    { "data_export",     NULL,             0, { "export_url", "expires_hours", NULL } },
    { "account_deleted", NULL,             0, { NULL } },
    { "beta_build",      "beta",           1, { "build_version", "build_url", NULL } }
};

#define FN_MAIL_KINDS  (sizeof(fn_mail_kinds) / sizeof(fn_mail_kinds[0]))

static const char *const  fn_mail_languages[] = { "en", "es", "fr", "de" };

#define FN_MAIL_LANGUAGES  (sizeof(fn_mail_languages) / sizeof(fn_mail_languages[0]))

typedef struct {
    char  *subject, *text, *html;
} fn_mail_template_t;

struct fn_mail_templates_s {
    char               *layout;
    fn_mail_template_t  mail[FN_MAIL_LANGUAGES][FN_MAIL_KINDS];
    fn_mail_template_t  footer[FN_MAIL_LANGUAGES];
    fn_mail_template_t  unsubscribe[FN_MAIL_LANGUAGES];
};

/* What stands between double braces. */
typedef struct {
    const char *name, *first, *second;      /* not ended; the parts behind bars, NULL = none */
    size_t      name_len, first_len, second_len;
} fn_mail_mark_t;

static int fn_mail_load(fn_mail_template_t *out, const char *directory, const char *language, const char *name,
                        const char *const *vars, int mail, char *problem, size_t size);
static char *fn_mail_read(const char *directory, const char *language, const char *name, const char *ending,
                          const char *const *vars, char *problem, size_t size);
static char *fn_mail_subject(char *text, char **rest);
static const char *fn_mail_next(const char *p, const char **mark, fn_mail_mark_t *m);
static int fn_mail_mark(const char *p, size_t n, fn_mail_mark_t *m);
static int fn_mail_known(const char *const *vars, const fn_mail_mark_t *m);
static int fn_mail_value(fn_buf_t *b, const fn_mail_values_t *v, const fn_mail_mark_t *m, int html);
static void fn_mail_escape(fn_buf_t *b, const char *s, size_t n);
static int fn_mail_is_url(const char *s);

static const char *const  fn_mail_no_vars[] = { NULL };
static const char *const  fn_mail_unsubscribe_vars[] = { "unsubscribe_url", NULL };
static const char *const  fn_mail_layout_vars[] = { "content", "language", "open", NULL };


const fn_mail_kind_t *
fn_mail_kind(const char *name)
{
    size_t  i;

    for (i = 0; i < FN_MAIL_KINDS; i++) {
        if (strcmp(fn_mail_kinds[i].name, name) == 0) {
            return &fn_mail_kinds[i];
        }
    }

    return NULL;
}


fn_mail_templates_t *
fn_mail_templates_load(const char *directory, char *problem, size_t size)
{
    int                   rc;
    size_t                i, k;
    const char           *language;
    fn_mail_templates_t  *t;

    t = calloc(1, sizeof(*t));
    if (t == NULL) {
        snprintf(problem, size, "no memory for templates");
        return NULL;
    }

    t->layout = fn_mail_read(directory, ".", "layout", "html", fn_mail_layout_vars, problem, size);
    rc = t->layout != NULL ? 0 : -1;

    for (i = 0; rc == 0 && i < FN_MAIL_LANGUAGES; i++) {
        language = fn_mail_languages[i];
        rc = fn_mail_load(&t->footer[i], directory, language, "footer", fn_mail_no_vars, 0, problem, size);

        if (rc == 0) {
            rc = fn_mail_load(&t->unsubscribe[i], directory, language, "unsubscribe", fn_mail_unsubscribe_vars, 0, problem, size);
        }

        for (k = 0; rc == 0 && k < FN_MAIL_KINDS; k++) {
            rc = fn_mail_load(&t->mail[i][k], directory, language, fn_mail_kinds[k].name, fn_mail_kinds[k].vars, 1, problem, size);
        }
    }

    if (rc != 0) {
        fn_mail_templates_free(t);
        return NULL;
    }

    return t;
}


void
fn_mail_templates_free(fn_mail_templates_t *t)
{
    size_t               i, k;
    fn_mail_template_t  *m;

    if (t == NULL) {
        return;
    }

    for (i = 0; i < FN_MAIL_LANGUAGES; i++) {
        for (k = 0; k < FN_MAIL_KINDS + 2; k++) {
            m = k < FN_MAIL_KINDS ? &t->mail[i][k] : k == FN_MAIL_KINDS ? &t->footer[i] : &t->unsubscribe[i];
            free(m->subject);
            free(m->text);
            free(m->html);
        }
    }

    free(t->layout);
    free(t);
}


static int
fn_mail_load(fn_mail_template_t *out, const char *directory, const char *language, const char *name,
             const char *const *vars, int mail, char *problem, size_t size)
{
    char  *text, *rest;

    text = fn_mail_read(directory, language, name, "txt", vars, problem, size);
    if (text == NULL) {
        return -1;
    }

    if (mail) {
        out->subject = fn_mail_subject(text, &rest);
        out->text = out->subject != NULL ? strdup(rest) : NULL;
        free(text);

        if (out->subject == NULL || out->text == NULL) {
            snprintf(problem, size, "template \"%s/%s/%s.txt\" does not begin with a subject and an empty line", directory, language, name);
            return -1;
        }
    } else {
        out->text = text;
    }

    out->html = fn_mail_read(directory, language, name, "html", vars, problem, size);

    return out->html == NULL ? -1 : 0;
}


/* The file's text, whose marks are all known, or NULL. */
static char *
fn_mail_read(const char *directory, const char *language, const char *name, const char *ending,
             const char *const *vars, char *problem, size_t size)
{
    char            path[5120], *text;
    FILE           *f;
    size_t          n;
    const char     *p, *mark;
    fn_mail_mark_t  m;

    snprintf(path, sizeof(path), "%s/%s/%s.%s", directory, language, name, ending);

    f = fopen(path, "re");
    if (f == NULL) {
        snprintf(problem, size, "cannot open template \"%s\": %s", path, errno == ENOENT ? "no such file" : "not readable");
        return NULL;
    }

    text = malloc(FN_TEMPLATE_MAX + 1);
    n = text != NULL ? fread(text, 1, FN_TEMPLATE_MAX + 1, f) : 0;
    fclose(f);

    if (n == 0 || n > FN_TEMPLATE_MAX || memchr(text, '\0', n) != NULL || !fn_utf8_valid(text, n)) {
        snprintf(problem, size, "template \"%s\" is empty, larger than 64 KB or not UTF-8", path);
        free(text);
        return NULL;
    }

    text[n] = '\0';

    for (p = text; (p = fn_mail_next(p, &mark, &m)) != NULL; ) {
        if (mark == NULL) {
            break;
        }

        if (m.name == NULL || !fn_mail_known(vars, &m)) {
            snprintf(problem, size, "template \"%s\" has an unknown mark \"%.40s\"", path, mark);
            free(text);
            return NULL;
        }
    }

    return text;
}


static char *
fn_mail_subject(char *text, char **rest)
{
    char  *end;

    end = strchr(text, '\n');

    if (strncmp(text, FN_SUBJECT, sizeof(FN_SUBJECT) - 1) != 0 || end == NULL || end[1] != '\n') {
        return NULL;
    }

    *rest = end + 2;

    return strndup(text + sizeof(FN_SUBJECT) - 1, (size_t) (end - text) - (sizeof(FN_SUBJECT) - 1));
}


/*
 * Finds the next mark from p on: *mark is where its braces begin, NULL = none before the end. m->name is NULL when what is there
 * is no mark. Returns what follows it.
 */
static const char *
fn_mail_next(const char *p, const char **mark, fn_mail_mark_t *m)
{
    const char  *end;

    memset(m, 0, sizeof(*m));
    *mark = strstr(p, "{{");

    if (*mark == NULL) {
        return p + strlen(p);
    }

    end = strstr(*mark + 2, "}}");

    if (end == NULL || fn_mail_mark(*mark + 2, (size_t) (end - *mark) - 2, m) != 0) {
        m->name = NULL;
        return *mark + 2;
    }

    return end + 2;
}


/* name, name|date or name|one|other */
static int
fn_mail_mark(const char *p, size_t n, fn_mail_mark_t *m)
{
    size_t       i;
    const char  *bar, *end = p + n;

    bar = memchr(p, '|', n);
    m->name = p;
    m->name_len = bar != NULL ? (size_t) (bar - p) : n;

    for (i = 0; i < m->name_len; i++) {
        if ((p[i] < 'a' || p[i] > 'z') && p[i] != '_') {
            return -1;
        }
    }

    if (m->name_len == 0 || memchr(p, '\n', n) != NULL || memchr(p, '{', n) != NULL) {
        return -1;
    }

    if (bar == NULL) {
        return 0;
    }

    m->first = bar + 1;
    bar = memchr(m->first, '|', (size_t) (end - m->first));
    m->first_len = (size_t) ((bar != NULL ? bar : end) - m->first);

    if (bar == NULL) {
        return m->first_len == 4 && memcmp(m->first, "date", 4) == 0 ? 0 : -1;
    }

    m->second = bar + 1;
    m->second_len = (size_t) (end - m->second);

    return m->first_len > 0 && m->second_len > 0 && memchr(m->second, '|', m->second_len) == NULL ? 0 : -1;
}


static int
fn_mail_name_is(const fn_mail_mark_t *m, const char *name)
{
    return strlen(name) == m->name_len && memcmp(name, m->name, m->name_len) == 0;
}


static int
fn_mail_known(const char *const *vars, const fn_mail_mark_t *m)
{
    for (; *vars != NULL; vars++) {
        if (fn_mail_name_is(m, *vars)) {
            return 1;
        }
    }

    return fn_mail_name_is(m, "user_name");
}


int
fn_mail_render(const fn_mail_templates_t *t, const fn_mail_kind_t *kind, fn_mail_values_t *v,
               fn_buf_t *subject, fn_buf_t *text, fn_buf_t *html)
{
    int                        rc;
    size_t                     i, k;
    fn_buf_t                   content = FN_BUF_INIT;
    const char                *p, *mark;
    fn_mail_mark_t             m;
    fn_mail_var_t              unsubscribe = { "unsubscribe_url", v->unsubscribe_url, 0 };
    fn_mail_values_t           last;
    const fn_mail_template_t  *mail;

    for (i = 0; i < FN_MAIL_LANGUAGES && strcmp(fn_mail_languages[i], v->language) != 0; i++) { /* void */ }

    i = i < FN_MAIL_LANGUAGES ? i : 0;
    k = (size_t) (kind - fn_mail_kinds);
    v->language = fn_mail_languages[i];
    mail = &t->mail[i][k];

    memset(&last, 0, sizeof(last));
    last.language = v->language;
    last.vars = &unsubscribe;
    last.nvars = 1;

    rc = fn_mail_substitute(subject, mail->subject, v, 0)
         | fn_mail_substitute(text, mail->text, v, 0)
         | fn_mail_substitute(text, t->footer[i].text, v, 0)
         | fn_mail_substitute(&content, mail->html, v, 1)
         | fn_mail_substitute(&content, t->footer[i].html, v, 1);

    if (v->unsubscribe_url != NULL) {
        rc |= fn_mail_substitute(text, t->unsubscribe[i].text, &last, 0)
              | fn_mail_substitute(&content, t->unsubscribe[i].html, &last, 1);
    }

    /* The layout's marks stand for what is HTML already. */
    for (p = t->layout; rc == 0 && *p != '\0'; ) {
        const char  *from = p;

        p = fn_mail_next(p, &mark, &m);
        fn_buf_add(html, from, (size_t) ((mark != NULL ? mark : p) - from));

        if (mark == NULL) {
            break;
        }

        if (m.name == NULL) {
            rc = -1;

        } else if (fn_mail_name_is(&m, "content")) {
            fn_buf_add(html, content.data != NULL ? content.data : "", content.len);

        } else if (fn_mail_name_is(&m, "language")) {
            fn_buf_adds(html, v->language);

        } else if (fn_mail_name_is(&m, "open") && v->open_url != NULL) {
            fn_buf_adds(html, "<img src=\"");
            fn_mail_escape(html, v->open_url, strlen(v->open_url));
            fn_buf_adds(html, "\" width=\"1\" height=\"1\" alt=\"\">");
        }
    }

    rc |= content.failed || subject->failed || text->failed || html->failed ? -1 : 0;
    fn_buf_free(&content);

    return rc;
}


int
fn_mail_substitute(fn_buf_t *b, const char *template, const fn_mail_values_t *v, int html)
{
    const char      *p, *from, *mark;
    fn_mail_mark_t   m;

    for (p = template; *p != '\0'; ) {
        from = p;
        p = fn_mail_next(p, &mark, &m);
        fn_buf_add(b, from, (size_t) ((mark != NULL ? mark : p) - from));

        if (mark != NULL && (m.name == NULL || fn_mail_value(b, v, &m, html) != 0)) {
            return -1;
        }
    }

    return b->failed ? -1 : 0;
}


static int
fn_mail_value(fn_buf_t *b, const fn_mail_values_t *v, const fn_mail_mark_t *m, int html)
{
    int                   rc;
    unsigned              i;
    fn_buf_t              value = FN_BUF_INIT;
    const fn_mail_var_t  *var;

    for (i = 0, var = NULL; i < v->nvars && var == NULL; i++) {
        var = fn_mail_name_is(m, v->vars[i].name) ? &v->vars[i] : NULL;
    }

    if (var == NULL) {
        return -1;
    }

    rc = 0;

    if (m->second != NULL) {
        rc = var->text != NULL
             || fn_words_count(&value, v->language, var->number, m->first, m->first_len, m->second, m->second_len) != 0;

    } else if (m->first != NULL) {
        rc = var->text == NULL || fn_words_date(&value, v->language, var->text) != 0;

    } else if (var->text == NULL) {
        fn_buf_addf(&value, "%lld", (long long) var->number);

    } else if (m->name_len > 4 && memcmp(m->name + m->name_len - 4, "_url", 4) == 0) {
        rc = !fn_mail_is_url(var->text);
        fn_buf_adds(&value, var->text);

    } else {
        /* One line: a value must not look like a paragraph of ours. */
        fn_clean_text(&value, var->text, strlen(var->text), FN_VALUE_MAX, 0);
    }

    if (rc == 0 && value.len > 0) {
        if (html) {
            fn_mail_escape(b, value.data, value.len);
        } else {
            fn_buf_add(b, value.data, value.len);
        }
    }

    rc = rc != 0 || value.failed ? -1 : 0;
    fn_buf_free(&value);

    return rc;
}


static void
fn_mail_escape(fn_buf_t *b, const char *s, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        switch (s[i]) {
        case '&':
            fn_buf_adds(b, "&amp;");
            break;
        case '<':
            fn_buf_adds(b, "&lt;");
            break;
        case '>':
            fn_buf_adds(b, "&gt;");
            break;
        case '"':
            fn_buf_adds(b, "&quot;");
            break;
        case '\'':
            fn_buf_adds(b, "&#39;");
            break;
        default:
            fn_buf_add(b, s + i, 1);
        }
    }
}


static int
fn_mail_is_url(const char *s)
{
    size_t  i, n;

    n = strlen(s);

    if (n > 2048 || (strncmp(s, "https://", 8) != 0 && strncmp(s, "http://", 7) != 0)) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if ((unsigned char) s[i] <= 0x20 || (unsigned char) s[i] >= 0x7f || s[i] == '"' || s[i] == '<' || s[i] == '>') {
            return 0;
        }
    }

    return 1;
}
