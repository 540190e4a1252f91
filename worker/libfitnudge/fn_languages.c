/* The table of languages, and which of them a tag or a header means. */
#include <string.h>
#include <strings.h>

#include "fn_locales.h"

#define FN_RANGES_MAX  32       /* ranges of a header that are looked at */
#define FN_TAG_BYTES   35       /* a longer tag is none of ours (RFC 5646, section 4.4.1) */

const fn_language_t  fn_languages[] = {
    { "en", "English", "English", "ltr" },
    { "es", "Spanish", "Espa\xc3\xb1ol", "ltr" },
    { "fr", "French", "Fran\xc3\xa7" "ais", "ltr" },
    { "de", "German", "Deutsch", "ltr" },
    { "ar", "Arabic", "\xd8\xa7\xd9\x84\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\xa9", "rtl" },
    { "he", "Hebrew", "\xd7\xa2\xd7\x91\xd7\xa8\xd7\x99\xd7\xaa", "rtl" },
    { NULL, NULL, NULL, NULL }
};

_Static_assert(sizeof(fn_languages) / sizeof(fn_languages[0]) == FN_LANGUAGES_N + 1, "FN_LANGUAGES_N");


int
fn_language_lookup(const char *tag, size_t n)
{
    int     i;
    size_t  primary, k;

    if (n == sizeof(FN_PSEUDO_CODE) - 1 && strncasecmp(tag, FN_PSEUDO_CODE, n) == 0) {
        return FN_PSEUDO;
    }

    if (n > FN_TAG_BYTES) {
        return -1;
    }

    for (primary = 0; primary < n && tag[primary] != '-'; primary++) { /* void */ }

    /* subtags: 1 to 8 letters and digits each */
    for (k = primary; k < n; ) {
        size_t  from = ++k;

        while (k < n && ((tag[k] >= 'a' && tag[k] <= 'z') || (tag[k] >= 'A' && tag[k] <= 'Z') || (tag[k] >= '0' && tag[k] <= '9'))) {
            k++;
        }

        if (k == from || k - from > 8 || (k < n && tag[k] != '-')) {
            return -1;
        }
    }

    /* what Hebrew was called until 1989, and Java calls it still */
    if (primary == 2 && strncasecmp(tag, "iw", 2) == 0) {
        tag = "he";
    }

    for (i = 0; fn_languages[i].code != NULL; i++) {
        if (primary == strlen(fn_languages[i].code) && strncasecmp(tag, fn_languages[i].code, primary) == 0) {
            return i;
        }
    }

    return -1;
}


/* The weight behind ";q=", in thousandths; -1 when it is none. No weight is 1000. */
static int
fn_language_weight(const char *p, const char *last)
{
    int       w, scale;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    if (p == last) {
        return 1000;
    }

    if (*p++ != ';') {
        return -1;
    }

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    if (last - p < 3 || (*p | 0x20) != 'q' || p[1] != '=' || (p[2] != '0' && p[2] != '1')) {
        return -1;
    }

    w = (p[2] - '0') * 1000;
    p += 3;

    if (p < last && *p == '.') {
        for (p++, scale = 100; p < last && *p >= '0' && *p <= '9' && scale > 0; p++, scale /= 10) {
            w += (*p - '0') * scale;
        }
    }

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p == last && w <= 1000 ? w : -1;
}


int
fn_language_negotiate(const char *header, size_t n)
{
    int          best, weight, w, language;
    size_t       len;
    unsigned     ranges;
    const char  *p, *last, *end;

    p = header;
    last = header + n;
    best = -1;
    weight = 0;

    for (ranges = 0; p < last && ranges < FN_RANGES_MAX; ranges++) {
        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        for (end = p; end < last && *end != ','; end++) { /* void */ }
        for (len = 0; p + len < end && p[len] != ';' && p[len] != ' ' && p[len] != '\t'; len++) { /* void */ }

        w = fn_language_weight(p + len, end);
        language = fn_language_lookup(p, len);

        if (language >= 0 && language != FN_PSEUDO && w > weight) {
            best = language;
            weight = w;
        }

        p = end;
    }

    return best;
}
