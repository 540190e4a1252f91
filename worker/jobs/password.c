/* Hashing and verifying passwords. See password.h. */
#include <crypt.h>
#include <string.h>

#include <openssl/crypto.h>

#include "digest.h"
#include "password.h"

#define FN_PASSWORD_METHOD  "$y$"

static const char *fn_password_crypt(const char *password, size_t len, const char *setting);

/* The hash of no password at all, at the cost of new hashes. */
static const char  fn_password_nobody[] =
    "$y$j9T$Fitnudge/no/such/user/0$78tPSl.eVDGn8lP5qyKn6UkOBe5ZBGzuyPallBR2UU.";

static struct crypt_data  fn_password_data;


int
fn_password_hash(char out[FN_PASSWORD_HASH_MAX], const char *password, size_t len)
{
    int          rc;
    char         salt[CRYPT_GENSALT_OUTPUT_SIZE];
    const char  *hash;

    rc = -1;
    out[0] = '\0';

    if (crypt_gensalt_rn(FN_PASSWORD_METHOD, 0, NULL, 0, salt, sizeof(salt)) != NULL) {
        hash = fn_password_crypt(password, len, salt);

        if (hash != NULL && strlen(hash) < FN_PASSWORD_HASH_MAX) {
            memcpy(out, hash, strlen(hash) + 1);
            rc = 0;
        }
    }

    OPENSSL_cleanse(&fn_password_data, sizeof(fn_password_data));

    return rc;
}


int
fn_password_verify(const char *hash, const char *password, size_t len, int *rehash)
{
    int          same;
    const char  *computed;

    same = 0;
    *rehash = 0;
    computed = NULL;

    if (hash != NULL && hash[0] != '\0') {
        computed = fn_password_crypt(password, len, hash);
    }

    if (computed == NULL) {
        hash = fn_password_nobody;
        (void) fn_password_crypt(password, len, hash);

    } else if (strlen(computed) == strlen(hash)) {
        same = CRYPTO_memcmp(computed, hash, strlen(hash)) == 0;
    }

    if (same && strncmp(hash, FN_PASSWORD_METHOD, strlen(FN_PASSWORD_METHOD)) != 0) {
        *rehash = 1;
    }

    OPENSSL_cleanse(&fn_password_data, sizeof(fn_password_data));

    return same;
}


/*
 * libxcrypt takes at most 511 bytes and stops at a NUL; a password of 128 characters can have 512.
 * Its SHA-256 then stands for it.
 */
static const char *
fn_password_crypt(const char *password, size_t len, const char *setting)
{
    char         text[CRYPT_MAX_PASSPHRASE_SIZE];
    const char  *hash;

    if (len >= sizeof(text) || memchr(password, '\0', len) != NULL) {
        if (fn_sha256_hex(text, password, len) != 0) {
            return NULL;
        }

    } else {
        memcpy(text, password, len);
        text[len] = '\0';
    }

    hash = crypt_rn(text, setting, &fn_password_data, sizeof(fn_password_data));

    OPENSSL_cleanse(text, sizeof(text));

    return hash;
}
