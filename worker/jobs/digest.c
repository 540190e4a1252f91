/* SHA-256 in hex and small random numbers, for the steps. */
#include <sys/random.h>

#include <openssl/evp.h>

#include "digest.h"


int
fn_sha256_hex(char out[FN_SHA256_HEX + 1], const void *p, size_t n)
{
    unsigned             i, len;
    unsigned char        md[EVP_MAX_MD_SIZE];
    static const char    hex[] = "0123456789abcdef";

    out[0] = '\0';

    if (EVP_Digest(p, n, md, &len, EVP_sha256(), NULL) != 1) {
        return -1;
    }

    for (i = 0; i < FN_SHA256_HEX / 2; i++) {
        out[2 * i] = hex[md[i] >> 4];
        out[2 * i + 1] = hex[md[i] & 15];
    }

    out[FN_SHA256_HEX] = '\0';

    return 0;
}


unsigned
fn_random_below(unsigned n)
{
    unsigned  r;

    if (n == 0 || getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t) sizeof(r)) {
        return 0;
    }

    return r % n;
}
