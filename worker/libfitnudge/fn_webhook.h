/*
 * Requests of services that sign what they send: whose the signature is, over the bytes as they came, before any of them is read.
 * A service is a row of the table; the edge asks (ngx_http_fitnudge_sealed.c), pure C does.
 */
#ifndef FN_WEBHOOK_H
#define FN_WEBHOOK_H

#include "fn_envelope.h"
#include "fn_settings.h"

#define FN_WEBHOOK_DEPTH  32        /* of the JSON in a body */

typedef enum {
    FN_WEBHOOK_GOOD,
    FN_WEBHOOK_OFF,         /* its key is not set */
    FN_WEBHOOK_MISSING,     /* a header is */
    FN_WEBHOOK_FORGED,      /* the signature is somebody else's, of other bytes, or none */
    FN_WEBHOOK_OLD,         /* it is of another time */
    FN_WEBHOOK_TEXT         /* the signature is good, but the body is not the JSON that is expected */
} fn_webhook_e;

typedef struct {
    const char *job;        /* the job that takes it, and the route's function (fn_jobs.h) */
    const char *signature;  /* header, lower-case */
    const char *timestamp;  /* another one; NULL: the signature's header holds the time as well */
    size_t      key;        /* place in fn_settings_t */
    int64_t     window_s;   /* how old it may be; the future is 300 s at most */
    char        begins;     /* with what the body begins: '[' or '{' */
    const char *member;     /* under this name the job's body holds it */

    /* 1 when the signature is good, with the time it was made at; else 0. Constant time where it matters. */
    int (*verify)(const char *key, const fn_span_t *signature, const fn_span_t *timestamp, const fn_span_t *body, int64_t *at_s);
} fn_webhook_t;

/* The row of a job, or NULL. */
const fn_webhook_t *fn_webhook_find(const char *job);

/* Headers that are absent have p NULL. */
fn_webhook_e fn_webhook_check(const fn_webhook_t *w, const fn_settings_t *s, const fn_span_t *signature, const fn_span_t *timestamp,
                              const fn_span_t *body, int64_t now_s);

/* 1 when the text is a public key as SendGrid shows it: base64 of a SubjectPublicKeyInfo (RFC 5480) of the curve P-256. */
int fn_webhook_key_valid(const char *key);

#endif
