/*
 * Field specs: what a request body or its parameters may hold.  The route table
 * names them; validation, the SQL argument list and the OpenAPI document all
 * follow from them.
 */
#ifndef FN_FIELD_H
#define FN_FIELD_H

#include "fn_buf.h"

typedef enum {
    FN_T_STRING,        /* text: trimmed, valid UTF-8, no control characters but \n and \t; min/max count code points */
    FN_T_SECRET,        /* like STRING but never trimmed and never logged (passwords, tokens) */
    FN_T_EMAIL,         /* trimmed, lower-cased by SQL; at most 254 bytes, one @, a dot in the domain */
    FN_T_UUID,
    FN_T_INT,           /* min/max are bounds of the value */
    FN_T_BOOL,
    FN_T_DATE,          /* YYYY-MM-DD */
    FN_T_ENUM,          /* one of `values`, separated by '|' */
    FN_T_LANGUAGE,      /* FN_LANGUAGES (an ENUM with its own name in OpenAPI) */
    FN_T_TIMEZONE,      /* IANA name: [A-Za-z0-9_+/-]{1,64}; SQL checks that it exists */
    FN_T_URL,           /* https:// or http://, at most `max` bytes, no control characters or spaces */
    FN_T_CURSOR,        /* opaque base64url, at most 256 characters */
    FN_T_TIME,          /* HH:MM, 00:00 to 23:59 */
    FN_T_WEEK,          /* ISO 8601 week, YYYY-Www; SQL checks that the year has it */
    FN_T_EVENTS,        /* in bodies, the only field: fn_events.h */
    /* arrays, in bodies */
    FN_T_UUIDS,         /* at most `max` different ones */
    FN_T_DAYS           /* 1 to 7 different days of the week, 0 (Sunday) to 6 */
} fn_type_e;

#define FN_F_REQUIRED   0x01
#define FN_F_NULLABLE   0x02    /* JSON null is accepted and means "clear it" */
#define FN_F_PATH       0x04    /* a path parameter; failure is 404, not 400 */

typedef struct {
    const char *name;           /* NULL ends a list */
    fn_type_e   type;
    unsigned    flags;
    long        min, max;       /* 0,0: no bound of its own */
    const char *values;         /* FN_T_ENUM: "a|b|c" */
    const char *fallback;       /* text of the default (parameters), or NULL: SQL NULL */
    const char *help;           /* one line for the OpenAPI document */
} fn_field_t;

typedef struct {
    char        field[65];          /* "" when the body as a whole is wrong */
    const char *constraint;         /* required, min_length, max_length, min, max, enum, format, type, unknown_field, duplicate_field, unique, json, ... */
    char        message[160];       /* a sentence for a person; never contains the value */
} fn_field_error_t;

/*
 * Validates a JSON object (RFC 8259) against `fields` and appends the normalised
 * object (trimmed strings, known fields only, minified) to `out`.  Nesting deeper
 * than 2, duplicate keys, unknown fields, NUL, invalid UTF-8, lone surrogates are refused.
 * An empty body counts as {} when no field is required.
 * 0, or -1 with `err` filled.
 */
int fn_fields_validate_json(const fn_field_t *fields, const char *p, size_t n,
                            fn_buf_t *out, fn_field_error_t *err);

/* Validates and normalises one textual parameter (query or path) in place; *n may shrink. 0 or -1. */
int fn_field_validate_text(const fn_field_t *f, char *p, size_t *n, fn_field_error_t *err);

/* Fills the error; always -1. A name of no length is the body as a whole; one that is too long is cut. */
int fn_field_fail(fn_field_error_t *err, const char *field, size_t n, const char *constraint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* 1 when a JSON text has neither \u0000 nor lone surrogates, which pass a parser but are no text that can be stored. */
int fn_json_escapes_valid(const char *p, size_t n);

#endif
