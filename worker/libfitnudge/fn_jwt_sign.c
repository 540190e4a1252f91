/* Making tokens: with the shared secret, or with a key pair of ours. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fn_jwt.h"
#include "fn_key_pair.h"


static void
fn_jwt_member(fn_buf_t *b, const char *name, const char *value)
{
    if (value == NULL || *value == '\0') {
        return;
    }

    fn_buf_addf(b, "\"%s\":", name);
    fn_buf_add_json_string(b, value, strlen(value));
    fn_buf_add(b, ",", 1);
}


/* HS256, RFC 7518 section 3.2. */

static int
fn_jwt_mac(fn_buf_t *b, const fn_jwt_policy_t *policy, const void *data, size_t n)
{
    unsigned       len;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    if (HMAC(EVP_sha256(), policy->key, (int) policy->key_len, data, n, mac, &len) == NULL) {
        return -1;
    }

    fn_base64url_encode(b, mac, len);

    return b->failed ? -1 : 0;
}


int
fn_jwt_sign(fn_buf_t *b, const fn_jwt_policy_t *policy, const fn_jwt_claims_t *c)
{
    return fn_jwt_sign_with(b, policy, NULL, c);
}


int
fn_jwt_sign_with(fn_buf_t *b, const fn_jwt_policy_t *policy, const fn_jwk_t *pair, const fn_jwt_claims_t *c)
{
    int       rc;
    fn_buf_t  header = FN_BUF_INIT, payload = FN_BUF_INIT, input = FN_BUF_INIT;

    fn_buf_adds(&header, "{");
    fn_jwt_member(&header, "alg", pair ? fn_alg_name(fn_key_pair_alg(pair)) : "HS256");
    fn_jwt_member(&header, "kid", pair ? pair->kid : NULL);
    fn_buf_adds(&header, "\"typ\":\"JWT\"}");

    fn_buf_adds(&payload, "{");
    fn_jwt_member(&payload, "sub", c->sub);
    fn_jwt_member(&payload, "role", c->role);
    fn_jwt_member(&payload, "plan", c->plan);
    fn_jwt_member(&payload, "aud", policy->audience);
    fn_jwt_member(&payload, "iss", policy->issuer);
    fn_jwt_member(&payload, "session_id", c->session_id);
    fn_jwt_member(&payload, "jti", c->jti);
    fn_buf_addf(&payload, "\"iat\":%lld,\"exp\":%lld}", (long long) c->iat, (long long) c->exp);

    rc = -1;

    if (!header.failed && !payload.failed) {
        fn_base64url_encode(&input, header.data, header.len);
        fn_buf_adds(&input, ".");
        fn_base64url_encode(&input, payload.data, payload.len);

        if (!input.failed) {
            fn_buf_add(b, input.data, input.len);
            fn_buf_adds(b, ".");
            rc = pair ? fn_key_pair_sign(b, pair, input.data, input.len) : fn_jwt_mac(b, policy, input.data, input.len);
        }
    }

    fn_buf_free(&header);
    fn_buf_free(&payload);
    fn_buf_free(&input);

    return rc == 0 && !b->failed ? 0 : -1;
}
