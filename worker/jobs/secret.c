/* Codes and tokens of ids: see secret.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "secret.h"

#define FN_SECRET_CODES  1000000    /* 10 to the FN_SECRET_CODE_LEN */
#define FN_SECRET_HASH   "fitnudge verification code's hash"

static const struct {
    const char  *name;
    const char  *label;         /* keeps uses of the key apart */
} fn_secret_kinds[] = {
    [FN_SECRET_CODE]  = { "verification_code", "fitnudge verification code" },
    [FN_SECRET_TOKEN] = { "reset_token", "fitnudge password reset token" },
};

#define FN_SECRET_KINDS  (sizeof(fn_secret_kinds) / sizeof(fn_secret_kinds[0]))


int
fn_secret_kind(const char *name, fn_secret_e *kind)
{
    size_t  i;

    for (i = 0; i < FN_SECRET_KINDS; i++) {
        if (strcmp(fn_secret_kinds[i].name, name) == 0) {
            *kind = (fn_secret_e) i;
            return 0;
        }
    }

    return -1;
}


int
fn_secret_make(char out[FN_SECRET_MAX], const fn_settings_t *s, fn_secret_e kind, const fn_span_t *id)
{
    uint64_t  n;

    if (fn_hmac_hex(out, s->jwt_secret, fn_secret_kinds[kind].label, id->p, id->n) != 0) {
        return -1;
    }

    if (kind == FN_SECRET_CODE) {
        out[15] = '\0';                 /* 60 bits: the remainder favours no code that anybody could notice */
        n = strtoull(out, NULL, 16);
        (void) snprintf(out, FN_SECRET_MAX, "%0*u", FN_SECRET_CODE_LEN, (unsigned) (n % FN_SECRET_CODES));
    }

    return 0;
}


int
fn_secret_code_hash(char out[FN_SHA256_HEX + 1], const fn_settings_t *s, const fn_span_t *id, const char *code, size_t len)
{
    int       rc;
    fn_buf_t  text = FN_BUF_INIT;

    fn_buf_add(&text, id->p, id->n);
    fn_buf_adds(&text, "\n");
    fn_buf_add(&text, code, len);

    rc = text.failed ? -1 : fn_hmac_hex(out, s->jwt_secret, FN_SECRET_HASH, text.data, text.len);

    if (text.data != NULL) {
        OPENSSL_cleanse(text.data, text.size);
    }

    fn_buf_free(&text);

    return rc;
}
