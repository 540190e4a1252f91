/* What a client accepts, RFC 9110 sections 12.5.1 and 12.5.3. */
#ifndef FN_ACCEPT_H
#define FN_ACCEPT_H

#include <stddef.h>

/*
 * 1 when the value of an Accept header rules application/json out: the most specific range it falls under has q=0. A header
 * that names other types only, or is malformed, does not: who asks an API for text/html means nothing by it.
 */
int fn_accept_refuses_json(const char *p, size_t n);

/* 1 when the value of an Accept-Encoding header names `coding`, without q=0 (section 12.5.3). "*" is not taken for it. */
int fn_accept_encoding(const char *p, size_t n, const char *coding);

#endif
