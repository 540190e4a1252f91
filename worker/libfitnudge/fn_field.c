/*
 * Validation of request bodies and parameters.  A body is read once by yajl and
 * written out normalised in the same pass; what PostgreSQL could not
 * store as text (bad UTF-8, NUL, lone surrogates) is refused before.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "fn_events.h"
#include "fn_field.h"
#include "fn_locales.h"
#include "fn_time.h"
#include "fn_uuid.h"
#include "fn_utf8.h"

#define FN_FIELDS_MAX  32
#define FN_EMAIL_MAX   254
#define FN_CURSOR_MAX  256


typedef struct {
    const fn_field_t   *fields;
    const fn_field_t   *current;    /* whose value comes next */
    uint32_t            seen;       /* bit i: fields[i] was given */
    int                 depth;
    int                 failed;
    int                 written;    /* members in `out` */
    int                 list;       /* inside an array */
    unsigned            days;       /* of days: bit n when n was there */
    long                items;      /* of UUIDs: how many */
    size_t              list_at;    /* where they begin in `out` */
    fn_buf_t           *out;
    fn_field_error_t   *err;
} fn_body_t;


int
fn_field_fail(fn_field_error_t *err, const char *field, size_t n, const char *constraint, const char *fmt, ...)
{
    va_list  args;

    if (n >= sizeof(err->field)) {
        n = sizeof(err->field) - 1;
        while (n && ((unsigned char) field[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    if (n) {
        memcpy(err->field, field, n);
    }
    err->field[n] = '\0';
    err->constraint = constraint;

    va_start(args, fmt);
    (void) vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);

    return -1;
}


#define fn_fail(f, err, constraint, ...)                                      \
    fn_field_fail(err, (f)->name, strlen((f)->name), constraint, __VA_ARGS__)


static void
fn_field_trim(char **p, size_t *n)
{
    while (*n && memchr(" \t\r\n", **p, 4) != NULL) {
        (*p)++;
        (*n)--;
    }

    while (*n && memchr(" \t\r\n", (*p)[*n - 1], 4) != NULL) {
        (*n)--;
    }
}


static int
fn_field_email(const fn_field_t *f, const char *p, size_t n, fn_field_error_t *err)
{
    size_t       i;
    const char  *at, *dot;

    if (n > FN_EMAIL_MAX) {
        return fn_fail(f, err, "max_length", "%s may have at most %d characters.", f->name, FN_EMAIL_MAX);
    }

    at = memchr(p, '@', n);

    for (i = 0; i < n; i++) {
        if ((unsigned char) p[i] <= 0x20 || p[i] == 0x7f || strchr("\"(),:;<>[\\]", p[i]) != NULL
            || ((unsigned char) p[i] == 0xc2 && i + 1 < n && (unsigned char) p[i + 1] < 0xa0)
            || (p[i] == '.' && i + 1 < n && p[i + 1] == '.') || (p[i] == '@' && p + i != at))
        {
            at = NULL;
            break;
        }
    }

    dot = at ? memchr(at, '.', n - (size_t) (at - p)) : NULL;

    if (at == NULL || at == p || at - p > 64 || dot == NULL || dot == at + 1 || p[n - 1] == '.' || p[n - 1] == '@') {
        return fn_fail(f, err, "format", "%s must be an e-mail address.", f->name);
    }

    return 0;
}


static int
fn_field_member(const char *values, const char *p, size_t n)
{
    size_t  len;

    for ( ;; ) {
        len = strcspn(values, "|");
        if (len == n && memcmp(values, p, n) == 0) {
            return 1;
        }
        if (values[len] == '\0') {
            return 0;
        }
        values += len + 1;
    }
}


static int
fn_field_charset(const char *p, size_t n, const char *more)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9'))
            && (p[i] == '\0' || strchr(more, p[i]) == NULL))
        {
            return 0;
        }
    }

    return n != 0;
}


static int
fn_field_url(const fn_field_t *f, const char *p, size_t n, fn_field_error_t *err)
{
    size_t  i, host;

    if (f->max && n > (size_t) f->max) {
        return fn_fail(f, err, "max_length", "%s may have at most %ld bytes.", f->name, f->max);
    }

    host = n > 8 && memcmp(p, "https://", 8) == 0 ? 8 : n > 7 && memcmp(p, "http://", 7) == 0 ? 7 : 0;

    for (i = 0; i < n; i++) {
        if ((unsigned char) p[i] <= 0x20 || p[i] == 0x7f || strchr("\"<>\\^`{|}", p[i]) != NULL) {
            host = 0;
        }
    }

    if (host == 0 || p[host] == '/' || p[host] == '?' || p[host] == '#') {
        return fn_fail(f, err, "format", "%s must be an http or https address.", f->name);
    }

    return 0;
}


static int
fn_field_text(const fn_field_t *f, const char *p, size_t n, fn_field_error_t *err)
{
    long    count;
    size_t  i;

    for (i = 0; i < n; i++) {
        if (((unsigned char) p[i] < 0x20 && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f
            || ((unsigned char) p[i] == 0xc2 && i + 1 < n && (unsigned char) p[i + 1] < 0xa0))
        {
            return fn_fail(f, err, "format", "%s must not hold control characters.", f->name);
        }
    }

    count = (long) fn_utf8_length(p, n);

    if (count < f->min) {
        return fn_fail(f, err, "min_length", "%s must have at least %ld character%s.", f->name, f->min,
                       f->min == 1 ? "" : "s");
    }
    if (f->max && count > f->max) {
        return fn_fail(f, err, "max_length", "%s may have at most %ld characters.", f->name, f->max);
    }

    return 0;
}


static int
fn_field_digits(const char *p, size_t n)
{
    while (n && *p >= '0' && *p <= '9') {
        p++;
        n--;
    }

    return n == 0;
}


/* Any type whose values are text. The caller has trimmed. */

static int
fn_field_check(const fn_field_t *f, const char *p, size_t n, fn_field_error_t *err)
{
    switch (f->type) {

    case FN_T_STRING:
    case FN_T_SECRET:
        return fn_field_text(f, p, n, err);

    case FN_T_EMAIL:
        return fn_field_email(f, p, n, err);

    case FN_T_UUID:
        return fn_uuid_valid(p, n) ? 0 : fn_fail(f, err, "format", "%s must be a UUID.", f->name);

    case FN_T_DATE:
        return fn_date_valid(p, n) ? 0 : fn_fail(f, err, "format", "%s must be a date like 2026-01-31.", f->name);

    case FN_T_ENUM:
        return fn_field_member(f->values, p, n) ? 0
               : fn_fail(f, err, "enum", "%s must be one of %s.", f->name, f->values);

    case FN_T_LANGUAGE:
        return fn_field_member(FN_LANGUAGES, p, n) ? 0
               : fn_fail(f, err, "enum", "%s must be one of " FN_LANGUAGES ".", f->name);

    case FN_T_TIMEZONE:
        return n <= 64 && fn_field_charset(p, n, "_+/-") ? 0
               : fn_fail(f, err, "format", "%s must be an IANA time zone like Europe/Berlin.", f->name);

    case FN_T_URL:
        return fn_field_url(f, p, n, err);

    case FN_T_CURSOR:
        return n <= FN_CURSOR_MAX && fn_field_charset(p, n, "_-") ? 0
               : fn_fail(f, err, "format", "%s must be a next_cursor of an earlier answer.", f->name);

    case FN_T_TIME:
        return n == 5 && p[2] == ':' && fn_field_digits(p, 2) && fn_field_digits(p + 3, 2) && memcmp(p, "23:59", 5) <= 0 && p[3] < '6'
               ? 0 : fn_fail(f, err, "format", "%s must be a time like 07:30.", f->name);

    case FN_T_WEEK:
        return n == 8 && memcmp(p + 4, "-W", 2) == 0 && fn_field_digits(p, 4) && fn_field_digits(p + 6, 2) && memcmp(p, "1970", 4) >= 0
               && memcmp(p + 6, "01", 2) >= 0 && memcmp(p + 6, "53", 2) <= 0
               ? 0 : fn_fail(f, err, "format", "%s must be a week like 2026-W03.", f->name);

    default:
        return fn_fail(f, err, "type", "%s has the wrong type.", f->name);
    }
}


static int
fn_field_int(const fn_field_t *f, const char *p, size_t n, fn_field_error_t *err)
{
    long    v;
    size_t  i, from;

    from = n && p[0] == '-';

    for (i = from; i < n && p[i] >= '0' && p[i] <= '9'; i++) { /* void */ }

    if (i != n || n == from || (n - from > 1 && p[from] == '0')) {
        return fn_fail(f, err, "type", "%s must be a whole number.", f->name);
    }

    if (n - from > 18) {
        return fn_fail(f, err, from ? "min" : "max", "%s is out of range.", f->name);
    }

    for (v = 0, i = from; i < n; i++) {
        v = v * 10 + (p[i] - '0');
    }
    if (from) {
        v = -v;
    }

    if ((f->min || f->max) && v < f->min) {
        return fn_fail(f, err, "min", "%s must be at least %ld.", f->name, f->min);
    }
    if ((f->min || f->max) && v > f->max) {
        return fn_fail(f, err, "max", "%s must be at most %ld.", f->name, f->max);
    }

    return 0;
}


int
fn_field_validate_text(const fn_field_t *f, char *p, size_t *n, fn_field_error_t *err)
{
    char  *s = p;

    if (!fn_utf8_valid(p, *n) || memchr(p, '\0', *n) != NULL) {
        return fn_fail(f, err, "format", "%s must be valid UTF-8 text.", f->name);
    }

    if (f->type == FN_T_STRING || f->type == FN_T_EMAIL) {
        fn_field_trim(&s, n);
        memmove(p, s, *n);
    }

    if (f->type == FN_T_INT) {
        return fn_field_int(f, p, *n, err);
    }

    if (f->type == FN_T_BOOL) {
        return (*n == 4 && memcmp(p, "true", 4) == 0) || (*n == 5 && memcmp(p, "false", 5) == 0) ? 0
               : fn_fail(f, err, "type", "%s must be true or false.", f->name);
    }

    return fn_field_check(f, p, *n, err);
}


/* --- the body ---------------------------------------------------------- */

static int
fn_body_fail(fn_body_t *b)
{
    b->failed = 1;

    return 0;       /* yajl stops */
}


/* Whether a value may stand here, and if so its name is written. */

static int
fn_body_value(fn_body_t *b)
{
    if (b->depth == 0) {
        (void) fn_field_fail(b->err, "", 0, "type", "The body must be a JSON object.");
        return fn_body_fail(b);
    }

    if (b->written++) {
        fn_buf_add(b->out, ",", 1);
    }
    fn_buf_addf(b->out, "\"%s\":", b->current->name);

    return 1;
}


static int
fn_body_wrong(fn_body_t *b)
{
    static const char *const  wanted[] = {
        "text", "text", "text", "text", "a whole number", "true or false", "text", "text", "text", "text", "text", "text",
        "text", "text", "an array of events", "an array of UUIDs", "an array of days of the week, 0 to 6"
    };

    if (b->depth == 0) {
        return fn_body_value(b);
    }

    (void) fn_fail(b->current, b->err, "type", "%s must be %s.", b->current->name, wanted[b->current->type]);

    return fn_body_fail(b);
}


static int
fn_body_null(void *ctx)
{
    fn_body_t  *b = ctx;

    if (b->depth && (b->list || !(b->current->flags & FN_F_NULLABLE))) {
        return fn_body_wrong(b);
    }

    if (!fn_body_value(b)) {
        return 0;
    }

    fn_buf_add(b->out, "null", 4);

    return 1;
}


static int
fn_body_boolean(void *ctx, int value)
{
    fn_body_t  *b = ctx;

    if (b->depth == 0 || b->current->type != FN_T_BOOL) {
        return fn_body_wrong(b);
    }

    if (!fn_body_value(b)) {
        return 0;
    }

    fn_buf_adds(b->out, value ? "true" : "false");

    return 1;
}


/* One day of an array. */

static int
fn_body_day(fn_body_t *b, const char *p, size_t n)
{
    if (fn_field_int(b->current, p, n, b->err) != 0) {
        return fn_body_fail(b);
    }

    if (n != 1 || *p < '0' || *p > '6') {
        (void) fn_fail(b->current, b->err, *p == '-' ? "min" : "max", "%s are from 0 to 6.", b->current->name);
        return fn_body_fail(b);
    }

    if (b->days >> (*p - '0') & 1) {
        (void) fn_fail(b->current, b->err, "unique", "%s must not name a day twice.", b->current->name);
        return fn_body_fail(b);
    }

    if (b->days) {
        fn_buf_add(b->out, ",", 1);
    }

    b->days |= 1u << (*p - '0');
    fn_buf_add(b->out, p, 1);

    return 1;
}


/* One UUID of an array, which all have one length: its place tells where it could stand already. */

static int
fn_body_uuid(fn_body_t *b, const char *p, size_t n)
{
    long    i;
    size_t  k;
    char    uuid[FN_UUID_LEN];

    if (!fn_uuid_valid(p, n)) {
        (void) fn_fail(b->current, b->err, "format", "%s must be UUIDs.", b->current->name);
        return fn_body_fail(b);
    }

    if (b->items == b->current->max) {
        (void) fn_fail(b->current, b->err, "max_items", "%s may have at most %ld items.", b->current->name, b->current->max);
        return fn_body_fail(b);
    }

    for (k = 0; k < FN_UUID_LEN; k++) {
        uuid[k] = (char) (p[k] >= 'A' && p[k] <= 'F' ? p[k] | 0x20 : p[k]);
    }

    for (i = 0; i < b->items && !b->out->failed; i++) {
        if (memcmp(b->out->data + b->list_at + (size_t) i * (FN_UUID_LEN + 3) + 1, uuid, FN_UUID_LEN) == 0) {
            (void) fn_fail(b->current, b->err, "unique", "%s must not name one twice.", b->current->name);
            return fn_body_fail(b);
        }
    }

    if (b->items++) {
        fn_buf_add(b->out, ",", 1);
    }
    fn_buf_add_json_string(b->out, uuid, FN_UUID_LEN);

    return 1;
}


static int
fn_body_number(void *ctx, const char *p, size_t n)
{
    fn_body_t  *b = ctx;

    if (b->list && b->current->type == FN_T_DAYS) {
        return fn_body_day(b, p, n);
    }

    if (b->depth == 0 || b->current->type != FN_T_INT) {
        return fn_body_wrong(b);
    }

    if (fn_field_int(b->current, p, n, b->err) != 0) {
        return fn_body_fail(b);
    }

    if (!fn_body_value(b)) {
        return 0;
    }

    if (n == 2 && p[0] == '-' && p[1] == '0') {
        p++;
        n--;
    }
    fn_buf_add(b->out, p, n);

    return 1;
}


static int
fn_body_string(void *ctx, const unsigned char *p, size_t n)
{
    char       *s = (char *) p;
    fn_body_t  *b = ctx;

    if (b->list && b->current->type == FN_T_UUIDS) {
        return fn_body_uuid(b, s, n);
    }

    if (b->depth == 0 || b->current->type == FN_T_BOOL || b->current->type == FN_T_INT || b->current->type >= FN_T_UUIDS) {
        return fn_body_wrong(b);
    }

    if (b->current->type == FN_T_STRING || b->current->type == FN_T_EMAIL) {
        fn_field_trim(&s, &n);
    }

    if (fn_field_check(b->current, s, n, b->err) != 0) {
        return fn_body_fail(b);
    }

    if (!fn_body_value(b)) {
        return 0;
    }

    fn_buf_add_json_string(b->out, s, n);

    return 1;
}


static int
fn_body_start_map(void *ctx)
{
    fn_body_t  *b = ctx;

    if (b->depth) {
        return fn_body_wrong(b);
    }

    b->depth = 1;
    fn_buf_add(b->out, "{", 1);

    return 1;
}


static int
fn_body_key(void *ctx, const unsigned char *p, size_t n)
{
    int         i;
    fn_body_t  *b = ctx;

    for (i = 0; i < FN_FIELDS_MAX && b->fields[i].name != NULL; i++) {
        if (strlen(b->fields[i].name) != n || memcmp(b->fields[i].name, p, n) != 0) {
            continue;
        }

        if (b->seen & (1u << i)) {
            (void) fn_field_fail(b->err, (const char *) p, n, "duplicate_field", "The field is given more than once.");
            return fn_body_fail(b);
        }

        b->seen |= 1u << i;
        b->current = &b->fields[i];

        return 1;
    }

    (void) fn_field_fail(b->err, (const char *) p, n, "unknown_field", "There is no such field here.");

    return fn_body_fail(b);
}


static int
fn_body_end_map(void *ctx)
{
    fn_body_t  *b = ctx;

    fn_buf_add(b->out, "}", 1);

    return 1;
}


static int
fn_body_start_array(void *ctx)
{
    fn_body_t  *b = ctx;

    if (b->depth == 0 || b->list || b->current->type < FN_T_UUIDS) {
        return fn_body_wrong(b);
    }

    if (!fn_body_value(b)) {
        return 0;
    }

    b->list = 1;
    b->days = 0;
    b->items = 0;
    fn_buf_add(b->out, "[", 1);
    b->list_at = b->out->len;

    return 1;
}


static int
fn_body_end_array(void *ctx)
{
    fn_body_t  *b = ctx;

    if (b->current->type == FN_T_DAYS && b->days == 0) {
        (void) fn_fail(b->current, b->err, "min_length", "%s must name a day.", b->current->name);
        return fn_body_fail(b);
    }

    b->list = 0;
    fn_buf_add(b->out, "]", 1);

    return 1;
}


int
fn_json_escapes_valid(const char *p, size_t n)
{
    int          i, low;
    unsigned     code;
    const char  *end = p + n;

    for (low = 0; (p = memchr(p, '\\', (size_t) (end - p))) != NULL; p += 2) {
        if (end - p < 2) {
            break;
        }

        if (p[1] != 'u' || end - p < 6) {
            continue;
        }

        for (i = 2, code = 0; i < 6; i++) {
            code = code << 4 | (unsigned) (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
        }

        if (low) {
            low = 0;        /* looked at together with its first half */
            continue;
        }

        if (code == 0 || (code >= 0xdc00 && code <= 0xdfff)) {
            return 0;
        }

        if (code >= 0xd800 && code <= 0xdbff) {
            if (end - p < 12 || p[6] != '\\' || p[7] != 'u' || (p[8] | 0x20) != 'd'
                || memchr("cdefCDEF", p[9], 8) == NULL)
            {
                return 0;
            }
            low = 1;
            p += 4;
        }
    }

    return 1;
}


static int
fn_body_parse(fn_body_t *b, const char *p, size_t n)
{
    int          ok;
    yajl_handle  h;

    static const yajl_callbacks  callbacks = {
        fn_body_null, fn_body_boolean, NULL, NULL, fn_body_number, fn_body_string,
        fn_body_start_map, fn_body_key, fn_body_end_map, fn_body_start_array, fn_body_end_array
    };

    h = yajl_alloc(&callbacks, NULL, b);
    if (h == NULL) {
        return fn_field_fail(b->err, "", 0, "json", "The body could not be read.");
    }

    ok = yajl_parse(h, (const unsigned char *) p, n) == yajl_status_ok
         && yajl_complete_parse(h) == yajl_status_ok;

    yajl_free(h);

    if (b->failed) {
        return -1;
    }

    return ok ? 0 : fn_field_fail(b->err, "", 0, "json", "The body is not valid JSON.");
}


int
fn_fields_validate_json(const fn_field_t *fields, const char *p, size_t n,
                        fn_buf_t *out, fn_field_error_t *err)
{
    int        i, given;
    size_t     blank;
    fn_body_t  b;

    memset(&b, 0, sizeof(b));
    b.fields = fields;
    b.out = out;
    b.err = err;

    for (blank = 0; blank < n && memchr(" \t\r\n", p[blank], 4) != NULL; blank++) { /* void */ }

    if (blank == n) {
        fn_buf_add(out, "{}", 2);

    } else if (memchr(p, '\0', n) != NULL || !fn_utf8_valid(p, n) || !fn_json_escapes_valid(p, n)) {
        return fn_field_fail(err, "", 0, "json", "The body is not valid UTF-8 text without NUL.");

    } else if (fields->type == FN_T_EVENTS) {
        if (fn_events_validate(fields, p, n, &given, out, err) != 0) {
            return -1;
        }
        b.seen = given != 0;

    } else if (fn_body_parse(&b, p, n) != 0) {
        return -1;
    }

    for (i = 0; fields[i].name != NULL; i++) {
        if ((fields[i].flags & FN_F_REQUIRED) && !(b.seen & (1u << i))) {
            return fn_fail(&fields[i], err, "required", "%s is required.", fields[i].name);
        }
    }

    if (out->failed) {
        return fn_field_fail(err, "", 0, "json", "The body could not be read.");
    }

    return 0;
}
