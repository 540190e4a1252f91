/*
 * The OpenAPI 3.1 document of the route table.  Paths, parameters and bodies follow from the
 * rows; only the shapes of answers are written down here, since SQL makes them.
 */
#include <stdio.h>
#include <string.h>

#include "fn_routes.h"
#include "../worker/libfitnudge/fn_locales.h"

#define ID          "{\"type\":\"string\",\"format\":\"uuid\"}"
#define TIME        "{\"type\":\"string\",\"format\":\"date-time\"}"
#define TIME_NULL   "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define DATE        "{\"type\":\"string\",\"format\":\"date\"}"
#define TEXT        "{\"type\":\"string\"}"
#define TEXT_NULL   "{\"type\":[\"string\",\"null\"]}"
#define INT         "{\"type\":\"integer\"}"
#define INT_NULL    "{\"type\":[\"integer\",\"null\"]}"
#define NUMBER      "{\"type\":\"number\"}"
#define BOOL        "{\"type\":\"boolean\"}"
#define REF(name)   "{\"$ref\":\"#/components/schemas/" name "\"}"
/* An object has all of its members, except for those with a question mark after their names. */
#define OBJECT_OF   "{\"type\":\"object\",\"properties\":{"
#define OBJECT(members)  OBJECT_OF members "}}"
#define FEED(name, item) \
    OBJECT("\"" name "\":{\"type\":\"array\",\"items\":" REF(item) "},\"pagination\":" \
           OBJECT("\"limit\":" INT ",\"next_cursor\":" TEXT_NULL))
#define PAGED(name, item) \
    OBJECT("\"" name "\":{\"type\":\"array\",\"items\":" REF(item) "},\"pagination\":" \
           OBJECT("\"page\":" INT ",\"limit\":" INT ",\"total\":" INT))

/* fn_events.h */
#define FN_OPENAPI_EVENT \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\"],\"properties\":{" \
    "\"name\":{\"type\":\"string\",\"pattern\":\"^[a-z][a-z0-9_]{0,63}$\"}," \
    "\"properties\":{\"type\":\"object\",\"maxProperties\":20,\"additionalProperties\":" \
    "{\"type\":[\"string\",\"number\",\"boolean\",\"null\"],\"maxLength\":500}}}}"

static const struct {
    const char  *name;
    const char  *schema;
} fn_openapi_schemas[] = {
    { "Error", OBJECT("\"error\":" OBJECT("\"code\":" TEXT ",\"message\":" TEXT ",\"details\":"
      OBJECT("\"field?\":" TEXT ",\"constraint?\":" TEXT) ",\"timestamp\":" TIME ",\"request_id\":" TEXT)) },
    { "Profile", OBJECT("\"id\":" ID ",\"email\":" TEXT ",\"name\":" TEXT ",\"username\":" TEXT_NULL ",\"bio\":" TEXT_NULL
      ",\"avatar_url\":" TEXT_NULL ",\"language\":" TEXT ",\"timezone\":" TEXT ",\"country\":" TEXT_NULL
      ",\"birth_date\":{\"type\":[\"string\",\"null\"],\"format\":\"date\"},\"tone\":" TEXT ",\"plan\":" TEXT ",\"role\":" TEXT
      ",\"email_verified\":" BOOL ",\"version\":" INT ",\"created_at\":" TIME ",\"updated_at\":" TIME ",\"counts\":"
      OBJECT("\"goals\":" INT ",\"active_goals\":" INT ",\"checkins\":" INT ",\"motivations\":" INT ",\"followers\":" INT
      ",\"following\":" INT)) },
    { "AuthResult", OBJECT("\"user\":" REF("Profile") ",\"access_token?\":" TEXT ",\"refresh_token?\":" TEXT
      ",\"token_type?\":{\"const\":\"Bearer\"},\"expires_in\":" INT) },
    { "CsrfToken", OBJECT("\"csrf_token\":" TEXT) },
    { "SessionList", OBJECT("\"sessions\":{\"type\":\"array\",\"items\":" OBJECT("\"id\":" ID ",\"user_agent\":" TEXT ",\"ip\":" TEXT
      ",\"created_at\":" TIME ",\"last_used_at\":" TIME ",\"expires_at\":" TIME) "}") },
    { "Goal", OBJECT("\"id\":" ID ",\"title\":" TEXT ",\"description\":" TEXT_NULL ",\"category\":" TEXT_NULL ",\"frequency\":" INT
      ",\"is_active\":" BOOL ",\"version\":" INT ",\"created_at\":" TIME ",\"updated_at\":" TIME) },
    { "GoalList", OBJECT("\"goals\":{\"type\":\"array\",\"items\":" REF("Goal") "},\"pagination\":"
      OBJECT("\"page\":" INT ",\"limit\":" INT ",\"total\":" INT)) },
    { "GoalStats", OBJECT("\"goal_id\":" ID ",\"streak_unit\":{\"enum\":[\"days\",\"weeks\"]},\"current_streak\":" INT ",\"longest_streak\":" INT
      ",\"total_checkins\":" INT ",\"done\":" INT ",\"skipped\":" INT ",\"missed\":" INT ",\"completion_rate\":" NUMBER
      ",\"weekly\":{\"type\":\"array\",\"items\":" OBJECT("\"week_start\":" DATE ",\"done\":" INT ",\"target\":" INT ",\"rate\":" NUMBER) "}") },
    { "Checkin", OBJECT("\"id\":" ID ",\"goal_id\":" ID ",\"date\":" DATE ",\"status\":{\"enum\":[\"done\",\"skipped\",\"missed\"]}"
      ",\"reflection\":" TEXT_NULL ",\"mood\":" INT_NULL ",\"version\":" INT ",\"created_at\":" TIME ",\"updated_at\":" TIME) },
    { "CheckinList", FEED("checkins", "Checkin") },
    { "Motivation", OBJECT("\"id\":" ID ",\"goal_id\":" ID ",\"text\":" TEXT ",\"tone\":" TEXT ",\"language\":" TEXT
      ",\"source\":{\"enum\":[\"ai\",\"cache\",\"fallback\"]},\"voice_url\":" TEXT_NULL ",\"created_at\":" TIME) },
    { "MotivationList", FEED("motivations", "Motivation") },
    { "Voice", OBJECT("\"voice_url\":" TEXT_NULL) },
    { "Reminder", OBJECT("\"id\":" ID ",\"goal_id\":" ID ",\"time\":" TEXT ",\"days\":{\"type\":\"array\",\"items\":" INT "},\"timezone\":" TEXT
      ",\"follows_profile\":" BOOL ",\"is_active\":" BOOL ",\"next_at\":" TIME_NULL ",\"version\":" INT ",\"created_at\":" TIME
      ",\"updated_at\":" TIME) },
    { "ReminderList", OBJECT("\"reminders\":{\"type\":\"array\",\"items\":" REF("Reminder") "},\"pagination\":"
      OBJECT("\"page\":" INT ",\"limit\":" INT ",\"total\":" INT)) },
    { "Author", OBJECT("\"id\":" ID ",\"name\":" TEXT ",\"username\":" TEXT_NULL ",\"avatar_url\":" TEXT_NULL) },
    { "Post", OBJECT("\"id\":" ID ",\"author\":" REF("Author") ",\"text\":" TEXT ",\"voice_url\":" TEXT_NULL
      ",\"media_ids\":{\"type\":\"array\",\"items\":" ID "},\"media\":{\"type\":\"array\",\"items\":"
      OBJECT("\"id\":" ID ",\"kind\":{\"enum\":[\"image\",\"voice\"]},\"content_type\":" TEXT ",\"url\":" TEXT_NULL)
      "},\"is_public\":" BOOL ",\"likes_count\":" INT ",\"comments_count\":" INT ",\"liked_by_me\":" BOOL ",\"version\":" INT ",\"created_at\":" TIME ",\"updated_at\":" TIME) },
    { "PostList", FEED("posts", "Post") },
    { "Likes", OBJECT("\"likes_count\":" INT) },
    { "Comment", OBJECT("\"id\":" ID ",\"post_id\":" ID ",\"author\":" REF("Author") ",\"text\":" TEXT ",\"created_at\":" TIME) },
    { "CommentList", FEED("comments", "Comment") },
    { "Received", OBJECT("\"status\":{\"const\":\"received\"}") },
    { "PostResults", PAGED("results", "Post") },
    { "GoalResults", PAGED("results", "Goal") },
    { "UserResults", PAGED("results", "Author") },
    { "Suggestions", OBJECT("\"suggestions\":{\"type\":\"array\",\"items\":" OBJECT("\"type\":{\"enum\":[\"term\",\"user\",\"category\"]}"
      ",\"text\":" TEXT ",\"user_id?\":" ID) "}") },
    { "Stats", OBJECT("\"timezone\":" TEXT ",\"date\":" DATE ",\"streak\":" OBJECT("\"current\":" INT ",\"longest\":" INT) ",\"totals\":"
      OBJECT("\"goals\":" INT ",\"active_goals\":" INT ",\"checkins\":" INT ",\"done\":" INT ",\"skipped\":" INT ",\"missed\":" INT
      ",\"active_days\":" INT ",\"motivations\":" INT) ",\"engagement\":" OBJECT("\"active_days_7\":" INT ",\"active_days_30\":" INT
      ",\"rate_30\":" NUMBER ",\"motivations_30\":" INT ",\"last_checkin\":{\"type\":[\"string\",\"null\"],\"format\":\"date\"}")) },
    { "WeekStats", OBJECT("\"week\":" TEXT ",\"week_start\":" DATE ",\"week_end\":" DATE ",\"checkins\":" INT ",\"done\":" INT ",\"skipped\":" INT
      ",\"missed\":" INT ",\"active_days\":" INT ",\"streak\":" INT ",\"completion_rate\":" NUMBER ",\"days\":{\"type\":\"array\",\"items\":"
      OBJECT("\"date\":" DATE ",\"done\":" INT) "},\"goals\":{\"type\":\"array\",\"items\":" OBJECT("\"goal_id\":" ID ",\"title\":" TEXT
      ",\"done\":" INT ",\"target\":" INT ",\"rate\":" NUMBER) "}") },
    { "Message", OBJECT("\"message\":" TEXT) },
    { "PublicProfile", OBJECT("\"id\":" ID ",\"name\":" TEXT ",\"username\":" TEXT_NULL ",\"bio\":" TEXT_NULL ",\"avatar_url\":" TEXT_NULL
      ",\"created_at\":" TIME ",\"counts\":" OBJECT("\"followers\":" INT ",\"following\":" INT) ",\"followed_by_me\":" BOOL) },
    { "Consent", OBJECT("\"consent_type\":" TEXT ",\"granted\":" BOOL ",\"updated_at\":" TIME_NULL) },
    { "ConsentList", OBJECT("\"consents\":{\"type\":\"array\",\"items\":" REF("Consent") "},\"history\":{\"type\":\"array\",\"items\":"
      OBJECT("\"consent_type\":" TEXT ",\"granted\":" BOOL ",\"ip\":" TEXT_NULL ",\"user_agent\":" TEXT_NULL ",\"created_at\":" TIME) "}") },
    { "PersonalData", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"required\":[\"exported_at\",\"profile\",\"withheld\"]"
      ",\"properties\":{\"exported_at\":" TIME ",\"profile\":{\"type\":\"object\"},\"withheld\":{\"type\":\"array\",\"items\":"
      OBJECT("\"relation\":" TEXT ",\"columns\":{\"type\":\"array\",\"items\":" TEXT "},\"reason\":" TEXT) "}}}" },
    { "Media", OBJECT("\"id\":" ID ",\"kind\":{\"enum\":[\"image\",\"voice\"]},\"content_type\":" TEXT ",\"bytes\":" INT ",\"url\":" TEXT_NULL
      ",\"motivation_id\":{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"},\"created_at\":" TIME) },
    { "MediaList", OBJECT("\"media\":{\"type\":\"array\",\"items\":" REF("Media") "},\"storage\":" OBJECT("\"used\":" INT ",\"limit\":" INT)
      ",\"pagination\":" OBJECT("\"limit\":" INT ",\"next_cursor\":" TEXT_NULL)) },
    { "Upload", OBJECT("\"media_id\":" ID ",\"key\":" TEXT ",\"content_type\":" TEXT ",\"bytes\":" INT ",\"upload_url\":" TEXT_NULL
      ",\"upload_until\":" TIME) },
    { "EventsAccepted", OBJECT("\"accepted\":" INT) },
    { "EmailEvents", OBJECT("\"received\":" INT ",\"new\":" INT) },
    /* flags, experiments, languages */
    { "Flags", OBJECT("\"flags\":{\"type\":\"object\",\"additionalProperties\":{}}") },
    { "OnboardingFlow", OBJECT("\"experiment\":" TEXT ",\"variant\":" TEXT ",\"flow\":" TEXT_NULL
      ",\"steps\":{\"type\":[\"array\",\"null\"],\"items\":" TEXT "}") },
    { "LanguageList", OBJECT("\"languages\":{\"type\":\"array\",\"items\":" OBJECT("\"code\":" TEXT ",\"name\":" TEXT ",\"native_name\":" TEXT
      ",\"dir\":{\"enum\":[\"ltr\",\"rtl\"]}") "},\"fallback\":" TEXT ",\"preferred\":" TEXT) },
    { "Messages", OBJECT("\"language\":" TEXT ",\"dir\":{\"enum\":[\"ltr\",\"rtl\"]},\"messages\":"
      "{\"type\":\"object\",\"additionalProperties\":" TEXT "}") },

    { "Job", OBJECT("\"job\":" OBJECT("\"id\":" ID ",\"status\":{\"enum\":[\"queued\",\"running\",\"done\",\"failed\"]},\"status_code?\":" INT
      ",\"response?\":{},\"created_at?\":" TIME)) },
    { "Health", OBJECT("\"status\":{\"enum\":[\"healthy\",\"degraded\",\"unhealthy\",\"maintenance\"]},\"timestamp\":" TIME ",\"services\":"
      "{\"type\":\"object\",\"additionalProperties\":" TEXT "},\"maintenance?\":"
      OBJECT("\"message\":" TEXT ",\"since\":" TIME_NULL ",\"until\":" TIME_NULL)) },
    { "Live", OBJECT("\"status\":{\"const\":\"alive\"}") },
    { "OpenApi", "{\"type\":\"object\"}" },
    { "KeySet", OBJECT("\"keys\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}") },
};

/* status, name in components/responses, what it means */
static const struct {
    unsigned     status;
    const char  *name;
    const char  *help;
} fn_openapi_errors[] = {
    { 400, "BadRequest", "A field or parameter breaks a rule." },
    { 401, "Unauthorized", "The token is missing, expired or revoked." },
    { 403, "Forbidden", "Not allowed: another plan or role is needed, the account is suspended, or the CSRF token is missing." },
    { 404, "NotFound", "There is no such resource, or it is somebody else's." },
    { 406, "NotAcceptable", "Accept rules application/json out." },
    { 409, "Conflict", "The state does not allow it." },
    { 412, "PreconditionFailed", "Somebody else was first: If-Match names another version." },
    { 413, "PayloadTooLarge", "The body has more than 64 KB." },
    { 415, "UnsupportedMediaType", "The body is not application/json." },
    { 422, "IdempotencyMismatch", "The Idempotency-Key was used with another request." },
    { 429, "TooManyRequests", "Slow down; Retry-After tells how long." },
    { 500, "InternalError", "Something is broken here." },
    { 503, "ServiceUnavailable", "A part is away for the moment; Retry-After tells how long." },
};

#define N(table)  (sizeof(table) / sizeof((table)[0]))

/* What every answer to a limited request carries. */
#define LIMIT_HEADER(name)  "\"" name "\":{\"$ref\":\"#/components/headers/" name "\"}"
#define LIMIT_HEADERS                                                                                  \
    LIMIT_HEADER("RateLimit-Limit") "," LIMIT_HEADER("RateLimit-Remaining") ","                        \
    LIMIT_HEADER("RateLimit-Reset") "," LIMIT_HEADER("RateLimit-Policy") "," LIMIT_HEADER("RateLimit")

static const struct {
    const char  *name;
    const char  *type;
    const char  *help;
} fn_openapi_headers[] = {
    { "RateLimit-Limit", "integer", "Requests that the tightest limit allows in its period." },
    { "RateLimit-Remaining", "integer", "Requests that are left of it at this moment." },
    { "RateLimit-Reset", "integer", "Seconds until all of it is there again; with 429 the same as Retry-After." },
    { "RateLimit-Policy", "string", "Every limit that this request counted in: name, requests (q) and period in seconds (w)." },
    { "RateLimit", "string", "The tightest limit: name, requests left (r) and seconds (t), as RateLimit-Remaining and RateLimit-Reset." },
    { "Retry-After", "integer", "Seconds until the next request is admitted." },
};


static void
fn_openapi_text(fn_buf_t *b, const char *s)
{
    fn_buf_add_json_string(b, s, strlen(s));
}


static void
fn_openapi_enum(fn_buf_t *b, const char *values)
{
    size_t  n;

    fn_buf_adds(b, ",\"enum\":[");

    for ( ;; ) {
        n = strcspn(values, "|");
        fn_buf_add_json_string(b, values, n);
        if (values[n] == '\0') {
            break;
        }
        fn_buf_adds(b, ",");
        values += n + 1;
    }

    fn_buf_adds(b, "]");
}


static void
fn_openapi_schema(fn_buf_t *b, const fn_field_t *f)
{
    const char *type, *format = NULL;

    switch (f->type) {
    case FN_T_INT:
        type = "integer";
        break;
    case FN_T_BOOL:
        type = "boolean";
        break;
    case FN_T_UUIDS:
    case FN_T_DAYS:
    case FN_T_EVENTS:
        type = "array";
        break;
    default:
        type = "string";
    }

    fn_buf_addf(b, (f->flags & FN_F_NULLABLE) ? "{\"type\":[\"%s\",\"null\"]" : "{\"type\":\"%s\"", type);

    switch (f->type) {
    case FN_T_UUID:
        format = "uuid";
        break;
    case FN_T_EMAIL:
        format = "email";
        break;
    case FN_T_DATE:
        format = "date";
        break;
    case FN_T_URL:
        format = "uri";
        break;
    case FN_T_SECRET:
        format = "password";
        break;
    case FN_T_ENUM:
        fn_openapi_enum(b, f->values);
        break;
    case FN_T_LANGUAGE:
        fn_openapi_enum(b, FN_LANGUAGES);
        break;
    case FN_T_TIME:
        fn_buf_adds(b, ",\"pattern\":\"^([01][0-9]|2[0-3]):[0-5][0-9]$\"");
        break;
    case FN_T_WEEK:
        fn_buf_adds(b, ",\"pattern\":\"^[0-9]{4}-W[0-5][0-9]$\"");
        break;
    case FN_T_EVENTS:
        fn_buf_adds(b, ",\"items\":" FN_OPENAPI_EVENT ",\"minItems\":1,\"maxItems\":50");
        break;
    case FN_T_DAYS:
        fn_buf_adds(b, ",\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":6},\"minItems\":1,\"uniqueItems\":true");
        break;
    case FN_T_UUIDS:
        fn_buf_addf(b, ",\"items\":" ID ",\"maxItems\":%ld,\"uniqueItems\":true", f->max);
        break;
    default:
        break;
    }

    if (format != NULL) {
        fn_buf_addf(b, ",\"format\":\"%s\"", format);
    }

    if (f->type == FN_T_INT && (f->min || f->max)) {
        fn_buf_addf(b, ",\"minimum\":%ld,\"maximum\":%ld", f->min, f->max);

    } else if (f->type != FN_T_INT && f->type != FN_T_UUIDS) {
        if (f->min) {
            fn_buf_addf(b, ",\"minLength\":%ld", f->min);
        }
        if (f->max) {
            fn_buf_addf(b, ",\"maxLength\":%ld", f->max);
        }
    }

    if (f->fallback != NULL) {
        fn_buf_adds(b, ",\"default\":");
        if (f->type == FN_T_INT || f->type == FN_T_BOOL) {
            fn_buf_adds(b, f->fallback);
        } else {
            fn_openapi_text(b, f->fallback);
        }
    }

    fn_buf_adds(b, ",\"description\":");
    fn_openapi_text(b, f->help);
    fn_buf_adds(b, "}");
}


static void
fn_openapi_header_param(fn_buf_t *b, int *n, const char *name)
{
    fn_buf_addf(b, "%s{\"$ref\":\"#/components/parameters/%s\"}", (*n)++ ? "," : "", name);
}


static void
fn_openapi_parameters(fn_buf_t *b, const fn_route_t *r)
{
    int                n = 0;
    const fn_field_t  *f;

    fn_buf_adds(b, ",\"parameters\":[");

    for (f = r->params; f != NULL && f->name != NULL; f++) {
        fn_buf_addf(b, "%s{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"schema\":", n++ ? "," : "", f->name,
                    (f->flags & FN_F_PATH) ? "path" : "query", (f->flags & (FN_F_PATH|FN_F_REQUIRED)) ? "true" : "false");
        fn_openapi_schema(b, f);
        fn_buf_adds(b, "}");
    }

    if (r->kind == FN_WRITE) {
        fn_openapi_header_param(b, &n, "IdempotencyKey");
        if (r->who != FN_ANYONE) {
            fn_openapi_header_param(b, &n, "Prefer");
            fn_openapi_header_param(b, &n, "CsrfToken");
        }
    }
    if (r->flags & FN_R_IF_MATCH) {
        fn_openapi_header_param(b, &n, "IfMatch");
    }
    if (r->flags & FN_R_COOKIES) {
        fn_openapi_header_param(b, &n, "AuthMode");
    }

    fn_buf_adds(b, "]");
}


static void
fn_openapi_body(fn_buf_t *b, const fn_route_t *r)
{
    int                n;
    const fn_field_t  *f;

    if (r->body == NULL) {
        return;
    }

    for (f = r->body, n = 0; f->name != NULL; f++) {
        n += (f->flags & FN_F_REQUIRED) != 0;
    }

    fn_buf_addf(b, ",\"requestBody\":{\"required\":%s,\"content\":{\"application/json\":{\"schema\":"
                "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{", n ? "true" : "false");

    for (f = r->body; f->name != NULL; f++) {
        fn_buf_addf(b, "%s\"%s\":", f == r->body ? "" : ",", f->name);
        fn_openapi_schema(b, f);
    }

    fn_buf_adds(b, "}");

    if (n) {
        fn_buf_adds(b, ",\"required\":[");
        for (f = r->body, n = 0; f->name != NULL; f++) {
            if (f->flags & FN_F_REQUIRED) {
                fn_buf_addf(b, "%s\"%s\"", n++ ? "," : "", f->name);
            }
        }
        fn_buf_adds(b, "]");
    }

    fn_buf_adds(b, "}}}}");
}


static int
fn_openapi_error_applies(const fn_route_t *r, unsigned status)
{
    switch (status) {
    case 400:
        return r->params != NULL || r->kind == FN_WRITE;
    case 401:
        return r->who != FN_ANYONE || r->limit == FN_LIMIT_AUTH || (r->flags & (FN_R_SEALED|FN_R_PAGE)) == FN_R_SEALED;
    case 403:
        return r->kind == FN_WRITE || r->who != FN_ANYONE;
    case 404:
        return strchr(r->path, '{') != NULL;
    case 406:
        return (r->kind == FN_READ || r->kind == FN_WRITE) && !(r->flags & FN_R_PAGE);
    case 409:
    case 413:
    case 415:
    case 422:
        return r->kind == FN_WRITE;
    case 412:
        return (r->flags & FN_R_IF_MATCH) != 0;
    case 429:
        return r->limit != FN_LIMIT_NONE;
    default:
        return r->limit != FN_LIMIT_NONE || status == 503;
    }
}


static void
fn_openapi_responses(fn_buf_t *b, const fn_route_t *r)
{
    size_t  i;

    fn_buf_addf(b, ",\"responses\":{\"%u\":{\"description\":\"Success\"", r->status);
    if (r->limit != FN_LIMIT_NONE) {
        fn_buf_adds(b, ",\"headers\":{" LIMIT_HEADERS "}");
    }
    if (r->response != NULL && (r->flags & FN_R_PAGE)) {
        fn_buf_addf(b, ",\"content\":{\"%s\":{}}", r->response);

    } else if (r->response != NULL) {
        fn_buf_addf(b, ",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}", r->response);
    }
    fn_buf_adds(b, "}");

    if (r->kind == FN_WRITE && r->who != FN_ANYONE && r->status != 202) {
        fn_buf_adds(b, ",\"202\":{\"$ref\":\"#/components/responses/Accepted\"}");
    }

    for (i = 0; i < N(fn_openapi_errors); i++) {
        if (fn_openapi_error_applies(r, fn_openapi_errors[i].status)) {
            fn_buf_addf(b, ",\"%u\":{\"$ref\":\"#/components/responses/%s\"}", fn_openapi_errors[i].status, fn_openapi_errors[i].name);
        }
    }

    fn_buf_adds(b, "}");
}


/* Unique: method and path without the version, in letters and underscores. */

static void
fn_openapi_operation_id(fn_buf_t *b, const fn_route_t *r)
{
    char         c;
    const char  *p;

    for (p = fn_method_names[r->method]; *p; p++) {
        c = (char) (*p | 0x20);
        fn_buf_add(b, &c, 1);
    }

    for (p = r->path; *p; p++) {
        if (*p == '{' || *p == '}') {
            continue;
        }
        c = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ? *p : '_';
        fn_buf_add(b, &c, 1);
    }
}


/* OpenAPI 3.1, 4.8.30: the array may name roles that are required. */
static void
fn_openapi_security(fn_buf_t *b, const fn_route_t *r)
{
    const char  *role;

    if ((r->flags & (FN_R_SEALED|FN_R_PAGE)) == FN_R_SEALED) {
        fn_buf_adds(b, ",\"security\":[{\"signature\":[]}]");

    } else if (r->who == FN_ANYONE) {
        fn_buf_adds(b, ",\"security\":[]");

    } else {
        role = r->who == FN_PAID ? "\"paid\"" : r->who == FN_STAFF ? "\"staff\"" : "";
        fn_buf_addf(b, ",\"security\":[{\"bearerAuth\":[%s]},{\"cookieAuth\":[%s]}]", role, role);
    }
}


static void
fn_openapi_operation(fn_buf_t *b, const fn_route_t *r)
{
    fn_buf_add(b, "\"", 1);
    fn_buf_adds(b, r->method == FN_GET ? "get" : r->method == FN_POST ? "post" : r->method == FN_PUT ? "put"
                   : r->method == FN_PATCH ? "patch" : "delete");
    fn_buf_adds(b, "\":{\"operationId\":\"");
    fn_openapi_operation_id(b, r);
    fn_buf_addf(b, "\",\"tags\":[\"%s\"],\"summary\":", r->tag);
    fn_openapi_text(b, r->summary);
    fn_openapi_security(b, r);
    fn_openapi_parameters(b, r);
    fn_openapi_body(b, r);
    fn_openapi_responses(b, r);
    fn_buf_adds(b, "}");
}


/* Copies the value at p, and says of each OBJECT() which members it always has. What follows it. */
static const char *
fn_openapi_value(fn_buf_t *b, const char *p)
{
    int          n = 0;
    size_t       len;
    fn_buf_t     required = FN_BUF_INIT;

    if (strncmp(p, OBJECT_OF, sizeof(OBJECT_OF) - 1) == 0) {
        fn_buf_adds(b, OBJECT_OF);
        p += sizeof(OBJECT_OF) - 1;

        for ( ;; ) {
            len = strcspn(p + 1, "?\"");
            fn_buf_addf(b, "\"%.*s\":", (int) len, p + 1);

            if (p[1 + len] == '"') {
                fn_buf_addf(&required, "%s\"%.*s\"", n++ ? "," : "", (int) len, p + 1);
            }

            p = fn_openapi_value(b, strchr(p, ':') + 1);

            if (*p++ != ',') {
                break;
            }

            fn_buf_adds(b, ",");
        }

        fn_buf_adds(b, "}");

        if (required.len) {
            fn_buf_addf(b, ",\"required\":[%s]", required.data);
        }

        if (required.failed) {
            fn_buf_free(b);
            b->failed = 1;
        }

        fn_buf_free(&required);
        fn_buf_adds(b, "}");

        return p + 1;
    }

    /* anything else as it is, but for objects within it */
    for (len = 0; *p != '\0'; ) {

        if (*p == '"') {
            n = 1 + (int) strcspn(p + 1, "\"") + 1;
            fn_buf_add(b, p, (size_t) n);
            p += n;

        } else if (len > 0 && *p == '{' && strncmp(p, OBJECT_OF, sizeof(OBJECT_OF) - 1) == 0) {
            p = fn_openapi_value(b, p);

        } else {
            len += *p == '{' || *p == '[';

            if (*p == '}' || *p == ']') {
                len--;
            }

            fn_buf_add(b, p++, 1);
        }

        if (len == 0) {
            break;
        }
    }

    return p;
}


static void
fn_openapi_components(fn_buf_t *b)
{
    size_t  i;

    fn_buf_adds(b, "\"components\":{\"securitySchemes\":{"
        "\"bearerAuth\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"},"
        "\"cookieAuth\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"access_token\"},"
        "\"signature\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Twilio-Email-Event-Webhook-Signature\","
        "\"description\":\"For the services that send here.\"}},\"parameters\":{"
        "\"IdempotencyKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255},"
        "\"description\":\"Makes a retry return the first answer, the body of an error with its first request_id included, and "
        "Idempotency-Replayed: true; remembered for at least 24 hours.\"},"
        "\"Prefer\":{\"name\":\"Prefer\",\"in\":\"header\",\"schema\":{\"enum\":[\"respond-async\"]},"
        "\"description\":\"Answer 202 at once.\"},"
        "\"CsrfToken\":{\"name\":\"X-CSRF-Token\",\"in\":\"header\",\"schema\":{\"type\":\"string\"},"
        "\"description\":\"Needed with cookies.\"},"
        "\"IfMatch\":{\"name\":\"If-Match\",\"in\":\"header\",\"schema\":{\"type\":\"string\"},"
        "\"description\":\"The version that was read, in quotes.\"},"
        "\"AuthMode\":{\"name\":\"X-Auth-Mode\",\"in\":\"header\",\"schema\":{\"enum\":[\"cookie\"]},"
        "\"description\":\"Tokens in httpOnly cookies instead of the body.\"}},\"responses\":{"
        "\"Accepted\":{\"description\":\"The write is queued; Location names its job.\",\"content\":{\"application/json\":{\"schema\":" REF("Job") "}}}");

    for (i = 0; i < N(fn_openapi_errors); i++) {
        fn_buf_addf(b, ",\"%s\":{\"description\":\"%s\",%s\"content\":{\"application/json\":{\"schema\":" REF("Error") "}}}",
                    fn_openapi_errors[i].name, fn_openapi_errors[i].help,
                    fn_openapi_errors[i].status == 429 ? "\"headers\":{" LIMIT_HEADERS "," LIMIT_HEADER("Retry-After") "}," : "");
    }

    fn_buf_adds(b, "},\"headers\":{");

    for (i = 0; i < N(fn_openapi_headers); i++) {
        fn_buf_addf(b, "%s\"%s\":{\"description\":\"%s\",\"schema\":{\"type\":\"%s\"}}", i ? "," : "", fn_openapi_headers[i].name,
                    fn_openapi_headers[i].help, fn_openapi_headers[i].type);
    }

    fn_buf_adds(b, "},\"schemas\":{");

    for (i = 0; i < N(fn_openapi_schemas); i++) {
        fn_buf_addf(b, "%s\"%s\":", i ? "," : "", fn_openapi_schemas[i].name);
        (void) fn_openapi_value(b, fn_openapi_schemas[i].schema);
    }

    fn_buf_adds(b, "}}");
}


/* 1 when an earlier row has the same path: its operations were written there. */

static int
fn_openapi_written(const fn_route_t *r)
{
    const fn_route_t  *before;

    for (before = fn_routes; before < r; before++) {
        if (strcmp(before->path, r->path) == 0) {
            return 1;
        }
    }

    return 0;
}


int
fn_openapi_write(fn_buf_t *b)
{
    const fn_route_t  *r, *same;

    fn_buf_adds(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"FitNudge API\",\"version\":\"1.0.0\","
                "\"description\":\"Goals, daily check-ins and messages that keep people going.\","
                "\"license\":{\"name\":\"MIT\",\"identifier\":\"MIT\"}},\"servers\":[{\"url\":\"/\"}],\"paths\":{");

    for (r = fn_routes; r->path != NULL; r++) {
        if (fn_openapi_written(r)) {
            continue;
        }

        fn_buf_addf(b, "%s\"%s\":{", r == fn_routes ? "" : ",", r->path);

        for (same = r; same->path != NULL; same++) {
            if (strcmp(same->path, r->path) == 0) {
                if (same != r) {
                    fn_buf_adds(b, ",");
                }
                fn_openapi_operation(b, same);
            }
        }

        fn_buf_adds(b, "}");
    }

    fn_buf_adds(b, "},");
    fn_openapi_components(b);
    fn_buf_adds(b, "}");

    return b->failed ? -1 : 0;
}
