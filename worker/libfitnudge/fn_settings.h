/*
 * Every setting of nginx.conf that the pool shares with the module or has for
 * itself, as one table: name, type, bounds, default.  The module checks them in
 * `nginx -t` through fn_setting_apply(); the pool reads the same file through fn_conf.h and
 * applies the same function; docs/directives.md is tested against the table.
 */
#ifndef FN_SETTINGS_H
#define FN_SETTINGS_H

#include <stdint.h>
#include <stddef.h>

typedef struct {
    uint64_t  seen;                 /* bit i: row i of the table was given */

    /* shared: http level of nginx.conf */
    char     *redis;                /* fitnudge_redis: unix:/path or ip:port */
    char     *redis_password;       /* fitnudge_redis_password: secret, or NULL */
    char     *jwt_secret;           /* fitnudge_jwt_secret: secret, at least 32 bytes */
    char     *jwt_issuer;           /* fitnudge_jwt_issuer, default "fitnudge" */
    char     *jwt_audience;         /* fitnudge_jwt_audience, default "authenticated" */
    char     *csrf_secret;          /* fitnudge_csrf_secret */
    int64_t   access_ttl_ms;        /* fitnudge_access_token_ttl 15m */
    int64_t   refresh_ttl_ms;       /* fitnudge_refresh_token_ttl 7d */

    /* fitnudge_worker { } */
    char     *postgres;             /* conninfo of the pool's role */
    char     *postgres_password;    /* secret, or NULL */
    char     *log;                  /* "stderr" or a path */
    char     *pid;                  /* path of the master's pid file, or NULL */
    int64_t   sql_processes;        /* 1..64, default 4 */
    int64_t   sql_batch;            /* 1..64 jobs taken at once, default 16 */
    int64_t   auth_processes;       /* 1..16, default 1 */
    int64_t   net_processes;        /* 1..8, default 1 */
    int64_t   net_slots;            /* 1..1024 exchanges in flight a process, default 256 */
    int64_t   shutdown_ms;          /* shutdown_timeout 30s */
    int64_t   recycle_jobs;         /* 0 = never, default 100000 */
    char     *openai_base_url;      /* default https://api.openai.com/v1 */
    char     *openai_api_key;       /* secret, or NULL: off */
    char     *openai_model;         /* default gpt-5 */
    int64_t   openai_max_tokens;    /* default 500 */
    int64_t   openai_timeout_ms;    /* default 15s, one attempt */
    int64_t   openai_attempts;      /* default 3 */
    int64_t   openai_price_input;   /* micro-dollars per million tokens; "1.25" dollars in the file */
    int64_t   openai_price_output;  /* "10.00" */
    int64_t   ai_cache_ms;          /* ai_cache_ttl 24h */
    int64_t   ai_budget_daily;      /* micro-dollars, "50" */
    int64_t   ai_budget_monthly;    /* micro-dollars, "1000" */
} fn_settings_t;

typedef enum { FN_S_STRING, FN_S_SECRET, FN_S_ADDRESS, FN_S_URL, FN_S_INT, FN_S_TIME, FN_S_MONEY } fn_setting_type_e;
typedef enum { FN_SCOPE_HTTP, FN_SCOPE_WORKER } fn_setting_scope_e;

typedef struct {
    const char         *name;       /* as written in nginx.conf; NULL ends the table */
    fn_setting_scope_e  scope;
    fn_setting_type_e   type;
    size_t              offset;     /* in fn_settings_t */
    const char         *fallback;   /* text of the default, or NULL */
    int                 required;   /* by the pool */
    int64_t             min, max;   /* in the unit of the field (ms for times) */
    const char         *help;       /* one line for docs */
} fn_setting_t;

extern const fn_setting_t fn_settings_table[];

const fn_setting_t *fn_setting_find(const char *name, fn_setting_scope_e scope);

/* Sets the defaults. 0 or -1 (no memory). */
int fn_settings_init(fn_settings_t *s);

/*
 * Applies one directive. Texts are in nginx's words without the position:
 * `is duplicate`, `invalid value "x": a time from 1s to 1h is expected`...
 * An optional secret written as `env:NAME` whose variable is unset or empty stays NULL (the provider is off).
 * NULL on success, else a message valid until the next call.
 */
const char *fn_setting_apply(fn_settings_t *s, const fn_setting_t *d, const char *value);

/* NULL, or what is missing for the pool to start. */
const char *fn_settings_check(const fn_settings_t *s);

void fn_settings_free(fn_settings_t *s);    /* wipes secrets */

#endif
