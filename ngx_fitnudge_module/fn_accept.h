/* What a client accepts, RFC 9110 section 12.5.1. */
#ifndef FN_ACCEPT_H
#define FN_ACCEPT_H

#include <stddef.h>

/*
 * 1 when the value of an Accept header rules application/json out: the most specific range it falls under has q=0. A header
 * that names other types only, or is malformed, does not: who asks an API for text/html means nothing by it.
 */
int fn_accept_refuses_json(const char *p, size_t n);

#endif
