/*
 * What all calls of one net process share: read once when the process starts, and tokens that are fetched on the way.
 * A process is one thread, so nothing here is locked.
 */
#ifndef FN_PROCESS_H
#define FN_PROCESS_H

#include "../provider.h"
#include "fcm.h"

struct fn_process_s {
    fn_fcm_account_t *fcm_account;      /* NULL: off, or unusable */
    fn_oauth_t        fcm_token;
    struct fn_mail_templates_s *templates;      /* NULL: off, or unreadable */
};

/*
 * Reads what the settings name: the service account and the templates of mails.  Blocks on files; for process start.  A part that
 * cannot be used is off, and `complain` is called with a sentence that says why.  NULL: no memory.
 */
fn_process_t *fn_process_open(const fn_settings_t *s, void (*complain)(const char *problem));
void fn_process_close(fn_process_t *p);

#endif
