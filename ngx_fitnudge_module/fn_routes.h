/*
 * The route table: one row an endpoint, and the only place where an endpoint is described. Routing,
 * validation, caching, SQL statements of reads, jobs of writes and the OpenAPI document
 * follow from it. No nginx types here, so that tests can walk it.
 */
#ifndef FN_ROUTES_H
#define FN_ROUTES_H

#include "fn_field.h"
#include "fn_envelope.h"

typedef enum { FN_GET = 0, FN_POST, FN_PUT, FN_PATCH, FN_DELETE, FN_METHODS } fn_method_e;
extern const char *const fn_method_names[];

typedef enum {
    FN_READ,        /* function: SQL function in schema api; $1 = user id, then path and query parameters in order */
    FN_WRITE,       /* function: name of a job (fn_jobs.h) */
    FN_LOCAL        /* function: name of a handler in the edge, in ngx_http_fitnudge_route_module.c */
} fn_kind_e;

/* PAID: a plan of pro or elite; STAFF: a role of admin, support or super_admin (fn_access.h) */
typedef enum { FN_ANYONE, FN_USER, FN_PAID, FN_STAFF } fn_who_e;
typedef enum { FN_LIMIT_NONE, FN_LIMIT_ANONYMOUS, FN_LIMIT_USER, FN_LIMIT_AI, FN_LIMIT_AUTH, FN_LIMIT_UPLOAD } fn_limit_e;

#define FN_R_IF_MATCH     0x01      /* honours If-Match */
#define FN_R_TOKEN        0x02      /* the refresh token may come from its cookie */
#define FN_R_COOKIES      0x04      /* X-Auth-Mode: cookie makes the answer set cookies */

#define FN_R_REPLICA      0x08      /* a read replica may answer while its lag is small */
#define FN_R_SLOW         0x10      /* goes over the connections of slow statements */
#define FN_R_URLS         0x20      /* SQL names objects in the storage: their addresses are signed on the way out (fn_r2.h) */
#define FN_R_SEALED       0x40      /* a signature says who sends it: the job's body is made by ngx_http_fitnudge_sealed.c */
#define FN_R_PAGE         0x80      /* a success is no JSON: `response` is its media type, and Accept is not asked */
#define FN_R_DOWNLOAD     0x100     /* a file to be kept: Content-Disposition */
#define FN_R_TOLD         0x200     /* each answer is told to the pool: the job that has the function's name; not with a cache */
#define FN_R_AUDITED      0x800     /* the same, and nothing is answered before Redis has the job */
#define FN_R_RECORDED     0x400     /* a search: after the answer the job search.record notes what was asked, and how much was found */

/* Who shares a cached answer. */
typedef enum { FN_CACHE_NONE, FN_CACHE_USER, FN_CACHE_PUBLIC } fn_cache_scope_e;

/*
 * How an answer is cached. It is valid while no tag's generation has changed, for ttl_s at most. `tags` are separated by
 * blanks; "@" stands for the caller's user id, "{name}" for a path parameter: "goals:@", "users:{id}". A tag after "~" is one that
 * everybody bumps all the time: an answer stays valid for FN_CACHE_LAG_S after it was made, whatever becomes of that tag.
 */
#define FN_CACHE_LAG_S  5

typedef struct {
    fn_cache_scope_e    scope;
    unsigned            ttl_s;
    const char         *tags;
} fn_cache_policy_t;

typedef struct {
    fn_method_e         method;
    const char         *path;       /* "/api/v1/goals/{id}": {name} matches one non-empty segment, or its part before a suffix */
    fn_kind_e           kind;
    fn_who_e            who;
    fn_limit_e          limit;
    const char         *function;
    const fn_field_t   *params;     /* path parameters (FN_F_PATH) in order, then query; or NULL */
    const fn_field_t   *body;       /* NULL: no body is accepted */
    unsigned            status;     /* of success */
    unsigned            flags;
    fn_cache_policy_t   cache;
    const char         *tag;        /* OpenAPI: section */
    const char         *response;   /* OpenAPI: name of the schema of a success in fn_openapi.c, or NULL when empty */
    const char         *summary;
} fn_route_t;

extern const fn_route_t fn_routes[];    /* ends with path NULL */
extern const unsigned fn_routes_n;

#define FN_PATH_PARAMS_MAX  4

typedef struct {
    const fn_route_t   *route;          /* NULL: no such path, or not this method */
    unsigned            allowed;        /* bit set of methods (1 << fn_method_e) the path knows; 0: no such path */
    unsigned            nparams;
    fn_span_t           params[FN_PATH_PARAMS_MAX];     /* raw path segments, in order */
} fn_route_match_t;

/* `path` is nginx's normalised r->uri; method FN_METHODS = another one. HEAD is given as FN_GET. No allocation. */
void fn_route_match(fn_route_match_t *m, fn_method_e method, const char *path, size_t len);

#define FN_TAG_MAX  256

/*
 * The next tag of *tags, which moves on. `values` are those of route->params, validated. Its length, not terminated; 0: there is
 * no further one; -1: a value it needs is missing, or it is too long.
 */
int fn_route_tag(const fn_route_t *route, const char **tags, const char *user, const char *const *values, char tag[FN_TAG_MAX]);

/* Whether the next tag of `tags` comes after "~". */
int fn_route_tag_lags(const char *tags);

/* Appends the OpenAPI 3.1 document of the table. 0 or -1. */
int fn_openapi_write(fn_buf_t *b);

#endif
