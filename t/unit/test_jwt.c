/* Tokens, RFC 7515 and RFC 7519. */
#include "unit.h"

#include <openssl/hmac.h>

#include "fn_jwt.h"

#define KEY   "0123456789abcdef0123456789abcdef"
#define SUB   "7d444840-9dc0-11d1-b245-5ffdce74fad2"
#define NOW   1700000000
#define GOOD  "\"sub\":\"" SUB "\",\"role\":\"authenticated\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":1700000900"

static const fn_jwt_policy_t  policy = { KEY, 32, "fitnudge", "authenticated", 5, 0, NULL };


/* Signs any header and payload. */
static void
sign(fn_buf_t *b, const char *header, const char *payload, const char *key)
{
    unsigned       n;
    unsigned char  mac[64];

    fn_buf_reset(b);
    fn_base64url_encode(b, header, strlen(header));
    fn_buf_adds(b, ".");
    fn_base64url_encode(b, payload, strlen(payload));
    HMAC(EVP_sha256(), key, (int) strlen(key), (unsigned char *) b->data, b->len, mac, &n);
    fn_buf_adds(b, ".");
    fn_base64url_encode(b, mac, n);
}


START_TEST(test_base64url)
{
    long      n;
    char      out[64];
    size_t    i;
    fn_buf_t  b = FN_BUF_INIT;

    static const char *const  pairs[][2] = {        /* RFC 4648 section 10 */
        { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" }
    };
    static const char *const  bad[] = { "Z", "Zg=", "Zg==", "Zh", "Zm9", "Z+", "Z/", "Zm 8", "Zm9vYmFyA" };

    for (i = 0; i < 6; i++) {
        fn_buf_reset(&b);
        fn_base64url_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        ck_assert_str_eq(b.data, pairs[i][1]);
        n = fn_base64url_decode(out, sizeof(out), pairs[i][1], strlen(pairs[i][1]));
        ck_assert_int_eq(n, (long) strlen(pairs[i][0]));
        ck_assert(memcmp(out, pairs[i][0], (size_t) n) == 0);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(fn_base64url_decode(out, sizeof(out), bad[i], strlen(bad[i])) == -1, "accepted: %s", bad[i]);
    }
    ck_assert_int_eq(fn_base64url_decode(out, 2, "Zm9v", 4), -1);
    fn_buf_free(&b);
}
END_TEST


/* RFC 7515 appendix A.1: the signature of its example, with its key. It has no sub: the claims are refused, not the signature. */
START_TEST(test_rfc7515)
{
    char             key[64];
    fn_jwt_claims_t  c;
    fn_jwt_policy_t  p = policy;

    static const char  token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    p.key = key;
    p.key_len = (size_t) fn_base64url_decode(key, sizeof(key),
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", 86);
    ck_assert_uint_eq(p.key_len, 64);
    ck_assert_int_eq(fn_jwt_verify(&c, &p, token, sizeof(token) - 1, 1300819000), FN_JWT_CLAIMS);

    p.key_len = 63;
    ck_assert_int_eq(fn_jwt_verify(&c, &p, token, sizeof(token) - 1, 1300819000), FN_JWT_SIGNATURE);
}
END_TEST


START_TEST(test_round_trip)
{
    fn_buf_t         b = FN_BUF_INIT;
    fn_jwt_claims_t  c, again;

    memset(&c, 0, sizeof(c));
    memcpy(c.sub, SUB, 37);
    memcpy(c.session_id, SUB, 37);
    memcpy(c.role, "authenticated", 14);
    memcpy(c.plan, "pro", 4);
    c.iat = NOW;
    c.exp = NOW + 900;

    ck_assert_int_eq(fn_jwt_sign(&b, &policy, &c), 0);
    ck_assert_int_eq(fn_jwt_verify(&again, &policy, b.data, b.len, NOW), FN_JWT_OK);
    ck_assert_str_eq(again.sub, SUB);
    ck_assert_str_eq(again.plan, "pro");
    ck_assert_int_eq(fn_jwt_verify(&again, &policy, b.data, b.len, NOW + 904), FN_JWT_OK);
    ck_assert_int_eq(fn_jwt_verify(&again, &policy, b.data, b.len, NOW + 905), FN_JWT_EXPIRED);
    ck_assert_int_eq(fn_jwt_verify(&again, &policy, b.data, b.len, NOW - 6), FN_JWT_NOT_YET);

    /* every cut and every changed character is refused */
    for (size_t i = 0; i < b.len; i++) {
        ck_assert_int_ne(fn_jwt_verify(&again, &policy, b.data, i, NOW), FN_JWT_OK);
        b.data[i] ^= 1;
        ck_assert_int_ne(fn_jwt_verify(&again, &policy, b.data, b.len, NOW), FN_JWT_OK);
        b.data[i] ^= 1;
    }
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_hostile)
{
    size_t           i;
    fn_buf_t         b = FN_BUF_INIT;
    fn_jwt_claims_t  c;

    static const char  hs[] = "{\"alg\":\"HS256\"}";
    static const struct {
        const char  *header, *payload, *key;
        fn_jwt_e     expected;
    } cases[] = {
        { hs, "{" GOOD "}", KEY, FN_JWT_OK },
        { hs, "{" GOOD ",\"extra\":{\"a\":[1,{\"sub\":\"x\"}]}}", KEY, FN_JWT_OK },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":[\"x\",\"authenticated\"],\"iss\":\"fitnudge\",\"exp\":1700000900.5}", KEY, FN_JWT_OK },
        { hs, "{" GOOD "}", "another key of a good length ....", FN_JWT_SIGNATURE },
        { "{\"alg\":\"none\"}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"HS512\"}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"RS256\"}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"hs256\"}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":[\"HS256\"]}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"HS256\",\"crit\":[\"b64\"]}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"HS256\",\"b64\":false}", "{" GOOD "}", KEY, FN_JWT_ALGORITHM },
        { "{\"alg\":\"none\",\"alg\":\"HS256\"}", "{" GOOD "}", KEY, FN_JWT_MALFORMED },
        { "[\"HS256\"]", "{" GOOD "}", KEY, FN_JWT_MALFORMED },
        { "\"HS256\"", "{" GOOD "}", KEY, FN_JWT_MALFORMED },
        { hs, "{" GOOD ",\"sub\":\"" SUB "\"}", KEY, FN_JWT_MALFORMED },
        { hs, "{" GOOD "} ,", KEY, FN_JWT_MALFORMED },
        { hs, "[]", KEY, FN_JWT_MALFORMED },
        { hs, "null", KEY, FN_JWT_MALFORMED },
        { hs, "{" GOOD ",\"nbf\":1700000900}", KEY, FN_JWT_NOT_YET },
        { hs, "{" GOOD ",\"nbf\":\"soon\"}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"nbf\":[9999999999]}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"nbf\":9.9e9}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"iat\":true}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"session_id\":5}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"session_id\":null}", KEY, FN_JWT_OK },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"iss\":\"fitnudge\",\"exp\":1700000900,\"aud\":{\"x\":\"authenticated\"}}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"iss\":\"fitnudge\",\"exp\":1700000900,\"aud\":[[\"authenticated\"]]}", KEY, FN_JWT_CLAIMS },
        { hs, "{" GOOD ",\"https://claims.example/a-name-of-more-than-32\":1,\"https://claims.example/a-name-of-more-than-32\":1}", KEY, FN_JWT_MALFORMED },
        { hs, "{" GOOD ",\"s\\u0075b\":\"" SUB "\"}", KEY, FN_JWT_MALFORMED },
        { hs, "{\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":1700000900}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"me\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":1700000900}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":1700000900}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"other\",\"iss\":\"fitnudge\",\"exp\":1700000900}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"other\",\"exp\":1700000900}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\"}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":-1}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":true}", KEY, FN_JWT_CLAIMS },
        { hs, "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"fitnudge\",\"exp\":1600000000}", KEY, FN_JWT_EXPIRED },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sign(&b, cases[i].header, cases[i].payload, cases[i].key);
        ck_assert_msg(fn_jwt_verify(&c, &policy, b.data, b.len, NOW) == cases[i].expected, "case %zu: %s", i,
                      fn_jwt_strerror(fn_jwt_verify(&c, &policy, b.data, b.len, NOW)));
    }

    ck_assert_int_eq(fn_jwt_verify(&c, &policy, "", 0, NOW), FN_JWT_MALFORMED);
    ck_assert_int_eq(fn_jwt_verify(&c, &policy, "..", 2, NOW), FN_JWT_MALFORMED);
    ck_assert_int_eq(fn_jwt_verify(&c, &policy, "a.b.c.d", 7, NOW), FN_JWT_MALFORMED);
    ck_assert_int_eq(fn_jwt_verify(&c, &policy, NULL, FN_JWT_MAX + 1, NOW), FN_JWT_MALFORMED);
    fn_buf_free(&b);
}
END_TEST


UNIT_MAIN("jwt", test_base64url, test_rfc7515, test_round_trip, test_hostile)
