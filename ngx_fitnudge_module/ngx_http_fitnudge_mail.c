/*
 * The links of mails (libfitnudge/fn_mail_link.h): the picture that tells of an opened mail, links that are counted, and the page that asks
 * whether to unsubscribe.  Answers are given at once; what they tell the statistics is queued beside, and may be lost.
 */
#include "ngx_http_fitnudge.h"
#include "../worker/libfitnudge/fn_mail_link.h"
#include "../worker/libfitnudge/fn_query.h"
#include "../worker/libfitnudge/fn_uuid.h"


typedef struct {
    const char  *language;
    const char  *ask;
    const char  *button;
    const char  *done;
} ngx_http_fitnudge_mail_words_t;


static ngx_uint_t ngx_http_fitnudge_mail_verified(ngx_http_request_t *r, fn_mail_link_e kind, const char *const *values);
static const ngx_http_fitnudge_mail_words_t *ngx_http_fitnudge_mail_language(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_mail_page(ngx_http_request_t *r, ngx_uint_t done);


static const ngx_http_fitnudge_mail_words_t  ngx_http_fitnudge_mail_words[] = {
    { "en", "Do you want no more e-mails of this kind?", "Unsubscribe",
      "You will get no more e-mails of this kind." },
    { "es", "\xc2\xbfQuieres dejar de recibir correos de este tipo?", "Cancelar la suscripci\xc3\xb3n",
      "Ya no recibir\xc3\xa1s correos de este tipo." },
    { "fr", "Ne plus recevoir d\xe2\x80\x99" "e-mails de ce type ?", "Se d\xc3\xa9sabonner",
      "Vous ne recevrez plus d\xe2\x80\x99" "e-mails de ce type." },
    { "de", "M\xc3\xb6" "chtest du keine E-Mails dieser Art mehr?", "Abmelden",
      "Du bekommst keine E-Mails dieser Art mehr." }
};

#define WORDS  (sizeof(ngx_http_fitnudge_mail_words) / sizeof(ngx_http_fitnudge_mail_words[0]))

/* One transparent pixel. */
static u_char  ngx_http_fitnudge_mail_gif[] =
    "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02"
    "D\x01\x00;";


ngx_int_t
ngx_http_fitnudge_mail_open_handler(ngx_http_request_t *r)
{
    ngx_int_t    rc;
    ngx_str_t    body;
    const char  *values[FN_PARAMS_MAX];

    static const ngx_str_t  type = ngx_string("image/gif");

    if (ngx_http_fitnudge_params(r, ngx_http_fitnudge_route_of(r), values, &rc) != NGX_OK) {
        return rc;
    }

    if (!ngx_http_fitnudge_mail_verified(r, FN_MAIL_OPEN, values)) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    if (r->method != NGX_HTTP_HEAD) {
        ngx_http_fitnudge_tell(r, "mail.note", values, "{\"kind\":\"opened\"}");
    }

    body.data = ngx_http_fitnudge_mail_gif;
    body.len = sizeof(ngx_http_fitnudge_mail_gif) - 1;

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, &type, &body, NULL, NULL);
}


ngx_int_t
ngx_http_fitnudge_mail_click_handler(ngx_http_request_t *r)
{
    ngx_int_t    rc;
    const char  *values[FN_PARAMS_MAX];

    static const ngx_str_t  type = ngx_string("text/plain");
    static const ngx_str_t  nothing = ngx_null_string;

    if (ngx_http_fitnudge_params(r, ngx_http_fitnudge_route_of(r), values, &rc) != NGX_OK) {
        return rc;
    }

    /* only where we have sent people ourselves: this leads to no other address */
    if (!ngx_http_fitnudge_mail_verified(r, FN_MAIL_CLICK, values)) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    if (r->method != NGX_HTTP_HEAD) {
        ngx_http_fitnudge_tell(r, "mail.note", values, "{\"kind\":\"clicked\"}");
    }

    if (ngx_http_fitnudge_header(r, "Location", (u_char *) values[2], ngx_strlen(values[2])) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_fitnudge_send(r, NGX_HTTP_MOVED_TEMPORARILY, &type, &nothing, NULL, NULL);
}


/* values: id, s, and of a click u. */

static ngx_uint_t
ngx_http_fitnudge_mail_verified(ngx_http_request_t *r, fn_mail_link_e kind, const char *const *values)
{
    const char                           *what;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);
    what = kind == FN_MAIL_CLICK ? values[2] : "";

    return fn_mail_link_verify(fmcf->settings.jwt_secret, kind, values[0], FN_UUID_LEN, what, ngx_strlen(what), values[1],
                               ngx_strlen(values[1]));
}


/* Only asks: programs that look at links before people do must not unsubscribe anybody. */

ngx_int_t
ngx_http_fitnudge_mail_unsubscribe_handler(ngx_http_request_t *r)
{
    char                                  user[FN_UUID_LEN + 1], list[FN_MAIL_LIST_MAX + 1];
    ngx_int_t                             rc;
    const char                           *values[FN_PARAMS_MAX];
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);

    if (ngx_http_fitnudge_params(r, ngx_http_fitnudge_route_of(r), values, &rc) != NGX_OK) {
        return rc;
    }

    if (!fn_mail_unsubscribe(fmcf->settings.jwt_secret, values[0], ngx_strlen(values[0]), user, list)) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
    }

    return ngx_http_fitnudge_mail_page(r, 0);
}


ngx_int_t
ngx_http_fitnudge_mail_unsubscribed(ngx_http_request_t *r)
{
    return ngx_http_fitnudge_mail_page(r, 1);
}


static ngx_int_t
ngx_http_fitnudge_mail_page(ngx_http_request_t *r, ngx_uint_t done)
{
    ngx_str_t                              body;
    const ngx_http_fitnudge_mail_words_t  *w;

    static const size_t     size = 1024;
    static const ngx_str_t  type = ngx_string("text/html; charset=utf-8");

    w = ngx_http_fitnudge_mail_language(r);

    body.data = ngx_pnalloc(r->pool, size);
    if (body.data == NULL || ngx_http_fitnudge_header(r, "Vary", (u_char *) "Accept-Language", 15) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_snprintf(body.data, size,
                            "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
                            "<meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n"
                            "<title>FitNudge</title>\n</head>\n<body>\n<p>%s</p>\n", w->language, done ? w->done : w->ask)
               - body.data;

    /* without an action the form goes to where the page came from */

    if (!done) {
        body.len = ngx_snprintf(body.data + body.len, size - body.len,
                                "<form method=\"post\">\n<input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">\n"
                                "<button type=\"submit\">%s</button>\n</form>\n", w->button)
                   - body.data;
    }

    body.len = ngx_snprintf(body.data + body.len, size - body.len, "</body>\n</html>\n") - body.data;

    return ngx_http_fitnudge_send(r, NGX_HTTP_OK, &type, &body, NULL, NULL);
}


/* The first language of Accept-Language that there is; weights are passed over, as clients write the best first. */

static const ngx_http_fitnudge_mail_words_t *
ngx_http_fitnudge_mail_language(ngx_http_request_t *r)
{
    u_char           *p, *last;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    h = ngx_http_fitnudge_find_header(r, "accept-language");

    if (h == NULL) {
        return &ngx_http_fitnudge_mail_words[0];
    }

    for (p = h->value.data, last = p + h->value.len; last - p >= 2; p++) {

        while (p < last && (*p == ' ' || *p == ',')) {
            p++;
        }

        for (i = 0; i < WORDS; i++) {
            if (last - p >= 2 && ngx_strncasecmp(p, (u_char *) ngx_http_fitnudge_mail_words[i].language, 2) == 0
                && (last - p == 2 || p[2] == '-' || p[2] == ',' || p[2] == ';' || p[2] == ' '))
            {
                return &ngx_http_fitnudge_mail_words[i];
            }
        }

        p = ngx_strlchr(p, last, ',');

        if (p == NULL) {
            break;
        }
    }

    return &ngx_http_fitnudge_mail_words[0];
}
