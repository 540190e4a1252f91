/* SHA-256 in hex and small random numbers, for the steps. */
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "digest.h"

static void fn_digest_hex(char out[FN_SHA256_HEX + 1], const unsigned char *md);


int
fn_sha256_hex(char out[FN_SHA256_HEX + 1], const void *p, size_t n)
{
    unsigned       len;
    unsigned char  md[EVP_MAX_MD_SIZE];

    out[0] = '\0';

    if (EVP_Digest(p, n, md, &len, EVP_sha256(), NULL) != 1) {
        return -1;
    }

    fn_digest_hex(out, md);

    return 0;
}


int
fn_hmac_hex(char out[FN_SHA256_HEX + 1], const char *key, const char *label, const void *p, size_t n)
{
    int            rc;
    unsigned       len;
    fn_buf_t       text = FN_BUF_INIT;
    unsigned char  md[EVP_MAX_MD_SIZE];

    out[0] = '\0';
    rc = -1;

    fn_buf_adds(&text, label);
    fn_buf_adds(&text, "\n");
    fn_buf_add(&text, p, n);

    if (key != NULL && !text.failed
        && HMAC(EVP_sha256(), key, (int) strlen(key), (unsigned char *) text.data, text.len, md, &len) != NULL)
    {
        fn_digest_hex(out, md);
        rc = 0;
    }

    fn_buf_free(&text);

    return rc;
}


static void
fn_digest_hex(char out[FN_SHA256_HEX + 1], const unsigned char *md)
{
    unsigned           i;
    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < FN_SHA256_HEX / 2; i++) {
        out[2 * i] = hex[md[i] >> 4];
        out[2 * i + 1] = hex[md[i] & 15];
    }

    out[FN_SHA256_HEX] = '\0';
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
