/* What providers share: see exchange.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "exchange.h"


void
fn_exchange_begin(fn_exchange_t *x, fn_method_e method, int64_t timeout_ms, int64_t attempts)
{
    x->url[0] = '\0';
    x->nheaders = 0;
    x->timeout_ms = (long) timeout_ms;
    x->attempts = (unsigned) attempts;
    x->method = method;
    x->response_max = 0;
    x->plain = 0;
    memset(&x->mail, 0, sizeof(x->mail));
    fn_buf_reset(&x->body);
}


int
fn_exchange_url(fn_exchange_t *x, const char *base, const char *path)
{
    int          n;
    size_t       len;
    const char  *p;

    len = strlen(base);
    while (path[0] != '\0' && len > 0 && base[len - 1] == '/') {
        len--;
    }

    n = snprintf(x->url, sizeof(x->url), "%.*s%s", (int) len, base, path);

    if (n < 0 || (size_t) n >= sizeof(x->url)) {
        return -1;
    }

    for (p = x->url; *p != '\0'; p++) {
        if ((unsigned char) *p <= 0x20 || *p == 0x7f) {
            return -1;
        }
    }

    return 0;
}


int
fn_exchange_header(fn_exchange_t *x, const char *name, const char *value)
{
    int                   n;
    const unsigned char  *p;

    if (x->nheaders == FN_HEADERS) {
        return -1;
    }

    for (p = (const unsigned char *) value; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return -1;
        }
    }

    n = snprintf(x->headers[x->nheaders], sizeof(x->headers[0]), "%s: %s", name, value);

    if (n < 0 || (size_t) n >= sizeof(x->headers[0])) {
        return -1;
    }

    x->nheaders++;

    return 0;
}


int
fn_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}


int
fn_url_is_local(const char *url)
{
    size_t       i, n;
    const char  *host;

    static const char *const  names[] = { "127.0.0.1", "[::1]", "localhost" };

    host = strstr(url, "://");
    if (host == NULL) {
        return 0;
    }
    host += 3;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        n = strlen(names[i]);

        if (strncasecmp(host, names[i], n) == 0 && (host[n] == '\0' || host[n] == ':' || host[n] == '/')) {
            /* a name and password before an @ would make it another host */
            return strcspn(host, "/?#") <= strcspn(host, "@");
        }
    }

    return 0;
}


const char *
fn_response_header(const fn_response_t *r, const char *name, size_t *n)
{
    size_t       len, name_len;
    const char  *p, *end, *eol, *v;

    if (r->headers == NULL) {
        return NULL;
    }

    name_len = strlen(name);
    end = r->headers + r->headers_len;

    for (p = r->headers; p < end; p = eol + 1) {
        eol = memchr(p, '\n', (size_t) (end - p));
        if (eol == NULL) {
            return NULL;        /* cut off */
        }

        len = (size_t) (eol - p);

        if (len <= name_len || p[name_len] != ':' || strncasecmp(p, name, name_len) != 0) {
            continue;
        }

        for (v = p + name_len + 1; v < eol && (*v == ' ' || *v == '\t'); v++) { /* void */ }

        len = (size_t) (eol - v);
        while (len > 0 && (v[len - 1] == '\r' || v[len - 1] == ' ' || v[len - 1] == '\t')) {
            len--;
        }

        *n = len;
        return v;
    }

    return NULL;
}


fn_outcome_e
fn_failed(const fn_response_t *r, fn_call_t *c)
{
    if (r->transport_error != 0) {
        return FN_RETRY;
    }

    c->wait_ms = r->retry_after_ms;

    if (r->should_retry == 0) {
        return FN_DEAD;
    }

    if (r->status == 429) {
        return FN_BUSY;
    }

    if (r->status == 408 || r->status >= 500 || (r->should_retry == 1 && r->status >= 400)) {
        return FN_RETRY;
    }

    return FN_DEAD;
}


fn_outcome_e
fn_call_parse(const fn_pair_t *pair, const fn_response_t *r, fn_call_t *c, fn_buf_t *result)
{
    c->wait_ms = -1;
    c->again = 0;
    c->alert = NULL;

    return pair->parse(r, c, result);
}


void
fn_clean_text(fn_buf_t *b, const char *s, size_t n, size_t max, int lines)
{
    size_t         i, points;
    unsigned char  c;

    for (i = 0, points = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if ((c < 0x20 && !(lines && (c == '\n' || c == '\t'))) || c == 0x7f) {
            continue;
        }

        /* C1 controls, U+0080 to U+009F. */
        if (c == 0xc2 && i + 1 < n && (unsigned char) s[i + 1] < 0xa0) {
            i++;
            continue;
        }

        if ((c & 0xc0) != 0x80 && points++ == max) {
            return;
        }

        fn_buf_add(b, s + i, 1);
    }
}
