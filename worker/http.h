/*
 * The smallest HTTP server that can answer /metrics and /health: it lives in the manager's poll(), never blocks it, and is not
 * impressed by whoever connects.  One request a connection.  All functions take NULL for a server that is off.
 */
#ifndef FN_HTTP_H
#define FN_HTTP_H

#include <poll.h>

#include "pool.h"

#define FN_HTTP_CONNECTIONS  16
#define FN_HTTP_FDS          (FN_HTTP_CONNECTIONS + 1)

typedef struct fn_http_s fn_http_t;

/* listener: non-blocking, stays the caller's. NULL = no memory. */
fn_http_t *fn_http_new(int listener, fn_scoreboard_t *board);
void       fn_http_free(fn_http_t *h);

/* Fills p (FN_HTTP_FDS places) with what to wait for; the number of places used. */
int  fn_http_poll(fn_http_t *h, struct pollfd *p);
/* Does what can be done now. */
void fn_http_serve(fn_http_t *h, const struct pollfd *p, int n);
/* Ends those that take too long. */
void fn_http_expire(fn_http_t *h);

#endif
