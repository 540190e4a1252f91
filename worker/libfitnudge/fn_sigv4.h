/*
 * Presigned addresses for S3-compatible storage: AWS Signature Version 4 in the query ("Authenticating Requests: Using
 * Query Parameters", AWS S3 API reference), path-style, the payload unsigned.  Pure: the time is given.
 */
#ifndef FN_SIGV4_H
#define FN_SIGV4_H

#include "fn_buf.h"

#define FN_OBJECT_KEY_MAX  512          /* bytes; S3 itself takes 1024 */
#define FN_SIGV4_TTL_MAX   604800       /* s */

typedef struct {
    const char *access_key, *secret_key;
    const char *endpoint;           /* http(s)://host[:port], no path */
    const char *region;             /* "auto" for R2 */
    const char *bucket;
} fn_sigv4_t;

typedef struct {
    const char *method;
    const char *key;                /* of the object; NULL: the bucket itself */
    const char *content_type;       /* signed when not NULL: the request must carry exactly this */
    int64_t     content_length;     /* signed when not negative */
    int64_t     now_s;
    int64_t     ttl_s;              /* 1 to FN_SIGV4_TTL_MAX */
} fn_sigv4_request_t;

/*
 * 1 when the name is valid UTF-8 of 1 to FN_OBJECT_KEY_MAX bytes, without control characters and backslashes, and each part
 * between slashes is neither empty nor "." nor "..", else 0.
 */
int fn_object_key_valid(const char *key, size_t len);

/* Appends the address. 0, or -1: a part is missing or malformed, or memory is short. */
int fn_sigv4_presign(fn_buf_t *url, const fn_sigv4_t *k, const fn_sigv4_request_t *r);

/* The same, and the SHA-256 of the canonical request in hex, for tests. */
int fn_sigv4_presign_hash(fn_buf_t *url, const fn_sigv4_t *k, const fn_sigv4_request_t *r, char hash[65]);

/* Appends %-encoding of everything but A-Za-z0-9-._~ (RFC 3986 section 2.3) and, with `slash`, '/'. */
void fn_percent_encode(fn_buf_t *b, const char *s, size_t n, int slash);

#endif
