/* The one body that is no flat object: {"events":[{"name":"...","properties":{...}}]}, a field of the type FN_T_EVENTS. */
#ifndef FN_EVENTS_BODY_H
#define FN_EVENTS_BODY_H

#include "fn_field.h"

#define FN_EVENTS_MAX            50
#define FN_EVENTS_NAME_MAX       64     /* characters: a-z, then a-z, 0-9 and _ */
#define FN_EVENTS_PROPERTIES     20     /* of an event; names like those of events, in either case */
#define FN_EVENTS_TEXT_MAX       500    /* characters of a value */

/*
 * Validates a text that is known to be UTF-8 and appends it, minified. Values of properties are strings, numbers, booleans or null.
 * *given: whether the field was there at all. 0, or -1 with `err` filled.
 */
int fn_events_validate(const fn_field_t *f, const char *p, size_t n, int *given, fn_buf_t *out, fn_field_error_t *err);

#endif
