/*
 * The tags that say which access tokens are dead before their time, "revoked:<what>:<until>", unix s. <what> is a session's id,
 * "jti:<jti>", "user:<user id>:<issued before>", or "barred:<user id>:<number>", which bars the user while the greatest number
 * heard is odd. The pool publishes them and keeps <what> in FN_K_REVOKED by <until>.
 */
#ifndef FN_REVOKED_H
#define FN_REVOKED_H

#include "fn_envelope.h"

#define FN_REVOKED_MAX  96      /* bytes of <what> */

/* 1 when `tag` is such a tag: `what` points into it. */
int fn_revoked_read(const char *tag, size_t n, fn_span_t *what, uint64_t *until);

#endif
