/* Reads the address of a Redis behind Sentinels. */
#include "fn_sentinel.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX  "sentinel:"


/* ip:port or [ipv6]:port */
static int
fn_sentinel_address(const char *p, size_t n)
{
    char             host[64];
    size_t           len, i;
    const char      *colon;
    unsigned long    port;
    struct in6_addr  addr;

    for (colon = NULL, i = 0; i < n; i++) {
        colon = p[i] == ':' ? p + i : colon;
    }

    len = colon ? (size_t) (colon - p) : 0;

    if (len == 0 || len >= sizeof(host) || n - len - 1 == 0 || n - len - 1 > 5) {
        return -1;
    }

    for (port = 0, i = len + 1; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }

        port = port * 10 + (unsigned long) (p[i] - '0');
    }

    if (port < 1 || port > 65535) {
        return -1;
    }

    if (len > 2 && p[0] == '[' && p[len - 1] == ']') {
        memcpy(host, p + 1, len - 2);
        host[len - 2] = '\0';
        return inet_pton(AF_INET6, host, &addr) == 1 ? 0 : -1;
    }

    memcpy(host, p, len);
    host[len] = '\0';

    return inet_pton(AF_INET, host, &addr) == 1 ? 0 : -1;
}


int
fn_sentinel_parse(fn_sentinel_t *s, const char *value)
{
    size_t       n;
    const char  *p;

    memset(s, 0, sizeof(*s));

    if (strncmp(value, PREFIX, sizeof(PREFIX) - 1) != 0) {
        return -1;
    }

    p = value + sizeof(PREFIX) - 1;
    n = strcspn(p, "@");

    if (n == 0 || n >= sizeof(s->name) || p[n] != '@') {
        return -1;
    }

    memcpy(s->name, p, n);

    for (p = s->name; *p != '\0'; p++) {
        /* what Sentinel itself takes for a name */
        if (!isalnum((unsigned char) *p) && strchr(".-_", *p) == NULL) {
            return -1;
        }
    }

    p = value + sizeof(PREFIX) - 1 + n;

    do {
        p++;
        n = strcspn(p, ",");

        if (s->n == FN_SENTINELS_MAX || n >= sizeof(s->address[0]) || fn_sentinel_address(p, n) != 0) {
            return -1;
        }

        memcpy(s->address[s->n++], p, n);
        p += n;

    } while (*p == ',');

    return 0;
}
