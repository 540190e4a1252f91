/* Strict UTF-8, RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef FN_UTF8_H
#define FN_UTF8_H

#include <stddef.h>

int    fn_utf8_valid(const char *p, size_t n);
size_t fn_utf8_length(const char *p, size_t n);     /* code points of valid text */

#endif
