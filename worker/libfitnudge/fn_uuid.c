/* UUIDs, RFC 9562. */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "fn_uuid.h"

/* FitNudge's own namespace for version 5, a random UUID that never changes. */
static const unsigned char  fn_namespace[16] = {
    0x8d, 0x1f, 0x6a, 0x52, 0x3c, 0x0e, 0x4b, 0x7d, 0x9a, 0x25, 0x71, 0xe4, 0x5f, 0xc8, 0x06, 0xb3
};


static void
fn_uuid_format(char out[FN_UUID_LEN + 1], const unsigned char u[16])
{
    char                    *p = out;
    int                      i;
    static const char        hex[] = "0123456789abcdef";

    for (i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = hex[u[i] >> 4];
        *p++ = hex[u[i] & 15];
    }

    *p = '\0';
}


int
fn_uuid_v7(char out[FN_UUID_LEN + 1], uint64_t unix_ms)
{
    int            i;
    unsigned char  u[16];

    if (getrandom(u + 6, 10, 0) != 10) {
        return -1;
    }

    for (i = 0; i < 6; i++) {
        u[i] = (unsigned char) (unix_ms >> (40 - 8 * i));
    }

    u[6] = (unsigned char) ((u[6] & 0x0f) | 0x70);
    u[8] = (unsigned char) ((u[8] & 0x3f) | 0x80);
    fn_uuid_format(out, u);

    return 0;
}


void
fn_uuid_v5(char out[FN_UUID_LEN + 1], const char *user, size_t user_len,
           const char *route, size_t route_len, const char *key, size_t key_len)
{
    unsigned char   u[EVP_MAX_MD_SIZE];
    EVP_MD_CTX     *md;

    memset(u, 0, sizeof(u));

    md = EVP_MD_CTX_new();
    if (md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1) {
        (void) EVP_DigestUpdate(md, fn_namespace, sizeof(fn_namespace));
        (void) EVP_DigestUpdate(md, user, user_len);
        (void) EVP_DigestUpdate(md, "", 1);
        (void) EVP_DigestUpdate(md, route, route_len);
        (void) EVP_DigestUpdate(md, "", 1);
        (void) EVP_DigestUpdate(md, key, key_len);
        (void) EVP_DigestFinal_ex(md, u, NULL);
    }
    EVP_MD_CTX_free(md);

    u[6] = (unsigned char) ((u[6] & 0x0f) | 0x50);
    u[8] = (unsigned char) ((u[8] & 0x3f) | 0x80);
    fn_uuid_format(out, u);
}


int
fn_uuid_valid(const char *s, size_t len)
{
    size_t  i;

    if (len != FN_UUID_LEN) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (s[i] != '-') {
                return 0;
            }

        } else if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f') || (s[i] >= 'A' && s[i] <= 'F'))) {
            return 0;
        }
    }

    return 1;
}
