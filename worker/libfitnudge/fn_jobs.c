/* The job table. See fn_jobs.h for the columns. */
#include <string.h>

#include "fn_jobs.h"

/* Interactive writes retry twice nearly at once, inside the client's deadline. */
#define SOON   2, 20, 200
/* Nobody waits: hours, if it has to be. */
#define LATER  12, 5000, 3600000
/* A run of the clock: the next one is soon due. */
#define CLOCK  5, 1000, 60000
#define NEVER  0, 0, 0

const fn_job_t fn_jobs[] = {
    /* name                lane    prio prepare             commit              deadline retries flags */
    { "auth.signup",       "auth", 'n', NULL,               "auth_signup",        5000, SOON,  FN_JOB_SENSITIVE },
    { "auth.login",        "auth", 'n', "auth_login_find",  "auth_login",         5000, SOON,  FN_JOB_SENSITIVE },
    { "auth.refresh",      "sql",  'h', NULL,               "auth_refresh",       5000, SOON,  FN_JOB_SENSITIVE },
    { "auth.logout",       "sql",  'h', NULL,               "auth_logout",        5000, SOON,  0 },
    { "auth.verify_email", "sql",  'n', "auth_verify_find", "auth_verify_email",  5000, SOON,  FN_JOB_SENSITIVE },
    { "auth.verify_resend", "sql", 'n', NULL,               "auth_verify_resend", 5000, SOON,  0 },
    { "auth.password_forgot", "sql", 'n', NULL,             "auth_password_forgot", 5000, SOON, 0 },
    { "auth.password_reset", "auth", 'n', NULL,             "auth_password_reset", 5000, SOON, FN_JOB_SENSITIVE },
    { "auth.password_change", "auth", 'n', "auth_password_find", "auth_password_change", 5000, SOON, FN_JOB_SENSITIVE },
    { "users.delete",      "auth", 'n', "auth_password_find", "users_delete",     5000, SOON,  FN_JOB_SENSITIVE },
    /* a trigger counts: rows of other people are locked */
    { "users.follow",      "sql",  'n', NULL,               "users_follow",       5000, SOON,  FN_JOB_ALONE },
    { "users.unfollow",    "sql",  'n', NULL,               "users_unfollow",     5000, SOON,  FN_JOB_ALONE },
    { "consents.set",      "sql",  'n', NULL,               "consents_set",       5000, SOON,  0 },
    { "sessions.delete",   "sql",  'n', NULL,               "sessions_delete",    5000, SOON,  0 },
    { "users.update",      "sql",  'n', NULL,               "users_update",       5000, SOON,  0 },
    { "goals.create",      "sql",  'n', NULL,               "goals_create",       5000, SOON,  0 },
    { "goals.update",      "sql",  'n', NULL,               "goals_update",       5000, SOON,  0 },
    { "goals.delete",      "sql",  'n', NULL,               "goals_delete",       5000, SOON,  0 },
    { "checkins.create",   "sql",  'n', NULL,               "checkins_create",    5000, SOON,  0 },
    { "checkins.update",   "sql",  'n', NULL,               "checkins_update",    5000, SOON,  0 },
    { "checkins.delete",   "sql",  'n', NULL,               "checkins_delete",    5000, SOON,  0 },
    { "motivation.generate", "sql", 'h', "motivation_prepare", "motivation_commit", 20000, SOON, 0 },
    { "motivation.schedule", "sql", 'n', NULL,              "motivation_schedule", 5000, SOON, 0 },
    { "reminders.update",  "sql",  'n', NULL,               "reminders_update",   5000, SOON,  0 },
    { "reminders.delete",  "sql",  'n', NULL,               "reminders_delete",   5000, SOON,  0 },
    { "devices.add",       "sql",  'n', NULL,               "devices_add",        5000, SOON,  0 },
    { "devices.delete",    "sql",  'n', NULL,               "devices_delete",     5000, SOON,  0 },
    { "voice.create",      "sql",  'n', "voice_prepare",    "voice_create",      30000, SOON,  0 },
    /* media */
    { "media.upload",      "sql",  'n', NULL,               "media_upload",       5000, SOON,  0 },
    { "media.complete",    "sql",  'n', "media_complete_prepare", "media_complete", 20000, SOON, 0 },
    { "media.remove",      "sql",  'n', NULL,               "media_remove",       5000, SOON,  0 },
    /* e-mail: what others report of it */
    { "mail.events",       "sql",  'n', NULL,               "mail_events",       10000, SOON,  FN_JOB_SENSITIVE|FN_JOB_ALONE },
    { "mail.unsubscribe",  "sql",  'n', NULL,               "mail_unsubscribe",   5000, SOON,  FN_JOB_SENSITIVE },
    { "mail.note",         "sql",  'l', NULL,               "mail_note",             0, LATER, FN_JOB_ALONE },
    { "events.track",      "sql",  'l', NULL,               "events_track",       5000, SOON,  0 },
    { "experiments.event", "sql",  'n', NULL,               "experiments_event",  5000, SOON,  0 },

    /* social: what locks much, or what everybody waits for, shares no transaction */
    { "posts.create",      "sql",  'n', NULL,               "posts_create",       5000, SOON,  FN_JOB_ALONE },
    { "posts.update",      "sql",  'n', NULL,               "posts_update",       5000, SOON,  0 },
    { "posts.delete",      "sql",  'n', NULL,               "posts_delete",       5000, SOON,  FN_JOB_ALONE },
    { "posts.like",        "sql",  'n', NULL,               "posts_like",         5000, SOON,  0 },
    { "posts.unlike",      "sql",  'n', NULL,               "posts_unlike",       5000, SOON,  0 },
    { "posts.flag",        "sql",  'n', NULL,               "posts_flag",         5000, SOON,  0 },
    { "comments.create",   "sql",  'n', NULL,               "comments_create",    5000, SOON,  0 },
    { "comments.delete",   "sql",  'n', NULL,               "comments_delete",    5000, SOON,  0 },

    /* search */
    { "search.click",      "sql",  'l', NULL,               "search_click",       5000, SOON,  0 },
    { "search.record",     "sql",  'l', NULL,               "search_record",         0, LATER, 0 },

    /* made by other jobs and by the clock; nobody waits for them */
    { "auth.password_mail", "sql", 'n', NULL,               "auth_password_mail",    0, LATER, 0 },
    { "users_data",        "sql",  'l', NULL,               "users_data",            0, LATER, 0 },
    { "push.send",         "sql",  'n', NULL,               "push_send",             0, LATER, 0 },
    { "push.device",       "sql",  'n', "push_device_prepare", "push_device",        0, LATER, 0 },
    { "mail.send",         "sql",  'n', "mail_prepare",     "mail_send",             0, LATER, FN_JOB_SENSITIVE | FN_JOB_STORED },
    { "media.delete",      "sql",  'l', NULL,               "delivered",             0, LATER, 0 },
    { "events.send",       "sql",  'l', NULL,               "delivered",             0, LATER, 0 },
    { "n8n.notify",        "sql",  'l', NULL,               "delivered",             0, LATER, 0 },
    { "alert.send",        "sql",  'l', "alert_prepare",    "delivered",             0, LATER, 0 },
    { "translation.fill",  "sql",  'l', "translation_prepare", "translation_fill",   0, LATER, 0 },
    { "onboarding_flow",   "sql",  'l', NULL,               "onboarding_flow",       0, LATER, 0 },
    { "clock.run",         "sql",  'n', NULL,               "clock_run",             0, CLOCK, FN_JOB_ALONE },
    { "clock.tidy",        "sql",  'l', NULL,               "clock_run",             0, CLOCK, FN_JOB_ALONE },
    /* does nothing, with all that delivery does: what ./build.sh bench pool measures, and a sign of life for operators */
    { "pool.noop",         "sql",  'n', NULL,               NULL,                    0, NEVER, 0 },
    { NULL, NULL, 0, NULL, NULL, 0, NEVER, 0 }
};


const fn_job_t *
fn_job_find(const char *name, size_t len)
{
    const fn_job_t  *job;

    for (job = fn_jobs; job->name != NULL; job++) {
        if (strlen(job->name) == len && memcmp(job->name, name, len) == 0) {
            return job;
        }
    }

    return NULL;
}
