/* SHA-256 (FIPS 180-4) in hex, and the tokens made of it. */
#ifndef FN_DIGEST_H
#define FN_DIGEST_H

#include "../libfitnudge/fn_buf.h"

#define FN_SHA256_HEX   64

/* 0, or -1 when the library fails. */
int fn_sha256_hex(char out[FN_SHA256_HEX + 1], const void *p, size_t n);

/*
 * HMAC-SHA256 (RFC 2104) over the label, a newline and the data: the label keeps uses of one key apart. 0, or -1: no key, or
 * the library fails.
 */
int fn_hmac_hex(char out[FN_SHA256_HEX + 1], const char *key, const char *label, const void *p, size_t n);

/* A number from 0 to n - 1, n at most 2^16; 0 when the system has no randomness. */
unsigned fn_random_below(unsigned n);

#endif
