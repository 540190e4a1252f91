/* What the pool does with objects in Cloudflare R2: see libfitnudge/fn_r2.h. */
#ifndef FN_PROVIDER_R2_H
#define FN_PROVIDER_R2_H

#include "../libfitnudge/fn_r2.h"
#include "../provider.h"

/* Puts what is carried to the context's "key" with its "content_type": {"key","bytes"}. The last pair of a list. */
int          fn_r2_put_build(fn_exchange_t *x, fn_call_t *c);
fn_outcome_e fn_r2_put_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

extern const fn_provider_t fn_provider_r2_delete;   /* context {"key"}: {"deleted":true}, also when there was nothing */
extern const fn_provider_t fn_provider_r2_head;     /* context {"key"}: {"exists":bool,"bytes":n,"content_type":"..."} */

#endif
