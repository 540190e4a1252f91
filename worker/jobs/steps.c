/* Which job has which C steps; a job that is not listed is a plain write. */
#include <string.h>

#include "../provider.h"
#include "../providers/elevenlabs.h"
#include "../providers/events.h"
#include "../providers/fcm.h"
#include "../providers/r2.h"
#include "../providers/smtp.h"
#include "jobs.h"

static const fn_steps_t  fn_steps[] = {
    /* job                    local                   call                 joined                render */
    { "auth.signup",          fn_auth_signup_local,   NULL,                NULL,                 fn_auth_render },
    { "auth.login",           fn_auth_login_local,    NULL,                NULL,                 fn_auth_render },
    { "auth.refresh",         fn_auth_refresh_local,  NULL,                NULL,                 fn_auth_render },
    { "auth.verify_email",    fn_verify_local,        NULL,                NULL,                 NULL },
    { "auth.verify_resend",   fn_code_local,          NULL,                NULL,                 NULL },
    { "auth.password_mail",   fn_reset_mail_local,    NULL,                NULL,                 NULL },
    { "auth.password_reset",  fn_reset_local,         NULL,                NULL,                 NULL },
    { "auth.password_change", fn_confirm_local,       NULL,                NULL,                 NULL },
    { "users.delete",         fn_confirm_local,       NULL,                NULL,                 NULL },
    { "motivation.generate",  fn_motivation_local,    &fn_provider_openai, fn_motivation_joined, fn_motivation_render },
    { "push.device",          fn_deliver_local,       &fn_provider_fcm,    fn_deliver_joined,    NULL },
    { "mail.send",            fn_mail_local,          &fn_provider_smtp,   fn_deliver_joined,    NULL },
    { "voice.create",         fn_deliver_local,       &fn_provider_voice,  fn_deliver_joined,    fn_media_render },
    { "media.delete",         fn_deliver_local,       &fn_provider_r2_delete, fn_deliver_joined, NULL },
    { "media.upload",         fn_media_upload_local, NULL,                 NULL,                 fn_media_render },
    { "posts.create",         NULL,                    NULL,                 NULL,                 fn_media_render },
    { "posts.update",         NULL,                    NULL,                 NULL,                 fn_media_render },
    { "media.complete",       fn_deliver_local,      &fn_provider_r2_head, fn_deliver_joined,    fn_media_render },
    { "events.send",          fn_deliver_local,       &fn_provider_posthog, fn_deliver_joined,   NULL },
    { "n8n.notify",           fn_deliver_local,       &fn_provider_n8n,    fn_deliver_joined,    NULL },
    { "translation.fill",     fn_translation_local,   &fn_provider_openai, fn_translation_joined, NULL },
    { "alert.send",           fn_deliver_local,       &fn_provider_slack,  fn_deliver_joined,    NULL },
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
