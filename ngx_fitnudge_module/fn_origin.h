/*
 * Origins of web pages that may call the API (Fetch standard, CORS protocol; an origin is written as in RFC 6454,
 * section 6.2). No nginx types here, so that tests can reach it.
 */
#ifndef FN_ORIGIN_H
#define FN_ORIGIN_H

#include <stddef.h>

/* NULL when the text may stand in a list of origins, else what is wrong with it ("must ..."). */
const char *fn_origin_check(const char *p, size_t n);

/*
 * Whether `origin`, as a browser sent it, is the one of `pattern`, which has passed the check. A host of "*.a.example" is
 * every name with exactly one label more.
 */
int fn_origin_match(const char *pattern, size_t np, const char *origin, size_t n);

#endif
