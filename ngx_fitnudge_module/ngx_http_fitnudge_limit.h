/* The limit module's two halves: what nginx.conf says (ngx_http_fitnudge_limit_module.c) and what requests get (..._handler.c). */
#ifndef NGX_HTTP_FITNUDGE_LIMIT_H
#define NGX_HTTP_FITNUDGE_LIMIT_H

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_limit_zone.h"

/* In the order in which their zones are locked. */
typedef enum {
    CLASS_ANONYMOUS = 0,
    CLASS_AUTH,
    CLASS_USER,
    CLASS_USER_HOUR,
    CLASS_AI,
    CLASS_UPLOADS,
    CLASSES
} ngx_http_fitnudge_limit_class_e;

/* ctx->limit_status */
typedef enum {
    STATUS_NONE = 0,
    STATUS_PASSED,
    STATUS_REJECTED,
    STATUS_REJECTED_DRY_RUN,
    STATUS_BYPASSED
} ngx_http_fitnudge_limit_status_e;

/* What there is without a directive. */
typedef struct {
    const char                *name;
    const char                *rate;
    unsigned                   strict;
    unsigned                   by_user;
    ngx_fitnudge_counter_e     refused;
} ngx_http_fitnudge_limit_default_t;

typedef struct {
    fn_rate_t                  rate;
    ngx_http_complex_value_t  *rate_value;      /* or NULL: `rate` it is */
    ngx_http_complex_value_t  *key;             /* or NULL: user or address */
    ngx_uint_t                 burst;           /* 0: as many as the limit */
    unsigned                   set:1;
    unsigned                   off:1;
    unsigned                   strict:1;
    ngx_str_t                  policy;          /* "user";q=100;w=60 */
    ngx_str_t                  limit;           /* 100 */
    ngx_shm_zone_t            *zone;            /* NULL: nobody needs it */
} ngx_http_fitnudge_limit_class_t;

typedef struct {
    ngx_http_fitnudge_limit_class_t  classes[CLASSES];
    size_t                     zone_size;
    ngx_msec_t                 sync;            /* 0: off */
    uint64_t                   seed;            /* of the keys' hash; the same on all instances */
    ngx_flag_t                 used;            /* limits are on somewhere */
} ngx_http_fitnudge_limit_main_conf_t;

typedef struct {
    ngx_flag_t                 enable;
    ngx_flag_t                 dry_run;
    ngx_uint_t                 log_level;
    ngx_uint_t                 status;
    ngx_array_t               *bypass;          /* of ngx_http_complex_value_t */
} ngx_http_fitnudge_limit_loc_conf_t;

extern ngx_module_t  ngx_http_fitnudge_limit_module;

extern const ngx_http_fitnudge_limit_default_t  ngx_http_fitnudge_limit_defaults[CLASSES];

/* PREACCESS, after the token was read. */
ngx_int_t ngx_http_fitnudge_limit_handler(ngx_http_request_t *r);

/* data: 0 status, 1 class, 2 remaining, 3 plan */
ngx_int_t ngx_http_fitnudge_limit_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);

#endif
