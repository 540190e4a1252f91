/* Cloudflare R2, or any storage that speaks S3: every request is a presigned address, ours and those of clients alike. */
#ifndef FN_R2_H
#define FN_R2_H

#include "../provider.h"

/* 1 when there is an endpoint or an account, a bucket and both halves of the key. */
int fn_r2_configured(const fn_settings_t *s);

/*
 * Appends an address at which a client may PUT an object of exactly this type and length, or GET it (type NULL, length -1), for
 * r2_url_ttl. 0, or -1: not configured, or the key breaks the rules of fn_object_key_valid().
 */
int fn_r2_presign(fn_buf_t *url, const fn_settings_t *s, const char *method, const char *key,
                  const char *content_type, int64_t content_length, uint64_t now_ms);

/* Puts what is carried to the context's "key" with its "content_type": {"key","bytes"}. The last pair of a list. */
int          fn_r2_put_build(fn_exchange_t *x, fn_call_t *c);
fn_outcome_e fn_r2_put_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

extern const fn_provider_t fn_provider_r2_delete;   /* context {"key"}: {"deleted":true}, also when there was nothing */
extern const fn_provider_t fn_provider_r2_head;     /* context {"key"}: {"exists":bool,"bytes":n,"content_type":"..."} */

#endif
