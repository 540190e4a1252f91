/*
 * Picking values out of a JSON document (RFC 8259) in one pass, for the steps and the providers.
 * The document may come from anybody: invalid UTF-8, trailing text and nesting deeper than
 * FN_JSON_DEPTH are errors, and nothing here recurses.
 */
#ifndef FN_JSON_GET_H
#define FN_JSON_GET_H

#include "../libfitnudge/fn_buf.h"
#include "../libfitnudge/fn_envelope.h"

#define FN_JSON_DEPTH   32

typedef enum {
    FN_JSON_ABSENT, FN_JSON_NULL, FN_JSON_BOOL, FN_JSON_NUMBER, FN_JSON_STRING, FN_JSON_OBJECT, FN_JSON_ARRAY
} fn_json_type_e;

typedef struct {
    const char      *path;      /* "body.goal_id", "choices.0.message.content"; NULL ends the list */
    fn_json_type_e   type;
    fn_span_t        raw;       /* the value as written, quotes included; points into the input */
    int64_t          number;    /* a number's whole part, or 1 for true */
    fn_buf_t         text;      /* a string's decoded text */
} fn_json_field_t;

#define FN_JSON_FIELD(path)  { path, FN_JSON_ABSENT, { NULL, 0 }, 0, FN_BUF_INIT }
#define FN_JSON_END          FN_JSON_FIELD(NULL)

/*
 * Fills the fields; of repeated keys the last counts. 0, or -1 when the document is not JSON or memory is short.
 * Free in both cases.
 */
int  fn_json_get(const char *p, size_t n, fn_json_field_t *fields);

/* Wipes and frees the texts. */
void fn_json_free(fn_json_field_t *fields);

/* The text of a string field, "" for any other type. */
const char *fn_json_text(const fn_json_field_t *f);

/* Appends a number, string, object or array as it was written, or null when the field is absent. */
void fn_json_add_raw(fn_buf_t *b, const fn_json_field_t *f);

#endif
