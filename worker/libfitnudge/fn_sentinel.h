/*
 * How fitnudge_redis names a Redis that Sentinels watch: sentinel:<name>@<ip:port>[,<ip:port>...].
 * Addresses are numeric, as those of every server here: nothing waits for a resolver.
 */
#ifndef FN_SENTINEL_H
#define FN_SENTINEL_H

#define FN_SENTINELS_MAX  8

typedef struct {
    char      name[65];                         /* of the master, as the Sentinels know it */
    unsigned  n;
    char      address[FN_SENTINELS_MAX][64];    /* ip:port, [ipv6]:port */
} fn_sentinel_t;

/* 0, or -1: it is none. */
int fn_sentinel_parse(fn_sentinel_t *s, const char *value);

#endif
