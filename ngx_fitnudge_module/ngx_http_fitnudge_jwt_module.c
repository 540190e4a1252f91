/*
 * Who is asking: verifies access tokens in the preaccess phase, before the limits, and in the access phase refuses
 * those who may not, and those who come with cookies without their CSRF token.  Routes for anyone are let through unread.
 * Keys are the business of ngx_http_fitnudge_jwks.c, revocations that of the shared memory.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_shm.h"
#include "ngx_http_fitnudge_jwks.h"
#include "fn_access.h"
#include "fn_token_cache.h"
#include "../worker/libfitnudge/fn_key_pair.h"

#include <sys/random.h>

#include <openssl/crypto.h>


#define CACHE_MAX       65536
#define CACHED_MAX      2048            /* bytes of a token that is worth its place */
#define REQUIRED_MAX    8
#define CLAIM_VARIABLE  "fitnudge_claim_"


typedef struct {
    ngx_array_t         sources;        /* of ngx_http_fitnudge_jwks_source_t */
    ngx_shm_zone_t     *zone;           /* of fetched key sets; NULL: none are fetched */
    time_t              leeway;         /* s */
    const char         *required[REQUIRED_MAX + 1];     /* ends with NULL */
    ngx_uint_t          nrequired;
    ngx_int_t           cache;          /* entries */
    ngx_msec_t          stale;          /* 0: revocations may be as old as they are */
    fn_jwt_trust_t      own;            /* keys of our own tokens */
    ngx_str_t           published;      /* their public parts, a JSON Web Key Set */
} ngx_http_fitnudge_jwt_conf_t;


static ngx_int_t ngx_http_fitnudge_jwt_identify(ngx_http_request_t *r);
static ngx_http_fitnudge_token_e ngx_http_fitnudge_jwt_judge(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    const ngx_str_t *token);
static ngx_http_fitnudge_token_e ngx_http_fitnudge_jwt_refuse(ngx_http_request_t *r, fn_jwt_e e);
static ngx_http_fitnudge_token_e ngx_http_fitnudge_jwt_verify(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    const ngx_str_t *token, const fn_jwt_trust_t *trusts, ngx_uint_t n, fn_jwt_e *e);
static void ngx_http_fitnudge_jwt_woken(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_jwt_authorize(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_jwt_token(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx,
    ngx_str_t *token);
static ngx_int_t ngx_http_fitnudge_jwt_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_fitnudge_jwt_add_variables(ngx_conf_t *cf);
static void *ngx_http_fitnudge_jwt_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_jwt_jwks(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_jwt_leeway(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_jwt_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_jwt_stale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_fitnudge_jwt_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_jwt_init_keys(ngx_conf_t *cf, ngx_http_fitnudge_jwt_conf_t *conf, char *pem);
static void ngx_http_fitnudge_jwt_free_keys(void *data);
static ngx_int_t ngx_http_fitnudge_jwt_init_process(ngx_cycle_t *cycle);
static void ngx_http_fitnudge_jwt_exit_process(ngx_cycle_t *cycle);


/* of this process */
static fn_token_cache_t  *ngx_http_fitnudge_jwt_cache;


static ngx_conf_num_bounds_t  ngx_http_fitnudge_jwt_cache_bounds = { ngx_conf_check_num_bounds, 0, CACHE_MAX };

static ngx_command_t  ngx_http_fitnudge_jwt_commands[] = {

    { ngx_string("fitnudge_jwks"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_jwt_jwks,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_jwt_leeway"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_jwt_leeway,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_jwt_conf_t, leeway),
      NULL },

    { ngx_string("fitnudge_jwt_require"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_jwt_require,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_jwt_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_jwt_conf_t, cache),
      &ngx_http_fitnudge_jwt_cache_bounds },

    { ngx_string("fitnudge_revocation_stale"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_jwt_stale,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_jwt_conf_t, stale),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_fitnudge_jwt_module_ctx = {
    ngx_http_fitnudge_jwt_add_variables,   /* preconfiguration */
    ngx_http_fitnudge_jwt_init,            /* postconfiguration */

    ngx_http_fitnudge_jwt_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_jwt_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_jwt_module_ctx,     /* module context */
    ngx_http_fitnudge_jwt_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_fitnudge_jwt_init_process,    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_fitnudge_jwt_exit_process,    /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* PREACCESS, before the limits: who it is.  A token that is not good is only noted; the limits then count the address. */

static ngx_int_t
ngx_http_fitnudge_jwt_identify(ngx_http_request_t *r)
{
    ngx_str_t                            token;
    const fn_route_match_t              *m;
    ngx_http_fitnudge_ctx_t             *ctx;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    static const ngx_fitnudge_counter_e  counters[] = {
        NGX_FITNUDGE_M_N, NGX_FITNUDGE_M_TOKENS_VALID, NGX_FITNUDGE_M_TOKENS_EXPIRED, NGX_FITNUDGE_M_TOKENS_REVOKED,
        NGX_FITNUDGE_M_TOKENS_BARRED, NGX_FITNUDGE_M_TOKENS_INVALID, NGX_FITNUDGE_M_TOKENS_INVALID, NGX_FITNUDGE_M_TOKENS_UNDECIDED
    };

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL || ngx_http_fitnudge_identify(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* a stray event runs the phase again */
    if (ctx->keys_waiting) {
        return NGX_AGAIN;
    }

    ctx->authenticated = 0;
    ctx->by_cookie = 0;
    ctx->token = NGX_FITNUDGE_TOKEN_NONE;

    if (m->route == NULL || m->route->who == FN_ANYONE || ngx_http_fitnudge_jwt_token(r, ctx, &token) != NGX_OK) {
        return NGX_DECLINED;
    }

    ctx->token = ngx_http_fitnudge_jwt_judge(r, ctx, &token);

    if (ctx->keys_waiting) {
        return NGX_AGAIN;
    }

    ngx_fitnudge_count(counters[ctx->token], 1);
    ctx->authenticated = ctx->token == NGX_FITNUDGE_TOKEN_VALID;

    return NGX_DECLINED;
}


/* What becomes of a token; its claims are in the context when it is valid.  Or keys_waiting is set: nothing yet. */

static ngx_http_fitnudge_token_e
ngx_http_fitnudge_jwt_judge(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx, const ngx_str_t *token)
{
    fn_jwt_e                             e;
    uint64_t                             generation;
    ngx_uint_t                           n;
    const fn_jwt_trust_t                *trusts;
    const fn_jwt_claims_t               *known;
    ngx_http_fitnudge_token_e            result;
    const ngx_http_fitnudge_jwt_conf_t  *conf;

    conf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_jwt_module);

    n = ngx_http_fitnudge_jwks_trusts(&trusts, &generation);

    known = ngx_http_fitnudge_jwt_cache == NULL ? NULL
            : fn_token_cache_find(ngx_http_fitnudge_jwt_cache, (char *) token->data, token->len, generation);

    if (known != NULL) {
        ctx->claims = *known;
        e = fn_jwt_times(known, (unsigned) conf->leeway, ngx_time());

    } else {
        result = ngx_http_fitnudge_jwt_verify(r, ctx, token, trusts, n, &e);

        if (result != NGX_FITNUDGE_TOKEN_VALID) {
            return result;
        }

        if (e == FN_JWT_OK && token->len <= CACHED_MAX && ngx_http_fitnudge_jwt_cache != NULL) {
            fn_token_cache_add(ngx_http_fitnudge_jwt_cache, (char *) token->data, token->len, generation, &ctx->claims);
        }
    }

    if (e == FN_JWT_EXPIRED) {
        return NGX_FITNUDGE_TOKEN_EXPIRED;
    }

    if (e != FN_JWT_OK) {
        return ngx_http_fitnudge_jwt_refuse(r, e);
    }

    if (ngx_fitnudge_shm_revoked(&ctx->claims, ngx_time())) {
        return NGX_FITNUDGE_TOKEN_REVOKED;
    }

    if (ngx_fitnudge_shm_barred(&ctx->claims, ngx_time())) {
        return NGX_FITNUDGE_TOKEN_BARRED;
    }

    if (conf->stale != 0 && ngx_fitnudge_shm_stale(conf->stale)) {
        return NGX_FITNUDGE_TOKEN_UNDECIDED;
    }

    if (known != NULL) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_CACHED, 1);
    }

    return NGX_FITNUDGE_TOKEN_VALID;
}


static ngx_http_fitnudge_token_e
ngx_http_fitnudge_jwt_refuse(ngx_http_request_t *r, fn_jwt_e e)
{
    static const ngx_fitnudge_counter_e  reasons[] = {
        [FN_JWT_MALFORMED] = NGX_FITNUDGE_M_TOKENS_MALFORMED,
        [FN_JWT_ALGORITHM] = NGX_FITNUDGE_M_TOKENS_ALGORITHM,
        [FN_JWT_SIGNATURE] = NGX_FITNUDGE_M_TOKENS_SIGNATURE,
        [FN_JWT_NOT_YET] = NGX_FITNUDGE_M_TOKENS_NOT_YET,
        [FN_JWT_CLAIMS] = NGX_FITNUDGE_M_TOKENS_CLAIMS,
        [FN_JWT_KEY] = NGX_FITNUDGE_M_TOKENS_KEY,
        [FN_JWT_TYPE] = NGX_FITNUDGE_M_TOKENS_TYPE
    };

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "fitnudge: access token refused: %s", fn_jwt_strerror(e));
    ngx_fitnudge_count(reasons[e], 1);

    return NGX_FITNUDGE_TOKEN_INVALID;
}


/* Without what was known of it. VALID: *e says whether it is. */

static ngx_http_fitnudge_token_e
ngx_http_fitnudge_jwt_verify(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx, const ngx_str_t *token,
    const fn_jwt_trust_t *trusts, ngx_uint_t n, fn_jwt_e *e)
{
    fn_jwt_t  t;

    *e = fn_jwt_open(&t, (char *) token->data, token->len);

    if (*e == FN_JWT_OK) {
        *e = fn_jwt_accept(&ctx->claims, &t, trusts, n, ngx_time());
        ngx_fitnudge_count(NGX_FITNUDGE_M_TOKENS_VERIFIED, 1);
    }

    if (*e != FN_JWT_KEY) {
        return NGX_FITNUDGE_TOKEN_VALID;
    }

    switch (ngx_http_fitnudge_jwks_wait(r, &t, &ctx->keys_deadline, ngx_http_fitnudge_jwt_woken)) {

    case NGX_AGAIN:
        ctx->keys_waiting = 1;
        return NGX_FITNUDGE_TOKEN_NONE;

    case NGX_ERROR:
        return NGX_FITNUDGE_TOKEN_UNDECIDED;

    default:
        return NGX_FITNUDGE_TOKEN_VALID;
    }
}


static void
ngx_http_fitnudge_jwt_woken(ngx_http_request_t *r)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    ctx->keys_waiting = 0;
}


/* ACCESS: whether it may. */

static ngx_int_t
ngx_http_fitnudge_jwt_authorize(ngx_http_request_t *r)
{
    const char                          *refused;
    const fn_route_match_t              *m;
    ngx_http_fitnudge_ctx_t             *ctx;
    const ngx_http_fitnudge_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_base_module);

    if (!flcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    m = ngx_http_fitnudge_route_of(r);
    ctx = ngx_http_fitnudge_ctx(r);

    if (m == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (m->route == NULL || m->route->who == FN_ANYONE) {
        return NGX_DECLINED;
    }

    switch (ctx->token) {

    case NGX_FITNUDGE_TOKEN_VALID:
        break;

    case NGX_FITNUDGE_TOKEN_AMBIGUOUS:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, "Authorization", "duplicate_field",
                                        "Only one Authorization header is allowed.");

    case NGX_FITNUDGE_TOKEN_EXPIRED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "expired",
                                        "The access token has expired.");

    case NGX_FITNUDGE_TOKEN_REVOKED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "revoked",
                                        "The session has ended; sign in again.");

    case NGX_FITNUDGE_TOKEN_BARRED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_FORBIDDEN, NULL, "suspended",
                                        "This account is suspended or closed.");

    case NGX_FITNUDGE_TOKEN_INVALID:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "invalid",
                                        "The access token is not valid.");

    case NGX_FITNUDGE_TOKEN_UNDECIDED:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, "token",
                                        "The access token cannot be checked now; try again soon.");

    default:
        return ngx_http_fitnudge_reject(r, NGX_HTTP_UNAUTHORIZED, NULL, "required", NULL);
    }

    refused = fn_access_refused(m->route->who, &ctx->claims);

    if (refused != NULL) {
        return ngx_http_fitnudge_reject(r, NGX_HTTP_FORBIDDEN, NULL, refused,
                                        m->route->who == FN_PAID ? "This is part of the plans Pro and Elite." : NULL);
    }

    if (ctx->by_cookie && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS))
        && ngx_http_fitnudge_csrf_check(r) != NGX_OK)
    {
        return ngx_http_fitnudge_reject(r, NGX_HTTP_FORBIDDEN, NULL, "csrf",
                                        "X-CSRF-Token is missing or does not match its cookie.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_jwt_token(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx, ngx_str_t *token)
{
    u_char  *p, *last;

    /* two of them: who is meant is anybody's guess, and proxies guess differently */
    if (ctx->nauthorization > 1) {
        ctx->token = NGX_FITNUDGE_TOKEN_AMBIGUOUS;
        return NGX_DECLINED;
    }

    if (ctx->nauthorization == 1 && r->headers_in.authorization != NULL) {
        p = r->headers_in.authorization->value.data;
        last = p + r->headers_in.authorization->value.len;

        if (last - p > 7 && ngx_strncasecmp(p, (u_char *) "Bearer ", 7) == 0) {
            p += 7;

            while (p < last && *p == ' ') {
                p++;
            }

            token->data = p;
            token->len = last - p;

            return NGX_OK;
        }
    }

    if (ngx_http_fitnudge_cookie(r, "access_token", token) == NGX_OK && token->len > 0) {
        ctx->by_cookie = 1;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* Whoever verifies our tokens elsewhere asks for this. A shared secret is no public key: then there is none to give. */

ngx_int_t
ngx_http_fitnudge_jwks_handler(ngx_http_request_t *r)
{
    ngx_str_t                            body;
    const ngx_http_fitnudge_jwt_conf_t  *conf;

    static const ngx_str_t  cache = ngx_string("public, max-age=300");

    conf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_jwt_module);
    body = conf->published;

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, NULL, &body, NULL, &cache);
}


/* --- variables ---------------------------------------------------------- */

/* $fitnudge_claim_<name>: of a token that was accepted. Names of claims may be in capitals, those of variables are not. */

static ngx_int_t
ngx_http_fitnudge_jwt_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                      i;
    fn_buf_t                    b = FN_BUF_INIT;
    ngx_str_t                   name, token;
    const char                 *text;
    ngx_http_fitnudge_ctx_t    *ctx;
    const fn_jwt_claims_t      *c;

    name = *(ngx_str_t *) data;
    name.data += sizeof(CLAIM_VARIABLE) - 1;
    name.len -= sizeof(CLAIM_VARIABLE) - 1;

    ctx = ngx_http_fitnudge_ctx(r);

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->len = 0;

    if (ctx == NULL || !ctx->authenticated || name.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    c = &ctx->claims;

    {
        const struct { const char *name, *text; }  known[] = {
            { "sub", c->sub }, { "role", c->role }, { "plan", c->plan }, { "session_id", c->session_id }, { "jti", c->jti }
        };

        for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (ngx_strlen(known[i].name) == name.len && ngx_memcmp(known[i].name, name.data, name.len) == 0) {
                text = known[i].text;
                v->data = (u_char *) text;
                v->len = ngx_strlen(text);
                v->not_found = v->len == 0;
                return NGX_OK;
            }
        }
    }

    /* another one is rare, and read again */
    if (ngx_http_fitnudge_jwt_token(r->main, ctx, &token) != NGX_OK
        || fn_jwt_claim(&b, (char *) token.data, token.len, (char *) name.data, name.len) != 0)
    {
        fn_buf_free(&b);
        v->not_found = 1;
        return NGX_OK;
    }

    /* what goes into headers and logs must not end them */
    for (i = 0; i < b.len; i++) {
        if ((u_char) b.data[i] < 0x20 || b.data[i] == 0x7f) {
            fn_buf_free(&b);
            v->not_found = 1;
            return NGX_OK;
        }
    }

    v->data = ngx_pnalloc(r->pool, b.len);

    if (v->data == NULL) {
        fn_buf_free(&b);
        return NGX_ERROR;
    }

    ngx_memcpy(v->data, b.data, b.len);
    v->len = b.len;
    fn_buf_free(&b);

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_jwt_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    static ngx_http_variable_t  prefix = {
        ngx_string("fitnudge_claim_"), NULL, ngx_http_fitnudge_jwt_variable, 0, NGX_HTTP_VAR_PREFIX|NGX_HTTP_VAR_NOCACHEABLE, 0
    };

    var = ngx_http_add_variable(cf, &prefix.name, prefix.flags);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = prefix.get_handler;

    return NGX_OK;
}


/* --- configuration ------------------------------------------------------ */

static void *
ngx_http_fitnudge_jwt_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_jwt_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_jwt_conf_t));

    if (conf == NULL
        || ngx_array_init(&conf->sources, cf->pool, NGX_HTTP_FITNUDGE_JWKS_MAX, sizeof(ngx_http_fitnudge_jwks_source_t))
           != NGX_OK)
    {
        return NULL;
    }

    conf->leeway = NGX_CONF_UNSET;
    conf->cache = NGX_CONF_UNSET;
    conf->stale = NGX_CONF_UNSET_MSEC;

    return conf;
}


static char *
ngx_http_fitnudge_jwt_jwks(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_fitnudge_jwt_conf_t     *jcf = conf;
    ngx_http_fitnudge_jwks_source_t  *source;

    (void) cmd;

    if (jcf->sources.nelts == NGX_HTTP_FITNUDGE_JWKS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "there may be at most %d \"fitnudge_jwks\"", NGX_HTTP_FITNUDGE_JWKS_MAX);
        return NGX_CONF_ERROR;
    }

    /* the array never grows: processes keep pointers into it */
    source = ngx_array_push(&jcf->sources);
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_fitnudge_jwks_source_t));

    return ngx_http_fitnudge_jwks_configure(cf, source, jcf->sources.nelts);
}


static char *
ngx_http_fitnudge_jwt_leeway(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                          *rv;
    ngx_http_fitnudge_jwt_conf_t  *jcf = conf;

    rv = ngx_conf_set_sec_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && jcf->leeway > 300) {
        return "must be from 0s to 5m";
    }

    return rv;
}


static char *
ngx_http_fitnudge_jwt_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_fitnudge_jwt_conf_t  *jcf = conf;

    (void) cmd;

    if (jcf->nrequired) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts - 1 > REQUIRED_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "there may be at most %d claims in \"fitnudge_jwt_require\"", REQUIRED_MAX);
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        if (value[i].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "a claim in \"fitnudge_jwt_require\" is empty");
            return NGX_CONF_ERROR;
        }

        jcf->required[jcf->nrequired++] = (char *) value[i].data;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_jwt_stale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                          *rv;
    ngx_str_t                     *value;
    ngx_http_fitnudge_jwt_conf_t  *jcf = conf;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        if (jcf->stale != NGX_CONF_UNSET_MSEC) {
            return "is duplicate";
        }

        jcf->stale = 0;
        return NGX_CONF_OK;
    }

    rv = ngx_conf_set_msec_slot(cf, cmd, conf);

    /* Redis is heard from every few seconds */
    if (rv == NGX_CONF_OK && (jcf->stale < 10 * 1000 || jcf->stale > 86400 * 1000)) {
        return "must be off, or from 10s to 1d";
    }

    return rv;
}


static ngx_int_t
ngx_http_fitnudge_jwt_init(ngx_conf_t *cf)
{
    ngx_uint_t                              i;
    ngx_http_handler_pt                    *h;
    ngx_http_core_main_conf_t              *cmcf;
    ngx_http_fitnudge_jwt_conf_t           *conf;
    ngx_http_fitnudge_main_conf_t          *fmcf;
    const ngx_http_fitnudge_jwks_source_t  *sources;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_jwt_module);

    ngx_conf_init_value(conf->leeway, 5);
    ngx_conf_init_value(conf->cache, 4096);
    ngx_conf_init_msec_value(conf->stale, 0);

    /* the base module has seen to it that there is a secret */
    fmcf->jwt.key = fmcf->settings.jwt_secret;
    fmcf->jwt.key_len = ngx_strlen(fmcf->settings.jwt_secret);
    fmcf->jwt.issuer = fmcf->settings.jwt_issuer;
    fmcf->jwt.audience = fmcf->settings.jwt_audience;
    fmcf->jwt.leeway_s = (unsigned) conf->leeway;
    fmcf->jwt.required = conf->nrequired ? conf->required : NULL;

    conf->own.policy = fmcf->jwt;
    ngx_str_set(&conf->published, "{\"keys\":[]}");

    if (fmcf->settings.jwt_keys != NULL && ngx_http_fitnudge_jwt_init_keys(cf, conf, fmcf->settings.jwt_keys) != NGX_OK) {
        return NGX_ERROR;
    }

    sources = conf->sources.elts;

    for (i = 0; i < conf->sources.nelts; i++) {
        if (sources[i].conf_ctx != NULL && conf->zone == NULL) {
            conf->zone = ngx_http_fitnudge_jwks_add_zone(cf);

            if (conf->zone == NULL) {
                return NGX_ERROR;
            }
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_jwt_identify;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_fitnudge_jwt_authorize;

    return NGX_OK;
}


/* The edge signs nothing: it keeps the public parts only, and forgets the others before a process is made. */

static ngx_int_t
ngx_http_fitnudge_jwt_init_keys(ngx_conf_t *cf, ngx_http_fitnudge_jwt_conf_t *conf, char *pem)
{
    fn_buf_t             b = FN_BUF_INIT;
    ngx_int_t            rc;
    ngx_str_t            text;
    fn_jwks_t           *pairs;
    const char          *err;
    ngx_pool_cleanup_t  *cln;

    pairs = fn_key_pairs_parse(pem, &err);
    ngx_explicit_memzero(pem, ngx_strlen(pem));

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    rc = NGX_ERROR;

    if (pairs != NULL && cln != NULL && fn_key_pairs_publish(&b, pairs) == 0) {
        text.len = b.len;
        text.data = (u_char *) b.data;

        conf->published.len = b.len;
        conf->published.data = ngx_pstrdup(cf->pool, &text);
        conf->own.keys = fn_jwks_parse(b.data, b.len, FN_JWKS_PUBLIC, &err);

        if (conf->own.keys != NULL) {
            cln->handler = ngx_http_fitnudge_jwt_free_keys;
            cln->data = (void *) conf->own.keys;

            rc = conf->published.data != NULL && conf->own.keys->n == pairs->n ? NGX_OK : NGX_ERROR;
        }
    }

    if (rc != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge_jwt_keys\" cannot be used: %s", err != NULL ? err : "no memory");
    }

    fn_jwks_free(pairs);
    fn_buf_free(&b);

    return rc;
}


static void
ngx_http_fitnudge_jwt_free_keys(void *data)
{
    fn_jwks_free(data);
}


static ngx_int_t
ngx_http_fitnudge_jwt_init_process(ngx_cycle_t *cycle)
{
    uint64_t                              seed;
    const ngx_http_fitnudge_jwt_conf_t   *conf;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    if (fmcf == NULL || !fmcf->enabled) {
        return NGX_OK;
    }

    conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_jwt_module);

    ngx_http_fitnudge_jwks_start(conf->zone, conf->sources.elts, conf->sources.nelts, &conf->own);

    if (conf->cache > 0) {
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t) sizeof(seed)) {
            return NGX_ERROR;
        }

        ngx_http_fitnudge_jwt_cache = fn_token_cache_create((unsigned) conf->cache, seed);
        if (ngx_http_fitnudge_jwt_cache == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_fitnudge_jwt_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    fn_token_cache_free(ngx_http_fitnudge_jwt_cache);
    ngx_http_fitnudge_jwt_cache = NULL;
}
