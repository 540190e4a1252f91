/*
 * Passwords: yescrypt through libxcrypt for new ones; older bcrypt hashes are verified and replaced at the
 * next sign-in. One process, one caller at a time: the 32 KB work area is static and wiped after each use.
 */
#ifndef FN_PASSWORD_H
#define FN_PASSWORD_H

#include <stddef.h>

#define FN_PASSWORD_HASH_MAX    384     /* libxcrypt's longest, with the NUL */

/* 0, or -1 when the method is missing or the system has no randomness. */
int fn_password_hash(char out[FN_PASSWORD_HASH_MAX], const char *password, size_t len);

/*
 * 1 when the password belongs to `hash`. A NULL, empty or unusable hash costs the time of a real
 * one and gives 0, so that the answer's time does not tell who has an account.
 * *rehash becomes 1 when it belongs, but the hash should be replaced by a new one.
 */
int fn_password_verify(const char *hash, const char *password, size_t len, int *rehash);

#endif
