#include "fn_base64.h"


static const char  fn_b64_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


void
fn_base64url_encode(fn_buf_t *b, const void *data, size_t n)
{
    char                  out[4];
    size_t                i, left;
    uint32_t              v;
    const unsigned char  *p = data;

    for (i = 0; i < n; i += 3) {
        left = n - i;
        v = (uint32_t) p[i] << 16 | (left > 1 ? (uint32_t) p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);

        out[0] = fn_b64_chars[v >> 18];
        out[1] = fn_b64_chars[v >> 12 & 63];
        out[2] = fn_b64_chars[v >> 6 & 63];
        out[3] = fn_b64_chars[v & 63];

        fn_buf_add(b, out, left > 2 ? 4 : left + 1);
    }
}


static int
fn_b64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '-' ? 62 : c == '_' ? 63 : -1;
}


long
fn_base64url_decode(void *out, size_t out_size, const char *s, size_t n)
{
    int             v;
    size_t          i, bits, len;
    uint32_t        acc;
    unsigned char  *o = out;

    if (n % 4 == 1 || n / 4 * 3 + 2 < n / 4) {
        return -1;
    }

    for (i = 0, bits = 0, len = 0, acc = 0; i < n; i++) {
        v = fn_b64_value((unsigned char) s[i]);
        if (v < 0) {
            return -1;
        }

        acc = (acc << 6 | (uint32_t) v) & 0xffffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            if (len == out_size) {
                return -1;
            }
            o[len++] = (unsigned char) (acc >> bits);
        }
    }

    return acc & ((1u << bits) - 1) ? -1 : (long) len;
}
