/* Messages written by hand, for when no provider can be asked: six a tone and language. */
#ifndef FN_MESSAGES_H
#define FN_MESSAGES_H

#define FN_MESSAGES_EACH    6

/*
 * Message i of a tone (friendly, tough_love, calm) in a language (en, es, fr, de). Unknown ones are friendly
 * and English. Never NULL.
 */
const char *fn_message(const char *tone, const char *language, unsigned i);

#endif
