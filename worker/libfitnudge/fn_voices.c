/* The table of voices of fn_voices.h. */
#include <string.h>

#include "fn_voices.h"

#define FN_VOICES_BLANK  " \t"

static const char *const  fn_voices_tones[] = { "friendly", "tough_love", "calm", NULL };
static const char *const  fn_voices_languages[] = { "en", "es", "fr", "de", "ar", "he", NULL };

/* One word, taken apart. */
typedef struct {
    const char *tone, *language, *id;       /* the first two may be empty */
    size_t      tone_len, language_len, id_len;
} fn_voices_word_t;

static const char *fn_voices_next(const char *p, fn_voices_word_t *w);
static int fn_voices_known(const char *const *names, const char *p, size_t n);
static int fn_voices_is(const char *p, size_t n, const char *name);


int
fn_voices_valid(const char *table)
{
    size_t            words;
    fn_voices_word_t  w;

    for (words = 0; (table = fn_voices_next(table, &w)) != NULL; words++) {
        if (!fn_voices_known(fn_voices_tones, w.tone, w.tone_len)
            || !fn_voices_known(fn_voices_languages, w.language, w.language_len)
            || w.id_len == 0 || w.id_len > FN_VOICE_MAX
            || strspn(w.id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") < w.id_len)
        {
            return 0;
        }
    }

    return words > 0;
}


int
fn_voices_find(char out[FN_VOICE_MAX + 1], const char *table, const char *tone, const char *language)
{
    int               fit, best;
    fn_voices_word_t  w;

    best = -1;

    while (table != NULL && (table = fn_voices_next(table, &w)) != NULL) {
        if (w.id_len > FN_VOICE_MAX
            || (w.tone_len > 0 && !fn_voices_is(w.tone, w.tone_len, tone))
            || (w.language_len > 0 && !fn_voices_is(w.language, w.language_len, language)))
        {
            continue;
        }

        /* A voice that speaks the language matters more than the tone. */
        fit = (w.language_len > 0 ? 2 : 0) + (w.tone_len > 0 ? 1 : 0);

        if (fit >= best) {
            best = fit;
            memcpy(out, w.id, w.id_len);
            out[w.id_len] = '\0';
        }
    }

    return best < 0 ? -1 : 0;
}


/* Takes the next word apart; NULL when there is none. */
static const char *
fn_voices_next(const char *p, fn_voices_word_t *w)
{
    size_t       n;
    const char  *equal, *slash;

    p += strspn(p, FN_VOICES_BLANK);
    n = strcspn(p, FN_VOICES_BLANK);

    if (n == 0) {
        return NULL;
    }

    memset(w, 0, sizeof(*w));
    w->tone = w->language = "";
    w->id = p;
    w->id_len = n;

    equal = memchr(p, '=', n);

    if (equal != NULL) {
        w->id = equal + 1;
        w->id_len = n - (size_t) (equal + 1 - p);
        w->tone = p;
        w->tone_len = (size_t) (equal - p);

        slash = memchr(p, '/', w->tone_len);

        if (slash != NULL) {
            w->language = slash + 1;
            w->language_len = (size_t) (equal - slash - 1);
            w->tone_len = (size_t) (slash - p);
        }
    }

    return p + n;
}


static int
fn_voices_known(const char *const *names, const char *p, size_t n)
{
    for (; *names != NULL && n > 0; names++) {
        if (fn_voices_is(p, n, *names)) {
            return 1;
        }
    }

    return n == 0;
}


static int
fn_voices_is(const char *p, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(p, name, n) == 0;
}
