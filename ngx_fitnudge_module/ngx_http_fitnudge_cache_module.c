/*
 * The response cache (docs/internals.md): entries are valid while the generations of their tags are what they were before the question
 * was asked, and no longer than the route's ttl.
 *
 * Whoever misses joins the flight of the key: one question to PostgreSQL a process and key, whose answer goes to all who wait.  A flight
 * belongs to no request, so that a client that goes away takes nothing from the others.  Nobody joins a flight that
 * set off before a change he may know of: then the generations differ, and another one sets off.
 *
 * What was not heard cannot be known: without the change subscription of this process nothing is served as fresh, and nothing is stored.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <brotli/encode.h>
#include <zlib.h>

#include "fn_accept.h"
#include "ngx_http_fitnudge_cache.h"
#include "ngx_http_fitnudge_query.h"
#include "ngx_fitnudge_cache_shared.h"
#include "ngx_fitnudge_cache_zone.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_redis.h"
#include "ngx_fitnudge_shm.h"


#define ZONE_SIZE       (32 * 1024 * 1024)
#define ZONE_MAX        (1024 * 1024 * 1024)
#define BODY_MAX        (64 * 1024)             /* default of fitnudge_cache_max_body */
#define BODY_LIMIT      (1024 * 1024)
#define GZIP_MIN        1024                    /* default of fitnudge_cache_gzip_min_length */
#define GZIP_MAX        (64 * 1024)             /* compressing more would hold up the event loop */
#define GZIP_LEVEL      4
#define BROTLI_QUALITY  4
#define BROTLI_WINDOW   16                      /* bits: 64 KB */
#define STALE_MAX       (24 * 3600)             /* s */
#define EVICTIONS       64                      /* for one new entry; at the price of one lock */
#define FLIGHTS         1024                    /* buckets, a power of 2 */


typedef struct {
    size_t                        zone_size;
    ngx_fitnudge_cache_zones_t    zones;
} ngx_http_fitnudge_cache_main_conf_t;


typedef struct {
    ngx_flag_t                    enable;
    size_t                        max_body;
    size_t                        gzip_min;                 /* 0: no compressed variants */
    ngx_flag_t                    brotli;
    time_t                        stale_revalidate;
    time_t                        stale_error;
} ngx_http_fitnudge_cache_loc_conf_t;


/* What is asked, and for whom the answer may be used. Everything needed after the request has gone. */
typedef struct {
    uint64_t                      hash;
    size_t                        key_len;
    uint64_t                      generation[FN_CACHE_TAGS];
    ngx_uint_t                    lags;             /* bit n: others may see what tag n tells FN_CACHE_LAG_S later */
    u_char                        key[FN_CACHE_KEY_MAX];
} ngx_http_fitnudge_cache_key_t;


typedef struct {
    ngx_queue_t                              queue;         /* in its bucket */
    ngx_queue_t                              waiters;
    ngx_http_fitnudge_cache_key_t            key;
    const fn_route_t                        *route;
    const ngx_http_fitnudge_cache_main_conf_t  *cmcf;
    size_t                                   max_body;
    unsigned                                 joinable:1;    /* in the table */
    unsigned                                 store:1;       /* the subscription stood when it set off */

    /* when Redis is asked first: what PostgreSQL is to be asked after it, for requests that may have gone */
    ngx_msec_t                               timeout;       /* of Redis */
    ngx_fitnudge_pg_target_e                 target;
    ngx_int_t                                statement;
    ngx_uint_t                               n;
    const char                              *values[NGX_FITNUDGE_PG_PARAMS];
    ngx_fitnudge_cache_shared_t              shared;
    u_char                                   texts[];       /* of the values */
} ngx_http_fitnudge_cache_flight_t;


typedef struct {
    ngx_queue_t                              queue;
    ngx_http_request_t                      *request;
    ngx_http_cleanup_t                      *cleanup;
    unsigned                                 collapsed:1;   /* it waits for the question of another */
} ngx_http_fitnudge_cache_waiter_t;


/* A copy out of shared memory. */
typedef struct {
    fn_cache_meta_t               meta;
    ngx_str_t                     body;
    const char                   *coding;           /* gzip, br, or NULL */
    ngx_uint_t                    valid;            /* nothing has changed that must be seen */
    uint64_t                      age_ms;
} ngx_http_fitnudge_cache_hit_t;


static ngx_int_t ngx_http_fitnudge_cache_key(ngx_http_fitnudge_cache_key_t *key, const ngx_http_fitnudge_question_t *q);
static ngx_int_t ngx_http_fitnudge_cache_generations(ngx_http_fitnudge_cache_key_t *key, const ngx_http_fitnudge_question_t *q);
static ngx_int_t ngx_http_fitnudge_cache_find(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, uint64_t max_age_ms,
    ngx_http_fitnudge_cache_hit_t *hit);
static ngx_int_t ngx_http_fitnudge_cache_look(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, uint64_t max_age_ms,
    ngx_uint_t gzip, ngx_http_fitnudge_cache_hit_t *hit);
static ngx_uint_t ngx_http_fitnudge_cache_valid(const ngx_http_fitnudge_cache_key_t *key, const fn_cache_meta_t *meta, uint64_t age_ms);
static ngx_int_t ngx_http_fitnudge_cache_brotli_key(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key,
    ngx_http_fitnudge_cache_key_t *br);
static void ngx_http_fitnudge_cache_brotli(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *br,
    ngx_http_fitnudge_cache_hit_t *hit);
static ngx_int_t ngx_http_fitnudge_cache_send(ngx_http_request_t *r, ngx_http_fitnudge_cache_hit_t *hit, const char *status,
    const char *detail, const fn_route_t *route);
static ngx_int_t ngx_http_fitnudge_cache_stale(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, const fn_route_t *route);
static ngx_http_fitnudge_cache_flight_t *ngx_http_fitnudge_cache_flight(const ngx_http_fitnudge_cache_key_t *key);
static ngx_http_fitnudge_cache_flight_t *ngx_http_fitnudge_cache_set_off(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key,
    const ngx_http_fitnudge_question_t *q);
static ngx_int_t ngx_http_fitnudge_cache_ask_shared(ngx_http_fitnudge_cache_flight_t *flight);
static ngx_int_t ngx_http_fitnudge_cache_ask_postgres(ngx_http_fitnudge_cache_flight_t *flight);
static void ngx_http_fitnudge_cache_shared_answered(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_http_fitnudge_cache_postgres_answered(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_cache_wait(ngx_http_request_t *r, ngx_http_fitnudge_cache_flight_t *flight, ngx_uint_t collapsed);
static void ngx_http_fitnudge_cache_abandoned(void *data);
static void ngx_http_fitnudge_cache_landed(ngx_http_fitnudge_cache_flight_t *flight, ngx_int_t rc, PGresult *res, const ngx_str_t *shared);
static void ngx_http_fitnudge_cache_store(const ngx_http_fitnudge_cache_flight_t *flight, const ngx_str_t *body, uint64_t age_ms);
static void ngx_http_fitnudge_cache_put(const ngx_http_fitnudge_cache_main_conf_t *cmcf, const ngx_http_fitnudge_cache_key_t *key,
    const fn_cache_meta_t *meta, const u_char *body, const u_char *gzip);
static ngx_int_t ngx_http_fitnudge_cache_answer(ngx_http_request_t *r, const ngx_http_fitnudge_cache_flight_t *flight, ngx_int_t rc,
    PGresult **result, ngx_uint_t collapsed, ngx_uint_t last);
static ngx_int_t ngx_http_fitnudge_cache_answer_shared(ngx_http_request_t *r, const ngx_str_t *shared);
static ngx_int_t ngx_http_fitnudge_cache_status(ngx_http_request_t *r, const char *status);
static void ngx_http_fitnudge_cache_gzip(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key,
    ngx_http_fitnudge_cache_hit_t *hit);
static ngx_int_t ngx_http_fitnudge_cache_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_fitnudge_cache_add_variable(ngx_conf_t *cf);
static void *ngx_http_fitnudge_cache_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_fitnudge_cache_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_fitnudge_cache_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *ngx_http_fitnudge_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_cache_max_body(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_cache_gzip_min(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_cache_seconds(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_fitnudge_cache_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_cache_init_process(ngx_cycle_t *cycle);


/* of this process */
static ngx_queue_t  ngx_http_fitnudge_cache_flights[FLIGHTS];


static ngx_command_t  ngx_http_fitnudge_cache_commands[] = {

    { ngx_string("fitnudge_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, enable),
      NULL },

    { ngx_string("fitnudge_cache_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_cache_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_cache_max_body"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_cache_max_body,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, max_body),
      NULL },

    { ngx_string("fitnudge_cache_gzip_min_length"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_cache_gzip_min,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, gzip_min),
      NULL },

    { ngx_string("fitnudge_cache_brotli"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, brotli),
      NULL },

    { ngx_string("fitnudge_cache_stale_while_revalidate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_cache_seconds,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, stale_revalidate),
      NULL },

    { ngx_string("fitnudge_cache_stale_if_error"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_fitnudge_cache_seconds,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_cache_loc_conf_t, stale_error),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_fitnudge_cache_module_ctx = {
    ngx_http_fitnudge_cache_add_variable,      /* preconfiguration */
    ngx_http_fitnudge_cache_init,              /* postconfiguration */

    ngx_http_fitnudge_cache_create_main_conf,  /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_fitnudge_cache_create_loc_conf,   /* create location configuration */
    ngx_http_fitnudge_cache_merge_loc_conf     /* merge location configuration */
};


extern ngx_module_t  ngx_http_fitnudge_cache_module;

ngx_module_t  ngx_http_fitnudge_cache_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_cache_module_ctx,   /* module context */
    ngx_http_fitnudge_cache_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_fitnudge_cache_init_process,  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_int_t
ngx_http_fitnudge_cache_handler(ngx_http_request_t *r, const ngx_http_fitnudge_question_t *q)
{
    uint64_t                                     ttl_ms;
    ngx_uint_t                                   heard, collapsed;
    ngx_http_fitnudge_cache_hit_t                hit;
    ngx_http_fitnudge_cache_key_t                key;
    ngx_http_fitnudge_cache_flight_t            *flight;
    const ngx_http_fitnudge_cache_loc_conf_t    *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_cache_module);

    if (!clcf->enable || q->route->cache.scope == FN_CACHE_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_http_fitnudge_cache_key(&key, q) != NGX_OK || ngx_http_fitnudge_cache_generations(&key, q) != NGX_OK) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_BYPASS, 1);
        return NGX_DECLINED;
    }

    heard = ngx_fitnudge_redis_subscribed();
    ttl_ms = (uint64_t) q->route->cache.ttl_s * 1000;

    if (heard
        && ngx_http_fitnudge_cache_find(r, &key, ttl_ms + (uint64_t) clcf->stale_revalidate * 1000, &hit) == NGX_OK
        && hit.valid)
    {
        if (hit.age_ms < ttl_ms) {
            ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_HIT, 1);
            return ngx_http_fitnudge_cache_send(r, &hit, "HIT", "", q->route);
        }

        /* nobody waits for this flight */
        if (ngx_http_fitnudge_cache_flight(&key) == NULL) {
            (void) ngx_http_fitnudge_cache_set_off(r, &key, q);
        }

        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_REVALIDATE, 1);
        return ngx_http_fitnudge_cache_send(r, &hit, "UPDATING", "; fwd=stale; detail=\"stale-while-revalidate\"", q->route);
    }

    flight = ngx_http_fitnudge_cache_flight(&key);
    collapsed = flight != NULL;

    if (flight == NULL) {
        flight = ngx_http_fitnudge_cache_set_off(r, &key, q);
    }

    if (flight == NULL) {
        return ngx_http_fitnudge_cache_stale(r, &key, q->route);
    }

    ngx_fitnudge_count(collapsed ? NGX_FITNUDGE_M_CACHE_COLLAPSED : NGX_FITNUDGE_M_CACHE_MISS, 1);

    return ngx_http_fitnudge_cache_wait(r, flight, collapsed);
}


/* Route, user and validated parameters, each with its length: what differs in any of them differs in the key. */

static ngx_int_t
ngx_http_fitnudge_cache_key(ngx_http_fitnudge_cache_key_t *key, const ngx_http_fitnudge_question_t *q)
{
    u_char      *p, *last;
    size_t       len;
    uint16_t     n;
    ngx_uint_t   i;

    p = key->key;
    last = p + FN_CACHE_KEY_MAX;

    n = (uint16_t) (q->route - fn_routes);
    p = ngx_cpymem(p, &n, sizeof(n));

    for (i = q->route->cache.scope == FN_CACHE_PUBLIC; i < q->n; i++) {
        len = q->values[i] == NULL ? 0 : ngx_strlen(q->values[i]);

        if (len >= UINT16_MAX || (size_t) (last - p) < sizeof(n) + len) {
            return NGX_DECLINED;
        }

        n = q->values[i] == NULL ? UINT16_MAX : (uint16_t) len;
        p = ngx_cpymem(p, &n, sizeof(n));
        p = ngx_cpymem(p, q->values[i] == NULL ? "" : q->values[i], len);
    }

    key->key_len = (size_t) (p - key->key);
    key->hash = XXH3_64bits(key->key, key->key_len);

    return NGX_OK;
}


/* Of now, before the question is asked. */

static ngx_int_t
ngx_http_fitnudge_cache_generations(ngx_http_fitnudge_cache_key_t *key, const ngx_http_fitnudge_question_t *q)
{
    int          len, lags;
    char         tag[FN_TAG_MAX];
    ngx_uint_t   n;
    const char  *tags = q->route->cache.tags;

    ngx_memzero(key->generation, sizeof(key->generation));
    key->lags = 0;

    for (n = 0, lags = fn_route_tag_lags(tags); (len = fn_route_tag(q->route, &tags, q->values[0], q->values + 1, tag)) > 0; n++) {
        if (n == FN_CACHE_TAGS) {
            return NGX_DECLINED;
        }

        key->generation[n] = ngx_fitnudge_shm_generation((u_char *) tag, (size_t) len);
        key->lags |= (ngx_uint_t) lags << n;
        lags = fn_route_tag_lags(tags);
    }

    return len == 0 ? NGX_OK : NGX_DECLINED;
}


/* Copies an entry that is not too old out of shared memory. */

static ngx_int_t
ngx_http_fitnudge_cache_find(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, uint64_t max_age_ms,
    ngx_http_fitnudge_cache_hit_t *hit)
{
    ngx_uint_t                                   packed, br, gzip;
    ngx_http_fitnudge_cache_key_t                br_key;
    const ngx_http_fitnudge_cache_loc_conf_t    *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_cache_module);

    /* addresses are signed in the plain body, for each request; then nginx may compress it */
    packed = clcf->gzip_min != 0 && !(ngx_http_fitnudge_route_of(r)->route->flags & FN_R_URLS);

    br = clcf->brotli && packed && ngx_http_fitnudge_cache_brotli_key(r, key, &br_key) == NGX_OK;

    if (br && ngx_http_fitnudge_cache_look(r, &br_key, max_age_ms, 0, hit) == NGX_OK) {
        hit->coding = "br";
        return NGX_OK;
    }

    gzip = packed && !br;

    if (ngx_http_fitnudge_cache_look(r, key, max_age_ms, gzip, hit) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (hit->coding == NULL && packed && hit->body.len >= clcf->gzip_min && hit->body.len <= GZIP_MAX) {
        if (br) {
            ngx_http_fitnudge_cache_brotli(r, &br_key, hit);

        } else if (ngx_http_gzip_ok(r) == NGX_OK) {
            ngx_http_fitnudge_cache_gzip(r, key, hit);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_cache_look(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, uint64_t max_age_ms, ngx_uint_t gzip,
    ngx_http_fitnudge_cache_hit_t *hit)
{
    uint32_t                                     n;
    uint64_t                                     now;
    ngx_uint_t                                   found;
    fn_cache_key_t                               k;
    fn_cache_store_t                            *store;
    const ngx_http_fitnudge_cache_main_conf_t   *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_cache_module);

    k.hash = key->hash;
    k.data = key->key;
    k.len = key->key_len;

    now = (uint64_t) ngx_current_msec;
    found = 0;

    store = ngx_fitnudge_cache_lock(&cmcf->zones, key->hash);

    n = fn_cache_store_find(store, &k, &hit->meta);

    if (n != 0) {
        hit->age_ms = now > hit->meta.created_ms ? now - hit->meta.created_ms : 0;
        hit->valid = ngx_http_fitnudge_cache_valid(key, &hit->meta, hit->age_ms);

        if (hit->valid && hit->age_ms < max_age_ms) {
            gzip = gzip && hit->meta.gzip_len != 0 && ngx_http_gzip_ok(r) == NGX_OK;
            hit->coding = gzip ? "gzip" : NULL;
            hit->body.len = gzip ? hit->meta.gzip_len : hit->meta.body_len;
            hit->body.data = ngx_pnalloc(r->pool, hit->body.len);

            if (hit->body.data != NULL) {
                fn_cache_store_body(store, n, (int) gzip, hit->body.data);
                found = 1;
            }
        }
    }

    ngx_fitnudge_cache_unlock(&cmcf->zones, key->hash);

    return found ? NGX_OK : NGX_DECLINED;
}


/* An entry keeps the generations that it was made with: however often it is served in that time, the time is over once. */

static ngx_uint_t
ngx_http_fitnudge_cache_valid(const ngx_http_fitnudge_cache_key_t *key, const fn_cache_meta_t *meta, uint64_t age_ms)
{
    ngx_uint_t  n;

    for (n = 0; n < FN_CACHE_TAGS; n++) {
        if (meta->generation[n] != key->generation[n] && !((key->lags >> n & 1) && age_ms < FN_CACHE_LAG_S * 1000)) {
            return 0;
        }
    }

    return 1;
}


/* A brotli variant is an entry of its own, under the key with one more byte. NGX_DECLINED: the client does not want it. */

static ngx_int_t
ngx_http_fitnudge_cache_brotli_key(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, ngx_http_fitnudge_cache_key_t *br)
{
    const ngx_table_elt_t  *h;

    h = r->headers_in.accept_encoding;

    if (h == NULL || key->key_len == FN_CACHE_KEY_MAX || !fn_accept_encoding((char *) h->value.data, h->value.len, "br")) {
        return NGX_DECLINED;
    }

    ngx_memcpy(br->key, key->key, key->key_len);
    br->key[key->key_len] = 'b';
    br->key_len = key->key_len + 1;
    br->hash = XXH3_64bits(br->key, br->key_len);
    ngx_memcpy(br->generation, key->generation, sizeof(br->generation));
    br->lags = key->lags;

    return NGX_OK;
}


static void
ngx_http_fitnudge_cache_brotli(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *br, ngx_http_fitnudge_cache_hit_t *hit)
{
    u_char                                      *out;
    size_t                                       size;
    const ngx_http_fitnudge_cache_main_conf_t   *cmcf;

    size = hit->body.len;

    out = ngx_palloc(r->pool, size);
    if (out == NULL) {
        return;
    }

    /* fails when it would not become smaller */
    if (BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_WINDOW, BROTLI_MODE_TEXT, hit->body.len, hit->body.data, &size, out) != BROTLI_TRUE) {
        return;
    }

    hit->body.data = out;
    hit->body.len = size;
    hit->coding = "br";
    hit->meta.body_len = (uint32_t) size;
    hit->meta.gzip_len = 0;
    ngx_http_fitnudge_etag(hit->meta.etag, out, size);

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_cache_module);
    ngx_http_fitnudge_cache_put(cmcf, br, &hit->meta, out, NULL);
    ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_COMPRESSED, 1);
}


/* The first who can use a compressed variant makes it, for all who come later. */

static void
ngx_http_fitnudge_cache_gzip(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, ngx_http_fitnudge_cache_hit_t *hit)
{
    u_char                                      *out;
    uLong                                        size;
    z_stream                                     z;
    const ngx_http_fitnudge_cache_main_conf_t   *cmcf;

    ngx_memzero(&z, sizeof(z));

    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return;
    }

    size = deflateBound(&z, hit->body.len);
    out = ngx_palloc(r->pool, size);

    if (out == NULL) {
        (void) deflateEnd(&z);
        return;
    }

    z.next_in = hit->body.data;
    z.avail_in = (uInt) hit->body.len;
    z.next_out = out;
    z.avail_out = (uInt) size;

    if (deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out < hit->body.len) {
        hit->meta.gzip_len = (uint32_t) z.total_out;
        ngx_http_fitnudge_etag(hit->meta.gzip_etag, out, z.total_out);

        cmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_cache_module);
        ngx_http_fitnudge_cache_put(cmcf, key, &hit->meta, hit->body.data, out);
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_COMPRESSED, 1);

        hit->body.data = out;
        hit->body.len = z.total_out;
        hit->coding = "gzip";
    }

    (void) deflateEnd(&z);
}


/* RFC 9211; ttl may be negative. */

static ngx_int_t
ngx_http_fitnudge_cache_send(ngx_http_request_t *r, ngx_http_fitnudge_cache_hit_t *hit, const char *status, const char *detail,
    const fn_route_t *route)
{
    u_char                                      *p, *start, *etag;
    size_t                                       size;
    ngx_str_t                                    tag;
    ngx_table_elt_t                             *h;
    ngx_http_fitnudge_ctx_t                     *ctx;
    const ngx_http_fitnudge_cache_loc_conf_t    *clcf;

    static const ngx_str_t  revalidate = ngx_string("private, no-cache");

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_cache_module);
    ctx = ngx_http_fitnudge_ctx(r);

    size = FN_CACHE_ETAG_LEN + 2 * NGX_INT64_LEN + sizeof("fitnudge; hit; ttl=") + ngx_strlen(detail);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->cache_status = status;

    etag = p;
    p = ngx_cpymem(p, hit->coding != NULL && *hit->coding == 'g' ? hit->meta.gzip_etag : hit->meta.etag, FN_CACHE_ETAG_LEN);
    tag.data = etag;
    tag.len = FN_CACHE_ETAG_LEN;

    start = p;
    p = ngx_sprintf(p, "%uL", hit->age_ms / 1000);

    if (ngx_http_fitnudge_header(r, "Age", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    start = p;
    p = ngx_cpymem(p, "fitnudge; hit; ttl=", sizeof("fitnudge; hit; ttl=") - 1);
    p = ngx_sprintf(p, "%L", (int64_t) route->cache.ttl_s - (int64_t) (hit->age_ms / 1000));
    p = ngx_cpymem(p, detail, ngx_strlen(detail));

    if (ngx_http_fitnudge_header(r, "Cache-Status", start, (size_t) (p - start)) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (clcf->gzip_min != 0 && (hit->coding != NULL || hit->meta.body_len >= clcf->gzip_min)
        && ngx_http_fitnudge_header(r, "Vary", (u_char *) "Accept-Encoding", sizeof("Accept-Encoding") - 1) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (hit->coding != NULL) {
        if (ngx_http_fitnudge_header(r, "Content-Encoding", (u_char *) hit->coding, ngx_strlen(hit->coding)) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        /* tells the stock filter to leave it alone */
        h = r->headers_out.headers.last->elts;
        r->headers_out.content_encoding = &h[r->headers_out.headers.last->nelts - 1];
    }

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, NULL, &hit->body, &tag, &revalidate);
}


/* PostgreSQL did not answer: an entry whose time is over but that nobody is known to have changed may stand in. */

static ngx_int_t
ngx_http_fitnudge_cache_stale(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, const fn_route_t *route)
{
    ngx_http_fitnudge_cache_hit_t                hit;
    const ngx_http_fitnudge_cache_loc_conf_t    *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_cache_module);

    if (clcf->stale_error != 0
        && ngx_http_fitnudge_cache_find(r, key, ((uint64_t) route->cache.ttl_s + (uint64_t) clcf->stale_error) * 1000, &hit) == NGX_OK
        && hit.valid)
    {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_STALE, 1);
        return ngx_http_fitnudge_cache_send(r, &hit, "STALE", "; fwd=stale; detail=\"stale-if-error\"", route);
    }

    return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
}


/* The flight of the key that set off with the same generations, or NULL. */

static ngx_http_fitnudge_cache_flight_t *
ngx_http_fitnudge_cache_flight(const ngx_http_fitnudge_cache_key_t *key)
{
    ngx_queue_t                       *q, *bucket;
    ngx_http_fitnudge_cache_flight_t  *flight;

    bucket = &ngx_http_fitnudge_cache_flights[key->hash & (FLIGHTS - 1)];

    for (q = ngx_queue_head(bucket); q != ngx_queue_sentinel(bucket); q = ngx_queue_next(q)) {
        flight = ngx_queue_data(q, ngx_http_fitnudge_cache_flight_t, queue);

        if (flight->key.hash == key->hash && flight->key.key_len == key->key_len
            && ngx_memcmp(flight->key.key, key->key, key->key_len) == 0
            && ngx_memcmp(flight->key.generation, key->generation, sizeof(key->generation)) == 0)
        {
            return flight;
        }
    }

    return NULL;
}


static ngx_http_fitnudge_cache_flight_t *
ngx_http_fitnudge_cache_set_off(ngx_http_request_t *r, const ngx_http_fitnudge_cache_key_t *key, const ngx_http_fitnudge_question_t *q)
{
    u_char                                      *p;
    size_t                                       size, len;
    ngx_uint_t                                   i;
    ngx_http_fitnudge_cache_flight_t            *flight;
    const ngx_http_fitnudge_main_conf_t         *fmcf;
    const ngx_http_fitnudge_cache_loc_conf_t    *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_fitnudge_cache_module);
    fmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_base_module);

    for (i = 0, size = 0; i < q->n; i++) {
        size += q->values[i] == NULL ? 0 : ngx_strlen(q->values[i]) + 1;
    }

    flight = ngx_alloc(sizeof(ngx_http_fitnudge_cache_flight_t) + size, ngx_cycle->log);
    if (flight == NULL) {
        return NULL;
    }

    for (i = 0, p = flight->texts; i < q->n; i++) {
        flight->values[i] = q->values[i] == NULL ? NULL : (char *) p;
        len = q->values[i] == NULL ? 0 : ngx_strlen(q->values[i]) + 1;
        p = ngx_cpymem(p, q->values[i] == NULL ? "" : q->values[i], len);
    }

    flight->target = q->target;
    flight->statement = q->statement;
    flight->n = q->n;
    flight->timeout = fmcf->redis_timeout;
    flight->shared.stamp_len = 0;

    flight->key.hash = key->hash;
    flight->key.key_len = key->key_len;
    ngx_memcpy(flight->key.generation, key->generation, sizeof(key->generation));
    ngx_memcpy(flight->key.key, key->key, key->key_len);

    flight->cmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_cache_module);
    flight->route = q->route;
    flight->max_body = clcf->max_body;
    flight->store = ngx_fitnudge_redis_subscribed();
    flight->joinable = 1;

    ngx_queue_init(&flight->waiters);

    if ((ngx_strcmp(fmcf->settings.cache_redis, "on") != 0 || ngx_http_fitnudge_cache_ask_shared(flight) != NGX_OK)
        && ngx_http_fitnudge_cache_ask_postgres(flight) != NGX_OK)
    {
        ngx_free(flight);
        return NULL;
    }

    /* nobody is told before the next turn of the event loop */
    ngx_queue_insert_head(&ngx_http_fitnudge_cache_flights[key->hash & (FLIGHTS - 1)], &flight->queue);

    return flight;
}


static ngx_int_t
ngx_http_fitnudge_cache_ask_shared(ngx_http_fitnudge_cache_flight_t *flight)
{
    ngx_fitnudge_op_t  *op;

    if (!flight->store || !ngx_fitnudge_cache_shared_ready()) {
        return NGX_DECLINED;
    }

    op = ngx_fitnudge_op_create(NULL, flight->timeout, ngx_http_fitnudge_cache_shared_answered, flight);
    if (op == NULL) {
        return NGX_DECLINED;
    }

    return ngx_fitnudge_cache_shared_ask(&flight->shared, op, flight->route, flight->values, flight->key.key, flight->key.key_len);
}


static ngx_int_t
ngx_http_fitnudge_cache_ask_postgres(ngx_http_fitnudge_cache_flight_t *flight)
{
    ngx_fitnudge_op_t  *op;

    op = ngx_fitnudge_op_create(NULL, ngx_fitnudge_pg_timeout(flight->target), ngx_http_fitnudge_cache_postgres_answered, flight);
    if (op == NULL) {
        return NGX_ERROR;
    }

    return ngx_fitnudge_pg_query(op, flight->target, flight->statement, flight->n, flight->values);
}


static void
ngx_http_fitnudge_cache_shared_answered(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    uint64_t                           age_ms;
    ngx_str_t                          body;
    ngx_http_fitnudge_cache_flight_t  *flight = op->data;

    if (rc == NGX_OK
        && ngx_fitnudge_cache_shared_read(&flight->shared, reply, (uint64_t) flight->route->cache.ttl_s * 1000, &body, &age_ms) == NGX_OK)
    {
        ngx_http_fitnudge_cache_store(flight, &body, age_ms);
        ngx_http_fitnudge_cache_landed(flight, NGX_OK, NULL, &body);
        return;
    }

    if (rc != NGX_OK) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_SHARED_FAILED, 1);
    }

    if (ngx_http_fitnudge_cache_ask_postgres(flight) != NGX_OK) {
        ngx_http_fitnudge_cache_landed(flight, NGX_ERROR, NULL, NULL);
    }
}


static void
ngx_http_fitnudge_cache_postgres_answered(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    PGresult                          *res = reply;
    ngx_str_t                          body;
    ngx_http_fitnudge_cache_flight_t  *flight = op->data;

    if (rc == NGX_OK && flight->store && PQntuples(res) == 1 && PQnfields(res) == 2 && !PQgetisnull(res, 0, 1)) {
        body.data = (u_char *) PQgetvalue(res, 0, 1);
        body.len = PQgetlength(res, 0, 1);

        ngx_http_fitnudge_cache_store(flight, &body, 0);

        if (body.len <= flight->max_body) {
            ngx_fitnudge_cache_shared_write(&flight->shared, &body, flight->route->cache.ttl_s, flight->timeout);
        }
    }

    ngx_http_fitnudge_cache_landed(flight, rc, res, NULL);
}


static ngx_int_t
ngx_http_fitnudge_cache_wait(ngx_http_request_t *r, ngx_http_fitnudge_cache_flight_t *flight, ngx_uint_t collapsed)
{
    ngx_http_cleanup_t                *cln;
    ngx_http_fitnudge_cache_waiter_t  *waiter;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    waiter = ngx_palloc(r->pool, sizeof(ngx_http_fitnudge_cache_waiter_t));
    if (waiter == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    waiter->request = r;
    waiter->cleanup = cln;
    waiter->collapsed = collapsed ? 1 : 0;

    cln->handler = ngx_http_fitnudge_cache_abandoned;
    cln->data = waiter;

    ngx_queue_insert_tail(&flight->waiters, &waiter->queue);

    ngx_http_fitnudge_park(r, 1);

    return NGX_DONE;
}


/* The client has gone; the flight goes on. */

static void
ngx_http_fitnudge_cache_abandoned(void *data)
{
    ngx_http_fitnudge_cache_waiter_t  *waiter = data;

    ngx_queue_remove(&waiter->queue);
}


/* All who wait get what PostgreSQL said, or what others have left in Redis. */

static void
ngx_http_fitnudge_cache_landed(ngx_http_fitnudge_cache_flight_t *flight, ngx_int_t rc, PGresult *res, const ngx_str_t *shared)
{
    ngx_uint_t                         last, collapsed;
    ngx_queue_t                       *q;
    ngx_connection_t                  *c;
    ngx_http_request_t                *r;
    ngx_http_fitnudge_cache_waiter_t  *waiter;

    ngx_queue_remove(&flight->queue);

    /* to answer one request may end others that wait: those of its connection */
    while (!ngx_queue_empty(&flight->waiters)) {
        q = ngx_queue_head(&flight->waiters);
        /* a waiter is never the flight's own link, which was unlinked above */
        ngx_queue_remove(q);  /* NOLINT(clang-analyzer-core.NullDereference) */
        waiter = ngx_queue_data(q, ngx_http_fitnudge_cache_waiter_t, queue);

        waiter->cleanup->handler = NULL;
        collapsed = waiter->collapsed;
        last = ngx_queue_empty(&flight->waiters);

        r = waiter->request;
        c = r->connection;
        ngx_http_set_log_request(c->log, r);

        ngx_http_finalize_request(r, shared != NULL ? ngx_http_fitnudge_cache_answer_shared(r, shared)
                                     : ngx_http_fitnudge_cache_answer(r, flight, rc, &res, collapsed, last));

        ngx_http_run_posted_requests(c);
    }

    PQclear(res);
    ngx_free(flight);
}


/* Stored as of before the question: if something changed meanwhile, it is stale already. */

static void
ngx_http_fitnudge_cache_store(const ngx_http_fitnudge_cache_flight_t *flight, const ngx_str_t *body, uint64_t age_ms)
{
    uint64_t         now = (uint64_t) ngx_current_msec;
    fn_cache_meta_t  meta;

    if (body->len > flight->max_body || !ngx_fitnudge_redis_subscribed()) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_REFUSED, 1);
        return;
    }

    ngx_memzero(&meta, sizeof(meta));
    ngx_memcpy(meta.generation, flight->key.generation, sizeof(meta.generation));

    meta.created_ms = now > age_ms ? now - age_ms : 0;
    meta.body_len = (uint32_t) body->len;
    ngx_http_fitnudge_etag(meta.etag, body->data, body->len);

    ngx_http_fitnudge_cache_put(flight->cmcf, &flight->key, &meta, body->data, NULL);
}


static void
ngx_http_fitnudge_cache_put(const ngx_http_fitnudge_cache_main_conf_t *cmcf, const ngx_http_fitnudge_cache_key_t *key,
    const fn_cache_meta_t *meta, const u_char *body, const u_char *gzip)
{
    int                rc;
    uint64_t           evicted;
    fn_cache_key_t     k;
    fn_cache_store_t  *store;

    k.hash = key->hash;
    k.data = key->key;
    k.len = key->key_len;

    store = ngx_fitnudge_cache_lock(&cmcf->zones, key->hash);

    evicted = store->evicted;
    rc = fn_cache_store_put(store, &k, meta, body, gzip, EVICTIONS);
    evicted = store->evicted - evicted;

    ngx_fitnudge_cache_unlock(&cmcf->zones, key->hash);

    ngx_fitnudge_count(rc == 0 ? NGX_FITNUDGE_M_CACHE_STORED : NGX_FITNUDGE_M_CACHE_REFUSED, 1);

    if (evicted) {
        ngx_fitnudge_count(NGX_FITNUDGE_M_CACHE_EVICTED, evicted);
    }
}


/* The last one gets PostgreSQL's own memory, and `*result` is NULL then; the others get a copy. */

static ngx_int_t
ngx_http_fitnudge_cache_answer(ngx_http_request_t *r, const ngx_http_fitnudge_cache_flight_t *flight, ngx_int_t rc, PGresult **result,
    ngx_uint_t collapsed, ngx_uint_t last)
{
    u_char       *copy;
    PGresult     *res = *result;
    ngx_str_t     body;
    const char   *state;

    state = rc == NGX_DECLINED ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;

    if (res == NULL || (rc != NGX_OK && (state == NULL || ngx_strcmp(state, "57014") == 0))) {
        return ngx_http_fitnudge_cache_stale(r, &flight->key, flight->route);
    }

    if (last) {
        *result = NULL;
        rc = ngx_http_fitnudge_query_result(r, rc, res, &body);

    } else {
        rc = ngx_http_fitnudge_query_look(r, rc, res, &body);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    if (rc != NGX_OK || body.data == NULL) {
        return rc;
    }

    if (!collapsed) {
        ngx_http_fitnudge_record(r, &body);
    }

    if (!last) {
        copy = ngx_pnalloc(r->pool, body.len);
        if (copy == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memcpy(copy, body.data, body.len);
        body.data = copy;
    }

    if (ngx_http_fitnudge_cache_status(r, collapsed ? "fitnudge; fwd=miss; collapsed" : "fitnudge; fwd=miss") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, &body, 1);
}


static ngx_int_t
ngx_http_fitnudge_cache_answer_shared(ngx_http_request_t *r, const ngx_str_t *shared)
{
    ngx_str_t  body;

    body.len = shared->len;
    body.data = ngx_pnalloc(r->pool, body.len);

    if (body.data == NULL || ngx_http_fitnudge_cache_status(r, "fitnudge; fwd=miss; detail=\"redis\"") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(body.data, shared->data, body.len);

    return ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, &body, 1);
}


/* The text is static. */

static ngx_int_t
ngx_http_fitnudge_cache_status(ngx_http_request_t *r, const char *status)
{
    ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->cache_status = "MISS";

    return ngx_http_fitnudge_header(r, "Cache-Status", (u_char *) status, ngx_strlen(status));
}


static ngx_int_t
ngx_http_fitnudge_cache_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_http_fitnudge_ctx_t  *ctx;

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ctx->cache_status == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = (u_char *) ctx->cache_status;
    v->len = ngx_strlen(ctx->cache_status);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_http_variable_t  ngx_http_fitnudge_cache_vars[] = {
    { ngx_string("fitnudge_cache_status"), NULL, ngx_http_fitnudge_cache_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },
      ngx_http_null_variable
};


static ngx_int_t
ngx_http_fitnudge_cache_add_variable(ngx_conf_t *cf)
{
    ngx_http_variable_t  *v;

    v = ngx_http_add_variable(cf, &ngx_http_fitnudge_cache_vars[0].name, ngx_http_fitnudge_cache_vars[0].flags);
    if (v == NULL) {
        return NGX_ERROR;
    }

    v->get_handler = ngx_http_fitnudge_cache_vars[0].get_handler;

    return NGX_OK;
}


static void *
ngx_http_fitnudge_cache_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_cache_main_conf_t  *cmcf;

    cmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_cache_main_conf_t));
    if (cmcf != NULL) {
        cmcf->zone_size = NGX_CONF_UNSET_SIZE;
    }

    return cmcf;
}


static void *
ngx_http_fitnudge_cache_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_cache_loc_conf_t  *clcf;

    clcf = ngx_palloc(cf->pool, sizeof(ngx_http_fitnudge_cache_loc_conf_t));
    if (clcf != NULL) {
        clcf->enable = NGX_CONF_UNSET;
        clcf->max_body = NGX_CONF_UNSET_SIZE;
        clcf->gzip_min = NGX_CONF_UNSET_SIZE;
        clcf->brotli = NGX_CONF_UNSET;
        clcf->stale_revalidate = NGX_CONF_UNSET;
        clcf->stale_error = NGX_CONF_UNSET;
    }

    return clcf;
}


static char *
ngx_http_fitnudge_cache_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_fitnudge_cache_loc_conf_t *prev = parent;
    ngx_http_fitnudge_cache_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 1);
    ngx_conf_merge_size_value(conf->max_body, prev->max_body, BODY_MAX);
    ngx_conf_merge_size_value(conf->gzip_min, prev->gzip_min, GZIP_MIN);
    ngx_conf_merge_value(conf->brotli, prev->brotli, 0);
    ngx_conf_merge_sec_value(conf->stale_revalidate, prev->stale_revalidate, 0);
    ngx_conf_merge_sec_value(conf->stale_error, prev->stale_error, 0);

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                            *value;
    off_t                                 size;
    ngx_http_fitnudge_cache_main_conf_t  *cmcf = conf;

    if (cmcf->zone_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_FITNUDGE_CACHE_ZONE_MIN || size > ZONE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone size \"%V\" is not between 512k and 1g", &value[1]);
        return NGX_CONF_ERROR;
    }

    cmcf->zone_size = (size_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_cache_max_body(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                                *rv;
    ngx_http_fitnudge_cache_loc_conf_t  *clcf = conf;

    rv = ngx_conf_set_size_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && (clcf->max_body < 1024 || clcf->max_body > BODY_LIMIT)) {
        return "must be from 1k to 1m";
    }

    return rv;
}


static char *
ngx_http_fitnudge_cache_gzip_min(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                                *rv;
    ngx_str_t                           *value;
    ngx_http_fitnudge_cache_loc_conf_t  *clcf = conf;

    value = cf->args->elts;

    if (clcf->gzip_min == NGX_CONF_UNSET_SIZE && ngx_strcmp(value[1].data, "off") == 0) {
        clcf->gzip_min = 0;
        return NGX_CONF_OK;
    }

    rv = ngx_conf_set_size_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && (clcf->gzip_min < 64 || clcf->gzip_min > GZIP_MAX)) {
        return "must be \"off\" or from 64 to 64k";
    }

    return rv;
}


static char *
ngx_http_fitnudge_cache_seconds(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *rv;

    rv = ngx_conf_set_sec_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && *(time_t *) ((char *) conf + cmd->offset) > STALE_MAX) {
        return "must be at most 24h";
    }

    return rv;
}


static ngx_int_t
ngx_http_fitnudge_cache_init(ngx_conf_t *cf)
{
    ngx_http_fitnudge_main_conf_t        *fmcf;
    ngx_http_fitnudge_cache_main_conf_t  *cmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_cache_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    ngx_conf_init_size_value(cmcf->zone_size, ZONE_SIZE);

    return ngx_fitnudge_cache_zones_add(cf, &cmcf->zones, cmcf->zone_size);
}


static ngx_int_t
ngx_http_fitnudge_cache_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    for (i = 0; i < FLIGHTS; i++) {
        ngx_queue_init(&ngx_http_fitnudge_cache_flights[i]);
    }

    return NGX_OK;
}
