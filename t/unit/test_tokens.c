/* Which tokens open what: confusions that must not work, the memory of verified tokens, who may call what, what is revoked. */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "fn_access.h"
#include "fn_jwt.h"
#include "fn_key_pair.h"
#include "fn_revoked.h"
#include "fn_token_cache.h"

#define OWN     "0123456789abcdef0123456789abcdef"
#define SUB     "7d444840-9dc0-11d1-b245-5ffdce74fad2"
#define NOW     1700000000
#define CLAIMS  "{\"sub\":\"" SUB "\",\"role\":\"authenticated\",\"aud\":\"authenticated\",\"iss\":\"them\",\"exp\":1700000900}"

/* Ours is last, as the edge has them. */
static fn_jwt_trust_t   trusts[2];
static fn_jwks_t       *pairs, *theirs;
static char             pem[8192];          /* of the public RSA key */
static fn_buf_t         json;


static void
setup(void)
{
    long         n;
    BIO         *bio = BIO_new(BIO_s_mem());
    char        *p;
    EVP_PKEY    *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    const char  *err;

    ck_assert(PEM_write_bio_PrivateKey(bio, rsa, NULL, NULL, 0, NULL, NULL) == 1);
    ck_assert(PEM_write_bio_PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL) == 1);
    BIO_write(bio, "", 1);
    (void) BIO_get_mem_data(bio, &p);
    pairs = fn_key_pairs_parse(p, &err);
    ck_assert_ptr_nonnull(pairs);
    BIO_free(bio);

    bio = BIO_new(BIO_s_mem());
    ck_assert(PEM_write_bio_PUBKEY(bio, rsa) == 1);
    n = BIO_get_mem_data(bio, &p);
    ck_assert_int_lt(n, (long) sizeof(pem));
    memcpy(pem, p, (size_t) n);
    BIO_free(bio);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);

    ck_assert_int_eq(fn_key_pairs_publish(&json, pairs), 0);
    theirs = fn_jwks_parse(json.data, json.len, FN_JWKS_PUBLIC, &err);
    ck_assert_ptr_nonnull(theirs);

    memset(trusts, 0, sizeof(trusts));
    trusts[0].policy.issuer = "them";
    trusts[0].policy.audience = "authenticated";
    trusts[0].keys = theirs;
    trusts[1].policy = trusts[0].policy;
    trusts[1].policy.issuer = "us";
    trusts[1].policy.key = OWN;
    trusts[1].policy.key_len = 32;
}


static void
teardown(void)
{
    fn_jwks_free(pairs);
    fn_jwks_free(theirs);
    fn_buf_free(&json);
}


/* header "." payload, of any bytes */
static void
input(fn_buf_t *b, const char *header, const char *payload, size_t n)
{
    fn_buf_reset(b);
    fn_base64url_encode(b, header, strlen(header));
    fn_buf_adds(b, ".");
    fn_base64url_encode(b, payload, n);
}


static fn_jwt_e
judge(const fn_buf_t *b)
{
    fn_jwt_e         e;
    fn_jwt_t         t;
    fn_jwt_claims_t  c;

    e = fn_jwt_open(&t, b->data, b->len);

    return e != FN_JWT_OK ? e : fn_jwt_accept(&c, &t, trusts, 2, NOW);
}


static fn_jwt_e
with_pair(const fn_jwk_t *pair, const char *header, const char *payload)
{
    fn_jwt_e  e;
    fn_buf_t  b = FN_BUF_INIT, signature = FN_BUF_INIT;

    input(&b, header, payload, strlen(payload));
    ck_assert_int_eq(fn_key_pair_sign(&signature, pair, b.data, b.len), 0);
    fn_buf_adds(&b, ".");
    fn_buf_adds(&b, signature.data);
    e = judge(&b);
    fn_buf_free(&b);
    fn_buf_free(&signature);

    return e;
}


static fn_jwt_e
with_secret(const void *secret, size_t n, const EVP_MD *md, const char *header, const char *payload, size_t len)
{
    fn_jwt_e       e;
    fn_buf_t       b = FN_BUF_INIT;
    unsigned       mac_len;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    input(&b, header, payload, len);
    ck_assert_ptr_nonnull(HMAC(md, secret, (int) n, (unsigned char *) b.data, b.len, mac, &mac_len));
    fn_buf_adds(&b, ".");
    fn_base64url_encode(&b, mac, mac_len);
    e = judge(&b);
    fn_buf_free(&b);

    return e;
}


/* A header with the id of a pair in the place of @. */
static const char *
head(const char *with, const fn_jwk_t *pair)
{
    const char       *at = strchr(with, '@');
    static fn_buf_t   b;

    fn_buf_reset(&b);
    fn_buf_add(&b, with, (size_t) (at - with));
    fn_buf_adds(&b, pair->kid);
    fn_buf_adds(&b, at + 1);

    return b.data;
}


START_TEST(test_confusion_key)
{
    size_t           i, k;
    fn_buf_t         b = FN_BUF_INIT;
    const char      *kid[3];
    const fn_jwk_t  *rsa = &pairs->keys[0], *ec = &pairs->keys[1];

    /* what is good */
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"RS256\",\"kid\":\"@\"}", rsa), CLAIMS), FN_JWT_OK);
    ck_assert_int_eq(with_pair(ec, head("{\"alg\":\"ES256\",\"kid\":\"@\"}", ec), CLAIMS), FN_JWT_OK);
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", CLAIMS), FN_JWT_OK);

    /* the public key as a secret: as text, without its last newline, its parts and the whole document */
    kid[0] = "{\"alg\":\"HS256\"}";
    kid[1] = strdup(head("{\"alg\":\"HS256\",\"kid\":\"@\"}", rsa));
    kid[2] = strdup(head("{\"alg\":\"HS256\",\"kid\":\"@\"}", ec));

    for (i = 0; i < 3; i++) {
        const struct { const char *p; size_t n; }  secrets[] = {
            { pem, strlen(pem) }, { pem, strlen(pem) - 1 }, { json.data, json.len }, { rsa->kid, rsa->kid_len }, { "", 0 }
        };

        for (k = 0; k < sizeof(secrets) / sizeof(secrets[0]); k++) {
            ck_assert_int_ne(with_secret(secrets[k].p, secrets[k].n, EVP_sha256(), kid[i], CLAIMS, strlen(CLAIMS)), FN_JWT_OK);
        }
    }

    /* with HS384 and HS512, too */
    ck_assert_int_ne(with_secret(pem, strlen(pem), EVP_sha384(), "{\"alg\":\"HS384\"}", CLAIMS, strlen(CLAIMS)), FN_JWT_OK);
    ck_assert_int_ne(with_secret(pem, strlen(pem), EVP_sha512(), "{\"alg\":\"HS512\"}", CLAIMS, strlen(CLAIMS)), FN_JWT_OK);
    ck_assert_int_ne(with_secret(OWN, 32, EVP_sha512(), "{\"alg\":\"HS512\"}", CLAIMS, strlen(CLAIMS)), FN_JWT_OK);

    /* the algorithm and the id of other keys */
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"RS512\",\"kid\":\"@\"}", rsa), CLAIMS), FN_JWT_ALGORITHM);
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"PS256\",\"kid\":\"@\"}", rsa), CLAIMS), FN_JWT_ALGORITHM);
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"ES256\",\"kid\":\"@\"}", rsa), CLAIMS), FN_JWT_ALGORITHM);
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"RS256\",\"kid\":\"@\"}", ec), CLAIMS), FN_JWT_ALGORITHM);
    ck_assert_int_eq(with_pair(rsa, head("{\"alg\":\"ES256\",\"kid\":\"@\"}", ec), CLAIMS), FN_JWT_SIGNATURE);
    ck_assert_int_eq(with_pair(rsa, "{\"alg\":\"RS256\",\"kid\":\"nobody\"}", CLAIMS), FN_JWT_KEY);
    ck_assert_int_eq(with_pair(rsa, "{\"alg\":\"EdDSA\"}", CLAIMS), FN_JWT_KEY);

    /* the issuer belongs to the key */
    ck_assert_int_eq(with_secret(OWN, 32, EVP_sha256(), "{\"alg\":\"HS256\"}", CLAIMS, strlen(CLAIMS)), FN_JWT_CLAIMS);

    /* no signature at all, and none that is one */
    input(&b, "{\"alg\":\"none\"}", CLAIMS, strlen(CLAIMS));
    fn_buf_adds(&b, ".");
    ck_assert_int_eq(judge(&b), FN_JWT_ALGORITHM);
    input(&b, head("{\"alg\":\"ES256\",\"kid\":\"@\"}", ec), CLAIMS, strlen(CLAIMS));
    fn_buf_adds(&b, ".");
    ck_assert_int_ne(judge(&b), FN_JWT_OK);

    free((void *) kid[1]);
    free((void *) kid[2]);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_confusion_header)
{
    size_t           i;
    char            *pad;
    const char      *header;
    const fn_jwk_t  *ec = &pairs->keys[1];

    static const struct { const char *header; fn_jwt_e expected; }  cases[] = {
        /* keys that a token brings along are not looked at */
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"jku\":\"https://evil.example/\"}", FN_JWT_OK },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"x5u\":\"https://evil.example/\",\"x5c\":[\"AAAA\"]}", FN_JWT_OK },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", FN_JWT_OK },
        { "{\"alg\":\"ES256\",\"kid\":\"x@\",\"jku\":\"https://evil.example/\"}", FN_JWT_KEY },
        /* extensions that change what a token means */
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"crit\":[\"exp\"],\"exp\":1}", FN_JWT_ALGORITHM },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"crit\":[]}", FN_JWT_ALGORITHM },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"b64\":false,\"crit\":[\"b64\"]}", FN_JWT_ALGORITHM },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"b64\":true}", FN_JWT_ALGORITHM },
        /* names twice, also written with escapes */
        { "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"@\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"none\",\"\\u0061lg\":\"ES256\",\"kid\":\"@\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":\"a\",\"kid\":\"@\"}", FN_JWT_MALFORMED },
        /* values of other types, and what is no text */
        { "{\"alg\":[\"ES256\"],\"kid\":\"@\"}", FN_JWT_ALGORITHM },
        { "{\"alg\":\"ES256\",\"kid\":[\"@\"]}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":null,\"x\":\"@\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":\"\",\"x\":\"@\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":\"@\\u0000\"}", FN_JWT_KEY },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"x\":\"\xff\xfe\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"x\":\"\xc0\xaf\"}", FN_JWT_MALFORMED },
        { "{\"alg\":\"ES256\",\"kid\":\"@\"}}", FN_JWT_MALFORMED },
        { "[{\"alg\":\"ES256\",\"kid\":\"@\"}]", FN_JWT_MALFORMED },
        /* tokens for something else */
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"typ\":\"logout+jwt\"}", FN_JWT_TYPE },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"typ\":\"application/at+JWT\"}", FN_JWT_OK },
        { "{\"alg\":\"ES256\",\"kid\":\"@\",\"typ\":5}", FN_JWT_MALFORMED }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        header = head(cases[i].header, ec);
        ck_assert_msg(with_pair(ec, header, CLAIMS) == cases[i].expected, "%s: %s", header,
                      fn_jwt_strerror(with_pair(ec, header, CLAIMS)));
    }

    /* claims that are no text, and a token that is too long */
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", "{\"sub\":\"" SUB "\",\"x\":\"\xff\"}"), FN_JWT_MALFORMED);
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", "{\"sub\":\"" SUB "\",\"x\":\"\xed\xa0\x80\"}"), FN_JWT_MALFORMED);

    pad = malloc(2 * FN_JWT_MAX);
    ck_assert_ptr_nonnull(pad);
    memset(pad, ' ', 2 * FN_JWT_MAX);
    memcpy(pad, CLAIMS, strlen(CLAIMS));
    pad[2 * FN_JWT_MAX - 1] = '\0';
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", pad), FN_JWT_MALFORMED);
    pad[FN_JWT_MAX / 2] = '\0';
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", pad), FN_JWT_OK);
    free(pad);
}
END_TEST


/* Signatures of ECDSA in other forms: DER, and numbers that are no numbers of the curve. */
START_TEST(test_confusion_ecdsa)
{
    int              i;
    fn_buf_t         b = FN_BUF_INIT;
    size_t           n;
    EVP_MD_CTX      *ctx;
    unsigned char    sig[128];
    const fn_jwk_t  *ec = &theirs->keys[1];

    /* order of P-256 */
    static const unsigned char  order[32] = {
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51
    };

    for (i = 0; i < 9; i++) {
        memset(sig, 0, sizeof(sig));

        if (i % 3 == 1) { memset(sig, 0x11, 32); }
        if (i % 3 == 2) { memcpy(sig, order, 32); }
        if (i / 3 == 1) { memset(sig + 32, 0x11, 32); }
        if (i / 3 == 2) { memcpy(sig + 32, order, 32); }

        ck_assert_int_eq(fn_jwk_verify(ec, FN_ALG_ES256, "a.b", 3, sig, 64), 0);
    }

    ctx = EVP_MD_CTX_new();
    n = sizeof(sig);
    ck_assert_int_eq(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, pairs->keys[1].pkey, NULL), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &n, (const unsigned char *) "a.b", 3), 1);
    EVP_MD_CTX_free(ctx);
    ck_assert_int_eq(fn_jwk_verify(ec, FN_ALG_ES256, "a.b", 3, sig, n), 0);
    ck_assert_int_eq(fn_jwk_verify(ec, FN_ALG_ES256, "a.b", 3, sig, 64), 0);

    /* as it should be */
    ck_assert_int_eq(fn_key_pair_sign(&b, &pairs->keys[1], "a.b", 3), 0);
    ck_assert_int_eq(fn_base64url_decode(sig, sizeof(sig), b.data, b.len), 64);
    ck_assert_int_eq(fn_jwk_verify(ec, FN_ALG_ES256, "a.b", 3, sig, 64), 1);
    fn_buf_free(&b);
}
END_TEST


/* The same keys, trusted for two issuers. */
START_TEST(test_two_issuers)
{
    const fn_jwk_t  *ec = &pairs->keys[1];

    trusts[1].keys = theirs;
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", CLAIMS), FN_JWT_OK);
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"us\",\"exp\":1700000900}"), FN_JWT_OK);
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"me\",\"exp\":1700000900}"), FN_JWT_CLAIMS);
    ck_assert_int_eq(with_pair(ec, "{\"alg\":\"ES256\"}", "{\"sub\":\"" SUB "\",\"role\":\"r\",\"aud\":\"authenticated\",\"iss\":\"us\",\"exp\":1600000900}"), FN_JWT_EXPIRED);
}
END_TEST


START_TEST(test_cache)
{
    int                     i, found;
    char                    token[32];
    fn_jwt_claims_t         c;
    fn_token_cache_t       *cache;
    const fn_jwt_claims_t  *known;

    memset(&c, 0, sizeof(c));
    cache = fn_token_cache_create(64, 1);
    ck_assert_ptr_nonnull(cache);
    ck_assert_ptr_null(fn_token_cache_find(cache, "a.b.c", 5, 1));

    c.exp = 5;
    fn_token_cache_add(cache, "a.b.c", 5, 1, &c);
    known = fn_token_cache_find(cache, "a.b.c", 5, 1);
    ck_assert(known != NULL && known->exp == 5);

    /* another token, a part of it, and other keys */
    ck_assert_ptr_null(fn_token_cache_find(cache, "a.b.d", 5, 1));
    ck_assert_ptr_null(fn_token_cache_find(cache, "a.b.c", 4, 1));
    ck_assert_ptr_null(fn_token_cache_find(cache, "a.b.c", 5, 2));
    ck_assert_ptr_nonnull(fn_token_cache_find(cache, "a.b.c", 5, 1));

    /* it never holds more than it may, and what was added last is there */
    for (i = 0; i < 1000; i++) {
        snprintf(token, sizeof(token), "token.%d", i);
        fn_token_cache_add(cache, token, strlen(token), 1, &c);
        ck_assert_ptr_nonnull(fn_token_cache_find(cache, token, strlen(token), 1));
    }
    for (i = 0, found = 0; i < 1000; i++) {
        snprintf(token, sizeof(token), "token.%d", i);
        found += fn_token_cache_find(cache, token, strlen(token), 1) != NULL;
    }
    ck_assert_int_le(found, 64);
    ck_assert_int_gt(found, 32);
    fn_token_cache_free(cache);

    /* one set: what is used stays */
    cache = fn_token_cache_create(1, 1);
    fn_token_cache_add(cache, "used", 4, 1, &c);
    for (i = 0; i < 100; i++) {
        snprintf(token, sizeof(token), "token.%d", i);
        ck_assert_ptr_nonnull(fn_token_cache_find(cache, "used", 4, 1));
        fn_token_cache_add(cache, token, strlen(token), 1, &c);
    }
    fn_token_cache_free(cache);

    cache = fn_token_cache_create(0, 1);
    fn_token_cache_add(cache, "none", 4, 1, &c);
    ck_assert_ptr_null(fn_token_cache_find(cache, "none", 4, 1));
    fn_token_cache_free(cache);
    fn_token_cache_free(NULL);
}
END_TEST


START_TEST(test_access)
{
    size_t           i;
    const char      *refused;
    fn_jwt_claims_t  c;

    static const struct { fn_who_e who; const char *role, *plan, *refused; }  cases[] = {
        { FN_ANYONE, "", "", NULL }, { FN_USER, "authenticated", "", NULL }, { FN_USER, "admin", "free", NULL },
        { FN_PAID, "authenticated", "pro", NULL }, { FN_PAID, "authenticated", "elite", NULL },
        { FN_PAID, "authenticated", "free", "plan" }, { FN_PAID, "authenticated", "", "plan" }, { FN_PAID, "admin", "PRO", "plan" },
        { FN_STAFF, "admin", "", NULL }, { FN_STAFF, "support", "", NULL }, { FN_STAFF, "super_admin", "", NULL },
        { FN_STAFF, "authenticated", "elite", "role" }, { FN_STAFF, "", "", "role" }, { FN_STAFF, "Admin", "", "role" },
        { FN_STAFF, "admin2", "", "role" }, { (fn_who_e) 99, "super_admin", "elite", "role" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&c, 0, sizeof(c));
        memcpy(c.sub, SUB, 37);
        snprintf(c.role, sizeof(c.role), "%s", cases[i].role);
        snprintf(c.plan, sizeof(c.plan), "%s", cases[i].plan);
        refused = fn_access_refused(cases[i].who, &c);
        ck_assert_msg(refused == cases[i].refused || (refused && cases[i].refused && strcmp(refused, cases[i].refused) == 0),
                      "case %zu", i);
    }

    memset(&c, 0, sizeof(c));
    ck_assert_ptr_nonnull(fn_access_refused(FN_USER, &c));
}
END_TEST


START_TEST(test_revoked)
{
    size_t     i;
    uint64_t   until;
    fn_span_t  what;

    static const struct { const char *tag, *what; uint64_t until; }  cases[] = {
        { "revoked:" SUB ":1767225600", SUB, 1767225600 },
        { "revoked:jti:a:b:5", "jti:a:b", 5 },
        { "revoked:user:" SUB ":1767220000:1767225600", "user:" SUB ":1767220000", 1767225600 },
        { "revoked:barred:" SUB ":7:1767225600", "barred:" SUB ":7", 1767225600 },
        { "revoked:", NULL, 0 }, { "revoked:" SUB, NULL, 0 }, { "revoked:" SUB ":", NULL, 0 }, { "revoked:" SUB ":x", NULL, 0 },
        { "revoked:" SUB ":-1", NULL, 0 }, { "revoked:jti::5", NULL, 0 }, { "revoked:jti:5", NULL, 0 }, { "revoked:5", NULL, 0 },
        { "revoked:5:5", NULL, 0 }, { "revoked:jti:x:1111111111111", NULL, 0 }, { "goals:" SUB, NULL, 0 }, { "", NULL, 0 },
        { "revoked:jti:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:5", NULL, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(fn_revoked_read(cases[i].tag, strlen(cases[i].tag), &what, &until) == (cases[i].what != NULL), "%s", cases[i].tag);

        if (cases[i].what != NULL) {
            ck_assert_msg(span_is(&what, cases[i].what) && until == cases[i].until, "%s", cases[i].tag);
        }
    }
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("tokens");
    TCase  *keys = tcase_create("confusion"), *rest = tcase_create("rest");

    tcase_add_checked_fixture(keys, setup, teardown);
    fn_add(keys, test_confusion_key);
    fn_add(keys, test_confusion_header);
    fn_add(keys, test_confusion_ecdsa);
    fn_add(keys, test_two_issuers);
    suite_add_tcase(s, keys);

    fn_add(rest, test_cache);
    fn_add(rest, test_access);
    fn_add(rest, test_revoked);
    suite_add_tcase(s, rest);

    return s;
}


FN_TEST_MAIN(suite)
