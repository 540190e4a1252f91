/*
 * The product's texts by language: conf/locales/<language>.json for the apps, and common.json, {"<language>":{...}}, for phrases that the apps
 * and the AI share.  Texts are ICU messages.  English has all keys; what another language lacks is English there.
 *
 * Read once, when the configuration is; const from then on, so that processes share it.
 */
#ifndef FN_LOCALES_H
#define FN_LOCALES_H

#include <stddef.h>

#define FN_LOCALES_KEYS      1024   /* at most */
#define FN_LOCALES_KEY_MAX   64     /* bytes */
#define FN_LOCALES_TEXT_MAX  2000
#define FN_LOCALES_FILE_MAX  (512 * 1024)

/* The languages, English first; the order is that of GET /i18n. */
typedef struct {
    const char *code;
    const char *name;           /* in English */
    const char *native_name;
    const char *dir;            /* "ltr" or "rtl" */
} fn_language_t;

extern const fn_language_t fn_languages[];      /* ends with code NULL */
#define FN_LANGUAGES_N   6
#define FN_LANGUAGES     "en|es|fr|de|ar|he"    /* for field specs */
#define FN_PSEUDO        FN_LANGUAGES_N         /* en-XA: English, lengthened and in other letters, to find texts that are not translated */
#define FN_PSEUDO_CODE   "en-XA"

/* The language of a tag (RFC 5646) by lookup (RFC 4647, section 3.4), "de-AT" is "de": its index, or -1. FN_PSEUDO for en-XA. */
int fn_language_lookup(const char *tag, size_t n);

/*
 * What Accept-Language (RFC 9110, section 12.5.4) likes best of the languages that there are: its index, or -1 when it likes none, or when
 * anything will do. The pseudo-locale is never chosen.
 */
int fn_language_negotiate(const char *header, size_t n);

typedef struct fn_locales_s fn_locales_t;

/* NULL: `problem` says which file is wrong and why. */
fn_locales_t *fn_locales_load(const char *directory, char *problem, size_t size);
void fn_locales_free(fn_locales_t *l);

/* For tests: an empty set; the text of <language>.json, or with language -1 of common.json; and the end. 0, or -1 with a problem. */
fn_locales_t *fn_locales_new(void);
int fn_locales_parse(fn_locales_t *l, int language, const char *p, size_t n, char *problem, size_t size);
int fn_locales_finish(fn_locales_t *l, char *problem, size_t size);

/* The finished answer of GET /i18n/{lang}, terminated; language is an index, or FN_PSEUDO. */
const char *fn_locales_json(const fn_locales_t *l, int language, size_t *len);

unsigned fn_locales_n(const fn_locales_t *l);
const char *fn_locales_key(const fn_locales_t *l, unsigned i);

/* The text of key i in a language: NULL when it has none of its own. */
const char *fn_locales_own(const fn_locales_t *l, int language, unsigned i);

/* The text for people: the language's own, else English; NULL for an unknown key or without a set (l NULL). */
const char *fn_locales_text(const fn_locales_t *l, const char *language, const char *key);

#endif
