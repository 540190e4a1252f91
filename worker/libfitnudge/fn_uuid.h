/* UUIDs, RFC 9562: version 7 for new ids, version 5 for idempotency keys. Text is lower case, 36 characters. */
#ifndef FN_UUID_H
#define FN_UUID_H

#include <stddef.h>
#include <stdint.h>

#define FN_UUID_LEN  36

/* Writes 36 characters and a NUL. Randomness from getrandom(2); returns 0, or -1 when that fails. */
int  fn_uuid_v7(char out[FN_UUID_LEN + 1], uint64_t unix_ms);

/* Version 5 in FitNudge's own namespace over user NUL route NUL key. Never fails. */
void fn_uuid_v5(char out[FN_UUID_LEN + 1], const char *user, size_t user_len,
                const char *route, size_t route_len, const char *key, size_t key_len);

/* 1 when `s` is a UUID in canonical 8-4-4-4-12 form (either case), else 0. */
int  fn_uuid_valid(const char *s, size_t len);

#endif
