/*
 * GET /i18n and /i18n/{lang}: the texts of the apps.  They were read with the configuration (fn_locales.h) and are sent from memory that all
 * processes share; a reload reads them again.
 */
#include "ngx_http_fitnudge.h"


static const ngx_str_t  ngx_http_fitnudge_i18n_cache = ngx_string("public, max-age=900");

static ngx_int_t ngx_http_fitnudge_i18n_send(ngx_http_request_t *r, const ngx_str_t *body);


ngx_int_t
ngx_http_fitnudge_i18n_handler(ngx_http_request_t *r)
{
    int                                   language;
    size_t                                len;
    ngx_int_t                             rc;
    ngx_str_t                             body;
    const char                           *values[FN_PARAMS_MAX];
    const fn_route_match_t               *m;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    m = ngx_http_fitnudge_route_of(r);
    fmcf = ngx_http_fitnudge_main_conf(r);

    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_fitnudge_params(r, m, values, &rc) != NGX_OK) {
        return rc;
    }

    language = fn_language_lookup(values[0], ngx_strlen(values[0]));

    if (fmcf->settings.locale_set == NULL || language < 0
        || (language == FN_PSEUDO && ngx_strcmp(fmcf->settings.pseudo_locale, "on") != 0))
    {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    body.data = (u_char *) fn_locales_json(fmcf->settings.locale_set, language, &len);
    body.len = len;

    return ngx_http_fitnudge_i18n_send(r, &body);
}


/* The languages, and which of them the client's header likes best. */

ngx_int_t
ngx_http_fitnudge_languages_handler(ngx_http_request_t *r)
{
    u_char                               *p, *last, text[1024];
    ngx_int_t                             rc;
    ngx_str_t                             body;
    const char                           *values[FN_PARAMS_MAX];
    const fn_language_t                  *l;
    const fn_route_match_t               *m;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    m = ngx_http_fitnudge_route_of(r);
    fmcf = ngx_http_fitnudge_main_conf(r);

    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_fitnudge_params(r, m, values, &rc) != NGX_OK) {
        return rc;
    }

    if (fmcf->settings.locale_set == NULL) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    last = text + sizeof(text);
    p = ngx_slprintf(text, last, "{\"languages\":[");

    for (l = fn_languages; l->code != NULL; l++) {
        p = ngx_slprintf(p, last, "%s{\"code\":\"%s\",\"name\":\"%s\",\"native_name\":\"%s\",\"dir\":\"%s\"}", l == fn_languages ? "" : ",", l->code, l->name,
                         l->native_name, l->dir);
    }

    if (ngx_strcmp(fmcf->settings.pseudo_locale, "on") == 0) {
        p = ngx_slprintf(p, last, ",{\"code\":\"" FN_PSEUDO_CODE "\",\"name\":\"Pseudo\",\"native_name\":\"Pseudo\",\"dir\":\"ltr\"}");
    }

    p = ngx_slprintf(p, last, "],\"fallback\":\"en\",\"preferred\":\"%s\"}", fn_languages[ngx_max(ngx_http_fitnudge_language(r), 0)].code);

    body.len = p - text;
    body.data = ngx_pnalloc(r->pool, body.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(body.data, text, body.len);

    if (ngx_http_fitnudge_header(r, "Vary", (u_char *) "Accept-Language", sizeof("Accept-Language") - 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_fitnudge_i18n_send(r, &body);
}


static ngx_int_t
ngx_http_fitnudge_i18n_send(ngx_http_request_t *r, const ngx_str_t *body)
{
    u_char     *p;
    ngx_str_t   etag;

    p = ngx_pnalloc(r->pool, NGX_FITNUDGE_ETAG_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_fitnudge_etag(p, body->data, body->len);

    etag.data = p;
    etag.len = NGX_FITNUDGE_ETAG_LEN;

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, NULL, body, &etag, &ngx_http_fitnudge_i18n_cache);
}


int
ngx_http_fitnudge_language(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = ngx_http_fitnudge_find_header(r, "accept-language");

    return h != NULL ? fn_language_negotiate((const char *) h->value.data, h->value.len) : -1;
}
