/* Going over the members of a JSON object or the elements of an array whose number nobody knows. */
#ifndef FN_JSON_EACH_H
#define FN_JSON_EACH_H

#include "json_get.h"

/*
 * One member: its key ("" in an array) and its value, both valid until the return. Of a value that is an object or an
 * array only type and raw are set. Returns 0, or -1 to end the walk.
 */
typedef int (*fn_json_each_pt)(void *data, const char *key, size_t key_len, const fn_json_field_t *value);

/* 0, or -1: not a JSON object or array, too deep (FN_JSON_DEPTH), or the callback or the memory ended it. */
int fn_json_each(const char *p, size_t n, fn_json_each_pt each, void *data);

#endif
