/*
 * base64url without padding, RFC 4648 section 5, as tokens and keys have it. Decoding is strict: the alphabet, no padding, zero
 * trailing bits.
 */
#ifndef FN_BASE64_H
#define FN_BASE64_H

#include "fn_buf.h"

void fn_base64url_encode(fn_buf_t *b, const void *p, size_t n);

/* How many bytes, or -1: malformed, or more than `out_size`. */
long fn_base64url_decode(void *out, size_t out_size, const char *s, size_t n);

#endif
