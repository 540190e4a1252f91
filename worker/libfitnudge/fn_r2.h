/*
 * Addresses in Cloudflare R2, or any storage that speaks S3, signed with the keys of the settings: every request is one, ours and
 * those of clients alike. The pool and the edge hand them out; worker/providers/r2.c asks with them.
 */
#ifndef FN_R2_H
#define FN_R2_H

#include "fn_buf.h"
#include "fn_settings.h"
#include "fn_sigv4.h"

/* 1 when there is an endpoint or an account, a bucket and both halves of the key. */
int fn_r2_configured(const fn_settings_t *s);

/* Appends the address of a request. 0, or -1: not configured, or the key breaks the rules of fn_object_key_valid(). */
int fn_r2_sign(fn_buf_t *url, const fn_settings_t *s, const fn_sigv4_request_t *r);

/*
 * Appends an address at which a client may PUT an object of exactly this type and length, or GET it (type NULL, length -1), for
 * r2_url_ttl. 0 or -1, as above.
 */
int fn_r2_presign(fn_buf_t *url, const fn_settings_t *s, const char *method, const char *key,
                  const char *content_type, int64_t content_length, uint64_t now_ms);

/*
 * Appends a finished JSON body with an address, or null when there can be none, in place of the values of members whose names end in
 * url that are written so:
 *
 *   "r2:<key>"                                         to GET the object; the same for a quarter of its life, so that what is
 *                                                      unchanged looks unchanged
 *   "r2:put:<until, unix s>:<bytes>:<type>:<key>"      to PUT it, until then
 *
 * SQL writes such values, and nobody else can: within a string the quotes of `url":"r2:` would be escaped. 0 or -1 (no memory).
 */
int fn_r2_sign_urls(fn_buf_t *out, const fn_settings_t *s, const char *body, size_t len, uint64_t now_ms);

#endif
