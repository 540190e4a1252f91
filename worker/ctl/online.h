/* Whether outside services accept our credentials, for fitnudgectl doctor. */
#ifndef FN_ONLINE_H
#define FN_ONLINE_H

#include "../libfitnudge/fn_settings.h"

#define FN_ONLINE_TEXT  256

typedef struct {
    const char *check;              /* "openai online" */
    int         ok;
    char        found[FN_ONLINE_TEXT];
    const char *todo;               /* when it is not ok */
} fn_online_t;

/* Asks each service that is configured, one after the other, for 10 s at most, and says what came of it. */
void fn_ctl_online(const fn_settings_t *s, void (*said)(void *data, const fn_online_t *o), void *data);

#endif
