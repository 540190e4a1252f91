/* The map of the module: configuration, per-request context and what the feature modules offer each other. */
#ifndef NGX_HTTP_FITNUDGE_H
#define NGX_HTTP_FITNUDGE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../worker/libfitnudge/fn_settings.h"
#include "../worker/libfitnudge/fn_jwt.h"
#include "../worker/libfitnudge/fn_query.h"
#include "../worker/libfitnudge/fn_jobs.h"
#include "fn_routes.h"
#include "ngx_fitnudge_op.h"
#include "ngx_fitnudge_redis_sentinel.h"

/* Main configuration, owned by the base module; const at request time. */
typedef struct {
    fn_settings_t       settings;           /* shared settings and the fitnudge_worker block; defaults already set */
    ngx_flag_t          worker_block;       /* a fitnudge_worker block was seen */

    ngx_addr_t          redis;              /* parsed from settings.redis, unless that names Sentinels */
    ngx_fitnudge_redis_sentinels_t  sentinels;
    ngx_msec_t          redis_timeout;      /* fitnudge_redis_timeout 1s */

    size_t              zone_size;          /* fitnudge_zone <size>, default 4m */
    ngx_shm_zone_t     *zone;

    ngx_flag_t          enabled;            /* some server has fitnudge on */
    fn_jwt_policy_t     jwt;                /* of our own tokens */
} ngx_http_fitnudge_main_conf_t;

typedef struct {
    ngx_flag_t          enable;             /* fitnudge on|off; http, server, location */
} ngx_http_fitnudge_loc_conf_t;

/* What became of the access token of a request, ctx->token. */
typedef enum {
    NGX_FITNUDGE_TOKEN_NONE = 0,        /* there is none, or the route asks for none */
    NGX_FITNUDGE_TOKEN_VALID,
    NGX_FITNUDGE_TOKEN_EXPIRED,
    NGX_FITNUDGE_TOKEN_REVOKED,
    NGX_FITNUDGE_TOKEN_BARRED,          /* its user is suspended or has left */
    NGX_FITNUDGE_TOKEN_INVALID,
    NGX_FITNUDGE_TOKEN_AMBIGUOUS,       /* several Authorization headers */
    NGX_FITNUDGE_TOKEN_UNDECIDED        /* its key or the revocations cannot be had now */
} ngx_http_fitnudge_token_e;


/* Per-request context of the base module; created on first use, survives internal redirects through r->main. */
typedef struct {
    fn_route_match_t    match;
    uint64_t            start_ns;           /* monotonic, when the header was read; 0: the request did not get as far */
    unsigned            matched:1;          /* match is filled */
    unsigned            authenticated:1;    /* claims are valid */
    unsigned            by_cookie:1;        /* the token came from the cookie */
    unsigned            answered:1;         /* we made the body: the error filter leaves it alone */
    unsigned            replace:1;          /* the error filter replaces the body */
    unsigned            replaced:1;         /* ... and has sent its own */
    unsigned            identified:1;       /* what follows from request headers is filled: nauthorization to accept */
    unsigned            nauthorization:2;   /* Authorization headers seen; 2 = several */
    unsigned            ntraceparent:2;     /* the same of traceparent */
    unsigned            norigin:2;          /* the same of Origin */
    unsigned            request_method:1;   /* Access-Control-Request-Method was seen */
    ngx_http_fitnudge_token_e  token;
    fn_jwt_claims_t     claims;             /* filled when authenticated */
    unsigned            keys_waiting:1;     /* parked until a key set was fetched */
    ngx_msec_t          keys_deadline;      /* for how long at most; 0: not yet */
    ngx_str_t           request_id;
    ngx_str_t           traceparent;        /* W3C Trace Context: the client's if valid, else made; never empty */
    ngx_str_t           origin;             /* as sent by a browser */
    ngx_str_t           accept;             /* first Accept header */
    ngx_str_t           match_uri;          /* what `match` was made from: a redirect makes it stale */
    ngx_uint_t          match_method;
    ngx_uint_t          err_status;
    const char         *err_field;          /* of an error that the filter is to render; static texts or NULL */
    const char         *err_constraint;
    const char         *err_message;
    const char         *cache_status;       /* HIT, MISS, ...; NULL: the cache had nothing to do with it */
    ngx_str_t           error_body;         /* of the error filter */
    unsigned            limit_status:3;     /* of the limit module: what it said of this request, once */
    unsigned            limit_class:3;      /* ... and the class that said it */
    ngx_uint_t          limit_remaining;
} ngx_http_fitnudge_ctx_t;

extern ngx_module_t  ngx_http_fitnudge_base_module;
/* also: _shm_, _redis_, _pg_, _error_, _headers_, _route_, _jwt_, _maintenance_, _query_, _forward_ (config lists them) */

ngx_http_fitnudge_main_conf_t *ngx_http_fitnudge_main_conf(ngx_http_request_t *r);  /* macro or function */
ngx_http_fitnudge_ctx_t *ngx_http_fitnudge_ctx(ngx_http_request_t *r);              /* NULL: no memory */
ngx_http_fitnudge_ctx_t *ngx_http_fitnudge_ctx_find(ngx_http_request_t *r);         /* NULL: there is none; makes none */

/* error module: sends the contract's error body. field/constraint/message may be NULL. Returns what a content handler returns
 * (use with ngx_http_finalize_request). status 401 adds WWW-Authenticate, 503 adds Retry-After. */
ngx_int_t ngx_http_fitnudge_error(ngx_http_request_t *r, ngx_uint_t status, const char *field,
    const char *constraint, const char *message);

/* The headers that belong to an error status: WWW-Authenticate, Allow, Retry-After; unless they are there already. */
ngx_int_t ngx_http_fitnudge_error_headers(ngx_http_request_t *r, ngx_uint_t status);

/*
 * For phases before content: notes why, and returns `status`, with which the phase handler returns; the error filter renders it.
 * The texts must be static.
 */
ngx_int_t ngx_http_fitnudge_reject(ngx_http_request_t *r, ngx_uint_t status, const char *field,
    const char *constraint, const char *message);

/* Sends a finished JSON body; body bytes must live as long as r->pool. etag!=0: strong ETag and If-None-Match. */
ngx_int_t ngx_http_fitnudge_send_json(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *body, ngx_uint_t etag);

/*
 * The same with everything named. A null etag: none. A null cache: no-store. type NULL: application/json.
 * Returns what a content handler returns.
 */
ngx_int_t ngx_http_fitnudge_send(ngx_http_request_t *r, ngx_uint_t status, const ngx_str_t *type,
    const ngx_str_t *body, const ngx_str_t *etag, const ngx_str_t *cache);

/* Writes the strong ETag of a body, NGX_FITNUDGE_ETAG_LEN bytes with its quotes. */
#define NGX_FITNUDGE_ETAG_LEN  18
void ngx_http_fitnudge_etag(u_char *etag, const u_char *p, size_t len);

/* Fills what the context takes from request headers: once a request, in one pass. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_fitnudge_identify(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx);

/*
 * A content handler that goes on later: takes a reference (take = 1) and watches for the client going away.
 * Exactly one ngx_http_finalize_request() has to follow.
 */
void ngx_http_fitnudge_park(ngx_http_request_t *r, ngx_uint_t take);

/* The request's place in the route table, made once for each URI it has. NULL: no memory. */
const fn_route_match_t *ngx_http_fitnudge_route_of(ngx_http_request_t *r);

/* Adds the Allow header of the matched path. */
ngx_int_t ngx_http_fitnudge_allow(ngx_http_request_t *r);

/* NGX_OK when X-CSRF-Token equals its cookie and carries our signature, else NGX_DECLINED. */
ngx_int_t ngx_http_fitnudge_csrf_check(ngx_http_request_t *r);

/*
 * Path and query parameters of the request as SQL text, values[i] for route->params[i]. They live in r->pool.
 * NGX_OK; or an error was sent and its result is returned through *rc (NGX_DECLINED).
 */
ngx_int_t ngx_http_fitnudge_params(ngx_http_request_t *r, const fn_route_match_t *m,
    const char **values, ngx_int_t *rc);

/* Adds a response header; the value must live as long as r->pool. */
ngx_int_t ngx_http_fitnudge_header(ngx_http_request_t *r, const char *name, const u_char *value, size_t len);

/* Cookie value by name, or NGX_DECLINED. Works before and after nginx 1.23. */
ngx_int_t ngx_http_fitnudge_cookie(ngx_http_request_t *r, const char *name, ngx_str_t *value);
/* Request header by lower-case name, NULL when absent. */
ngx_table_elt_t *ngx_http_fitnudge_find_header(ngx_http_request_t *r, const char *name);

/*
 * Queues a job for which nobody waits, with the route's validated parameters (or NULL) and a body: a note beside an answer that must
 * not depend on it. When it cannot be queued it is lost.
 */
void ngx_http_fitnudge_tell(ngx_http_request_t *r, const char *job, const char *const *values, const char *body);
/*
 * The same, but done() is called when Redis has answered (rc and reply as of ngx_fitnudge_redis_command()): for what may only be answered
 * once it is on record. NGX_OK, or else done() is not called.
 */
ngx_int_t ngx_http_fitnudge_tell_first(ngx_http_request_t *r, const char *job, const char *body, ngx_fitnudge_op_pt done, void *data);

/* Answers a POST of an unsubscribe link that has been done. */
ngx_int_t ngx_http_fitnudge_mail_unsubscribed(ngx_http_request_t *r);
/* What Accept-Language likes best: an index of fn_languages, or -1. */
int ngx_http_fitnudge_language(ngx_http_request_t *r);

/* content handlers, called by the route module's dispatcher */
ngx_int_t ngx_http_fitnudge_query_handler(ngx_http_request_t *r);       /* FN_READ */
ngx_int_t ngx_http_fitnudge_forward_handler(ngx_http_request_t *r);     /* FN_WRITE */
ngx_int_t ngx_http_fitnudge_job_handler(ngx_http_request_t *r);         /* FN_LOCAL "job", lives in forward */
ngx_int_t ngx_http_fitnudge_csrf_handler(ngx_http_request_t *r);        /* FN_LOCAL "csrf", lives in jwt */
ngx_int_t ngx_http_fitnudge_jwks_handler(ngx_http_request_t *r);        /* FN_LOCAL "jwks", lives in jwt */
ngx_int_t ngx_http_fitnudge_health_handler(ngx_http_request_t *r);      /* FN_LOCAL health, live, ready */
ngx_int_t ngx_http_fitnudge_i18n_handler(ngx_http_request_t *r);        /* FN_LOCAL "i18n" */
ngx_int_t ngx_http_fitnudge_languages_handler(ngx_http_request_t *r);   /* FN_LOCAL "languages" */
ngx_int_t ngx_http_fitnudge_openapi_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_fitnudge_mail_open_handler(ngx_http_request_t *r);   /* FN_LOCAL mail_*, in mail */
ngx_int_t ngx_http_fitnudge_mail_click_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_fitnudge_mail_unsubscribe_handler(ngx_http_request_t *r);

#endif
