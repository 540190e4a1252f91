/*
 * What all HTTP modules share: reading request headers and cookies, naming a
 * request, and the one way in which a finished body leaves.
 */
#include "ngx_http_fitnudge.h"
#include "../worker/libfitnudge/fn_r2.h"
#include "../worker/libfitnudge/fn_time.h"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define REQUEST_ID_MAX   64
#define REQUEST_ID_MADE  (sizeof("req_") - 1 + 24)
#define TRACEPARENT_LEN  55


static ngx_uint_t ngx_http_fitnudge_request_id_valid(const ngx_str_t *s);
static ngx_int_t ngx_http_fitnudge_request_id_make(ngx_http_request_t *r, ngx_str_t *id);
static ngx_int_t ngx_http_fitnudge_random(u_char *p, size_t n);
static ngx_int_t ngx_http_fitnudge_traceparent_make(ngx_http_request_t *r, ngx_str_t *s);
static ngx_uint_t ngx_http_fitnudge_traceparent_valid(const ngx_str_t *s);
static ngx_int_t ngx_http_fitnudge_traceparent_downgrade(ngx_http_request_t *r, ngx_str_t *s);
static ngx_int_t ngx_http_fitnudge_sign_urls(ngx_http_request_t *r, ngx_str_t *body, ngx_str_t *etag);
static ngx_uint_t ngx_http_fitnudge_etag_matches(ngx_http_request_t *r, const ngx_str_t *etag);


ngx_int_t
ngx_http_fitnudge_identify(ngx_http_request_t *r, ngx_http_fitnudge_ctx_t *ctx)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (ctx->identified) {
        return NGX_OK;
    }

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        switch (h[i].key.len) {

        case sizeof("traceparent") - 1:
            if (ctx->ntraceparent < 2
                && ngx_memcmp(h[i].lowcase_key, "traceparent", h[i].key.len) == 0)
            {
                ctx->traceparent = h[i].value;
                ctx->ntraceparent++;
            }

            break;

        case sizeof("origin") - 1:      /* and "accept" */
            if (ctx->norigin < 2 && ngx_memcmp(h[i].lowcase_key, "origin", h[i].key.len) == 0) {
                ctx->origin = h[i].value;
                ctx->norigin++;

            } else if (ctx->accept.len == 0
                       && ngx_memcmp(h[i].lowcase_key, "accept", h[i].key.len) == 0)
            {
                ctx->accept = h[i].value;
            }

            break;

        case sizeof("access-control-request-method") - 1:
            if (ngx_memcmp(h[i].lowcase_key, "access-control-request-method", h[i].key.len) == 0) {
                ctx->request_method = 1;
            }

            break;

        case sizeof("x-request-id") - 1:
            if (ctx->request_id.len == 0
                && ngx_memcmp(h[i].lowcase_key, "x-request-id", h[i].key.len) == 0
                && ngx_http_fitnudge_request_id_valid(&h[i].value))
            {
                ctx->request_id = h[i].value;
            }

            break;

        case sizeof("authorization") - 1:
            if (ctx->nauthorization < 2
                && ngx_memcmp(h[i].lowcase_key, "authorization", h[i].key.len) == 0)
            {
                ctx->nauthorization++;
            }

            break;
        }
    }

    if (ctx->request_id.len == 0
        && ngx_http_fitnudge_request_id_make(r, &ctx->request_id) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* with several of them it is nobody's to choose: section 2.2 of Trace Context 2 has the trace begin here */

    if (ctx->ntraceparent == 1 && ngx_http_fitnudge_traceparent_valid(&ctx->traceparent)) {
        if (ngx_http_fitnudge_traceparent_downgrade(r, &ctx->traceparent) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (ngx_http_fitnudge_traceparent_make(r, &ctx->traceparent) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->identified = 1;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_fitnudge_request_id_valid(const ngx_str_t *s)
{
    size_t  i;
    u_char  c;

    if (s->len == 0 || s->len > REQUEST_ID_MAX) {
        return 0;
    }

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
              || c == '.' || c == '_' || c == '-'))
        {
            return 0;
        }
    }

    return 1;
}


/* Random bytes, fetched for some 25 requests at once; `n` is less than the pool's size. */

static ngx_int_t
ngx_http_fitnudge_random(u_char *p, size_t n)
{
    static u_char   pool[1024];
    static size_t   used = sizeof(pool);

    if (sizeof(pool) - used < n) {
        if (getrandom(pool, sizeof(pool), 0) != (ssize_t) sizeof(pool)) {
            return NGX_ERROR;
        }

        used = 0;
    }

    ngx_memcpy(p, pool + used, n);
    used += n;

    return NGX_OK;
}


/* "req_" and 120 random bits. */

static ngx_int_t
ngx_http_fitnudge_request_id_make(ngx_http_request_t *r, ngx_str_t *id)
{
    u_char      *p, bytes[15], *random;
    uint64_t     bits;
    ngx_uint_t   i, k;

    static const char   alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

    p = ngx_pnalloc(r->pool, REQUEST_ID_MADE);
    if (p == NULL || ngx_http_fitnudge_random(bytes, sizeof(bytes)) != NGX_OK) {
        return NGX_ERROR;
    }

    id->data = p;
    id->len = REQUEST_ID_MADE;

    p = ngx_cpymem(p, "req_", sizeof("req_") - 1);
    random = bytes;

    /* 5 bytes are 8 characters of 5 bits */

    for (i = 0; i < 3; i++) {
        bits = 0;

        for (k = 0; k < 5; k++) {
            bits = bits << 8 | *random++;
        }

        for (k = 0; k < 8; k++) {
            *p++ = alphabet[bits & 31];
            bits >>= 5;
        }
    }

    return NGX_OK;
}


/*
 * W3C Trace Context, section 3.2: a trace that begins with this request.  Flags 01: it is recorded, by the access log at
 * least.
 */

static ngx_int_t
ngx_http_fitnudge_traceparent_make(ngx_http_request_t *r, ngx_str_t *s)
{
    u_char  *p, bytes[24];

    p = ngx_pnalloc(r->pool, TRACEPARENT_LEN);
    if (p == NULL || ngx_http_fitnudge_random(bytes, sizeof(bytes)) != NGX_OK) {
        return NGX_ERROR;
    }

    /* ids of zeros only are invalid */
    bytes[0] |= 0x80;
    bytes[16] |= 0x80;

    s->data = p;
    s->len = TRACEPARENT_LEN;

    p = ngx_cpymem(p, "00-", 3);
    p = ngx_hex_dump(p, bytes, 16);
    *p++ = '-';
    p = ngx_hex_dump(p, bytes + 16, 8);
    (void) ngx_cpymem(p, "-01", 3);

    return NGX_OK;
}


/*
 * W3C Trace Context, sections 3.2 and 4.3: lower case, no id of zeros only.  A version that is not known yet begins like 00, and
 * whatever it adds comes behind another dash; ff is none.
 */

static ngx_uint_t
ngx_http_fitnudge_traceparent_valid(const ngx_str_t *s)
{
    size_t   i;
    u_char   c, trace, parent;

    if (s->len < TRACEPARENT_LEN || ngx_strncmp(s->data, "ff", 2) == 0) {
        return 0;
    }

    if (s->len > TRACEPARENT_LEN && (s->data[TRACEPARENT_LEN] != '-' || ngx_strncmp(s->data, "00", 2) == 0)) {
        return 0;
    }

    trace = 0;
    parent = 0;

    for (i = 0; i < TRACEPARENT_LEN; i++) {
        c = s->data[i];

        if (i == 2 || i == 35 || i == 52) {
            if (c != '-') {
                return 0;
            }

            continue;
        }

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return 0;
        }

        if (c != '0' && i > 2) {
            if (i < 35) {
                trace = 1;

            } else if (i < 52) {
                parent = 1;
            }
        }
    }

    return trace && parent;
}


/* What comes from a later version goes on as 00, with the one flag that 00 has: "sampled". */

static ngx_int_t
ngx_http_fitnudge_traceparent_downgrade(ngx_http_request_t *r, ngx_str_t *s)
{
    u_char  *p, flags;

    if (s->data[0] == '0' && s->data[1] == '0') {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, TRACEPARENT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    flags = s->data[TRACEPARENT_LEN - 1];

    ngx_memcpy(p, s->data, TRACEPARENT_LEN);
    p[0] = '0';
    p[1] = '0';
    p[TRACEPARENT_LEN - 2] = '0';
    p[TRACEPARENT_LEN - 1] = '0' + ((flags <= '9' ? flags - '0' : flags - 'a' + 10) & 1);

    s->data = p;
    s->len = TRACEPARENT_LEN;

    return NGX_OK;
}


ngx_table_elt_t *
ngx_http_fitnudge_find_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len && ngx_memcmp(h[i].lowcase_key, name, len) == 0) {
            return &h[i];
        }
    }
}


ngx_int_t
ngx_http_fitnudge_cookie(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_str_t  key;

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

#if (nginx_version >= 1023000)

    if (r->headers_in.cookie == NULL
        || ngx_http_parse_multi_header_lines(r, r->headers_in.cookie, &key, value) == NULL)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;

#else

    if (r->headers_in.cookies.nelts == 0
        || ngx_http_parse_multi_header_lines(&r->headers_in.cookies, &key, value) == NGX_DECLINED)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;

#endif
}


ngx_int_t
ngx_http_fitnudge_header(ngx_http_request_t *r, const char *name, const u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = len;
    h->lowcase_key = NULL;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


void
ngx_http_fitnudge_etag(u_char *etag, const u_char *p, size_t len)
{
    uint64_t    hash;
    ngx_int_t   i;

    static const u_char  hex[] = "0123456789abcdef";

    hash = XXH3_64bits(p, len);

    etag[0] = '"';

    for (i = 16; i > 0; i--) {
        etag[i] = hex[hash & 15];
        hash >>= 4;
    }

    etag[17] = '"';
}


ngx_int_t
ngx_http_fitnudge_send_json(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *body, ngx_uint_t etag)
{
    ngx_str_t  tag;

    /* what is cached has to be revalidated: the tag makes that cheap */
    static const ngx_str_t  revalidate = ngx_string("private, no-cache");

    if (!etag) {
        return ngx_http_fitnudge_send(r, status, NULL, body, NULL, NULL);
    }

    tag.len = NGX_FITNUDGE_ETAG_LEN;
    tag.data = ngx_pnalloc(r->pool, tag.len);
    if (tag.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_fitnudge_etag(tag.data, body->data, body->len);

    return ngx_http_fitnudge_send(r, status, NULL, body, &tag, &revalidate);
}


ngx_int_t
ngx_http_fitnudge_send(ngx_http_request_t *r, ngx_uint_t status, const ngx_str_t *type,
    const ngx_str_t *body, const ngx_str_t *etag, const ngx_str_t *cache)
{
    ngx_int_t                 rc;
    ngx_buf_t                *b;
    ngx_str_t                 final, tag;
    ngx_chain_t               out;
    ngx_http_fitnudge_ctx_t  *ctx;

    static const ngx_str_t  json = ngx_string("application/json");
    static const ngx_str_t  no_store = ngx_string("no-store");

    ctx = ngx_http_fitnudge_ctx(r);
    if (ctx == NULL || r->header_sent) {
        return NGX_ERROR;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (status == NGX_HTTP_OK && ctx->matched && ctx->match.route != NULL && (ctx->match.route->flags & FN_R_URLS)) {
        final = *body;

        if (etag != NULL) {
            tag = *etag;
        }

        if (ngx_http_fitnudge_sign_urls(r, &final, etag != NULL ? &tag : NULL) != NGX_OK) {
            return NGX_ERROR;
        }

        body = &final;
        etag = etag != NULL ? &tag : NULL;
    }

    ctx->answered = 1;

    /*
     * The stock filter would compare If-Match with the answer's ETag and turn a write
     * that has happened into 412.
     */
    r->disable_not_modified = 1;

    if (cache == NULL) {
        cache = &no_store;
    }

    if (ngx_http_fitnudge_header(r, "Cache-Control", cache->data, cache->len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (etag != NULL) {
        if (ngx_http_fitnudge_header(r, "ETag", etag->data, etag->len) != NGX_OK) {
            return NGX_ERROR;
        }

        /* headers_out.etag lets gzip weaken the tag; the entry just pushed is the list's last */
        r->headers_out.etag = (ngx_table_elt_t *) r->headers_out.headers.last->elts
                              + r->headers_out.headers.last->nelts - 1;

        if (status == NGX_HTTP_OK && ngx_http_fitnudge_etag_matches(r, etag)) {
            status = NGX_HTTP_NOT_MODIFIED;
        }
    }

    r->headers_out.status = status;

    if (status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED) {
        rc = ngx_http_send_header(r);

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            return rc;
        }

        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    if (type == NULL) {
        type = &json;
    }

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = body->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    if (body->len == 0) {
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* Puts signed addresses in place of objects, and a tag of what came of it, so that no client keeps addresses that are over. */

static ngx_int_t
ngx_http_fitnudge_sign_urls(ngx_http_request_t *r, ngx_str_t *body, ngx_str_t *etag)
{
    fn_buf_t                              out = FN_BUF_INIT;
    ngx_int_t                             rc;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    rc = NGX_ERROR;
    fmcf = ngx_http_fitnudge_main_conf(r);

    if (fn_r2_sign_urls(&out, &fmcf->settings, (const char *) body->data, body->len, fn_now_ms()) == 0) {
        body->len = out.len;
        body->data = ngx_pnalloc(r->pool, out.len + 1);

        if (etag != NULL) {
            etag->len = NGX_FITNUDGE_ETAG_LEN;
            etag->data = ngx_pnalloc(r->pool, etag->len);
        }

        if (body->data != NULL && (etag == NULL || etag->data != NULL)) {
            ngx_memcpy(body->data, out.data, out.len);

            if (etag != NULL) {
                ngx_http_fitnudge_etag(etag->data, body->data, body->len);
            }

            rc = NGX_OK;
        }
    }

    fn_buf_free(&out);

    return rc;
}


/* If-None-Match, RFC 9110 section 13.1.2: a list, compared weakly. */

static ngx_uint_t
ngx_http_fitnudge_etag_matches(ngx_http_request_t *r, const ngx_str_t *etag)
{
    u_char           *p, *last;
    ngx_table_elt_t  *h;

    h = r->headers_in.if_none_match;

    if (h == NULL || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return 0;
    }

    p = h->value.data;
    last = p + h->value.len;

    if (h->value.len == 1 && *p == '*') {
        return 1;
    }

    while (p < last) {

        while (p < last && (*p == ' ' || *p == ',' || *p == '\t')) {
            p++;
        }

        if (last - p > 2 && p[0] == 'W' && p[1] == '/') {
            p += 2;
        }

        if ((size_t) (last - p) < etag->len) {
            return 0;
        }

        if (ngx_memcmp(p, etag->data, etag->len) == 0) {
            return 1;
        }

        /* over one foreign tag; a malformed one ends the list */

        if (*p != '"') {
            return 0;
        }

        p = ngx_strlchr(p + 1, last, '"');
        if (p == NULL) {
            return 0;
        }

        p++;
    }

    return 0;
}


void
ngx_http_fitnudge_park(ngx_http_request_t *r, ngx_uint_t take)
{
    if (take) {
        r->main->count++;
    }

    /* else a stray write event would run the content phase again */
    r->write_event_handler = ngx_http_request_empty_handler;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }
}
