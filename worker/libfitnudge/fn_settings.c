/* The settings table and the one function that reads a value into its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <openssl/crypto.h>

#include "fn_key_pair.h"
#include "fn_secret.h"
#include "fn_sentinel.h"
#include "fn_settings.h"
#include "fn_time.h"
#include "fn_voices.h"
#include "fn_webhook.h"

#define FN_SECRET_MIN  32       /* bytes of a signing key: the output of SHA-256, RFC 7518 section 3.2 */

#define S(name)  offsetof(fn_settings_t, name)
#define SECOND   1000LL
#define DAY      86400000LL
#define DOLLARS  1000000LL

const fn_setting_t  fn_settings_table[] = {
    /* name, scope, type, place, default, required, min, max, help */
    { "fitnudge_redis", FN_SCOPE_HTTP, FN_S_ADDRESS, S(redis), NULL, 1, 0, 0,
      "Redis: unix:/path, ip:port or sentinel:name@ip:port,..." },
    { "fitnudge_redis_password", FN_SCOPE_HTTP, FN_S_SECRET, S(redis_password), NULL, 0, 0, 0,
      "Password of Redis" },
    { "fitnudge_redis_sentinel_password", FN_SCOPE_HTTP, FN_S_SECRET, S(redis_sentinel_password), NULL, 0, 0, 0,
      "Password of the Sentinels" },
    { "fitnudge_jwt_secret", FN_SCOPE_HTTP, FN_S_SECRET, S(jwt_secret), NULL, 1, FN_SECRET_MIN, 0,
      "Key that signs access tokens (HS256)" },
    { "fitnudge_jwt_keys", FN_SCOPE_HTTP, FN_S_SECRET_KEYS, S(jwt_keys), NULL, 0, 0, 0,
      "Key pairs that sign access tokens instead" },
    { "fitnudge_jwt_issuer", FN_SCOPE_HTTP, FN_S_STRING, S(jwt_issuer), "fitnudge", 0, 1, 255,
      "Issuer of access tokens" },
    { "fitnudge_jwt_audience", FN_SCOPE_HTTP, FN_S_STRING, S(jwt_audience), "authenticated", 0, 1, 255,
      "Audience of access tokens" },
    { "fitnudge_locales", FN_SCOPE_HTTP, FN_S_LOCALES, S(locales), NULL, 0, 1, 4096,
      "Directory of the texts of all languages" },
    { "fitnudge_pseudo_locale", FN_SCOPE_HTTP, FN_S_CHOICE, S(pseudo_locale), "off", 0, 0, 0,
      "Whether en-XA is served, for tests of apps" },
    { "fitnudge_cache_redis", FN_SCOPE_HTTP, FN_S_CHOICE, S(cache_redis), "off", 0, 0, 0,
      "Whether instances share cached answers through Redis" },
    { "fitnudge_csrf_secret", FN_SCOPE_HTTP, FN_S_SECRET, S(csrf_secret), NULL, 0, FN_SECRET_MIN, 0,
      "Key that signs CSRF tokens" },
    { "fitnudge_email_events_key", FN_SCOPE_HTTP, FN_S_PUBLIC_KEY, S(email_events_key), NULL, 0, 1, 512,
      "Public key of the service that reports what becomes of mails, or env:NAME" },
    { "fitnudge_access_token_ttl", FN_SCOPE_HTTP, FN_S_TIME, S(access_ttl_ms), "15m", 0, 60 * SECOND, DAY,
      "Life of an access token" },
    { "fitnudge_refresh_token_ttl", FN_SCOPE_HTTP, FN_S_TIME, S(refresh_ttl_ms), "7d", 0, 3600 * SECOND, 365 * DAY,
      "Life of a refresh token" },

    { "postgres", FN_SCOPE_WORKER, FN_S_STRING, S(postgres), NULL, 1, 1, 4096,
      "Connection string of the pool's role, or env:NAME" },
    { "postgres_password", FN_SCOPE_WORKER, FN_S_SECRET, S(postgres_password), NULL, 0, 0, 0,
      "Password of the pool's role" },
    { "log", FN_SCOPE_WORKER, FN_S_STRING, S(log), "stderr", 0, 1, 4096,
      "Where the pool logs: stderr or a path" },
    { "pid", FN_SCOPE_WORKER, FN_S_STRING, S(pid), NULL, 0, 1, 4096,
      "File that holds the master's process id" },
    { "sql_processes", FN_SCOPE_WORKER, FN_S_INT, S(sql_processes), "4", 0, 1, 64,
      "Executors of the sql lane" },
    { "sql_batch", FN_SCOPE_WORKER, FN_S_INT, S(sql_batch), "12", 0, 1, 64,
      "Jobs an executor commits together" },
    { "auth_processes", FN_SCOPE_WORKER, FN_S_INT, S(auth_processes), "1", 0, 1, 16,
      "Executors of the auth lane" },
    { "net_processes", FN_SCOPE_WORKER, FN_S_INT, S(net_processes), "1", 0, 1, 8,
      "Processes of the net lane" },
    { "net_slots", FN_SCOPE_WORKER, FN_S_INT, S(net_slots), "256", 0, 1, 1024,
      "Exchanges in flight in one process" },
    { "sql_processes_max", FN_SCOPE_WORKER, FN_S_INT, S(sql_processes_max), "0", 0, 0, 64,
      "Executors of the sql lane at most, 0 = always sql_processes" },
    { "auth_processes_max", FN_SCOPE_WORKER, FN_S_INT, S(auth_processes_max), "0", 0, 0, 16,
      "Executors of the auth lane at most, 0 = always auth_processes" },
    { "net_processes_max", FN_SCOPE_WORKER, FN_S_INT, S(net_processes_max), "0", 0, 0, 8,
      "Processes of the net lane at most, 0 = always net_processes" },
    { "min_spare", FN_SCOPE_WORKER, FN_S_INT, S(min_spare), "1", 0, 1, 16,
      "Idle processes below which a lane whose jobs wait gets more" },
    { "max_spare", FN_SCOPE_WORKER, FN_S_INT, S(max_spare), "2", 0, 1, 64,
      "Idle processes above which a lane gives one up" },
    { "scale_age", FN_SCOPE_WORKER, FN_S_TIME, S(scale_age_ms), "200ms", 0, 10, 60 * SECOND,
      "Age of the oldest job from which on a lane is too small" },
    { "scale_idle", FN_SCOPE_WORKER, FN_S_TIME, S(scale_idle_ms), "60s", 0, SECOND, 3600 * SECOND,
      "How long a lane has too many idle processes before one ends" },
    { "recycle_memory", FN_SCOPE_WORKER, FN_S_INT, S(recycle_memory), "64", 0, 0, 65536,
      "MB by which a process may grow before it is replaced, 0 = any" },
    { "watchdog", FN_SCOPE_WORKER, FN_S_TIME, S(watchdog_ms), "30s", 0, 15 * SECOND, 600 * SECOND,
      "Time without a sign of life after which a process is killed" },
    { "metrics_listen", FN_SCOPE_WORKER, FN_S_ADDRESS, S(metrics_listen), NULL, 0, 0, 0,
      "Where the pool answers /metrics and /health" },
    { "cron", FN_SCOPE_WORKER, FN_S_CHOICE, S(cron), "on", 0, 0, 0,
      "Whether the leader begins what is due by the clock" },
    { "shutdown_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(shutdown_ms), "30s", 0, 5 * SECOND, 600 * SECOND,
      "How long work in hand may take at shutdown" },
    { "recycle_jobs", FN_SCOPE_WORKER, FN_S_INT, S(recycle_jobs), "10000", 0, 0, 1000000000,
      "Jobs after which an executor is replaced, 0 = never" },
    { "openai_base_url", FN_SCOPE_WORKER, FN_S_URL, S(openai_base_url), "https://api.openai.com/v1", 0, 0, 512,
      "OpenAI-compatible API, or env:NAME" },
    { "openai_api_key", FN_SCOPE_WORKER, FN_S_SECRET, S(openai_api_key), NULL, 0, 0, 0,
      "Key of the API" },
    { "openai_model", FN_SCOPE_WORKER, FN_S_STRING, S(openai_model), "gpt-5", 0, 1, 64,
      "Model" },
    { "openai_max_tokens", FN_SCOPE_WORKER, FN_S_INT, S(openai_max_tokens), "500", 0, 16, 16384,
      "Tokens of one message at most" },
    { "openai_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(openai_timeout_ms), "15s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "openai_attempts", FN_SCOPE_WORKER, FN_S_INT, S(openai_attempts), "3", 0, 1, 10,
      "Attempts inside the request's deadline" },
    { "openai_price_input", FN_SCOPE_WORKER, FN_S_MONEY, S(openai_price_input), "1.25", 0, 0, 10000 * DOLLARS,
      "Dollars for a million prompt tokens" },
    { "openai_price_output", FN_SCOPE_WORKER, FN_S_MONEY, S(openai_price_output), "10", 0, 0, 10000 * DOLLARS,
      "Dollars for a million completion tokens" },
    { "ai_cache_ttl", FN_SCOPE_WORKER, FN_S_TIME, S(ai_cache_ms), "24h", 0, SECOND, 30 * DAY,
      "How long a message answers the same prompt again" },
    { "ai_budget_daily", FN_SCOPE_WORKER, FN_S_MONEY, S(ai_budget_daily), "50", 0, 0, 1000000 * DOLLARS,
      "Dollars a day (UTC)" },
    { "ai_budget_monthly", FN_SCOPE_WORKER, FN_S_MONEY, S(ai_budget_monthly), "1000", 0, 0, 10000000 * DOLLARS,
      "Dollars a month (UTC)" },

    { "openai_api", FN_SCOPE_WORKER, FN_S_CHOICE, S(openai_api), "chat", 0, 0, 0,
      "Chat completions or responses" },
    { "openai_price_cached", FN_SCOPE_WORKER, FN_S_MONEY, S(openai_price_cached), "0.125", 0, 0, 10000 * DOLLARS,
      "Dollars for a million cached prompt tokens" },

    { "elevenlabs_base_url", FN_SCOPE_WORKER, FN_S_URL, S(elevenlabs_base_url), "https://api.elevenlabs.io/v1", 0, 0, 512,
      "ElevenLabs' API, or env:NAME" },
    { "elevenlabs_api_key", FN_SCOPE_WORKER, FN_S_SECRET, S(elevenlabs_api_key), NULL, 0, 0, 0,
      "Key of the API" },
    { "elevenlabs_model", FN_SCOPE_WORKER, FN_S_TEXT, S(elevenlabs_model), "eleven_multilingual_v2", 0, 1, 64,
      "Model" },
    { "elevenlabs_voices", FN_SCOPE_WORKER, FN_S_VOICES, S(elevenlabs_voices), NULL, 0, 1, 2048,
      "Voice ids by tone and language" },
    { "elevenlabs_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(elevenlabs_timeout_ms), "30s", 0, 100, 300 * SECOND,
      "Time of one attempt" },
    { "elevenlabs_attempts", FN_SCOPE_WORKER, FN_S_INT, S(elevenlabs_attempts), "3", 0, 1, 10,
      "Attempts" },

    { "r2_account", FN_SCOPE_WORKER, FN_S_TEXT, S(r2_account), NULL, 0, 1, 64,
      "Cloudflare account, or env:NAME" },
    { "r2_endpoint", FN_SCOPE_WORKER, FN_S_URL, S(r2_endpoint), NULL, 0, 0, 256,
      "S3-compatible storage, or env:NAME" },
    { "r2_access_key", FN_SCOPE_WORKER, FN_S_SECRET, S(r2_access_key), NULL, 0, 0, 0,
      "Id of the access key" },
    { "r2_secret_key", FN_SCOPE_WORKER, FN_S_SECRET, S(r2_secret_key), NULL, 0, 0, 0,
      "Secret of the access key" },
    { "r2_bucket", FN_SCOPE_WORKER, FN_S_TEXT, S(r2_bucket), NULL, 0, 3, 63,
      "Bucket, or env:NAME" },
    { "r2_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(r2_timeout_ms), "60s", 0, 100, 600 * SECOND,
      "Time of one attempt" },
    { "r2_attempts", FN_SCOPE_WORKER, FN_S_INT, S(r2_attempts), "3", 0, 1, 10,
      "Attempts" },
    { "r2_url_ttl", FN_SCOPE_WORKER, FN_S_TIME, S(r2_url_ttl_ms), "1h", 0, SECOND, 7 * DAY,
      "Life of a presigned address" },

    { "fcm_base_url", FN_SCOPE_WORKER, FN_S_URL, S(fcm_base_url), "https://fcm.googleapis.com", 0, 0, 512,
      "Firebase Cloud Messaging, or env:NAME" },
    { "fcm_service_account", FN_SCOPE_WORKER, FN_S_SECRET_JSON, S(fcm_service_account), NULL, 0, 0, 0,
      "Key file of the service account" },
    { "fcm_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(fcm_timeout_ms), "10s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "fcm_attempts", FN_SCOPE_WORKER, FN_S_INT, S(fcm_attempts), "3", 0, 1, 10,
      "Attempts" },
    { "fcm_ttl", FN_SCOPE_WORKER, FN_S_TIME, S(fcm_ttl_ms), "1h", 0, 0, 28 * DAY,
      "How long a notification waits for a device" },

    { "smtp_host", FN_SCOPE_WORKER, FN_S_TEXT, S(smtp_host), NULL, 0, 1, 253,
      "Mail server, or env:NAME" },
    { "smtp_port", FN_SCOPE_WORKER, FN_S_INT, S(smtp_port), "587", 0, 1, 65535,
      "Port of the mail server, or env:NAME" },
    { "smtp_tls", FN_SCOPE_WORKER, FN_S_CHOICE, S(smtp_tls), "starttls", 0, 0, 0,
      "Encryption" },
    { "smtp_username", FN_SCOPE_WORKER, FN_S_TEXT, S(smtp_username), NULL, 0, 1, 254,
      "Who signs in, or env:NAME" },
    { "smtp_password", FN_SCOPE_WORKER, FN_S_SECRET, S(smtp_password), NULL, 0, 0, 0,
      "Password" },
    { "smtp_from", FN_SCOPE_WORKER, FN_S_TEXT, S(smtp_from), NULL, 0, 3, 254,
      "Address of the sender, or env:NAME" },
    { "smtp_from_name", FN_SCOPE_WORKER, FN_S_TEXT, S(smtp_from_name), "FitNudge", 0, 1, 100,
      "Name of the sender" },
    { "smtp_dkim_selector", FN_SCOPE_WORKER, FN_S_TEXT, S(smtp_dkim_selector), "default", 0, 1, 63,
      "Selector of the key that the mail server signs with" },
    { "smtp_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(smtp_timeout_ms), "30s", 0, 100, 300 * SECOND,
      "Time of one attempt" },
    { "smtp_attempts", FN_SCOPE_WORKER, FN_S_INT, S(smtp_attempts), "3", 0, 1, 10,
      "Attempts" },
    { "mail_templates", FN_SCOPE_WORKER, FN_S_TEXT, S(mail_templates), "/etc/fitnudge/templates/mail", 0, 1, 4096,
      "Directory of the templates" },
    { "mail_link_url", FN_SCOPE_WORKER, FN_S_URL, S(mail_link_url), "https://fitnudge.app", 0, 0, 256,
      "Where links in mails point to" },

    { "posthog_host", FN_SCOPE_WORKER, FN_S_URL, S(posthog_host), "https://us.i.posthog.com", 0, 0, 512,
      "PostHog, or env:NAME" },
    { "posthog_api_key", FN_SCOPE_WORKER, FN_S_SECRET, S(posthog_api_key), NULL, 0, 0, 0,
      "Key of the project" },
    { "posthog_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(posthog_timeout_ms), "30s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "posthog_attempts", FN_SCOPE_WORKER, FN_S_INT, S(posthog_attempts), "3", 0, 1, 10,
      "Attempts" },

    { "n8n_webhook_url", FN_SCOPE_WORKER, FN_S_SECRET_URL, S(n8n_webhook_url), NULL, 0, 0, 0,
      "Webhook that starts a workflow" },
    { "n8n_auth", FN_SCOPE_WORKER, FN_S_CHOICE, S(n8n_auth), "none", 0, 0, 0,
      "How the webhook knows us" },
    { "n8n_auth_name", FN_SCOPE_WORKER, FN_S_TEXT, S(n8n_auth_name), NULL, 0, 1, 100,
      "User, or name of the header" },
    { "n8n_auth_secret", FN_SCOPE_WORKER, FN_S_SECRET, S(n8n_auth_secret), NULL, 0, 0, 0,
      "Password, or value of the header" },
    { "n8n_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(n8n_timeout_ms), "30s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "n8n_attempts", FN_SCOPE_WORKER, FN_S_INT, S(n8n_attempts), "3", 0, 1, 10,
      "Attempts" },

    { "slack_webhook_url", FN_SCOPE_WORKER, FN_S_SECRET_URL, S(slack_webhook_url), NULL, 0, 0, 0,
      "Webhook of the channel for alerts" },
    { "slack_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(slack_timeout_ms), "30s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "slack_attempts", FN_SCOPE_WORKER, FN_S_INT, S(slack_attempts), "3", 0, 1, 10,
      "Attempts" },

    { "sentry_dsn", FN_SCOPE_WORKER, FN_S_SECRET_URL, S(sentry_dsn), NULL, 0, 0, 0,
      "Address of the project" },
    { "sentry_environment", FN_SCOPE_WORKER, FN_S_TEXT, S(sentry_environment), "production", 0, 1, 64,
      "Which installation this is" },
    { "sentry_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(sentry_timeout_ms), "10s", 0, 100, 120 * SECOND,
      "Time of one attempt" },

    { "otlp_endpoint", FN_SCOPE_WORKER, FN_S_URL, S(otlp_endpoint), NULL, 0, 0, 512,
      "OpenTelemetry collector, or env:NAME" },
    { "otlp_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(otlp_timeout_ms), "10s", 0, 100, 120 * SECOND,
      "Time of one attempt" },
    { "otlp_attempts", FN_SCOPE_WORKER, FN_S_INT, S(otlp_attempts), "3", 0, 1, 10,
      "Attempts" },

    { "openai_breaker_failures", FN_SCOPE_WORKER, FN_S_INT, S(openai_breaker_failures), "5", 0, 0, 32,
      "Failures in a row that open OpenAI's breaker, 0 = never" },
    { "openai_breaker_time", FN_SCOPE_WORKER, FN_S_TIME, S(openai_breaker_ms), "60s", 0, 100, 3600 * SECOND,
      "How long OpenAI's breaker stays open" },
    { "r2_breaker_failures", FN_SCOPE_WORKER, FN_S_INT, S(r2_breaker_failures), "3", 0, 0, 32,
      "Failures in a row that open R2's breaker, 0 = never" },
    { "r2_breaker_time", FN_SCOPE_WORKER, FN_S_TIME, S(r2_breaker_ms), "30s", 0, 100, 3600 * SECOND,
      "How long R2's breaker stays open" },
    { "breaker_failures", FN_SCOPE_WORKER, FN_S_INT, S(breaker_failures), "5", 0, 0, 32,
      "Failures in a row that open any other service's breaker, 0 = never" },
    { "breaker_time", FN_SCOPE_WORKER, FN_S_TIME, S(breaker_ms), "60s", 0, 100, 3600 * SECOND,
      "How long any other service's breaker stays open" },

    { NULL, FN_SCOPE_HTTP, FN_S_STRING, 0, NULL, 0, 0, 0, NULL }
};

_Static_assert(sizeof(fn_settings_table) / sizeof(fn_settings_table[0]) <= FN_SETTINGS_MAX, "FN_SETTINGS_MAX is too small");

/* The words of the FN_S_CHOICE rows. */
static const struct { size_t offset; const char *words[4]; }  fn_setting_choices[] = {
    { S(openai_api), { "chat", "responses", NULL, NULL } },
    { S(smtp_tls),   { "starttls", "tls", "off", NULL } },
    { S(n8n_auth),   { "none", "basic", "header", NULL } },
    { S(pseudo_locale), { "on", "off", NULL, NULL } },
    { S(cache_redis), { "on", "off", NULL, NULL } },
    { S(cron),       { "on", "off", NULL, NULL } }
};

static char  fn_setting_message[512];


const fn_setting_t *
fn_setting_find(const char *name, fn_setting_scope_e scope)
{
    const fn_setting_t  *d;

    for (d = fn_settings_table; d->name != NULL; d++) {
        if (d->scope == scope && strcmp(d->name, name) == 0) {
            return d;
        }
    }

    return NULL;
}


static const char *
fn_setting_invalid(const char *value, const char *expected)
{
    (void) snprintf(fn_setting_message, sizeof(fn_setting_message), "invalid value \"%.100s\": %s", value, expected);

    return fn_setting_message;
}


static const char *
fn_setting_text(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char  **place = (char **) ((char *) s + d->offset), *copy;

    copy = strdup(value);
    if (copy == NULL) {
        return "no memory";
    }

    free(*place);
    *place = copy;

    return NULL;
}


static int
fn_setting_is_url(const char *v, size_t max)
{
    return (strncmp(v, "http://", 7) == 0 || strncmp(v, "https://", 8) == 0)
           && strlen(v) <= max && strpbrk(v, " \t\r\n\"<>") == NULL;
}


static const char *
fn_setting_secret(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char        **place = (char **) ((char *) s + d->offset), *secret, path[4096];
    size_t        len;
    fn_jwks_t    *pairs;
    const char   *err;

    if (strncmp(value, "env:", 4) == 0) {
        const char  *v = getenv(value + 4);

        /* an optional one may be absent from the environment: what needs it is off */
        if (!d->required && (v == NULL || *v == '\0')) {
            return NULL;
        }

        /* other programs take a path from such a variable */
        if (d->type == FN_S_SECRET_JSON && v != NULL && v[strspn(v, " \t\r\n")] != '{') {
            (void) snprintf(path, sizeof(path), "file:%s", v);
            value = path;
        }
    }

    secret = fn_secret_load(value, &len, fn_setting_message, sizeof(fn_setting_message));
    if (secret == NULL) {
        return fn_setting_message;
    }

    if (len < (size_t) d->min) {
        (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                        "the secret \"%.100s\" has %zu bytes: at least %d are needed", value, len, (int) d->min);
        OPENSSL_cleanse(secret, len);
        free(secret);
        return fn_setting_message;
    }

    if (d->type == FN_S_SECRET_URL && !fn_setting_is_url(secret, 2048)) {
        OPENSSL_cleanse(secret, len);
        free(secret);
        (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                        "invalid value \"%.100s\": it must hold an http:// or https:// address", value);
        return fn_setting_message;
    }

    if (d->type == FN_S_SECRET_KEYS) {
        pairs = fn_key_pairs_parse(secret, &err);

        if (pairs == NULL) {
            OPENSSL_cleanse(secret, len);
            free(secret);
            (void) snprintf(fn_setting_message, sizeof(fn_setting_message), "the secret \"%.100s\" %s", value, err);
            return fn_setting_message;
        }

        fn_jwks_free(pairs);
    }

    *place = secret;

    return NULL;
}


static const char *
fn_setting_address(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char              host[64];
    fn_sentinel_t     sentinel;
    size_t            n, digits;
    const char       *colon, *from;
    struct in6_addr   addr;

    if (strncmp(value, "sentinel:", 9) == 0 && d->offset == S(redis)) {
        return fn_sentinel_parse(&sentinel, value) != 0
               ? fn_setting_invalid(value, "sentinel:name@ip:port,ip:port is expected, with numeric addresses, at most 8")
               : fn_setting_text(s, d, value);
    }

    if (strncmp(value, "unix:/", 6) == 0 && d->offset == S(metrics_listen)) {
        return fn_setting_invalid(value, "a numeric ip:port is expected");
    }

    if (strncmp(value, "unix:/", 6) == 0) {
        return strlen(value) > 5 + 107 ? fn_setting_invalid(value, "a socket's path has at most 107 bytes")
                                       : fn_setting_text(s, d, value);
    }

    colon = strrchr(value, ':');
    n = colon ? (size_t) (colon - value) : 0;
    digits = colon ? strspn(colon + 1, "0123456789") : 0;
    from = value;

    /* [IPv6]:port, as its own colons would be mistaken for the port's */
    if (n > 2 && value[0] == '[' && value[n - 1] == ']') {
        from = value + 1;
        n -= 2;
    }

    if (n == 0 || n >= sizeof(host) || digits == 0 || digits > 5 || colon[1 + digits] != '\0'
        || strtol(colon + 1, NULL, 10) < 1 || strtol(colon + 1, NULL, 10) > 65535)
    {
        return fn_setting_invalid(value, "unix:/path or a numeric ip:port is expected");
    }

    memcpy(host, from, n);
    host[n] = '\0';

    if (inet_pton(from == value ? AF_INET : AF_INET6, host, &addr) != 1) {
        return fn_setting_invalid(value, "unix:/path or a numeric ip:port is expected");
    }

    return fn_setting_text(s, d, value);
}


/* Dollars with at most six decimals, in micro-dollars; -1 when it is none. */

static int64_t
fn_parse_money(const char *s)
{
    int      decimals;
    int64_t  v = 0;

    if (*s < '0' || *s > '9') {
        return -1;
    }

    for ( ; *s >= '0' && *s <= '9'; s++) {
        v = v * 10 + (*s - '0');
        if (v > 1000000000) {
            return -1;
        }
    }

    decimals = 6;

    if (*s == '.') {
        for (s++; *s >= '0' && *s <= '9' && decimals > 0; s++, decimals--) {
            v = v * 10 + (*s - '0');
        }
    }

    while (decimals-- > 0) {
        v *= 10;
    }

    return *s == '\0' ? v : -1;
}


static const char *
fn_setting_number(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char     expected[128], *end;
    int64_t  v, *place = (int64_t *) ((char *) s + d->offset);

    switch (d->type) {

    case FN_S_TIME:
        v = fn_parse_duration_ms(value);
        (void) snprintf(expected, sizeof(expected), "a time from %lldms to %llds is expected",
                        (long long) d->min, (long long) d->max / 1000);
        break;

    case FN_S_MONEY:
        v = fn_parse_money(value);
        (void) snprintf(expected, sizeof(expected), "dollars from %lld to %lld are expected",
                        (long long) (d->min / DOLLARS), (long long) (d->max / DOLLARS));
        break;

    default:
        v = *value >= '0' && *value <= '9' && strlen(value) <= 12 ? strtoll(value, &end, 10) : -1;
        if (v != -1 && *end != '\0') {
            v = -1;
        }
        (void) snprintf(expected, sizeof(expected), "a number from %lld to %lld is expected",
                        (long long) d->min, (long long) d->max);
    }

    if (v < 0 || v < d->min || v > d->max) {
        return fn_setting_invalid(value, expected);
    }

    *place = v;

    return NULL;
}


static const char *
fn_setting_string(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    const char  *v = value;

    if (strncmp(value, "env:", 4) == 0 && (d->type != FN_S_STRING || d->offset == S(postgres))) {
        v = getenv(value + 4);

        if (v == NULL || *v == '\0') {
            if (d->fallback != NULL) {
                return fn_setting_text(s, d, d->fallback);
            }
            if (!d->required) {
                return NULL;
            }
            (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                            "environment variable \"%.100s\" is not set: set it before starting", value + 4);
            return fn_setting_message;
        }
    }

    if (d->type == FN_S_URL && !fn_setting_is_url(v, (size_t) d->max)) {
        return fn_setting_invalid(v, "an http:// or https:// address is expected");
    }

    if (d->type == FN_S_TEXT && v[strcspn(v, "\r\n")] != '\0') {
        return fn_setting_invalid("...", "one line is expected");
    }

    if (d->type == FN_S_VOICES && !fn_voices_valid(v)) {
        return fn_setting_invalid(v, "voice ids as id, tone=id, tone/language=id are expected");
    }

    if (d->type == FN_S_PUBLIC_KEY && !fn_webhook_key_valid(v)) {
        return fn_setting_invalid("...", "a public key of the curve P-256 in base64 is expected");
    }

    if (d->type != FN_S_URL && (strlen(v) < (size_t) d->min || strlen(v) > (size_t) d->max)) {
        (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                        "invalid value: %d to %d characters are expected", (int) d->min, (int) d->max);
        return fn_setting_message;
    }

    if (d->type == FN_S_LOCALES) {
        s->locale_set = *v == '/' ? fn_locales_load(v, fn_setting_message, sizeof(fn_setting_message)) : NULL;

        if (s->locale_set == NULL) {
            return *v == '/' ? fn_setting_message : fn_setting_invalid(v, "an absolute path is expected");
        }
    }

    return fn_setting_text(s, d, v);
}


static const char *
fn_setting_choice(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char                 expected[64];
    size_t               i, n;
    const char *const   *w;

    for (i = 0; fn_setting_choices[i].offset != d->offset; i++) { /* void */ }

    n = 0;
    expected[0] = '\0';

    for (w = fn_setting_choices[i].words; *w != NULL; w++) {
        if (strcmp(*w, value) == 0) {
            return fn_setting_text(s, d, value);
        }
        n += (size_t) snprintf(expected + n, sizeof(expected) - n, "%s%s", n == 0 ? "" : w[1] != NULL ? ", " : " or ", *w);
    }

    (void) snprintf(expected + n, sizeof(expected) - n, " is expected");

    return fn_setting_invalid(value, expected);
}


const char *
fn_setting_apply(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    size_t    i = (size_t) (d - fn_settings_table);
    uint64_t  bit = 1ull << (i % 64);

    if (s->seen[i / 64] & bit) {
        return "is duplicate";
    }
    s->seen[i / 64] |= bit;

    switch (d->type) {

    case FN_S_SECRET:
    case FN_S_SECRET_URL:
    case FN_S_SECRET_JSON:
    case FN_S_SECRET_KEYS:
        return fn_setting_secret(s, d, value);

    case FN_S_CHOICE:
        return fn_setting_choice(s, d, value);

    case FN_S_ADDRESS:
        return fn_setting_address(s, d, value);

    case FN_S_STRING:
    case FN_S_URL:
    case FN_S_TEXT:
    case FN_S_PUBLIC_KEY:
    case FN_S_VOICES:
    case FN_S_LOCALES:
        return fn_setting_string(s, d, value);

    case FN_S_INT:
        if (strncmp(value, "env:", 4) == 0) {
            const char  *v = getenv(value + 4);

            return v == NULL || *v == '\0' ? NULL : fn_setting_number(s, d, v);
        }
        return fn_setting_number(s, d, value);

    default:
        return fn_setting_number(s, d, value);
    }
}


int
fn_settings_init(fn_settings_t *s)
{
    const fn_setting_t  *d;

    memset(s, 0, sizeof(*s));

    for (d = fn_settings_table; d->name != NULL; d++) {
        if (d->fallback != NULL && fn_setting_apply(s, d, d->fallback) != NULL) {
            fn_settings_free(s);
            return -1;
        }
    }

    memset(s->seen, 0, sizeof(s->seen));

    return 0;
}


unsigned
fn_settings_keep_generations(const fn_settings_t *s)
{
    return strcmp(s->cache_redis, "on") == 0 ? 2 * 86400 : 0;
}


const char *
fn_settings_conflict(const fn_settings_t *s)
{
    size_t  i;

    const struct { const char *name; int64_t least, most; }  pairs[] = {
        { "sql_processes_max\" is less than \"sql_processes", s->sql_processes, s->sql_processes_max },
        { "auth_processes_max\" is less than \"auth_processes", s->auth_processes, s->auth_processes_max },
        { "net_processes_max\" is less than \"net_processes", s->net_processes, s->net_processes_max },
        { "max_spare\" is less than \"min_spare", s->min_spare, s->max_spare }
    };

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i].most != 0 && pairs[i].most < pairs[i].least) {
            (void) snprintf(fn_setting_message, sizeof(fn_setting_message), "\"%s\"", pairs[i].name);
            return fn_setting_message;
        }
    }

    return NULL;
}


const char *
fn_settings_check(const fn_settings_t *s)
{
    const fn_setting_t  *d;

    for (d = fn_settings_table; d->name != NULL; d++) {
        if (d->required && *(char *const *) ((const char *) s + d->offset) == NULL) {
            (void) snprintf(fn_setting_message, sizeof(fn_setting_message), "\"%s\" is missing in %s", d->name,
                            d->scope == FN_SCOPE_HTTP ? "the http block" : "fitnudge_worker { }");
            return fn_setting_message;
        }
    }

    return fn_settings_conflict(s);
}


void
fn_settings_free(fn_settings_t *s)
{
    char                **place;
    const fn_setting_t   *d;

    for (d = fn_settings_table; d->name != NULL; d++) {
        if (d->type == FN_S_INT || d->type == FN_S_TIME || d->type == FN_S_MONEY) {
            continue;
        }

        place = (char **) ((char *) s + d->offset);
        if (*place == NULL) {
            continue;
        }
        if (d->type == FN_S_SECRET || d->type == FN_S_SECRET_URL || d->type == FN_S_SECRET_JSON
            || d->type == FN_S_SECRET_KEYS)
        {
            OPENSSL_cleanse(*place, strlen(*place));
        }
        free(*place);
        *place = NULL;
    }

    fn_locales_free(s->locale_set);
    s->locale_set = NULL;
}
