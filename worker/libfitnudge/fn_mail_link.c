/* Links of mails: see fn_mail_link.h. */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fn_jwt.h"
#include "fn_mail_link.h"
#include "fn_sigv4.h"
#include "fn_uuid.h"

#define FN_MAIL_MAC  16         /* bytes of the HMAC that are kept */

static int fn_mail_sign(fn_buf_t *b, const char *key, fn_mail_link_e kind, const char *id, size_t id_len,
                        const char *what, size_t what_len);
static int fn_mail_what(fn_mail_link_e kind, const char *what, size_t n);


int
fn_mail_link(fn_buf_t *b, const char *base, const char *key, fn_mail_link_e kind, const char *id, const char *what)
{
    size_t  n;

    n = strlen(base);
    while (n > 0 && base[n - 1] == '/') {
        n--;
    }

    fn_buf_add(b, base, n);
    fn_buf_addf(b, "/api/v1/e/%c/", (char) kind);

    if (kind == FN_MAIL_UNSUBSCRIBE) {
        fn_buf_addf(b, "%s.%s.", id, what);
    } else {
        fn_buf_addf(b, kind == FN_MAIL_OPEN ? "%s.gif?s=" : "%s?s=", id);
    }

    if (fn_mail_sign(b, key, kind, id, strlen(id), what, strlen(what)) != 0) {
        return -1;
    }

    if (kind == FN_MAIL_CLICK) {
        fn_buf_adds(b, "&u=");
        fn_percent_encode(b, what, strlen(what), 0);
    }

    return b->failed ? -1 : 0;
}


int
fn_mail_link_verify(const char *key, fn_mail_link_e kind, const char *id, size_t id_len, const char *what, size_t what_len,
                    const char *signature, size_t signature_len)
{
    int       good;
    fn_buf_t  b = FN_BUF_INIT;

    good = fn_mail_sign(&b, key, kind, id, id_len, what, what_len) == 0
           && b.len == signature_len
           && CRYPTO_memcmp(b.data, signature, signature_len) == 0;

    fn_buf_free(&b);

    return good;
}


int
fn_mail_unsubscribe(const char *key, const char *token, size_t len, char user[37], char list[FN_MAIL_LIST_MAX + 1])
{
    size_t  n;

    /* <36>.<1-32>.<22> */
    if (len < FN_UUID_LEN + 3 + FN_MAIL_SIGNATURE || len > FN_UUID_LEN + 2 + FN_MAIL_LIST_MAX + FN_MAIL_SIGNATURE) {
        return 0;
    }

    n = len - FN_UUID_LEN - 2 - FN_MAIL_SIGNATURE;

    if (token[FN_UUID_LEN] != '.' || token[FN_UUID_LEN + 1 + n] != '.'
        || !fn_mail_link_verify(key, FN_MAIL_UNSUBSCRIBE, token, FN_UUID_LEN, token + FN_UUID_LEN + 1, n,
                                token + len - FN_MAIL_SIGNATURE, FN_MAIL_SIGNATURE))
    {
        return 0;
    }

    memcpy(user, token, FN_UUID_LEN);
    user[FN_UUID_LEN] = '\0';
    memcpy(list, token + FN_UUID_LEN + 1, n);
    list[n] = '\0';

    return 1;
}


/* Appends the signature of well-formed parts. */
static int
fn_mail_sign(fn_buf_t *b, const char *key, fn_mail_link_e kind, const char *id, size_t id_len, const char *what, size_t what_len)
{
    int            rc;
    unsigned       n;
    fn_buf_t       text = FN_BUF_INIT;
    unsigned char  md[EVP_MAX_MD_SIZE];

    if (key == NULL || key[0] == '\0' || !fn_uuid_valid(id, id_len) || !fn_mail_what(kind, what, what_len)) {
        return -1;
    }

    /* No part but the last can have a newline in it. */
    fn_buf_addf(&text, "fitnudge mail link\n%c\n%.*s\n", (char) kind, (int) id_len, id);
    fn_buf_add(&text, what, what_len);

    rc = -1;

    if (!text.failed
        && HMAC(EVP_sha256(), key, (int) strlen(key), (const unsigned char *) text.data, text.len, md, &n) != NULL)
    {
        fn_base64url_encode(b, md, FN_MAIL_MAC);
        rc = b->failed ? -1 : 0;
    }

    fn_buf_free(&text);

    return rc;
}


static int
fn_mail_what(fn_mail_link_e kind, const char *what, size_t n)
{
    size_t  i;

    switch (kind) {

    case FN_MAIL_OPEN:
        return n == 0;

    case FN_MAIL_UNSUBSCRIBE:
        for (i = 0; i < n; i++) {
            if ((what[i] < 'a' || what[i] > 'z') && what[i] != '_') {
                return 0;
            }
        }
        return n > 0 && n <= FN_MAIL_LIST_MAX;

    default:
        /* Becomes a Location header: printable ASCII of an address. */
        if (n > FN_MAIL_TARGET_MAX
            || ((n < 9 || memcmp(what, "https://", 8) != 0) && (n < 8 || memcmp(what, "http://", 7) != 0)))
        {
            return 0;
        }
        for (i = 0; i < n; i++) {
            if ((unsigned char) what[i] <= 0x20 || (unsigned char) what[i] >= 0x7f || strchr("\"<>\\^`{|}", what[i]) != NULL) {
                return 0;
            }
        }
        return 1;
    }
}
