/* Numbers, plurals and dates in the reader's language, by ICU (CLDR data). */
#ifndef FN_WORDS_H
#define FN_WORDS_H

#include "../libfitnudge/fn_buf.h"

/* Appends "1,234" or "1 234", then a blank and the form for this number: `one` where the language uses its singular. 0 or -1. */
int fn_words_count(fn_buf_t *b, const char *language, int64_t n, const char *one, size_t one_len, const char *other, size_t other_len);

/* Appends "15 January 2026" as the language writes it. day is YYYY-MM-DD. 0, or -1: it is none. */
int fn_words_date(fn_buf_t *b, const char *language, const char *day);

#endif
