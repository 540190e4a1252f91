/*
 * Tokens that were verified lately, with what they say: one lookup instead of a signature.  Only tokens that were
 * accepted get in, so nobody without one can fill it, and a hit is the same token, byte by byte.  Times and
 * revocation are the caller's to check at every hit.  No nginx types; a process has one for itself.
 */
#ifndef FN_TOKEN_CACHE_H
#define FN_TOKEN_CACHE_H

#include "../worker/libfitnudge/fn_jwt.h"

typedef struct fn_token_cache_s  fn_token_cache_t;

/* entries: at most so many tokens (0: never any). seed: random, so that nobody knows which tokens share a place. NULL: no memory. */
fn_token_cache_t *fn_token_cache_create(unsigned entries, uint64_t seed);

/* What the token says if it was verified with keys of this generation, else NULL. Valid until the next call. */
const fn_jwt_claims_t *fn_token_cache_find(fn_token_cache_t *cache, const char *token, size_t len, uint64_t generation);

/* Remembers; what was used longest ago in its place gives way. */
void fn_token_cache_add(fn_token_cache_t *cache, const char *token, size_t len, uint64_t generation,
                        const fn_jwt_claims_t *claims);

void fn_token_cache_free(fn_token_cache_t *cache);

#endif
