/*
 * What a write says: its headers, its body, and the envelope made of them.
 * Everything here is synchronous; nothing is sent but errors.
 */
#include "ngx_http_fitnudge_forward.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_time.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


#define USER_AGENT_MAX  200


static ngx_int_t ngx_http_fitnudge_forward_if_match(ngx_http_fitnudge_forward_t *fw, ngx_int_t *rc);
static ngx_uint_t ngx_http_fitnudge_forward_prefers_async(ngx_http_request_t *r);
static ngx_uint_t ngx_http_fitnudge_forward_is_json(ngx_http_request_t *r);
static ngx_int_t ngx_http_fitnudge_forward_read(ngx_http_request_t *r, size_t max, ngx_str_t *text);
static ngx_int_t ngx_http_fitnudge_forward_refresh_cookie(ngx_http_fitnudge_forward_t *fw, fn_buf_t *body,
    ngx_int_t *rc);
static ngx_int_t ngx_http_fitnudge_forward_fingerprint(ngx_http_fitnudge_forward_t *fw,
    const fn_buf_t *params, const fn_buf_t *body, char *hex);
static void ngx_http_fitnudge_forward_meta(ngx_http_fitnudge_forward_t *fw, const char *fingerprint,
    fn_buf_t *b);
static void ngx_http_fitnudge_forward_json_text(fn_buf_t *b, const ngx_str_t *s, size_t max);


ngx_int_t
ngx_http_fitnudge_forward_headers(ngx_http_fitnudge_forward_t *fw, ngx_int_t *rc)
{
    size_t               i;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r = fw->request;

    h = ngx_http_fitnudge_find_header(r, "content-encoding");

    if (h != NULL && (h->value.len != 8 || ngx_strncasecmp(h->value.data, (u_char *) "identity", 8) != 0)) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Encoding", "enum",
                                      "The body must not be compressed.");
        return NGX_DECLINED;
    }

    if (r->headers_in.content_length_n > 0 && fw->route->body != NULL
        && !ngx_http_fitnudge_forward_is_json(r))
    {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, NULL, NULL, NULL);
        return NGX_DECLINED;
    }

    if (r->headers_in.content_length_n > ngx_http_fitnudge_forward_body_max(fw->route)) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL, NULL, NULL);
        return NGX_DECLINED;
    }

    fw->if_match = -1;

    if ((fw->route->flags & FN_R_IF_MATCH)
        && ngx_http_fitnudge_forward_if_match(fw, rc) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    h = ngx_http_fitnudge_find_header(r, "idempotency-key");

    if (h != NULL) {
        fw->key = h->value;

        for (i = 0; i < fw->key.len; i++) {
            if (fw->key.data[i] < 0x20 || fw->key.data[i] > 0x7e) {
                break;
            }
        }

        if (fw->key.len == 0 || fw->key.len > 255 || i < fw->key.len) {
            *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, "Idempotency-Key", "format",
                                          "Idempotency-Key must be 1 to 255 printable ASCII characters.");
            return NGX_DECLINED;
        }
    }

    if (fw->ctx->by_cookie) {
        fw->cookie = 1;

    } else if (fw->route->flags & FN_R_COOKIES) {
        h = ngx_http_fitnudge_find_header(r, "x-auth-mode");

        fw->cookie = h != NULL && h->value.len == 6
                     && ngx_strncasecmp(h->value.data, (u_char *) "cookie", 6) == 0;
    }

    /* who is not signed in could not fetch the job */
    fw->preferred = fw->route->who != FN_ANYONE && ngx_http_fitnudge_forward_prefers_async(r);
    fw->async = fw->preferred;

    return NGX_OK;
}


/* If-Match: "<version>", or "<version>-anything", or *, which any version satisfies. */

static ngx_int_t
ngx_http_fitnudge_forward_if_match(ngx_http_fitnudge_forward_t *fw, ngx_int_t *rc)
{
    u_char           *p, *last, *digits;
    ngx_int_t         version;
    ngx_table_elt_t  *h;

    h = fw->request->headers_in.if_match;

    if (h == NULL || (h->value.len == 1 && h->value.data[0] == '*')) {
        return NGX_OK;
    }

    p = h->value.data;
    last = p + h->value.len;

    if (last - p < 3 || p[0] != '"' || last[-1] != '"') {
        goto malformed;
    }

    digits = ++p;
    last--;

    while (p < last && *p >= '0' && *p <= '9') {
        p++;
    }

    version = ngx_atoi(digits, p - digits);

    if (version == NGX_ERROR || version > 2147483647 || (p < last && *p != '-')) {
        goto malformed;
    }

    for ( /* void */ ; p < last; p++) {
        if (*p == '"') {
            goto malformed;
        }
    }

    fw->if_match = version;

    return NGX_OK;

malformed:

    *rc = ngx_http_fitnudge_error(fw->request, NGX_HTTP_BAD_REQUEST, "If-Match", "format",
                                  "If-Match must be one quoted version.");
    return NGX_DECLINED;
}


/* RFC 7240, section 2: a list of preferences, each with parameters. */

static ngx_uint_t
ngx_http_fitnudge_forward_prefers_async(ngx_http_request_t *r)
{
    u_char           *p, *last, *name;
    ngx_table_elt_t  *h;

    h = ngx_http_fitnudge_find_header(r, "prefer");
    if (h == NULL) {
        return 0;
    }

    p = h->value.data;
    last = p + h->value.len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        name = p;

        while (p < last && *p != ',' && *p != ';' && *p != ' ' && *p != '\t' && *p != '=') {
            p++;
        }

        if (p - name == 13 && ngx_strncasecmp(name, (u_char *) "respond-async", 13) == 0) {
            return 1;
        }

        while (p < last && *p != ',') {
            p++;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_fitnudge_forward_is_json(ngx_http_request_t *r)
{
    size_t      n;
    ngx_str_t  *v;

    if (r->headers_in.content_type == NULL) {
        return 0;
    }

    v = &r->headers_in.content_type->value;
    n = sizeof("application/json") - 1;

    return v->len >= n
           && ngx_strncasecmp(v->data, (u_char *) "application/json", n) == 0
           && (v->len == n || v->data[n] == ';' || v->data[n] == ' ' || v->data[n] == '\t');
}


ngx_int_t
ngx_http_fitnudge_forward_body(ngx_http_fitnudge_forward_t *fw, fn_buf_t *body, ngx_int_t *rc)
{
    ngx_str_t            text;
    fn_field_error_t     err;
    ngx_http_request_t  *r = fw->request;

    switch (ngx_http_fitnudge_forward_read(r, ngx_http_fitnudge_forward_body_max(fw->route), &text)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL, NULL, NULL);
        return NGX_DECLINED;

    default:
        *rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return NGX_DECLINED;
    }

    if (fw->route->flags & FN_R_SEALED) {
        return ngx_http_fitnudge_sealed_body(fw, &text, body, rc);
    }

    if (fw->route->body == NULL) {
        if (text.len > 0) {
            *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, NULL, "type",
                                          "This request has no body.");
            return NGX_DECLINED;
        }

        fn_buf_adds(body, "{}");
        return NGX_OK;
    }

    /* of a chunked body only now is it known that there is one */

    if (text.len > 0 && !ngx_http_fitnudge_forward_is_json(r)) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, NULL, NULL, NULL);
        return NGX_DECLINED;
    }

    if (fn_fields_validate_json(fw->route->body, (const char *) text.data, text.len, body, &err) != 0) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, err.field, err.constraint, err.message);
        return NGX_DECLINED;
    }

    /* the refresh token is the only field: "{}" is a body without it */

    if ((fw->route->flags & FN_R_TOKEN) && body->len == 2) {
        return ngx_http_fitnudge_forward_refresh_cookie(fw, body, rc);
    }

    return NGX_OK;
}


/* NGX_OK, NGX_DECLINED: too large, NGX_ERROR. */

static ngx_int_t
ngx_http_fitnudge_forward_read(ngx_http_request_t *r, size_t max, ngx_str_t *text)
{
    u_char       *p;
    size_t        size;
    ngx_chain_t  *cl;

    text->data = (u_char *) "";
    text->len = 0;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    /* the buffer holds all that is allowed: what went to disk is larger */
    if (r->request_body->temp_file) {
        return NGX_DECLINED;
    }

    size = 0;

    for (cl = r->request_body->bufs; cl != NULL; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > max) {
        return NGX_DECLINED;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL) {
        text->data = cl->buf->pos;
        text->len = size;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = size;

    for ( /* void */ ; cl != NULL; cl = cl->next) {
        if (ngx_buf_size(cl->buf) > 0) {
            p = ngx_cpymem(p, cl->buf->pos, ngx_buf_size(cl->buf));
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_fitnudge_forward_refresh_cookie(ngx_http_fitnudge_forward_t *fw, fn_buf_t *body, ngx_int_t *rc)
{
    int                  failed;
    fn_buf_t             json = FN_BUF_INIT;
    ngx_str_t            token;
    fn_field_error_t     err;
    ngx_http_request_t  *r = fw->request;

    if (ngx_http_fitnudge_cookie(r, "refresh_token", &token) != NGX_OK || token.len == 0) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, "refresh_token", "required",
                                      "A refresh token is required.");
        return NGX_DECLINED;
    }

    if (ngx_http_fitnudge_csrf_check(r) != NGX_OK) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_FORBIDDEN, NULL, "csrf",
                                      "X-CSRF-Token is missing or does not match its cookie.");
        return NGX_DECLINED;
    }

    fw->cookie = 1;

    fn_buf_adds(&json, "{\"refresh_token\":");
    fn_buf_add_json_string(&json, (const char *) token.data, token.len);
    fn_buf_adds(&json, "}");

    fn_buf_reset(body);
    failed = json.failed
             || fn_fields_validate_json(fw->route->body, json.data, json.len, body, &err) != 0;

    if (json.failed) {
        *rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else if (failed) {
        *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, err.field, err.constraint, err.message);
    }

    fn_buf_free(&json);

    return failed ? NGX_DECLINED : NGX_OK;
}


ngx_int_t
ngx_http_fitnudge_forward_envelope(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *body, fn_buf_t *out)
{
    char               hex[65];
    fn_buf_t           json = FN_BUF_INIT, params = FN_BUF_INIT;
    uint64_t           now;
    ngx_int_t          rc;
    ngx_uint_t         i;
    fn_job_env_t       env;
    const ngx_str_t   *incarnation;
    const fn_field_t  *f;

    rc = NGX_ERROR;
    now = fn_now_ms();

    ngx_memzero(&env, sizeof(env));

    if (fw->ctx->authenticated) {
        env.user.p = fw->ctx->claims.sub;
        env.user.n = ngx_strlen(fw->ctx->claims.sub);
    }

    if (fw->key.len > 0) {
        fn_uuid_v5(fw->id, env.user.n ? env.user.p : "", env.user.n, fw->job->name, ngx_strlen(fw->job->name),
                   (const char *) fw->key.data, fw->key.len);

    } else if (fn_uuid_v7(fw->id, now) != 0) {
        return NGX_ERROR;
    }

    fn_buf_adds(&params, "{");

    for (f = fw->route->params, i = 0; f != NULL && f->name != NULL; f++, i++) {
        if (fw->values[i] == NULL) {
            continue;
        }

        fn_buf_addf(&params, "%s\"%s\":", params.len > 1 ? "," : "", f->name);
        fn_buf_add_json_string(&params, fw->values[i], ngx_strlen(fw->values[i]));
    }

    fn_buf_adds(&params, "}");

    if (ngx_http_fitnudge_forward_fingerprint(fw, &params, body, hex) != NGX_OK) {
        goto done;
    }

    fn_buf_adds(&json, "{\"params\":");
    fn_buf_add(&json, params.data, params.len);
    fn_buf_adds(&json, ",\"body\":");
    fn_buf_add(&json, body->data, body->len);
    fn_buf_adds(&json, ",\"meta\":");
    ngx_http_fitnudge_forward_meta(fw, hex, &json);
    fn_buf_adds(&json, "}");

    if (json.failed) {
        goto done;
    }

    env.id.p = fw->id;
    env.id.n = FN_UUID_LEN;
    env.job.p = fw->job->name;
    env.job.n = ngx_strlen(fw->job->name);
    env.prio = fw->job->prio;
    env.enqueued_ms = now;

    /* nobody waits for an answer that was not asked for */

    if (!fw->async) {
        incarnation = ngx_fitnudge_redis_incarnation();
        env.deadline_ms = now + fw->job->deadline_ms;
        env.reply_to.p = (const char *) incarnation->data;
        env.reply_to.n = incarnation->len;
    }

    env.traceparent.p = (const char *) fw->ctx->traceparent.data;
    env.traceparent.n = fw->ctx->traceparent.len;
    env.body.p = json.data;
    env.body.n = json.len;

    if (fn_job_env_format(out, &env) == 0 && !out->failed) {
        rc = NGX_OK;
    }

done:

    fn_buf_free(&params);
    fn_buf_free(&json);

    return rc;
}


/*
 * SHA-256 of job, params and body.  Where the body holds a password it is keyed: the
 * fingerprint is stored, and a bare hash of a password could be guessed at speed.
 */

static ngx_int_t
ngx_http_fitnudge_forward_fingerprint(ngx_http_fitnudge_forward_t *fw, const fn_buf_t *params,
    const fn_buf_t *body, char *hex)
{
    int                                   ok;
    u_char                                digest[EVP_MAX_MD_SIZE];
    unsigned                              n;
    fn_buf_t                              text = FN_BUF_INIT;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_fitnudge_main_conf(fw->request);

    fn_buf_adds(&text, fw->job->name);
    fn_buf_adds(&text, "\n");
    fn_buf_add(&text, params->data, params->len);
    fn_buf_adds(&text, "\n");
    fn_buf_add(&text, body->data, body->len);

    if (text.failed || params->failed || body->failed) {
        ok = 0;

    } else if (fw->job->flags & FN_JOB_SENSITIVE) {
        ok = HMAC(EVP_sha256(), fmcf->jwt.key, fmcf->jwt.key_len, (u_char *) text.data, text.len,
                  digest, &n)
             != NULL;

    } else {
        ok = EVP_Digest(text.data, text.len, digest, &n, EVP_sha256(), NULL) == 1;
    }

    fn_buf_free(&text);

    if (!ok) {
        return NGX_ERROR;
    }

    ngx_hex_dump((u_char *) hex, digest, 32);
    hex[64] = '\0';

    return NGX_OK;
}


static void
ngx_http_fitnudge_forward_meta(ngx_http_fitnudge_forward_t *fw, const char *fingerprint, fn_buf_t *b)
{
    int                  language;
    ngx_uint_t           tls;
    ngx_str_t           *ip;
    ngx_http_request_t  *r = fw->request;

#if (NGX_HTTP_SSL)
    tls = r->connection->ssl != NULL;
#else
    tls = 0;
#endif

    fn_buf_addf(b, "{\"request_id\":\"%.*s\",\"ip\":", (int) fw->ctx->request_id.len,
                fw->ctx->request_id.data);

    ip = &r->connection->addr_text;

    if (r->connection->sockaddr->sa_family == AF_UNIX) {
        fn_buf_adds(b, "null");

    } else {
        ngx_http_fitnudge_forward_json_text(b, ip, ip->len);
    }

    fn_buf_adds(b, ",\"user_agent\":");

    if (r->headers_in.user_agent != NULL) {
        ngx_http_fitnudge_forward_json_text(b, &r->headers_in.user_agent->value, USER_AGENT_MAX);

    } else {
        fn_buf_adds(b, "\"\"");
    }

    if (fw->ctx->authenticated && fw->ctx->claims.session_id[0] != '\0') {
        fn_buf_addf(b, ",\"session_id\":\"%s\"", fw->ctx->claims.session_id);

    } else {
        fn_buf_adds(b, ",\"session_id\":null");
    }

    language = ngx_http_fitnudge_language(r);

    if (language >= 0) {
        fn_buf_addf(b, ",\"language\":\"%s\"", fn_languages[language].code);

    } else {
        fn_buf_adds(b, ",\"language\":null");
    }

    if (fw->if_match >= 0) {
        fn_buf_addf(b, ",\"if_match\":%ld", (long) fw->if_match);

    } else {
        fn_buf_adds(b, ",\"if_match\":null");
    }

    fn_buf_addf(b, ",\"cookie\":%s,\"tls\":%s,\"idempotent\":%s,\"fp\":\"%s\"}",
                fw->cookie ? "true" : "false", tls ? "true" : "false",
                fw->key.len ? "true" : "false", fingerprint);
}


/* A header may hold any bytes: what is not UTF-8 becomes a question mark, what is cut is cut between characters. */

static void
ngx_http_fitnudge_forward_json_text(fn_buf_t *b, const ngx_str_t *s, size_t max)
{
    u_char  *p, *next, *last, *d, text[USER_AGENT_MAX];

    d = text;
    p = s->data;
    last = p + s->len;

    if (max > sizeof(text)) {
        max = sizeof(text);
    }

    while (p < last) {
        next = p + 1;

        if (*p >= 0x80) {
            next = p;

            if (ngx_utf8_decode(&next, last - p) > 0x10ffff) {
                next = p + 1;

                if (d == text + max) {
                    break;
                }

                *d++ = '?';
                p = next;
                continue;
            }
        }

        if ((size_t) (next - p) > (size_t) (text + max - d)) {
            break;
        }

        d = ngx_cpymem(d, p, next - p);
        p = next;
    }

    fn_buf_add_json_string(b, (const char *) text, d - text);
}
