/*
 * Whether receivers will believe the sender of our mails: the TXT records of a domain, judged as receivers judge them. Pure: who asks the
 * DNS is worker/ctl/doctor_mail.c.
 */
#ifndef FN_MAIL_RECORDS_H
#define FN_MAIL_RECORDS_H

#include "fn_envelope.h"

typedef enum { FN_RECORD_GOOD, FN_RECORD_WEAK, FN_RECORD_MISSING, FN_RECORD_BAD } fn_record_e;

typedef struct {
    fn_record_e  verdict;
    const char  *found;         /* a sentence */
    const char  *todo;          /* what to do about it; NULL: nothing */
} fn_record_t;

/* texts: all TXT records of the name, the strings of each joined without anything between (RFC 7208 section 3.3). */
typedef void (*fn_record_pt)(fn_record_t *r, const fn_span_t *texts, unsigned n);

void fn_mail_spf(fn_record_t *r, const fn_span_t *texts, unsigned n);       /* of the domain, RFC 7208 */
void fn_mail_dmarc(fn_record_t *r, const fn_span_t *texts, unsigned n);     /* of _dmarc.<domain>, RFC 7489 */
void fn_mail_dkim(fn_record_t *r, const fn_span_t *texts, unsigned n);      /* of <selector>._domainkey.<domain>, RFC 6376 */

#endif
