/*
 * `i18n`: from texts that a language lacks to texts that somebody has looked at.  What there is stands in the files of fitnudge_locales;
 * PostgreSQL is the workshop (sql/deploy/translations.sql).
 */
#include <stdio.h>
#include <string.h>

#include "ctl.h"


static int
fn_ctl_i18n_language(const char *name)
{
    int  i;

    for (i = 1; i < FN_LANGUAGES_N; i++) {
        if (strcmp(fn_languages[i].code, name) == 0) {
            return i;
        }
    }

    (void) fprintf(stderr, "fitnudgectl: there is no language \"%s\" to translate to\n", name);

    return -1;
}


static int
fn_ctl_i18n_missing(fn_ctl_t *c, const fn_locales_t *l)
{
    int       i;
    unsigned  k;

    for (i = 1; i < FN_LANGUAGES_N; i++) {
        for (k = 0; k < fn_locales_n(l); k++) {
            if (fn_locales_own(l, i, k) == NULL) {
                (void) printf(c->json ? "{\"lang\":\"%s\",\"key\":\"%s\"}\n" : "%s  %s\n", fn_languages[i].code, fn_locales_key(l, k));
            }
        }
    }

    return 0;
}


/* {"en":{key: text},...}: what the files hold. */
static void
fn_ctl_i18n_texts(fn_buf_t *b, const fn_locales_t *l)
{
    int          i, n;
    unsigned     k;
    const char  *text;

    for (i = 0; i < FN_LANGUAGES_N; i++) {
        fn_buf_addf(b, "%s\"%s\":{", i ? "," : "{", fn_languages[i].code);

        for (k = 0, n = 0; k < fn_locales_n(l); k++) {
            text = fn_locales_own(l, i, k);

            if (text != NULL) {
                fn_buf_addf(b, "%s\"%s\":", n++ ? "," : "", fn_locales_key(l, k));
                fn_buf_add_json_string(b, text, strlen(text));
            }
        }

        fn_buf_adds(b, "}");
    }

    fn_buf_adds(b, "}");
}


static int
fn_ctl_i18n_translate(fn_ctl_t *c, const fn_locales_t *l)
{
    char        *run[] = { (char *) "run", (char *) "translations" };
    PGresult    *r;
    fn_buf_t     texts = FN_BUF_INIT;
    const char  *values[2];

    fn_ctl_i18n_texts(&texts, l);

    if (texts.failed) {
        return 1;
    }

    values[0] = fn_ctl_actor();
    values[1] = texts.data;
    r = fn_ctl_sql(c, "SELECT pool.translations_sync($1::text, $2::jsonb)", 2, values);
    fn_buf_free(&texts);

    if (r == NULL) {
        return 1;
    }

    PQclear(r);

    return fn_ctl_cmd_cron(c, 2, run);
}


static int
fn_ctl_i18n_list(fn_ctl_t *c, const char *language)
{
    int        i;
    PGresult  *r;

    r = fn_ctl_sql(c, "SELECT lang, key, source_text, text, to_jsonb(t) FROM pool.translations_list($1::text) t", 1, &language);
    if (r == NULL) {
        return 1;
    }

    for (i = 0; i < PQntuples(r); i++) {
        if (c->json) {
            (void) puts(PQgetvalue(r, i, 4));

        } else {
            (void) printf("%s  %s\n    %s\n    %s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
        }
    }

    PQclear(r);

    return 0;
}


static int
fn_ctl_i18n_review(fn_ctl_t *c, const char *language, const char *key, const char *text)
{
    PGresult    *r;
    const char  *values[] = { fn_ctl_actor(), language, key, text };

    r = fn_ctl_sql(c, "SELECT pool.translation_review($1::text, $2::text, $3::text, $4::text)", 4, values);
    if (r == NULL) {
        return 1;
    }

    (void) printf(c->json ? "{\"lang\":\"%s\",\"key\":\"%s\",\"state\":\"reviewed\"}\n" : "%s  %s: reviewed\n", language, key);
    PQclear(r);

    return 0;
}


static int
fn_ctl_i18n_export(fn_ctl_t *c, const fn_locales_t *l, int language)
{
    int          n;
    unsigned     k;
    PGresult    *r;
    fn_buf_t     have = FN_BUF_INIT;
    const char  *values[2];

    fn_buf_adds(&have, "{");

    for (k = 0, n = 0; k < fn_locales_n(l); k++) {
        const char  *text = fn_locales_own(l, language, k);

        if (text != NULL) {
            fn_buf_addf(&have, "%s\"%s\":", n++ ? "," : "", fn_locales_key(l, k));
            fn_buf_add_json_string(&have, text, strlen(text));
        }
    }

    fn_buf_adds(&have, "}");

    if (have.failed) {
        return 1;
    }

    values[0] = fn_languages[language].code;
    values[1] = have.data;
    r = fn_ctl_sql(c, "SELECT jsonb_pretty(coalesce(jsonb_object_agg(e.key, e.value), '{}')) FROM jsonb_each(pool.translations_export($1::text)) e "
                      "WHERE e.value IS DISTINCT FROM $2::jsonb -> e.key", 2, values);
    fn_buf_free(&have);

    if (r == NULL) {
        return 1;
    }

    (void) puts(PQgetvalue(r, 0, 0));
    PQclear(r);

    return 0;
}


int
fn_ctl_cmd_i18n(fn_ctl_t *c, int argc, char **argv)
{
    int                  language;
    const fn_locales_t  *l = c->settings->locale_set;

    if (l == NULL) {
        (void) fprintf(stderr, "fitnudgectl: there is no fitnudge_locales in the configuration\n");
        return 1;
    }

    if (strcmp(argv[0], "missing") == 0 && argc == 1) {
        return fn_ctl_i18n_missing(c, l);
    }

    if (strcmp(argv[0], "translate") == 0 && argc == 1) {
        return fn_ctl_i18n_translate(c, l);
    }

    if (strcmp(argv[0], "review") == 0 && argc == 1) {
        return fn_ctl_i18n_list(c, NULL);
    }

    if (argc > 1 && (strcmp(argv[0], "review") == 0 || (strcmp(argv[0], "export") == 0 && argc == 2))) {
        language = fn_ctl_i18n_language(argv[1]);

        if (language < 0) {
            return 2;
        }

        return *argv[0] == 'e' ? fn_ctl_i18n_export(c, l, language)
               : argc == 2 ? fn_ctl_i18n_list(c, argv[1]) : fn_ctl_i18n_review(c, argv[1], argv[2], argc > 3 ? argv[3] : NULL);
    }

    (void) fprintf(stderr, "usage: fitnudgectl i18n missing | translate | review [language] | review <language> <key> [text] | export <language>\n");

    return 2;
}
