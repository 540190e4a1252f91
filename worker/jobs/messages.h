/* Messages written by hand, for when no provider can be asked: six a tone and language. */
#ifndef FN_MESSAGES_H
#define FN_MESSAGES_H

#include "../libfitnudge/fn_locales.h"

#define FN_MESSAGES_EACH    6

/*
 * Message i of a tone (friendly, tough_love, calm) in a language: motivation.<tone>.<1 to 6> of the locales. Unknown tones are friendly; unknown
 * languages, and all without locales (l NULL), are English. Never NULL.
 */
const char *fn_message(const fn_locales_t *l, const char *tone, const char *language, unsigned i);

#endif
