/* All providers there are, by name. */
#include <string.h>

#include "elevenlabs.h"
#include "events.h"
#include "exchange.h"
#include "fcm.h"
#include "openai.h"
#include "r2.h"
#include "smtp.h"

const fn_provider_t *const  fn_providers[] = {
    &fn_provider_openai, &fn_provider_voice, &fn_provider_r2_head, &fn_provider_r2_delete, &fn_provider_fcm, &fn_provider_smtp,
    &fn_provider_posthog, &fn_provider_n8n, &fn_provider_slack, &fn_provider_sentry, &fn_provider_otlp, NULL
};


const fn_provider_t *
fn_provider_find(const char *name)
{
    const fn_provider_t *const  *p;

    for (p = fn_providers; *p != NULL; p++) {
        if (strcmp((*p)->name, name) == 0) {
            return *p;
        }
    }

    return NULL;
}
