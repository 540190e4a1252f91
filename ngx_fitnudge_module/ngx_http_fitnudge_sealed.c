/*
 * Writes of those who have no token but a signature: services with their webhooks, and links of mails.  It is verified here, over
 * the bytes as they came; what the job gets is a body made of what was signed and nothing else.
 */
#include "ngx_http_fitnudge_forward.h"
#include "../worker/libfitnudge/fn_mail_link.h"
#include "../worker/libfitnudge/fn_time.h"
#include "../worker/libfitnudge/fn_webhook.h"


typedef struct {
    const char  *job;
    ngx_int_t  (*body)(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body, ngx_int_t *rc);
} ngx_http_fitnudge_sealed_t;


static ngx_int_t ngx_http_fitnudge_sealed_webhook(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body, ngx_int_t *rc);
static ngx_int_t ngx_http_fitnudge_sealed_unsubscribe(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body,
    ngx_int_t *rc);
static void ngx_http_fitnudge_sealed_header(ngx_http_request_t *r, const char *name, fn_span_t *value);


static const ngx_http_fitnudge_sealed_t  ngx_http_fitnudge_sealed[] = {
    { "mail.events", ngx_http_fitnudge_sealed_webhook },
    { "mail.unsubscribe", ngx_http_fitnudge_sealed_unsubscribe },
    { NULL, NULL }
};


ngx_int_t
ngx_http_fitnudge_sealed_body(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body, ngx_int_t *rc)
{
    const ngx_http_fitnudge_sealed_t  *sealed;

    for (sealed = ngx_http_fitnudge_sealed; sealed->job != NULL; sealed++) {
        if (ngx_strcmp(sealed->job, fw->job->name) == 0) {
            return sealed->body(fw, text, body, rc);
        }
    }

    ngx_log_error(NGX_LOG_ERR, fw->request->connection->log, 0, "fitnudge: nobody verifies signatures for \"%s\"", fw->job->name);

    *rc = ngx_http_fitnudge_error(fw->request, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_fitnudge_sealed_webhook(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body, ngx_int_t *rc)
{
    fn_span_t                             signature, timestamp, raw;
    const fn_webhook_t                   *webhook;
    ngx_http_request_t                   *r = fw->request;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(r);
    webhook = fn_webhook_find(fw->job->name);

    if (webhook == NULL) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
        return NGX_DECLINED;
    }

    ngx_http_fitnudge_sealed_header(r, webhook->signature, &signature);
    ngx_http_fitnudge_sealed_header(r, webhook->timestamp, &timestamp);

    raw.p = (const char *) text->data;
    raw.n = text->len;

    switch (fn_webhook_check(webhook, &fmcf->settings, &signature, &timestamp, &raw, (int64_t) (fn_now_ms() / 1000))) {

    case FN_WEBHOOK_GOOD:
        fn_buf_addf(body, "{\"%s\":", webhook->member);
        fn_buf_add(body, raw.p, raw.n);
        fn_buf_adds(body, "}");
        return NGX_OK;

    case FN_WEBHOOK_OFF:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, "The key of this service is not set up here.");
        return NGX_DECLINED;

    case FN_WEBHOOK_MISSING:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNAUTHORIZED, webhook->signature, "required", "The request is not signed.");
        return NGX_DECLINED;

    case FN_WEBHOOK_FORGED:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNAUTHORIZED, webhook->signature, "signature", "The signature is not that of this request.");
        return NGX_DECLINED;

    case FN_WEBHOOK_OLD:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNAUTHORIZED, webhook->timestamp != NULL ? webhook->timestamp : webhook->signature,
                                      "timestamp", "The request was signed too long ago, or is of the future.");
        return NGX_DECLINED;

    default:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, NULL, "json", "The body is not the JSON that is expected.");
        return NGX_DECLINED;
    }
}


/* RFC 8058, section 3.1: what is posted says nothing that the link does not. */

static ngx_int_t
ngx_http_fitnudge_sealed_unsubscribe(ngx_http_fitnudge_forward_t *fw, const ngx_str_t *text, fn_buf_t *body, ngx_int_t *rc)
{
    char                                  user[FN_UUID_LEN + 1], list[FN_MAIL_LIST_MAX + 1];
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    (void) text;

    fmcf = ngx_http_fitnudge_main_conf(fw->request);

    if (!fn_mail_unsubscribe(fmcf->settings.jwt_secret, fw->values[0], ngx_strlen(fw->values[0]), user, list)) {
        *rc = ngx_http_fitnudge_error(fw->request, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
        return NGX_DECLINED;
    }

    fn_buf_addf(body, "{\"user_id\":\"%s\",\"list\":\"%s\"}", user, list);

    return NGX_OK;
}


static void
ngx_http_fitnudge_sealed_header(ngx_http_request_t *r, const char *name, fn_span_t *value)
{
    ngx_table_elt_t  *h;

    h = name != NULL ? ngx_http_fitnudge_find_header(r, name) : NULL;

    value->p = h != NULL ? (const char *) h->value.data : NULL;
    value->n = h != NULL ? h->value.len : 0;
}
