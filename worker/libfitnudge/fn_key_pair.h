/*
 * Our own key pairs, which sign access tokens instead of the shared secret: read from PEM, used by the pool to sign, and
 * published by the edge as a JSON Web Key Set, RFC 7517.
 *
 * A key's kind decides its algorithm: RSA RS256, P-256 ES256, P-384 ES384, Ed25519 EdDSA.  Its id is its thumbprint, RFC 7638,
 * so that every server gives it the same name.
 */
#ifndef FN_KEY_PAIR_H
#define FN_KEY_PAIR_H

#include "fn_buf.h"
#include "fn_jwk.h"

#define FN_KEY_PAIRS_MAX  8

/*
 * Keys of a PEM text: the first one is a private key and signs, the others, private or public, only verify. They belong to the
 * caller (fn_jwks_free()). NULL: *err is a static text that continues "the file ...".
 */
fn_jwks_t *fn_key_pairs_parse(const char *pem, const char **err);

/* Appends {"keys":[...]} with the public parts. 0 or -1. */
int fn_key_pairs_publish(fn_buf_t *b, const fn_jwks_t *pairs);

/* The one algorithm of such a key. */
fn_alg_e fn_key_pair_alg(const fn_jwk_t *key);

/* Appends the signature of `data` in the form of RFC 7518 section 3, base64url. 0 or -1. */
int fn_key_pair_sign(fn_buf_t *b, const fn_jwk_t *key, const void *data, size_t n);

#endif
