/* What a net process reads once: see process.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mail/templates.h"
#include "exchange.h"
#include "process.h"


fn_process_t *
fn_process_open(const fn_settings_t *s, void (*complain)(const char *problem))
{
    char           text[6144];
    const char    *problem;
    fn_process_t  *p;

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }

    if (fn_set(s->fcm_service_account)) {
        p->fcm_account = fn_fcm_account_new(s->fcm_service_account, strlen(s->fcm_service_account), &problem);

        if (p->fcm_account == NULL) {
            snprintf(text, sizeof(text), "fcm_service_account %s: there are no notifications", problem);
            complain(text);
        }
    }

    if (fn_set(s->smtp_host)) {
        p->templates = fn_mail_templates_load(s->mail_templates, text, sizeof(text));

        if (p->templates == NULL) {
            complain(text);
        }
    }

    return p;
}


void
fn_process_close(fn_process_t *p)
{
    if (p == NULL) {
        return;
    }

    fn_fcm_account_free(p->fcm_account);
    fn_oauth_clear(&p->fcm_token);
    fn_mail_templates_free(p->templates);
    free(p);
}
