/* Words by ICU: see words.h. */
#include <stdlib.h>
#include <string.h>

#include <unicode/udat.h>
#include <unicode/unum.h>
#include <unicode/upluralrules.h>
#include <unicode/ustring.h>

#include "../libfitnudge/fn_time.h"
#include "words.h"

#define FN_WORDS_MAX  128       /* UTF-16 units of a number or a date */

static int fn_words_add(fn_buf_t *b, const UChar *s, int32_t n);


int
fn_words_count(fn_buf_t *b, const char *language, int64_t n, const char *one, size_t one_len, const char *other, size_t other_len)
{
    int            rc;
    UChar          number[FN_WORDS_MAX], keyword[16];
    int32_t        len, keyword_len;
    UErrorCode     error = U_ZERO_ERROR;
    UPluralRules  *rules;
    UNumberFormat *format;

    static const UChar  u_one[] = { 'o', 'n', 'e' };

    rc = -1;
    keyword_len = 0;
    rules = uplrules_open(language, &error);
    format = unum_open(UNUM_DECIMAL, NULL, 0, language, NULL, &error);
    len = unum_formatInt64(format, n, number, FN_WORDS_MAX, NULL, &error);

    if (U_SUCCESS(error)) {
        keyword_len = uplrules_select(rules, (double) n, keyword, 16, &error);
    }

    if (U_SUCCESS(error) && fn_words_add(b, number, len) == 0) {
        fn_buf_adds(b, " ");

        if (keyword_len == 3 && u_memcmp(keyword, u_one, 3) == 0) {
            fn_buf_add(b, one, one_len);
        } else {
            fn_buf_add(b, other, other_len);
        }

        rc = b->failed ? -1 : 0;
    }

    uplrules_close(rules);
    unum_close(format);

    return rc;
}


int
fn_words_date(fn_buf_t *b, const char *language, const char *day)
{
    int           rc;
    UChar         text[FN_WORDS_MAX], utc[4];
    int32_t       len, skip;
    UErrorCode    error = U_ZERO_ERROR;
    UCalendar    *calendar;
    UDateFormat  *format;

    if (!fn_date_valid(day, strlen(day))) {
        return -1;
    }

    rc = -1;
    u_charsToUChars("UTC", utc, 4);
    calendar = ucal_open(utc, 3, language, UCAL_GREGORIAN, &error);
    format = udat_open(UDAT_NONE, UDAT_LONG, language, utc, 3, NULL, 0, &error);

    if (U_SUCCESS(error)) {
        ucal_clear(calendar);
        ucal_setDate(calendar, (int32_t) strtol(day, NULL, 10), (int32_t) strtol(day + 5, NULL, 10) - 1,
                     (int32_t) strtol(day + 8, NULL, 10), &error);
        len = udat_format(format, ucal_getMillis(calendar, &error), text, FN_WORDS_MAX, NULL, &error);

        if (U_SUCCESS(error)) {
            skip = 0;

            /* The first of a month is an ordinal in French, which CLDR's pattern does not know. */
            if (strcmp(language, "fr") == 0 && strcmp(day + 8, "01") == 0 && len > 1) {
                fn_buf_adds(b, "1er");
                skip = 1;
            }

            rc = fn_words_add(b, text + skip, len - skip);
        }
    }

    if (calendar != NULL) {
        ucal_close(calendar);
    }
    if (format != NULL) {
        udat_close(format);
    }

    return rc;
}


static int
fn_words_add(fn_buf_t *b, const UChar *s, int32_t n)
{
    char        text[3 * FN_WORDS_MAX];
    int32_t     len;
    UErrorCode  error = U_ZERO_ERROR;

    u_strToUTF8(text, sizeof(text), &len, s, n, &error);

    if (U_FAILURE(error)) {
        return -1;
    }

    fn_buf_add(b, text, (size_t) len);

    return b->failed ? -1 : 0;
}
