/*
 * Codes and tokens that are sent by mail.  They are made of an id and the pool's key, so that a job delivered twice makes the same one
 * and neither the database nor a queue ever holds one: the database has a hash, a mail's job the id.
 */
#ifndef FN_SECRET_OF_ID_H
#define FN_SECRET_OF_ID_H

#include "../libfitnudge/fn_envelope.h"
#include "../libfitnudge/fn_settings.h"
#include "digest.h"

#define FN_SECRET_CODE_LEN  6       /* digits */
#define FN_SECRET_MAX       (FN_SHA256_HEX + 1)

typedef enum { FN_SECRET_CODE, FN_SECRET_TOKEN } fn_secret_e;

/* "verification_code" or "reset_token". 0, or -1: no such kind. */
int fn_secret_kind(const char *name, fn_secret_e *kind);

/* The code (six digits) or token (64 hex digits) of an id. 0, or -1. */
int fn_secret_make(char out[FN_SECRET_MAX], const fn_settings_t *s, fn_secret_e kind, const fn_span_t *id);

/*
 * What the database keeps of a code: keyed and bound to its id, as a bare hash of six digits is found in no time. 0, or -1. The hash of
 * a token, which cannot be guessed, is its SHA-256.
 */
int fn_secret_code_hash(char out[FN_SHA256_HEX + 1], const fn_settings_t *s, const fn_span_t *id, const char *code, size_t len);

#endif
