/* Key sets that others publish: whatever is in them, a key of theirs never verifies a token of ours. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fn_jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int          alg;
    unsigned     i;
    fn_jwks_t   *set;
    const char  *err = NULL;

    static const unsigned char  zeros[64];

    set = fn_jwks_parse((const char *) data, size, FN_JWKS_PUBLIC, &err);

    if (set == NULL) {
        if (err == NULL) {
            abort();
        }
        return 0;
    }

    for (i = 0; i < set->n; i++) {
        if (set->keys[i].secret != NULL || (set->keys[i].algs & FN_ALG_HMAC)) {
            abort();        /* a published secret */
        }

        for (alg = FN_ALG_NONE; alg <= FN_ALG_EDDSA; alg++) {
            if (fn_jwk_verify(&set->keys[i], (fn_alg_e) alg, "a.b", 3, zeros, sizeof(zeros))) {
                abort();
            }
        }
    }

    fn_jwks_free(set);

    return 0;
}
