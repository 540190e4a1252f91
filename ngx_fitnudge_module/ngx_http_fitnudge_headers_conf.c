/* The directives of the headers module.  What can be made of them once is made here: requests only copy it. */
#include "ngx_http_fitnudge_headers.h"
#include "fn_origin.h"
#include "../worker/libfitnudge/fn_time.h"


#define MAX_AGE       3600              /* s; of a preflight's answer */
#define MAX_AGE_MAX   86400             /* no browser keeps it longer */
#define HSTS_AGE      (365 * 86400)     /* s */
#define HSTS_AGE_MAX  (10 * 365 * 86400)


typedef struct {
    ngx_conf_post_handler_pt  post_handler;
    time_t                    max;
    char                     *message;
} ngx_http_fitnudge_seconds_post_t;


static char *ngx_http_fitnudge_headers_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_headers_set_deprecated(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_fitnudge_headers_link(ngx_conf_t *cf, ngx_http_fitnudge_headers_conf_t *hcf, ngx_str_t *url);
static char *ngx_http_fitnudge_headers_check_seconds(ngx_conf_t *cf, void *post, void *data);
static time_t ngx_http_fitnudge_headers_time(const ngx_str_t *value);


static ngx_http_fitnudge_seconds_post_t  ngx_http_fitnudge_max_age_post = {
    ngx_http_fitnudge_headers_check_seconds, MAX_AGE_MAX, "must be from 0 to 1d"
};

static ngx_http_fitnudge_seconds_post_t  ngx_http_fitnudge_hsts_post = {
    ngx_http_fitnudge_headers_check_seconds, HSTS_AGE_MAX, "must be from 0 to 10y"
};


ngx_command_t  ngx_http_fitnudge_headers_commands[] = {

    { ngx_string("fitnudge_cors_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_fitnudge_headers_set_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_cors_max_age"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, max_age),
      &ngx_http_fitnudge_max_age_post },

    { ngx_string("fitnudge_security_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, security),
      NULL },

    { ngx_string("fitnudge_hsts"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_fitnudge_headers_conf_t, hsts),
      &ngx_http_fitnudge_hsts_post },

    { ngx_string("fitnudge_deprecated"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_fitnudge_headers_set_deprecated,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


void *
ngx_http_fitnudge_headers_create_conf(ngx_conf_t *cf)
{
    ngx_http_fitnudge_headers_conf_t  *hcf;

    hcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_headers_conf_t));
    if (hcf == NULL) {
        return NULL;
    }

    hcf->origins = NGX_CONF_UNSET_PTR;
    hcf->max_age = NGX_CONF_UNSET;
    hcf->security = NGX_CONF_UNSET;
    hcf->hsts = NGX_CONF_UNSET;

    return hcf;
}


char *
ngx_http_fitnudge_headers_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    u_char                            *p;
    ngx_http_fitnudge_headers_conf_t  *prev = parent;
    ngx_http_fitnudge_headers_conf_t  *conf = child;

    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_merge_sec_value(conf->max_age, prev->max_age, MAX_AGE);
    ngx_conf_merge_value(conf->security, prev->security, 1);
    ngx_conf_merge_sec_value(conf->hsts, prev->hsts, HSTS_AGE);

    if (!conf->deprecated_set) {
        conf->deprecated_set = prev->deprecated_set;
        conf->deprecation = prev->deprecation;
        conf->sunset = prev->sunset;
        conf->link = prev->link;
    }

    p = ngx_pnalloc(cf->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->max_age_text.data = p;
    conf->max_age_text.len = (size_t) (ngx_sprintf(p, "%T", conf->max_age) - p);

    p = ngx_pnalloc(cf->pool, sizeof("max-age=; includeSubDomains") + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->hsts_text.data = p;
    conf->hsts_text.len = (size_t) (ngx_sprintf(p, "max-age=%T; includeSubDomains", conf->hsts) - p);

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_check_seconds(ngx_conf_t *cf, void *post, void *data)
{
    const time_t                            *seconds = data;
    const ngx_http_fitnudge_seconds_post_t  *p = post;

    (void) cf;

    return *seconds > p->max ? p->message : NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         *value, *origin;
    ngx_uint_t                         i;
    const char                        *err;
    ngx_http_fitnudge_headers_conf_t  *hcf = conf;

    if (hcf->origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        hcf->origins = NULL;
        return NGX_CONF_OK;
    }

    hcf->origins = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(ngx_str_t));
    if (hcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        err = fn_origin_check((const char *) value[i].data, value[i].len);

        if (err != NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid origin \"%V\" in \"%V\" directive: it %s",
                               &value[i], &cmd->name, err);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(hcf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_fitnudge_headers_set_deprecated(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                            *p;
    time_t                             since, sunset;
    ngx_str_t                         *value, s;
    ngx_uint_t                         i;
    ngx_http_fitnudge_headers_conf_t  *hcf = conf;

    if (hcf->deprecated_set) {
        return "is duplicate";
    }

    hcf->deprecated_set = 1;
    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    i = 1;
    since = ngx_http_fitnudge_headers_time(&value[1]);
    sunset = (time_t) NGX_ERROR;

    if (since == (time_t) NGX_ERROR) {
        goto invalid;
    }

    p = ngx_pnalloc(cf->pool, NGX_TIME_T_LEN + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    /* a Date of RFC 9651 */
    hcf->deprecation.data = p;
    hcf->deprecation.len = (size_t) (ngx_sprintf(p, "@%T", since) - p);

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "sunset=", 7) == 0 && sunset == (time_t) NGX_ERROR) {
            s.data = value[i].data + 7;
            s.len = value[i].len - 7;

            sunset = ngx_http_fitnudge_headers_time(&s);
            if (sunset == (time_t) NGX_ERROR) {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "link=", 5) == 0 && hcf->link.data == NULL) {
            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_http_fitnudge_headers_link(cf, hcf, &s) == NGX_CONF_OK) {
                continue;
            }
        }

        goto invalid;
    }

    if (sunset == (time_t) NGX_ERROR) {
        return NGX_CONF_OK;
    }

    /* RFC 9745, section 4 */
    if (sunset < since) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the sunset in \"%V\" directive is earlier than the deprecation", &cmd->name);
        return NGX_CONF_ERROR;
    }

    hcf->sunset.data = ngx_pnalloc(cf->pool, sizeof("Mon, 28 Sep 1970 06:00:00 GMT"));
    if (hcf->sunset.data == NULL) {
        return NGX_CONF_ERROR;
    }

    hcf->sunset.len = (size_t) (ngx_http_time(hcf->sunset.data, sunset) - hcf->sunset.data);

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" in \"%V\" directive", &value[i], &cmd->name);
    return NGX_CONF_ERROR;
}


/* RFC 8288; one link tells of both, and what it says stays between its angle brackets. */

static char *
ngx_http_fitnudge_headers_link(ngx_conf_t *cf, ngx_http_fitnudge_headers_conf_t *hcf, ngx_str_t *url)
{
    size_t   size, i;

    if (!(url->len > 8 && (ngx_strncmp(url->data, "https://", 8) == 0 || ngx_strncmp(url->data, "http://", 7) == 0))) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f || url->data[i] == '<' || url->data[i] == '>' || url->data[i] == '"') {
            return NGX_CONF_ERROR;
        }
    }

    size = sizeof("<>; rel=\"deprecation sunset\"") + url->len;

    hcf->link.data = ngx_pnalloc(cf->pool, size);
    if (hcf->link.data == NULL) {
        return NGX_CONF_ERROR;
    }

    hcf->link.len = (size_t) (ngx_snprintf(hcf->link.data, size, "<%V>; rel=\"deprecation sunset\"", url) - hcf->link.data);

    return NGX_CONF_OK;
}


/* "@<unix s>", YYYY-MM-DD or an RFC 3339 time; NGX_ERROR when it is none of them. */

static time_t
ngx_http_fitnudge_headers_time(const ngx_str_t *value)
{
    time_t     t;
    u_char     text[sizeof("2026-01-01T00:00:00Z")];
    int64_t    unix_s;
    ngx_str_t  date;

    if (value->len > 1 && value->data[0] == '@') {
        t = ngx_atotm(value->data + 1, value->len - 1);

        return (t == (time_t) NGX_ERROR || t > 253402300799) ? (time_t) NGX_ERROR : t;
    }

    if (value->len == 10) {
        (void) ngx_snprintf(text, sizeof(text), "%VT00:00:00Z%Z", value);
        date.data = text;
        date.len = sizeof(text) - 1;
        value = &date;
    }

    if (fn_rfc3339_parse(&unix_s, (const char *) value->data, value->len) != 0 || unix_s < 0) {
        return (time_t) NGX_ERROR;
    }

    return (time_t) unix_s;
}
