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

#include "fn_locales.h"

#define FN_SETTINGS_MAX  256        /* rows of the table at most */

typedef struct {
    uint64_t  seen[FN_SETTINGS_MAX / 64];   /* bit i: row i of the table was given */

    /* shared: http level of nginx.conf */
    char     *redis;                /* fitnudge_redis: unix:/path, ip:port or what fn_sentinel.h reads */
    char     *redis_password;       /* fitnudge_redis_password: secret, or NULL */
    char     *redis_sentinel_password;  /* secret, or NULL */
    char     *jwt_secret;           /* fitnudge_jwt_secret: secret, at least 32 bytes */
    char     *jwt_keys;             /* fitnudge_jwt_keys: key pairs in PEM (fn_key_pair.h), or NULL: jwt_secret signs */
    char     *jwt_issuer;           /* fitnudge_jwt_issuer, default "fitnudge" */
    char     *jwt_audience;         /* fitnudge_jwt_audience, default "authenticated" */
    char     *locales;              /* fitnudge_locales: a directory, or NULL */
    fn_locales_t *locale_set;       /* ... read; NULL without one */
    char     *pseudo_locale;        /* "on" or "off" */
    char     *cache_redis;          /* "on" or "off" */
    char     *csrf_secret;          /* fitnudge_csrf_secret */
    char     *email_events_key;     /* fitnudge_email_events_key: fn_webhook.h, or NULL: no such requests are taken */
    int64_t   access_ttl_ms;        /* fitnudge_access_token_ttl 15m */
    int64_t   refresh_ttl_ms;       /* fitnudge_refresh_token_ttl 7d */

    /* fitnudge_worker { } */
    char     *postgres;             /* conninfo of the pool's role */
    char     *postgres_password;    /* secret, or NULL */
    char     *log;                  /* "stderr" or a path */
    char     *pid;                  /* path of the master's pid file, or NULL */
    int64_t   sql_processes;        /* 1..64, default 4 */
    int64_t   sql_batch;            /* 1..64 jobs taken at once, default 12 */
    int64_t   auth_processes;       /* 1..16, default 1 */
    int64_t   net_processes;        /* 1..8, default 1 */
    int64_t   net_slots;            /* 1..1024 exchanges in flight a process, default 256 */
    int64_t   shutdown_ms;          /* shutdown_timeout 30s */
    int64_t   recycle_jobs;         /* 0 = never, default 10000 */
    int64_t   recycle_memory;       /* MB of growth, 0 = any, default 64 */
    int64_t   sql_processes_max, auth_processes_max, net_processes_max;     /* 0: no more than the number above */
    int64_t   min_spare, max_spare; /* idle processes of a lane: fewer and jobs wait: more are forked; more: one ends */
    int64_t   scale_age_ms, scale_idle_ms;
    int64_t   watchdog_ms;          /* default 30s */
    char     *metrics_listen;       /* ip:port or NULL: off */
    char     *cron;                 /* "on" or "off" */
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

    /* providers: a secret or an address that is NULL means off; times in ms */
    char     *openai_api;           /* "chat" or "responses" */
    int64_t   openai_price_cached;  /* micro-dollars per million prompt tokens that were cached */
    char     *elevenlabs_base_url, *elevenlabs_api_key, *elevenlabs_model;
    char     *elevenlabs_voices;    /* fn_voices.h */
    int64_t   elevenlabs_timeout_ms, elevenlabs_attempts;
    char     *r2_endpoint;          /* NULL: made of the account */
    char     *r2_account, *r2_access_key, *r2_secret_key, *r2_bucket;
    int64_t   r2_timeout_ms, r2_attempts, r2_url_ttl_ms;
    char     *fcm_base_url, *fcm_service_account;   /* the JSON of the account's key file */
    int64_t   fcm_timeout_ms, fcm_attempts, fcm_ttl_ms;
    char     *smtp_host, *smtp_username, *smtp_password;
    char     *smtp_from;            /* NULL: smtp_username */
    char     *smtp_dkim_selector;   /* of the key that the mail server signs with */
    char     *smtp_from_name, *smtp_tls;            /* "starttls", "tls" or "off" */
    int64_t   smtp_port, smtp_timeout_ms, smtp_attempts;
    char     *mail_templates;       /* a directory */
    char     *mail_link_url;        /* where links in mails point to */
    char     *posthog_host, *posthog_api_key;
    int64_t   posthog_timeout_ms, posthog_attempts;
    char     *n8n_webhook_url, *n8n_auth, *n8n_auth_name, *n8n_auth_secret;
    int64_t   n8n_timeout_ms, n8n_attempts;
    char     *slack_webhook_url;
    int64_t   slack_timeout_ms, slack_attempts;
    char     *sentry_dsn, *sentry_environment;
    int64_t   sentry_timeout_ms;
    char     *otlp_endpoint;
    int64_t   otlp_timeout_ms, otlp_attempts;

    /* breakers: failures in a row that open one (0 = never), and for how long; the last two are those of all other services */
    int64_t   openai_breaker_failures, openai_breaker_ms;
    int64_t   r2_breaker_failures, r2_breaker_ms;
    int64_t   breaker_failures, breaker_ms;
} fn_settings_t;

typedef enum {
    FN_S_STRING, FN_S_SECRET, FN_S_ADDRESS, FN_S_URL, FN_S_INT, FN_S_TIME, FN_S_MONEY,
    FN_S_TEXT,          /* one line, or env:NAME */
    FN_S_CHOICE,        /* one of a few words */
    FN_S_SECRET_URL,    /* an http(s) address that is itself a secret */
    FN_S_SECRET_JSON,   /* as a secret; the environment variable may also hold the path of the file */
    FN_S_SECRET_KEYS,   /* as a secret: fn_key_pair.h */
    FN_S_PUBLIC_KEY,    /* fn_webhook.h, or env:NAME */
    FN_S_VOICES,        /* fn_voices.h */
    FN_S_LOCALES        /* a directory that is read at once: fn_locales.h */
} fn_setting_type_e;
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

/* How long Redis keeps the generation of a tag, s: longer than any answer is cached. 0: instances share no answers. */
unsigned fn_settings_keep_generations(const fn_settings_t *s);

/* NULL, or two settings of fitnudge_worker that contradict each other. */
const char *fn_settings_conflict(const fn_settings_t *s);

/* NULL, or what is missing for the pool to start, or contradicts itself. */
const char *fn_settings_check(const fn_settings_t *s);

void fn_settings_free(fn_settings_t *s);    /* wipes secrets */

#endif
