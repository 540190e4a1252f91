/* fitnudge_jwks: its arguments, and the key sets of files. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_http_fitnudge.h"
#include "ngx_http_fitnudge_jwks.h"


static char *ngx_http_fitnudge_jwks_file(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source);
static char *ngx_http_fitnudge_jwks_parameter(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source, ngx_str_t *value);
static char *ngx_http_fitnudge_jwks_time(ngx_conf_t *cf, ngx_msec_t *to, ngx_str_t *value, size_t name, ngx_int_t min,
    ngx_int_t max, const char *expected);
static void ngx_http_fitnudge_jwks_free(void *data);


char *
ngx_http_fitnudge_jwks_configure(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source, ngx_uint_t n)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    source->name = value[1];

    if (value[1].len > 5 && ngx_strncmp(value[1].data, "file:", 5) == 0) {
        if (ngx_http_fitnudge_jwks_file(cf, source) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

    } else if (value[1].data[0] == '/') {
        if (cf->cmd_type != NGX_HTTP_SRV_CONF) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge_jwks\" with a location belongs into the \"server\" block of "
                               "that location");
            return NGX_CONF_ERROR;
        }

        source->conf_ctx = cf->ctx;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in \"fitnudge_jwks\": file:/path or the /uri of a "
                           "location is expected", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_fitnudge_jwks_parameter(cf, source, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    source->ttl = source->ttl ? source->ttl : 600 * 1000;
    source->cooldown = source->cooldown ? source->cooldown : 30 * 1000;
    source->timeout = source->timeout ? source->timeout : 5000;

    /* what a document in shared memory is found by after a reload */
    source->hash = XXH3_64bits_withSeed(source->name.data, source->name.len, n);
    source->hash = source->issuer ? XXH3_64bits_withSeed(source->issuer, ngx_strlen(source->issuer), source->hash) : source->hash;
    source->hash |= 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_jwks_file(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source)
{
    u_char              *text;
    ssize_t              n;
    ngx_fd_t             fd;
    ngx_str_t            path;
    const char          *err;
    ngx_pool_cleanup_t  *cln;

    path.data = source->name.data + 5;
    path.len = source->name.len - 5;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "\"fitnudge_jwks\": cannot open \"%V\"", &path);
        return NGX_CONF_ERROR;
    }

    text = ngx_palloc(cf->temp_pool, FN_JWKS_MAX_BYTES + 1);
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    n = text != NULL ? ngx_read_fd(fd, text, FN_JWKS_MAX_BYTES + 1) : -1;

    (void) ngx_close_file(fd);

    if (text == NULL || cln == NULL || n < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge_jwks\": cannot read \"%V\"", &path);
        return NGX_CONF_ERROR;
    }

    source->keys = fn_jwks_parse((char *) text, (size_t) n, FN_JWKS_SECRETS, &err);
    ngx_explicit_memzero(text, (size_t) n);

    if (source->keys == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge_jwks\": \"%V\" is no usable key set: %s", &path, err);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_fitnudge_jwks_free;
    cln->data = source->keys;

    if (source->keys->skipped) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "\"fitnudge_jwks\": %ui keys of \"%V\" are not used: %s",
                           (ngx_uint_t) source->keys->skipped, &path, source->keys->why);
    }

    return NGX_CONF_OK;
}


static void
ngx_http_fitnudge_jwks_free(void *data)
{
    fn_jwks_free(data);
}


static char *
ngx_http_fitnudge_jwks_parameter(ngx_conf_t *cf, ngx_http_fitnudge_jwks_source_t *source, ngx_str_t *value)
{
    char  **text;

    text = NULL;

    if (ngx_strncmp(value->data, "issuer=", 7) == 0) {
        text = &source->issuer;

    } else if (ngx_strncmp(value->data, "audience=", 9) == 0) {
        text = &source->audience;
    }

    if (text != NULL) {
        if (*text != NULL || value->data[value->len - 1] == '=') {
            goto invalid;
        }

        *text = (char *) ngx_strlchr(value->data, value->data + value->len, '=') + 1;
        return NGX_CONF_OK;
    }

    if (source->conf_ctx != NULL) {
        if (ngx_strncmp(value->data, "ttl=", 4) == 0) {
            return ngx_http_fitnudge_jwks_time(cf, &source->ttl, value, 4, 1000, 86400 * 1000, "from 1s to 1d");
        }

        if (ngx_strncmp(value->data, "cooldown=", 9) == 0) {
            return ngx_http_fitnudge_jwks_time(cf, &source->cooldown, value, 9, 100, 3600 * 1000, "from 100ms to 1h");
        }

        if (ngx_strncmp(value->data, "timeout=", 8) == 0) {
            return ngx_http_fitnudge_jwks_time(cf, &source->timeout, value, 8, 100, 60 * 1000, "from 100ms to 1m");
        }
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" in \"fitnudge_jwks\"", value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_fitnudge_jwks_time(ngx_conf_t *cf, ngx_msec_t *to, ngx_str_t *value, size_t name, ngx_int_t min, ngx_int_t max,
    const char *expected)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = value->data + name;
    s.len = value->len - name;
    n = ngx_parse_time(&s, 0);

    if (*to != 0 || n < min || n > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" in \"fitnudge_jwks\": a time %s is expected, once",
                           value, expected);
        return NGX_CONF_ERROR;
    }

    *to = (ngx_msec_t) n;

    return NGX_CONF_OK;
}
