/* Bodies with events: see fn_events.h. A state is what the parser is in, and what may come there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "fn_events.h"

typedef enum { FN_E_START, FN_E_BODY, FN_E_LIST, FN_E_EVENT, FN_E_PROPERTIES } fn_events_state_e;
typedef enum { FN_E_NAME = 1, FN_E_VALUES = 2 } fn_events_member_e;

typedef struct {
    const fn_field_t    *f;
    fn_events_state_e    state;
    fn_events_member_e   member;        /* of an event: whose value comes next */
    unsigned             seen;          /* members of the event */
    unsigned             events;        /* so far, with the one in hand */
    unsigned             properties;    /* of the event */
    int                  given, failed;
    char                 names[FN_EVENTS_PROPERTIES][FN_EVENTS_NAME_MAX + 1];
    char                 at[65];        /* where an error is */
    fn_buf_t            *out;
    fn_field_error_t    *err;
} fn_events_t;

static int fn_events_null(void *ctx);
static int fn_events_boolean(void *ctx, int value);
static int fn_events_number(void *ctx, const char *p, size_t n);
static int fn_events_string(void *ctx, const unsigned char *p, size_t n);
static int fn_events_start_map(void *ctx);
static int fn_events_key(void *ctx, const unsigned char *p, size_t n);
static int fn_events_end_map(void *ctx);
static int fn_events_start_array(void *ctx);
static int fn_events_end_array(void *ctx);

static const yajl_callbacks  fn_events_callbacks = {
    fn_events_null, fn_events_boolean, NULL, NULL, fn_events_number, fn_events_string,
    fn_events_start_map, fn_events_key, fn_events_end_map, fn_events_start_array, fn_events_end_array
};


int
fn_events_validate(const fn_field_t *f, const char *p, size_t n, int *given, fn_buf_t *out, fn_field_error_t *err)
{
    int           ok;
    fn_events_t   e;
    yajl_handle   h;

    memset(&e, 0, sizeof(e));
    e.f = f;
    e.out = out;
    e.err = err;

    h = yajl_alloc(&fn_events_callbacks, NULL, &e);
    if (h == NULL) {
        return fn_field_fail(err, "", 0, "json", "The body could not be read.");
    }

    ok = yajl_parse(h, (const unsigned char *) p, n) == yajl_status_ok && yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);
    *given = e.given;

    if (e.failed) {
        return -1;
    }

    return ok ? 0 : fn_field_fail(err, "", 0, "json", "The body is not valid JSON.");
}


/* Where the parser is, for people: "events[3].properties.plan". */
static const char *
fn_events_at(fn_events_t *e)
{
    unsigned  i = e->events > 0 ? e->events - 1 : 0;

    switch (e->state) {

    case FN_E_START:
        e->at[0] = '\0';
        break;

    case FN_E_BODY:
        (void) snprintf(e->at, sizeof(e->at), "%s", e->f->name);
        break;

    case FN_E_LIST:
        (void) snprintf(e->at, sizeof(e->at), "%s[%u]", e->f->name, e->events);
        break;

    case FN_E_EVENT:
        (void) snprintf(e->at, sizeof(e->at), "%s[%u].%s", e->f->name, i, e->member == FN_E_VALUES ? "properties" : "name");
        break;

    case FN_E_PROPERTIES:
        (void) snprintf(e->at, sizeof(e->at), "%s[%u].properties.%.40s", e->f->name, i,
                        e->properties > 0 ? e->names[e->properties - 1] : "");
        break;
    }

    return e->at;
}


static int
fn_events_fail(fn_events_t *e, const char *constraint, const char *message)
{
    const char  *at = fn_events_at(e);

    (void) fn_field_fail(e->err, at, strlen(at), constraint, "%s", message);
    e->failed = 1;

    return 0;           /* yajl stops */
}


/* A value that cannot stand where it does. */
static int
fn_events_wrong(fn_events_t *e)
{
    static const char *const  wanted[] = {
        "The body must be a JSON object.", "events must be an array.", "An event must be an object.",
        "name must be text, and properties an object.", "The values of properties must be text, numbers, true, false or null."
    };

    return fn_events_fail(e, "type", wanted[e->state]);
}


/* Writes a value of a property that is no text. */
static int
fn_events_value(fn_events_t *e, const char *p, size_t n)
{
    if (e->state != FN_E_PROPERTIES) {
        return fn_events_wrong(e);
    }

    fn_buf_add(e->out, p, n);

    return 1;
}


static int
fn_events_null(void *ctx)
{
    return fn_events_value(ctx, "null", 4);
}


static int
fn_events_boolean(void *ctx, int value)
{
    return value ? fn_events_value(ctx, "true", 4) : fn_events_value(ctx, "false", 5);
}


static int
fn_events_number(void *ctx, const char *p, size_t n)
{
    char          digits[32];
    fn_events_t  *e = ctx;

    if (e->state == FN_E_PROPERTIES) {
        if (n >= sizeof(digits)) {
            return fn_events_fail(e, "max", "The number has too many digits.");
        }

        memcpy(digits, p, n);
        digits[n] = '\0';

        if (!isfinite(strtod(digits, NULL))) {
            return fn_events_fail(e, "max", "The number is too large.");
        }
    }

    return fn_events_value(e, p, n);
}


static int
fn_events_name_valid(const char *p, size_t n, int upper)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (!((p[i] >= 'a' && p[i] <= 'z') || (upper && p[i] >= 'A' && p[i] <= 'Z') || (i > 0 && ((p[i] >= '0' && p[i] <= '9') || p[i] == '_')))) {
            return 0;
        }
    }

    return n > 0 && n <= FN_EVENTS_NAME_MAX;
}


static int
fn_events_string(void *ctx, const unsigned char *p, size_t n)
{
    size_t        len = n;
    fn_field_t    text = { NULL, FN_T_SECRET, 0, 0, FN_EVENTS_TEXT_MAX, NULL, NULL, NULL };
    fn_events_t  *e = ctx;

    if (e->state == FN_E_EVENT && e->member == FN_E_NAME) {
        if (!fn_events_name_valid((const char *) p, n, 0)) {
            return fn_events_fail(e, "format", "name must begin with a letter, and have up to 64 of a-z, 0-9 and _.");
        }

    } else if (e->state == FN_E_PROPERTIES) {
        text.name = fn_events_at(e);

        /* looks, and changes nothing */
        if (fn_field_validate_text(&text, (char *) p, &len, e->err) != 0) {
            e->failed = 1;
            return 0;
        }

    } else {
        return fn_events_wrong(e);
    }

    fn_buf_add_json_string(e->out, (const char *) p, n);

    return 1;
}


static int
fn_events_start_map(void *ctx)
{
    fn_events_t  *e = ctx;

    switch (e->state) {

    case FN_E_START:
        e->state = FN_E_BODY;
        break;

    case FN_E_LIST:
        if (e->events == FN_EVENTS_MAX) {
            e->state = FN_E_BODY;
            return fn_events_fail(e, "max_items", "There can be 50 events.");
        }

        fn_buf_adds(e->out, e->events++ ? "," : "");
        e->state = FN_E_EVENT;
        e->member = 0;
        e->seen = 0;
        e->properties = 0;
        break;

    case FN_E_EVENT:
        if (e->member != FN_E_VALUES) {
            return fn_events_wrong(e);
        }
        e->state = FN_E_PROPERTIES;
        break;

    default:
        return fn_events_wrong(e);
    }

    fn_buf_adds(e->out, "{");

    return 1;
}


/* Adds a name to the properties. */
static int
fn_events_property(fn_events_t *e, const char *p, size_t n)
{
    unsigned  i;

    if (!fn_events_name_valid(p, n, 1)) {
        e->properties = 0;              /* what is no name is not repeated */
        return fn_events_fail(e, "format", "A property's name must begin with a letter, and have up to 64 of letters, digits and _.");
    }

    if (e->properties == FN_EVENTS_PROPERTIES) {
        e->properties = 0;
        return fn_events_fail(e, "max_items", "An event can have 20 properties.");
    }

    for (i = 0; i < e->properties; i++) {
        if (strlen(e->names[i]) == n && memcmp(e->names[i], p, n) == 0) {
            e->properties = i + 1;
            return fn_events_fail(e, "duplicate_field", "The property is given more than once.");
        }
    }

    memcpy(e->names[e->properties], p, n);
    e->names[e->properties][n] = '\0';
    fn_buf_adds(e->out, e->properties++ ? "," : "");

    return 1;
}


static int
fn_events_key(void *ctx, const unsigned char *p, size_t n)
{
    const char          *name = (const char *) p;
    fn_events_t         *e = ctx;
    fn_events_member_e   member;

    switch (e->state) {

    case FN_E_BODY:
        if (strlen(e->f->name) != n || memcmp(e->f->name, name, n) != 0) {
            (void) fn_field_fail(e->err, name, n, "unknown_field", "There is no such field here.");
            e->failed = 1;
            return 0;
        }
        if (e->given) {
            return fn_events_fail(e, "duplicate_field", "The field is given more than once.");
        }
        e->given = 1;
        break;

    case FN_E_EVENT:
        member = n == 4 && memcmp(name, "name", 4) == 0 ? FN_E_NAME : n == 10 && memcmp(name, "properties", 10) == 0 ? FN_E_VALUES : 0;
        if (member == 0) {
            e->state = FN_E_LIST;
            e->events--;
            return fn_events_fail(e, "unknown_field", "An event has a name and properties.");
        }
        e->member = member;
        if (e->seen & member) {
            return fn_events_fail(e, "duplicate_field", "The field is given more than once.");
        }
        fn_buf_adds(e->out, e->seen ? "," : "");
        e->seen |= member;
        break;

    default:
        if (!fn_events_property(e, name, n)) {
            return 0;
        }
    }

    fn_buf_add_json_string(e->out, name, n);
    fn_buf_adds(e->out, ":");

    return 1;
}


static int
fn_events_end_map(void *ctx)
{
    fn_events_t  *e = ctx;

    if (e->state == FN_E_EVENT && !(e->seen & FN_E_NAME)) {
        e->member = FN_E_NAME;
        return fn_events_fail(e, "required", "name is required.");
    }

    e->state--;         /* a map is in what is the state before */
    fn_buf_adds(e->out, "}");

    return 1;
}


static int
fn_events_start_array(void *ctx)
{
    fn_events_t  *e = ctx;

    if (e->state != FN_E_BODY) {
        return fn_events_wrong(e);
    }

    e->state = FN_E_LIST;
    fn_buf_adds(e->out, "[");

    return 1;
}


static int
fn_events_end_array(void *ctx)
{
    fn_events_t  *e = ctx;

    e->state = FN_E_BODY;

    if (e->events == 0) {
        return fn_events_fail(e, "min_length", "There must be an event.");
    }

    fn_buf_adds(e->out, "]");

    return 1;
}
