/* Inside fitnudgectl doctor: what its parts share. */
#ifndef FN_DOCTOR_H
#define FN_DOCTOR_H

#include <libpq-fe.h>

#include "ctl.h"

typedef enum { FN_FINE, FN_OFF, FN_ADVICE, FN_WRONG } fn_verdict_e;

typedef struct {
    const fn_settings_t  *settings;
    const char           *resolver;     /* ip:port of a name server, or NULL: those of /etc/resolv.conf */
    int                   json;
    unsigned              wrong, advice;
    PGconn               *db;
    fn_redis_t            redis;
} fn_doctor_t;

/* todo: what to do about it, NULL only when there is nothing. */
void fn_doctor_say(fn_doctor_t *d, fn_verdict_e verdict, const char *what, const char *todo, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* doctor_mail.c: whether the sender's domain has what receivers look for. */
void fn_doctor_mail(fn_doctor_t *d);

#endif
