/* Strict UTF-8. */
#include <stdint.h>
#include <string.h>

#include "fn_utf8.h"


int
fn_utf8_valid(const char *text, size_t n)
{
    size_t                more;
    uint64_t              eight;
    unsigned char         low, high;
    const unsigned char  *p = (const unsigned char *) text, *end = p + n;

    while (p < end) {
        if (end - p >= 8) {
            memcpy(&eight, p, 8);
            if ((eight & 0x8080808080808080ull) == 0) {
                p += 8;
                continue;
            }
        }

        if (*p < 0x80) {
            p++;
            continue;
        }

        low = 0x80;
        high = 0xbf;

        if (*p >= 0xc2 && *p <= 0xdf) {
            more = 1;

        } else if (*p >= 0xe0 && *p <= 0xef) {
            more = 2;
            low = *p == 0xe0 ? 0xa0 : 0x80;
            high = *p == 0xed ? 0x9f : 0xbf;

        } else if (*p >= 0xf0 && *p <= 0xf4) {
            more = 3;
            low = *p == 0xf0 ? 0x90 : 0x80;
            high = *p == 0xf4 ? 0x8f : 0xbf;

        } else {
            return 0;
        }

        if ((size_t) (end - p) <= more || p[1] < low || p[1] > high) {
            return 0;
        }

        for (p += 2; --more; p++) {
            if ((*p & 0xc0) != 0x80) {
                return 0;
            }
        }
    }

    return 1;
}


size_t
fn_utf8_length(const char *p, size_t n)
{
    size_t  i, count;

    for (i = 0, count = 0; i < n; i++) {
        count += ((unsigned char) p[i] & 0xc0) != 0x80;
    }

    return count;
}
