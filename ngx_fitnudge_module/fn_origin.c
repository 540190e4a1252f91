/*
 * Origins are compared byte by byte: browsers write them in lower case, without a default port and without a path, so a
 * pattern that is written in another way would never match and is refused when the configuration is read.
 */
#include <string.h>

#include "fn_origin.h"

#define ORIGIN_MAX  255


static int
fn_origin_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}


/* [a-z][a-z0-9+.-]*, RFC 3986 section 3.1; the length, or 0. */
static size_t
fn_origin_scheme(const char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (p[i] >= 'a' && p[i] <= 'z') {
            continue;
        }

        if (i == 0 || !((p[i] >= '0' && p[i] <= '9') || p[i] == '+' || p[i] == '.' || p[i] == '-')) {
            break;
        }
    }

    return (i + 3 <= n && memcmp(p + i, "://", 3) == 0) ? i : 0;
}


/* Labels separated by dots, or an IPv6 address in brackets; the length, or 0. */
static size_t
fn_origin_host(const char *p, size_t n)
{
    size_t  i, label;

    if (n > 0 && p[0] == '[') {
        for (i = 1; i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f') || p[i] == ':' || p[i] == '.'); i++) {
            /* void */
        }

        return (i > 2 && i < n && p[i] == ']') ? i + 1 : 0;
    }

    for (i = 0, label = 0; i < n; i++) {
        if (fn_origin_label_char(p[i])) {
            label++;

        } else if (p[i] == '.' && label > 0) {
            label = 0;

        } else {
            break;
        }
    }

    return label > 0 ? i : 0;
}


/* Digits without a leading zero; 0 when it is no port. */
static unsigned
fn_origin_port(const char *p, size_t n)
{
    size_t    i;
    unsigned  port;

    if (n == 0 || n > 5 || p[0] == '0') {
        return 0;
    }

    for (i = 0, port = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }

        port = port * 10 + (unsigned) (p[i] - '0');
    }

    return port > 65535 ? 0 : port;
}


const char *
fn_origin_check(const char *p, size_t n)
{
    size_t       i, scheme, host;
    unsigned     port;
    const char  *begin = p;

    if (n == 1 && p[0] == '*') {
        return "must not be \"*\": answers carry credentials";
    }

    if (n == 4 && memcmp(p, "null", 4) == 0) {
        return "must not be \"null\": every sandboxed page has that origin";
    }

    if (n > ORIGIN_MAX) {
        return "must not be longer than 255 characters";
    }

    for (i = 0; i < n; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z') {
            return "must be in lower case, as browsers send it";
        }
    }

    scheme = fn_origin_scheme(p, n);
    if (scheme == 0) {
        return "must begin with a scheme, such as https://";
    }

    p += scheme + 3;
    n -= scheme + 3;

    if (n > 2 && p[0] == '*' && p[1] == '.' && p[2] != '[') {
        p += 2;
        n -= 2;
    }

    host = fn_origin_host(p, n);
    if (host == 0) {
        return "must have a host name; \"*\" may stand for its first label only";
    }

    p += host;
    n -= host;

    if (n == 0) {
        return NULL;
    }

    if (p[0] != ':') {
        return p[0] == '/' ? "must end with the host or its port" : "must have a host name; \"*\" may stand for its first label only";
    }

    port = fn_origin_port(p + 1, n - 1);
    if (port == 0) {
        return "must have a port from 1 to 65535, and nothing after it";
    }

    if ((scheme == 5 && memcmp(begin, "https", 5) == 0 && port == 443)
        || (scheme == 4 && memcmp(begin, "http", 4) == 0 && port == 80))
    {
        return "must not name the default port, as browsers leave it out";
    }

    return NULL;
}


int
fn_origin_match(const char *pattern, size_t np, const char *origin, size_t n)
{
    size_t       i, head, tail;
    const char  *star;

    star = memchr(pattern, '*', np);

    if (star == NULL) {
        return n == np && memcmp(pattern, origin, n) == 0;
    }

    head = (size_t) (star - pattern);
    tail = np - head - 1;

    if (n <= head + tail || memcmp(origin, pattern, head) != 0 || memcmp(origin + n - tail, star + 1, tail) != 0) {
        return 0;
    }

    for (i = head; i < n - tail; i++) {
        if (!fn_origin_label_char(origin[i])) {
            return 0;
        }
    }

    return 1;
}
