/* Tokens: nothing is accepted without the key, and what follows a good signature is parsed safely. */
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "fn_jwt.h"

#define KEY  "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fn_buf_t         b = FN_BUF_INIT;
    unsigned         n;
    unsigned char    mac[64];
    fn_jwt_claims_t  claims;

    static const fn_jwt_policy_t  policy = { KEY, 32, "fitnudge", "authenticated", 5, 0, NULL };

    if (fn_jwt_verify(&claims, &policy, (const char *) data, size, 1700000000) == FN_JWT_OK) {
        abort();        /* a forgery */
    }

    /* the same bytes as a signed payload */
    fn_buf_adds(&b, "eyJhbGciOiJIUzI1NiJ9.");
    fn_base64url_encode(&b, data, size);
    if (b.data != NULL && HMAC(EVP_sha256(), KEY, 32, (unsigned char *) b.data, b.len, mac, &n) != NULL) {
        fn_buf_adds(&b, ".");
        fn_base64url_encode(&b, mac, n);
        if (fn_jwt_verify(&claims, &policy, b.data, b.len, 1700000000) == FN_JWT_OK && strlen(claims.sub) != 36) {
            abort();
        }
    }
    fn_buf_free(&b);

    return 0;
}
