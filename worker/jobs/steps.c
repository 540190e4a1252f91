/* Which job has which C steps; a job that is not listed is a plain write. */
#include <string.h>

#include "../provider.h"
#include "jobs.h"

static const fn_steps_t  fn_steps[] = {
    /* job                    local                   call                 joined                render */
    { "auth.signup",          fn_auth_signup_local,   NULL,                NULL,                 fn_auth_render },
    { "auth.login",           fn_auth_login_local,    NULL,                NULL,                 fn_auth_render },
    { "auth.refresh",         fn_auth_refresh_local,  NULL,                NULL,                 fn_auth_render },
    { "motivation.generate",  fn_motivation_local,    &fn_provider_openai, fn_motivation_joined, fn_motivation_render },
    { NULL, NULL, NULL, NULL, NULL }
};


const fn_steps_t *
fn_steps_find(const char *job, size_t len)
{
    const fn_steps_t  *steps;

    for (steps = fn_steps; steps->job != NULL; steps++) {
        if (strlen(steps->job) == len && memcmp(steps->job, job, len) == 0) {
            return steps;
        }
    }

    return NULL;
}
