/*
 * Maintenance mode as it is kept in Redis (FN_K_MAINTENANCE) between fitnudgectl, who writes it, and every edge:
 * {"message":"...","since":<unix s>,"until":<unix s>|null}. No key: no maintenance.
 */
#ifndef FN_MAINTENANCE_H
#define FN_MAINTENANCE_H

#include <stdint.h>

#include "fn_buf.h"

#define FN_MAINTENANCE_CHARS    500         /* of the message */
#define FN_MAINTENANCE_BYTES    (4 * FN_MAINTENANCE_CHARS)
#define FN_MAINTENANCE_MESSAGE  "System maintenance in progress."
#define FN_MAINTENANCE_TAG      "maintenance"   /* published on FN_K_CHANGES: read it again */

typedef struct {
    int64_t     since_s;
    int64_t     until_s;        /* 0: until somebody ends it */
    size_t      len;
    char        message[FN_MAINTENANCE_BYTES + 1];
} fn_maintenance_t;

/*
 * Takes a message, without the blanks around it: UTF-8 of 1 to FN_MAINTENANCE_CHARS characters, with no control characters
 * but newline and tab. NULL, or what is wrong with it ("must ...").
 */
const char *fn_maintenance_message(fn_maintenance_t *m, const char *p, size_t n);

/* Reads the value of the key, which has a NUL after its n bytes. 0, or -1: it is not one. */
int fn_maintenance_parse(fn_maintenance_t *m, const char *p, size_t n);

void fn_maintenance_format(fn_buf_t *b, const fn_maintenance_t *m);

#endif
