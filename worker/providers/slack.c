/* Alerts to a channel of Slack: POST <webhook> ("Sending messages using incoming webhooks"; "Formatting message text"). */
#include <stdio.h>
#include <string.h>

#include "../jobs/json_get.h"
#include "events.h"
#include "exchange.h"

#define FN_SLACK_TEXT_MAX  3000         /* code points; more is cut off by Slack's own clients */
#define FN_SLACK_PAUSE_MS  1000         /* about a message a second */

static int fn_slack_configured(const fn_settings_t *s);
static int fn_slack_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_slack_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_slack_pairs[] = {
    { "slack", fn_slack_build, fn_slack_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_slack = { "slack", fn_slack_configured, fn_slack_pairs };


static int
fn_slack_configured(const fn_settings_t *s)
{
    return fn_set(s->slack_webhook_url);
}


static int
fn_slack_build(fn_exchange_t *x, fn_call_t *c)
{
    int              rc;
    size_t           i;
    fn_buf_t         clean = FN_BUF_INIT, text = FN_BUF_INIT;
    fn_json_field_t  f[] = { FN_JSON_FIELD("text"), FN_JSON_END };

    if (!fn_slack_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_POST, c->settings->slack_timeout_ms, c->settings->slack_attempts);
    x->plain = 1;
    rc = FN_OFF;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0 && f[0].type == FN_JSON_STRING) {
        fn_clean_text(&clean, fn_json_text(&f[0]), f[0].text.len, FN_SLACK_TEXT_MAX, 1);
    }

    /* Else <!channel> would wake everybody. */
    for (i = 0; i < clean.len; i++) {
        switch (clean.data[i]) {
        case '&':
            fn_buf_adds(&text, "&amp;");
            break;
        case '<':
            fn_buf_adds(&text, "&lt;");
            break;
        case '>':
            fn_buf_adds(&text, "&gt;");
            break;
        default:
            fn_buf_add(&text, clean.data + i, 1);
        }
    }

    if (text.len > 0
        && fn_exchange_url(x, c->settings->slack_webhook_url, "") == 0
        && fn_exchange_header(x, "Content-Type", "application/json") == 0)
    {
        fn_buf_adds(&x->body, "{\"text\":");
        fn_buf_add_json_string(&x->body, text.data, text.len);
        fn_buf_adds(&x->body, ",\"unfurl_links\":false}");
        rc = x->body.failed ? FN_OFF : FN_BUILT;
    }

    fn_buf_free(&clean);
    fn_buf_free(&text);
    fn_json_free(f);

    return rc;
}


static fn_outcome_e
fn_slack_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    fn_outcome_e  outcome;

    if (r->transport_error == 0 && r->status == 200) {
        fn_buf_adds(result, "{\"status\":200}");
        return result->failed ? FN_DEAD : FN_DONE;
    }

    outcome = fn_failed(r, c);

    if (outcome == FN_BUSY && c->wait_ms < FN_SLACK_PAUSE_MS) {
        c->wait_ms = FN_SLACK_PAUSE_MS;
    }

    /* invalid_token, no_service, channel_not_found, channel_is_archived, action_prohibited: until somebody makes a new webhook. */
    if (r->transport_error == 0 && (r->status == 403 || r->status == 404 || r->status == 410)) {
        c->alert = "Slack: the webhook was removed, or its channel archived";
    }

    return outcome;
}
