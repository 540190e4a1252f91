/*
 * One mail to one person. The job's id makes its Message-ID, so a mail that is sent twice is the same mail, and servers that look may
 * drop the second (RFC 5321 section 4.5.3.2.6 and 6.1 leave no better way).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "../jobs/json_each.h"
#include "../libfitnudge/fn_mail_link.h"
#include "../mail/message.h"
#include "../mail/templates.h"
#include "exchange.h"
#include "process.h"
#include "smtp.h"

#define FN_SMTP_GREYLIST_MS  60000      /* the least wait after a 4xx */

/* The context's values: each text is ours until the mail is built. */
typedef struct {
    fn_mail_var_t         var[FN_MAIL_VARS];
    unsigned              n;
    const fn_mail_kind_t *kind;
    const fn_call_t      *call;
} fn_smtp_vars_t;

static int fn_smtp_configured(const fn_settings_t *s);
static int fn_smtp_build(fn_exchange_t *x, fn_call_t *c);
static int fn_smtp_transport(fn_exchange_t *x, const fn_settings_t *s, const char *from, const char *to);
static int fn_smtp_message(fn_exchange_t *x, const fn_call_t *c, const fn_json_field_t *f, const char *from);
static int fn_smtp_var(void *data, const char *key, size_t key_len, const fn_json_field_t *value);
static int fn_smtp_add(fn_smtp_vars_t *vars, const char *name, const char *text, int64_t number);
static const char *fn_smtp_from(const fn_settings_t *s);
static fn_outcome_e fn_smtp_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static int fn_smtp_probe_build(fn_exchange_t *x, fn_call_t *c);

static const fn_pair_t  fn_smtp_pairs[] = {
    { "smtp", fn_smtp_build, fn_smtp_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_smtp = { "smtp", fn_smtp_configured, fn_smtp_pairs };
const fn_pair_t  fn_probe_smtp = { "smtp", fn_smtp_probe_build, fn_smtp_parse };

/* The context's members. */
enum { FN_M_TEMPLATE, FN_M_LANGUAGE, FN_M_TO, FN_M_NAME, FN_M_USER, FN_M_VARS };


static int
fn_smtp_configured(const fn_settings_t *s)
{
    return fn_set(s->smtp_host) && fn_smtp_from(s) != NULL;
}


/* Without an address of its own the account is the sender. */
static const char *
fn_smtp_from(const fn_settings_t *s)
{
    const char  *from = fn_set(s->smtp_from) ? s->smtp_from : s->smtp_username;

    return fn_set(from) && fn_message_address_valid(from) ? from : NULL;
}


static int
fn_smtp_build(fn_exchange_t *x, fn_call_t *c)
{
    int              rc;
    const char      *from;
    fn_json_field_t  f[] = {
        FN_JSON_FIELD("template"), FN_JSON_FIELD("language"), FN_JSON_FIELD("to"), FN_JSON_FIELD("name"),
        FN_JSON_FIELD("user_id"), FN_JSON_FIELD("vars"), FN_JSON_END
    };

    if (!fn_smtp_configured(c->settings) || c->process == NULL || c->process->templates == NULL) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_MAIL, c->settings->smtp_timeout_ms, c->settings->smtp_attempts);
    from = fn_smtp_from(c->settings);
    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0
        && f[FN_M_TO].type == FN_JSON_STRING && strlen(fn_json_text(&f[FN_M_TO])) == f[FN_M_TO].text.len
        && fn_message_address_valid(fn_json_text(&f[FN_M_TO]))
        && (f[FN_M_VARS].type == FN_JSON_OBJECT || f[FN_M_VARS].type == FN_JSON_ABSENT)
        && fn_smtp_transport(x, c->settings, from, fn_json_text(&f[FN_M_TO])) == 0
        && fn_smtp_message(x, c, f, from) == 0)
    {
        rc = FN_BUILT;
    }

    fn_json_free(f);

    return rc;
}


static int
fn_smtp_transport(fn_exchange_t *x, const fn_settings_t *s, const char *from, const char *to)
{
    int   off, v6;
    char  base[320], hello[260];

    off = strcmp(s->smtp_tls, "off") == 0;
    v6 = strchr(s->smtp_host, ':') != NULL;

    if (strspn(s->smtp_host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:") != strlen(s->smtp_host)) {
        return -1;
    }

    snprintf(base, sizeof(base), "%s://%s%s%s:%lld", strcmp(s->smtp_tls, "tls") == 0 ? "smtps" : "smtp",
             v6 ? "[" : "", s->smtp_host, v6 ? "]" : "", (long long) s->smtp_port);

    /* A password never travels in the clear. */
    if (off && fn_set(s->smtp_password) && !fn_url_is_local(base)) {
        return -1;
    }

    /* libcurl says EHLO with the path. */
    snprintf(hello, sizeof(hello), "/%s", strchr(from, '@') + 1);
    snprintf(x->mail.from, sizeof(x->mail.from), "%s", from);
    snprintf(x->mail.to, sizeof(x->mail.to), "%s", to);
    x->mail.starttls = strcmp(s->smtp_tls, "starttls") == 0;

    if (fn_set(s->smtp_username) && fn_set(s->smtp_password)) {
        x->mail.username = s->smtp_username;
        x->mail.password = s->smtp_password;
    }

    return fn_exchange_url(x, base, hello);
}


static int
fn_smtp_message(fn_exchange_t *x, const fn_call_t *c, const fn_json_field_t *f, const char *from)
{
    int                    rc;
    fn_buf_t               subject = FN_BUF_INIT, text = FN_BUF_INIT, html = FN_BUF_INIT, open = FN_BUF_INIT, leave = FN_BUF_INIT;
    unsigned               i;
    const char            *key = c->settings->jwt_secret, *base = c->settings->mail_link_url;
    fn_message_t           m;
    fn_smtp_vars_t         vars;
    fn_mail_values_t       v;

    rc = -1;
    memset(&vars, 0, sizeof(vars));
    memset(&v, 0, sizeof(v));
    vars.kind = fn_mail_kind(fn_json_text(&f[FN_M_TEMPLATE]));
    vars.call = c;

    if (vars.kind == NULL
        || (f[FN_M_VARS].type == FN_JSON_OBJECT
            && fn_json_each(f[FN_M_VARS].raw.p, f[FN_M_VARS].raw.n, fn_smtp_var, &vars) != 0)
        || vars.n == FN_MAIL_VARS)
    {
        goto done;
    }

    if (fn_smtp_add(&vars, "user_name", fn_json_text(&f[FN_M_NAME]), 0) != 0) {
        goto done;
    }

    v.language = fn_json_text(&f[FN_M_LANGUAGE]);
    v.vars = vars.var;
    v.nvars = vars.n;

    if (vars.kind->tracked) {
        if (fn_mail_link(&open, base, key, FN_MAIL_OPEN, c->job_id, "") != 0) {
            goto done;
        }
        v.open_url = open.data;
    }

    if (vars.kind->list != NULL) {
        if (fn_mail_link(&leave, base, key, FN_MAIL_UNSUBSCRIBE, fn_json_text(&f[FN_M_USER]), vars.kind->list) != 0) {
            goto done;
        }
        v.unsubscribe_url = leave.data;
    }

    if (fn_mail_render(c->process->templates, vars.kind, &v, &subject, &text, &html) != 0) {
        goto done;
    }

    memset(&m, 0, sizeof(m));
    m.from = from;
    m.from_name = c->settings->smtp_from_name;
    m.to = x->mail.to;
    m.to_name = fn_json_text(&f[FN_M_NAME]);
    m.subject = subject.data;
    m.text = text.data;
    m.html = html.data;
    m.language = v.language;
    m.id = c->job_id;
    m.unsubscribe = v.unsubscribe_url;
    m.date_s = (int64_t) (c->now_ms / 1000);

    rc = fn_message_build(&x->body, &m);

done:

    for (i = 0; i < FN_MAIL_VARS; i++) {
        free((char *) vars.var[i].name);
        free((char *) vars.var[i].text);
    }

    fn_buf_free(&subject);
    fn_buf_free(&text);
    fn_buf_free(&html);
    fn_buf_free(&open);
    fn_buf_free(&leave);

    return rc;
}


/* There is room for one more. 0, or -1: no memory. */
static int
fn_smtp_add(fn_smtp_vars_t *vars, const char *name, const char *text, int64_t number)
{
    char           *own_name, *own_text;
    fn_mail_var_t  *var;

    own_name = strdup(name);
    own_text = text != NULL ? strdup(text) : NULL;

    if (own_name == NULL || (text != NULL && own_text == NULL)) {
        free(own_name);
        free(own_text);
        return -1;
    }

    var = &vars->var[vars->n++];
    var->name = own_name;
    var->text = own_text;
    var->number = number;

    return 0;
}


/* Copies a value; an address in a mail that is counted becomes one that counts. */
static int
fn_smtp_var(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    int              rc;
    fn_buf_t         link = FN_BUF_INIT;
    const char      *text;
    fn_smtp_vars_t  *vars = data;

    if (vars->n == FN_MAIL_VARS - 1 || key_len == 0 || key_len > 64 || strlen(key) != key_len || strcmp(key, "user_name") == 0) {
        return -1;
    }

    if (value->type != FN_JSON_STRING && value->type != FN_JSON_NUMBER) {
        return value->type == FN_JSON_NULL ? 0 : -1;
    }

    text = value->type == FN_JSON_STRING ? fn_json_text(value) : NULL;

    if (text != NULL && strlen(text) != value->text.len) {
        return -1;
    }

    rc = 0;

    if (text != NULL && vars->kind->tracked && key_len > 4 && strcmp(key + key_len - 4, "_url") == 0) {
        rc = fn_mail_link(&link, vars->call->settings->mail_link_url, vars->call->settings->jwt_secret, FN_MAIL_CLICK,
                          vars->call->job_id, text);
        text = link.data;
    }

    if (rc == 0) {
        rc = fn_smtp_add(vars, key, text, value->number);
    }

    fn_buf_free(&link);

    return rc;
}


/* As far as the login. */
static int
fn_smtp_probe_build(fn_exchange_t *x, fn_call_t *c)
{
    const char  *from;

    if (!fn_smtp_configured(c->settings)) {
        return FN_OFF;
    }

    from = fn_smtp_from(c->settings);
    fn_exchange_begin(x, FN_METHOD_MAIL, c->settings->smtp_timeout_ms, 1);

    return fn_smtp_transport(x, c->settings, from, from) == 0 ? FN_BUILT : FN_OFF;
}


/* status is the server's last reply; libcurl's code says what it was a reply to. */
static fn_outcome_e
fn_smtp_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    fn_buf_t     id = FN_BUF_INIT;
    const char  *from;

    from = fn_smtp_from(c->settings);

    switch (r->transport_error) {

    case CURLE_OK:
        if (from != NULL) {
            fn_message_id(&id, c->job_id, from);
        }
        fn_buf_adds(result, "{\"message_id\":");
        fn_buf_add_json_string(result, id.len > 0 ? id.data : "", id.len);
        fn_buf_addf(result, ",\"refused\":false,\"status\":%ld}", r->status);
        fn_buf_free(&id);
        return result->failed ? FN_DEAD : FN_DONE;

    case CURLE_LOGIN_DENIED:
        c->alert = "SMTP: the server refuses the user name or password";
        return r->status >= 400 && r->status <= 499 ? FN_RETRY : FN_DEAD;

    case CURLE_USE_SSL_FAILED:
        c->alert = "SMTP: the server offers no STARTTLS, and nothing is sent without";
        return FN_DEAD;

    case CURLE_PEER_FAILED_VERIFICATION:
        c->alert = "SMTP: the server's certificate is not valid";
        return FN_RETRY;

    default:
        break;
    }

    if (r->status >= 500 && r->status <= 599) {
        fn_buf_addf(result, "{\"message_id\":null,\"refused\":true,\"status\":%ld}", r->status);
        return FN_DEAD;
    }

    /* Greylisting, RFC 6647, wants a pause. */
    if (r->status >= 400 && r->status <= 499) {
        c->wait_ms = FN_SMTP_GREYLIST_MS;
    }

    return FN_RETRY;
}
