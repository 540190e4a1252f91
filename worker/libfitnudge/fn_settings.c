/* The settings table and the one function that reads a value into its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <openssl/crypto.h>

#include "fn_secret.h"
#include "fn_settings.h"
#include "fn_time.h"

#define FN_SECRET_MIN  32       /* bytes of a signing key: the output of SHA-256, RFC 7518 section 3.2 */

#define S(name)  offsetof(fn_settings_t, name)
#define SECOND   1000LL
#define DAY      86400000LL
#define DOLLARS  1000000LL

const fn_setting_t  fn_settings_table[] = {
    /* name, scope, type, place, default, required, min, max, help */
    { "fitnudge_redis", FN_SCOPE_HTTP, FN_S_ADDRESS, S(redis), NULL, 1, 0, 0,
      "Redis: unix:/path or ip:port" },
    { "fitnudge_redis_password", FN_SCOPE_HTTP, FN_S_SECRET, S(redis_password), NULL, 0, 0, 0,
      "Password of Redis" },
    { "fitnudge_jwt_secret", FN_SCOPE_HTTP, FN_S_SECRET, S(jwt_secret), NULL, 1, FN_SECRET_MIN, 0,
      "Key that signs access tokens (HS256)" },
    { "fitnudge_jwt_issuer", FN_SCOPE_HTTP, FN_S_STRING, S(jwt_issuer), "fitnudge", 0, 1, 255,
      "Issuer of access tokens" },
    { "fitnudge_jwt_audience", FN_SCOPE_HTTP, FN_S_STRING, S(jwt_audience), "authenticated", 0, 1, 255,
      "Audience of access tokens" },
    { "fitnudge_csrf_secret", FN_SCOPE_HTTP, FN_S_SECRET, S(csrf_secret), NULL, 0, FN_SECRET_MIN, 0,
      "Key that signs CSRF tokens" },
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
    { "sql_batch", FN_SCOPE_WORKER, FN_S_INT, S(sql_batch), "16", 0, 1, 64,
      "Jobs an executor commits together" },
    { "auth_processes", FN_SCOPE_WORKER, FN_S_INT, S(auth_processes), "1", 0, 1, 16,
      "Executors of the auth lane" },
    { "net_processes", FN_SCOPE_WORKER, FN_S_INT, S(net_processes), "1", 0, 1, 8,
      "Processes of the net lane" },
    { "net_slots", FN_SCOPE_WORKER, FN_S_INT, S(net_slots), "256", 0, 1, 1024,
      "Exchanges in flight in one process" },
    { "shutdown_timeout", FN_SCOPE_WORKER, FN_S_TIME, S(shutdown_ms), "30s", 0, 5 * SECOND, 600 * SECOND,
      "How long work in hand may take at shutdown" },
    { "recycle_jobs", FN_SCOPE_WORKER, FN_S_INT, S(recycle_jobs), "100000", 0, 0, 1000000000,
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

    { NULL, FN_SCOPE_HTTP, FN_S_STRING, 0, NULL, 0, 0, 0, NULL }
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


static const char *
fn_setting_secret(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char    **place = (char **) ((char *) s + d->offset), *secret;
    size_t    len;

    /* an optional one may be absent from the environment: what needs it is off */
    if (!d->required && strncmp(value, "env:", 4) == 0) {
        const char  *v = getenv(value + 4);

        if (v == NULL || *v == '\0') {
            return NULL;
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

    *place = secret;

    return NULL;
}


static const char *
fn_setting_address(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    char              host[64];
    size_t            n, digits;
    const char       *colon, *from;
    struct in6_addr   addr;

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

    if (strncmp(value, "env:", 4) == 0 && (d->type == FN_S_URL || d->offset == S(postgres))) {
        v = getenv(value + 4);

        if (v == NULL || *v == '\0') {
            if (d->fallback != NULL) {
                return fn_setting_text(s, d, d->fallback);
            }
            (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                            "environment variable \"%.100s\" is not set: set it before starting", value + 4);
            return fn_setting_message;
        }
    }

    if (d->type == FN_S_URL && ((strncmp(v, "http://", 7) != 0 && strncmp(v, "https://", 8) != 0)
                                || strlen(v) > (size_t) d->max || strpbrk(v, " \t\r\n\"<>") != NULL))
    {
        return fn_setting_invalid(v, "an http:// or https:// address is expected");
    }

    if (d->type == FN_S_STRING && (strlen(v) < (size_t) d->min || strlen(v) > (size_t) d->max)) {
        (void) snprintf(fn_setting_message, sizeof(fn_setting_message),
                        "invalid value: %d to %d characters are expected", (int) d->min, (int) d->max);
        return fn_setting_message;
    }

    return fn_setting_text(s, d, v);
}


const char *
fn_setting_apply(fn_settings_t *s, const fn_setting_t *d, const char *value)
{
    uint64_t  bit = 1ull << (d - fn_settings_table);

    if (s->seen & bit) {
        return "is duplicate";
    }
    s->seen |= bit;

    switch (d->type) {

    case FN_S_SECRET:
        return fn_setting_secret(s, d, value);

    case FN_S_ADDRESS:
        return fn_setting_address(s, d, value);

    case FN_S_STRING:
    case FN_S_URL:
        return fn_setting_string(s, d, value);

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

    s->seen = 0;

    return 0;
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

    return NULL;
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
        if (d->type == FN_S_SECRET) {
            OPENSSL_cleanse(*place, strlen(*place));
        }
        free(*place);
        *place = NULL;
    }
}
