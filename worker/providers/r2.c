/*
 * Storage: PUT, HEAD and DELETE of one object (AWS S3 API reference, "PutObject", "HeadObject", "DeleteObject"; Cloudflare R2,
 * "S3 API compatibility"). The signature is in the address, so that nothing but the address has to be kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../jobs/json_get.h"
#include "exchange.h"
#include "r2.h"

#define FN_R2_OWN_TTL_S    900      /* of an address that we use at once */
#define FN_R2_ERROR_MAX    4096     /* bytes of an answer to anything but GET: an error's XML */
#define FN_R2_OBJECT_MAX   (10 * 1024 * 1024)

static int fn_r2_build(fn_exchange_t *x, fn_call_t *c, fn_method_e method, const char *name);
static int fn_r2_delete_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_r2_delete_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static int fn_r2_head_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_r2_head_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
static fn_outcome_e fn_r2_failed(const fn_response_t *r, fn_call_t *c);
static int fn_r2_probe_build(fn_exchange_t *x, fn_call_t *c);
static fn_outcome_e fn_r2_probe_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

static const fn_pair_t  fn_r2_delete_pairs[] = {
    { "r2", fn_r2_delete_build, fn_r2_delete_parse },
    { NULL, NULL, NULL }
};

static const fn_pair_t  fn_r2_head_pairs[] = {
    { "r2", fn_r2_head_build, fn_r2_head_parse },
    { NULL, NULL, NULL }
};

const fn_provider_t  fn_provider_r2_delete = { "r2_delete", fn_r2_configured, fn_r2_delete_pairs };
const fn_provider_t  fn_provider_r2_head = { "r2_head", fn_r2_configured, fn_r2_head_pairs };
const fn_pair_t  fn_probe_r2 = { "r2", fn_r2_probe_build, fn_r2_probe_parse };


static int
fn_r2_build(fn_exchange_t *x, fn_call_t *c, fn_method_e method, const char *name)
{
    int                  rc, put;
    fn_buf_t             url = FN_BUF_INIT;
    fn_json_field_t      f[] = { FN_JSON_FIELD("key"), FN_JSON_FIELD("content_type"), FN_JSON_END };
    fn_sigv4_request_t   r;

    fn_exchange_begin(x, method, c->settings->r2_timeout_ms, c->settings->r2_attempts);
    x->plain = 1;
    x->response_max = FN_R2_ERROR_MAX;

    rc = FN_OFF;
    put = method == FN_METHOD_PUT;

    memset(&r, 0, sizeof(r));
    r.method = name;
    r.content_length = -1;
    r.now_s = (int64_t) (c->now_ms / 1000);
    r.ttl_s = FN_R2_OWN_TTL_S;

    if (fn_json_get(c->ctx, c->ctx_len, f) != 0 || f[0].type != FN_JSON_STRING
        || strlen(fn_json_text(&f[0])) != f[0].text.len)
    {
        goto done;
    }

    r.key = fn_json_text(&f[0]);

    if (put) {
        if (c->carried.len == 0 || c->carried.len > FN_R2_OBJECT_MAX || f[1].type != FN_JSON_STRING
            || strlen(fn_json_text(&f[1])) != f[1].text.len
            || fn_exchange_header(x, "Content-Type", fn_json_text(&f[1])) != 0)
        {
            goto done;
        }

        r.content_type = fn_json_text(&f[1]);
        r.content_length = (int64_t) c->carried.len;

        /* A copy: another try needs the bytes again. */
        fn_buf_add(&x->body, c->carried.data, c->carried.len);
    }

    if (fn_r2_sign(&url, c->settings, &r) == 0 && fn_exchange_url(x, url.data, "") == 0 && !x->body.failed) {
        rc = FN_BUILT;
    }

done:

    fn_buf_free(&url);
    fn_json_free(f);

    return rc;
}


int
fn_r2_put_build(fn_exchange_t *x, fn_call_t *c)
{
    return fn_r2_build(x, c, FN_METHOD_PUT, "PUT");
}


fn_outcome_e
fn_r2_put_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    fn_outcome_e     outcome;
    fn_json_field_t  f[] = { FN_JSON_FIELD("key"), FN_JSON_END };

    if (r->transport_error != 0 || r->status != 200) {
        return fn_r2_failed(r, c);
    }

    outcome = FN_DEAD;

    if (fn_json_get(c->ctx, c->ctx_len, f) == 0) {
        fn_buf_adds(result, "{\"key\":");
        fn_json_add_raw(result, &f[0]);
        fn_buf_addf(result, ",\"bytes\":%zu}", c->carried.len);
        outcome = result->failed ? FN_DEAD : FN_DONE;
    }

    fn_json_free(f);

    return outcome;
}


static int
fn_r2_delete_build(fn_exchange_t *x, fn_call_t *c)
{
    return fn_r2_build(x, c, FN_METHOD_DELETE, "DELETE");
}


static fn_outcome_e
fn_r2_delete_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    if (r->transport_error != 0 || (r->status != 204 && r->status != 200 && r->status != 404)) {
        return fn_r2_failed(r, c);
    }

    fn_buf_adds(result, "{\"deleted\":true}");

    return FN_DONE;
}


static int
fn_r2_head_build(fn_exchange_t *x, fn_call_t *c)
{
    return fn_r2_build(x, c, FN_METHOD_HEAD, "HEAD");
}


static fn_outcome_e
fn_r2_head_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    char         digits[20];
    size_t       n;
    int64_t      bytes;
    fn_buf_t     type = FN_BUF_INIT;
    const char  *v;

    if (r->transport_error == 0 && r->status == 404) {
        fn_buf_adds(result, "{\"exists\":false,\"bytes\":0,\"content_type\":null}");
        return FN_DONE;
    }

    if (r->transport_error != 0 || r->status != 200) {
        return fn_r2_failed(r, c);
    }

    v = fn_response_header(r, "content-length", &n);

    if (v == NULL || n == 0 || n >= sizeof(digits) || strspn(v, "0123456789") < n) {
        return FN_DEAD;
    }

    memcpy(digits, v, n);
    digits[n] = '\0';
    bytes = strtoll(digits, NULL, 10);

    v = fn_response_header(r, "content-type", &n);
    if (v != NULL && n <= 128) {
        fn_clean_text(&type, v, n, n, 0);
    }

    fn_buf_addf(result, "{\"exists\":true,\"bytes\":%lld,\"content_type\":", (long long) bytes);
    fn_buf_add_json_string(result, type.len > 0 ? type.data : "", type.len);
    fn_buf_adds(result, "}");
    fn_buf_free(&type);

    return result->failed ? FN_DEAD : FN_DONE;
}


/* 403 is a wrong key or a wrong clock, 404 a missing bucket: both are ours to mend. */
static fn_outcome_e
fn_r2_failed(const fn_response_t *r, fn_call_t *c)
{
    if (r->transport_error == 0 && (r->status == 401 || r->status == 403)) {
        c->alert = "R2: the signature is refused: wrong key, no permission or a wrong clock";

    } else if (r->transport_error == 0 && r->status == 404) {
        c->alert = "R2: there is no such bucket";
    }

    return fn_failed(r, c);
}


/* "HeadBucket" */
static int
fn_r2_probe_build(fn_exchange_t *x, fn_call_t *c)
{
    int                  rc;
    fn_buf_t             url = FN_BUF_INIT;
    fn_sigv4_request_t   r = { "HEAD", NULL, NULL, -1, (int64_t) (c->now_ms / 1000), FN_R2_OWN_TTL_S };

    if (!fn_r2_configured(c->settings)) {
        return FN_OFF;
    }

    fn_exchange_begin(x, FN_METHOD_HEAD, c->settings->r2_timeout_ms, 1);
    x->response_max = FN_R2_ERROR_MAX;

    rc = fn_r2_sign(&url, c->settings, &r) == 0 && fn_exchange_url(x, url.data, "") == 0 ? FN_BUILT : FN_OFF;
    fn_buf_free(&url);

    return rc;
}


static fn_outcome_e
fn_r2_probe_parse(const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    (void) result;

    return r->transport_error == 0 && r->status == 200 ? FN_DONE : fn_r2_failed(r, c);
}
