/* Our own key pairs: what is read from PEM, what is published, and tokens signed with them. */
#include "unit.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "fn_jwt.h"
#include "fn_key_pair.h"

#define SUB  "7d444840-9dc0-11d1-b245-5ffdce74fad2"
#define NOW  1700000000

/* RFC 8037 appendix A.1 */
#define ED25519  "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
#define ED25519_PUBLIC  "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"

static const fn_jwt_policy_t  policy = { NULL, 0, "fitnudge", "authenticated", 5, 0, NULL };


/* Appends a key in PEM and frees it. */
static void
add_pem(fn_buf_t *b, EVP_PKEY *pkey, int public, const char *passphrase)
{
    long   n;
    BIO   *bio;
    char  *p;

    ck_assert_ptr_nonnull(pkey);
    bio = BIO_new(BIO_s_mem());

    if (public) {
        ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, pkey), 1);
    } else {
        ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, pkey, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                                  (void *) passphrase), 1);
    }

    n = BIO_get_mem_data(bio, &p);
    fn_buf_add(b, p, (size_t) n);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}


START_TEST(test_thumbprints)
{
    EVP_PKEY    *copy;
    fn_buf_t     b = FN_BUF_INIT;
    fn_jwks_t   *rfc, *set;
    const char  *err;

    /* RFC 7638 section 3.1 */
    static const char  rsa[] =
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZ"
        "gnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF"
        "44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\"}]}";

    rfc = fn_jwks_parse(rsa, strlen(rsa), FN_JWKS_PUBLIC, &err);
    ck_assert_ptr_nonnull(rfc);
    copy = rfc->keys[0].pkey;
    EVP_PKEY_up_ref(copy);
    fn_buf_adds(&b, "our keys:\n\n" ED25519);
    add_pem(&b, copy, 1, NULL);
    fn_jwks_free(rfc);

    set = fn_key_pairs_parse(b.data, &err);
    ck_assert_msg(set != NULL, "%s", err);
    ck_assert_uint_eq(set->n, 2);
    ck_assert_str_eq(set->keys[0].kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");     /* RFC 8037 appendix A.3 */
    ck_assert_str_eq(set->keys[1].kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");

    fn_buf_reset(&b);
    ck_assert_int_eq(fn_key_pairs_publish(&b, set), 0);
    ck_assert_msg(strncmp(b.data, "{\"keys\":[{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","
                          "\"kid\":\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\",\"alg\":\"EdDSA\",\"use\":\"sig\"},{\"e\":\"AQAB\"", 168) == 0,
                  "%s", b.data);

    /* the signature of RFC 8037 appendix A.4 */
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_key_pair_sign(&b, &set->keys[0], "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", 56), 0);
    ck_assert_str_eq(b.data, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");

    fn_jwks_free(set);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_tokens)
{
    int               i;
    unsigned          k;
    fn_jwt_t          t;
    fn_buf_t          pem = FN_BUF_INIT, json = FN_BUF_INIT, token = FN_BUF_INIT;
    fn_jwks_t        *pairs, *public;
    const char       *err;
    fn_jwt_trust_t    trust = { .policy = policy };
    fn_jwt_claims_t   c, again;

    static const fn_alg_e  algs[] = { FN_ALG_ES256, FN_ALG_ES384, FN_ALG_RS256, FN_ALG_EDDSA };

    memset(&c, 0, sizeof(c));
    memcpy(c.sub, SUB, 37);
    memcpy(c.role, "authenticated", 14);
    c.iat = NOW;
    c.exp = NOW + 900;

    fn_buf_adds(&pem, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    add_pem(&pem, EVP_EC_gen("P-256"), 0, NULL);
    add_pem(&pem, EVP_EC_gen("P-384"), 0, NULL);
    add_pem(&pem, EVP_RSA_gen(2048), 0, NULL);
    fn_buf_adds(&pem, ED25519);

    pairs = fn_key_pairs_parse(pem.data, &err);
    ck_assert_msg(pairs != NULL, "%s", err);
    ck_assert_uint_eq(pairs->n, 4);

    ck_assert_int_eq(fn_key_pairs_publish(&json, pairs), 0);
    ck_assert_ptr_null(strstr(json.data, "\"d\""));
    public = fn_jwks_parse(json.data, json.len, FN_JWKS_PUBLIC, &err);
    ck_assert_msg(public != NULL, "%s", err);
    ck_assert_uint_eq(public->n, 4);
    trust.keys = public;

    for (k = 0; k < pairs->n; k++) {
        ck_assert_int_eq(fn_key_pair_alg(&pairs->keys[k]), algs[k]);
        ck_assert_str_eq(pairs->keys[k].kid, public->keys[k].kid);

        /* an integer of an ECDSA signature has zeros in front one time in 128 */
        for (i = 0; i < (algs[k] == FN_ALG_RS256 ? 2 : 300); i++) {
            fn_buf_reset(&token);
            c.iat = NOW - i;
            ck_assert_int_eq(fn_jwt_sign_with(&token, &policy, &pairs->keys[k], &c), 0);
            ck_assert_int_eq(fn_jwt_open(&t, token.data, token.len), FN_JWT_OK);
            ck_assert_str_eq(t.kid, pairs->keys[k].kid);
            ck_assert_int_eq(t.alg, algs[k]);
            ck_assert_int_eq(fn_jwt_accept(&again, &t, &trust, 1, NOW), FN_JWT_OK);
            ck_assert_str_eq(again.sub, SUB);
        }
    }

    fn_jwks_free(pairs);
    fn_jwks_free(public);
    fn_buf_free(&pem);
    fn_buf_free(&json);
    fn_buf_free(&token);
}
END_TEST


START_TEST(test_none)
{
    size_t       i;
    fn_buf_t     b = FN_BUF_INIT;
    fn_jwks_t   *set;
    const char  *err;

    static const struct { const char *pem, *err; }  bad[] = {
        { "", "holds no key" }, { "x", "holds no key" }, { "-----BEGIN ", "something else" },
        { "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", "holds no key" },
        { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "something else" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "malformed" },
        { "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v", "malformed" },
        { ED25519_PUBLIC, "begins with a public key" }, { ED25519 ED25519, "twice" }, { ED25519 ED25519_PUBLIC, "twice" },
        { ED25519 "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "malformed" }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set = fn_key_pairs_parse(bad[i].pem, &err);
        ck_assert_msg(set == NULL && strstr(err, bad[i].err) != NULL, "case %zu: %s", i, err);
    }

    add_pem(&b, EVP_RSA_gen(1024), 0, NULL);
    ck_assert_ptr_null(fn_key_pairs_parse(b.data, &err));
    ck_assert_ptr_nonnull(strstr(err, "2048"));
    fn_buf_reset(&b);
    add_pem(&b, EVP_EC_gen("P-521"), 0, NULL);
    ck_assert_ptr_null(fn_key_pairs_parse(b.data, &err));
    fn_buf_reset(&b);
    add_pem(&b, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), 0, NULL);
    ck_assert_ptr_null(fn_key_pairs_parse(b.data, &err));

    /* one with a passphrase: nobody is asked */
    fn_buf_reset(&b);
    add_pem(&b, EVP_EC_gen("P-256"), 0, "secret");
    ck_assert_ptr_null(fn_key_pairs_parse(b.data, &err));
    ck_assert_ptr_nonnull(strstr(err, "passphrase"));

    /* eight, and one more */
    fn_buf_reset(&b);
    for (i = 0; i < FN_KEY_PAIRS_MAX; i++) {
        add_pem(&b, EVP_EC_gen("P-256"), i % 2, NULL);
    }
    set = fn_key_pairs_parse(b.data, &err);
    ck_assert_msg(set != NULL && set->n == FN_KEY_PAIRS_MAX, "%s", err);
    fn_jwks_free(set);
    add_pem(&b, EVP_EC_gen("P-256"), 0, NULL);
    ck_assert_ptr_null(fn_key_pairs_parse(b.data, &err));
    ck_assert_ptr_nonnull(strstr(err, "8"));

    fn_buf_free(&b);
}
END_TEST


UNIT_MAIN("key_pair", test_thumbprints, test_tokens, test_none)
