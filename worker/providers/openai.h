/* OpenAI's chat completions, or a server that speaks the same. */
#ifndef FN_OPENAI_H
#define FN_OPENAI_H

#include "../provider.h"

/* 1 when calls can be made: there is a key, or the base URL names another server, which may need none. */
int fn_openai_configured(const fn_settings_t *s);

/* Who gives the rules in a conversation with this model: "developer" or "system". */
const char *fn_openai_role(const char *model);

#endif
