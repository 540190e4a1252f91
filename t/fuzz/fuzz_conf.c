/* The reader of nginx.conf. Inputs that would read other files are left out. */
#include <stdlib.h>
#include <string.h>

#include "fn_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static const char *
apply(const fn_conf_directive_t *d, void *data)
{
    const fn_setting_t  *s = fn_setting_find(d->argv[0], d->depth == 2 ? FN_SCOPE_WORKER : FN_SCOPE_HTTP);

    if (s != NULL && s->type != FN_S_SECRET && s->type != FN_S_SECRET_URL && s->type != FN_S_SECRET_JSON
        && s->type != FN_S_SECRET_KEYS && d->argc == 2) {
        return fn_setting_apply(data, s, d->argv[1]);
    }

    return NULL;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           err[512];
    fn_settings_t  s;

    if (memmem(data, size, "includ", 6) != NULL || fn_settings_init(&s) != 0) {
        return 0;
    }

    (void) fn_conf_parse("fuzz.conf", (const char *) data, size, apply, &s, err, sizeof(err));
    fn_settings_free(&s);

    return 0;
}
