/*
 * fitnudgectl doctor --online: one question to each outside service that can be asked something without changing anything there. The
 * questions, and what answers mean, are the providers' own (provider.h); here is only how one is asked when nothing else is to be done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "../libfitnudge/fn_time.h"
#include "../providers/exchange.h"
#include "../providers/process.h"
#include "../providers/r2.h"
#include "../providers/fcm.h"
#include "../providers/smtp.h"
#include "online.h"

#define FN_ONLINE_MS        10000L
#define FN_ONLINE_BODY_MAX  (256 * 1024)

typedef struct {
    const char           *check;
    const fn_provider_t  *provider;
    const fn_pair_t      *probe;
    const char           *todo;
} fn_online_check_t;

static void online_ask(const fn_settings_t *s, fn_process_t *p, const fn_online_check_t *check, fn_online_t *o);
static void online_send(fn_exchange_t *x, fn_response_t *r, fn_buf_t *body);
static void online_options(CURL *easy, const fn_exchange_t *x);
static size_t online_on_body(char *p, size_t size, size_t count, void *data);
static void online_complain(const char *problem);

static const fn_online_check_t  online_checks[] = {
    { "openai online", &fn_provider_openai, &fn_probe_openai, "give openai_api_key a key that is valid, and look at openai_base_url" },
    { "r2 online", &fn_provider_r2_head, &fn_probe_r2, "look at r2_access_key, r2_secret_key, r2_bucket, r2_account and this machine's clock" },
    { "fcm online", &fn_provider_fcm, &fn_probe_fcm, "make a new key for the service account and put it into fcm_service_account; look at this machine's clock" },
    { "smtp online", &fn_provider_smtp, &fn_probe_smtp, "look at smtp_host, smtp_port, smtp_tls, smtp_username and smtp_password" },
    { NULL, NULL, NULL, NULL }
};


void
fn_ctl_online(const fn_settings_t *s, void (*said)(void *data, const fn_online_t *o), void *data)
{
    fn_online_t               o;
    fn_process_t             *p;
    const fn_online_check_t  *check;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return;
    }

    p = fn_process_open(s, online_complain);

    for (check = online_checks; check->check != NULL; check++) {
        if (!check->provider->configured(s)) {
            continue;
        }

        memset(&o, 0, sizeof(o));
        o.check = check->check;
        online_ask(s, p, check, &o);
        o.todo = o.ok ? NULL : check->todo;
        said(data, &o);
    }

    fn_process_close(p);
    curl_global_cleanup();
}


static void
online_complain(const char *problem)
{
    (void) fprintf(stderr, "fitnudgectl: %s\n", problem);
}


static void
online_ask(const fn_settings_t *s, fn_process_t *p, const fn_online_check_t *check, fn_online_t *o)
{
    fn_buf_t       body = FN_BUF_INIT, result = FN_BUF_INIT;
    fn_call_t      c;
    fn_response_t  r;
    fn_exchange_t  *x;

    x = calloc(1, sizeof(*x));

    memset(&c, 0, sizeof(c));
    c.settings = s;
    c.ctx = "{}";
    c.ctx_len = 2;
    c.job_id = "00000000-0000-0000-0000-000000000000";
    c.now_ms = fn_now_ms();
    c.process = p;

    if (x == NULL || check->probe->build(x, &c) != FN_BUILT) {
        (void) snprintf(o->found, sizeof(o->found), "its settings cannot be used");

    } else {
        online_send(x, &r, &body);
        o->ok = fn_call_parse(check->probe, &r, &c, &result) == FN_DONE;

        if (o->ok) {
            (void) snprintf(o->found, sizeof(o->found), "accepts our credentials");

        } else if (c.alert != NULL) {
            (void) snprintf(o->found, sizeof(o->found), "%s", c.alert);

        } else if (r.transport_error != 0 && r.status < 400) {
            (void) snprintf(o->found, sizeof(o->found), "no answer: %s", curl_easy_strerror((CURLcode) r.transport_error));

        } else {
            (void) snprintf(o->found, sizeof(o->found), "answers %ld", r.status);
        }
    }

    if (x != NULL) {
        fn_buf_free(&x->body);
        free(x);
    }

    fn_buf_free(&c.carried);
    fn_buf_free(&body);
    fn_buf_free(&result);
}


static void
online_send(fn_exchange_t *x, fn_response_t *r, fn_buf_t *body)
{
    CURL               *easy;
    unsigned            i;
    struct curl_slist  *headers, *more;

    memset(r, 0, sizeof(*r));
    r->transport_error = CURLE_OUT_OF_MEMORY;
    r->retry_after_ms = -1;
    r->should_retry = -1;
    r->body = "";
    headers = NULL;

    easy = curl_easy_init();
    if (easy == NULL) {
        return;
    }

    for (i = 0; i < x->nheaders; i++) {
        more = curl_slist_append(headers, x->headers[i]);
        headers = more != NULL ? more : headers;
    }

    online_options(easy, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, online_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);

    if (x->method != FN_METHOD_MAIL) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    }

    r->transport_error = (int) curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &r->status);
    r->body = body->len > 0 ? body->data : "";
    r->body_len = body->len;

    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
}


static void
online_options(CURL *easy, const fn_exchange_t *x)
{
    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, x->timeout_ms > 0 && x->timeout_ms < FN_ONLINE_MS ? x->timeout_ms : FN_ONLINE_MS);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, x->method == FN_METHOD_MAIL ? "smtp,smtps" : "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "fitnudge");

    switch (x->method) {

    case FN_METHOD_MAIL:
        /* after the login, a command that does nothing (RFC 5321 section 4.1.1.9), then QUIT */
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "NOOP");
        curl_easy_setopt(easy, CURLOPT_USE_SSL, x->mail.starttls ? (long) CURLUSESSL_ALL : (long) CURLUSESSL_NONE);

        if (x->mail.username != NULL) {
            curl_easy_setopt(easy, CURLOPT_USERNAME, x->mail.username);
            curl_easy_setopt(easy, CURLOPT_PASSWORD, x->mail.password);
        }

        break;

    case FN_METHOD_HEAD:
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        break;

    default:
        if (x->body.len > 0) {
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) x->body.len);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body.data);
        }
    }
}


static size_t
online_on_body(char *p, size_t size, size_t count, void *data)
{
    fn_buf_t  *body = data;

    if (body->len + size * count > FN_ONLINE_BODY_MAX) {
        return size * count;            /* nobody reads the rest */
    }

    fn_buf_add(body, p, size * count);

    return body->failed ? 0 : size * count;
}
