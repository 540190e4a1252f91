/*
 * The table of voices, as it is written in nginx.conf: words `id`, `tone=id`, `/language=id` and `tone/language=id`,
 * separated by blanks.  The most exact word that fits counts; of equal ones the last.
 */
#ifndef FN_VOICES_H
#define FN_VOICES_H

#include <stddef.h>

#define FN_VOICE_MAX  64        /* bytes of an id: letters and digits */

/* 1 when every word is well formed and there is at least one, else 0. */
int fn_voices_valid(const char *table);

/* Copies the id for this tone and language. 0, or -1: there is none. */
int fn_voices_find(char out[FN_VOICE_MAX + 1], const char *table, const char *tone, const char *language);

#endif
