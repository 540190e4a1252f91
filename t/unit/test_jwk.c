/* Keys that verify tokens: the examples of RFC 7515, RFC 7520 and RFC 8037, and key sets that are none. */
#include "unit.h"

#include "fn_jwk.h"
#include "fn_jwt.h"

typedef struct {
    const char  *name;
    fn_alg_e     alg;
    const char  *set;
    const char  *token;
} vector_t;

static const vector_t  vectors[] = {
    { "RFC 7515 A.1", FN_ALG_HS256,
      "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9C"
      "Aow\"}]}",
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL"
      "mNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" },

    { "RFC 7515 A.2", FN_ALG_RS256,
      "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPME"
      "zP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsL"
      "A9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj"
      "8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}",
      "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
      "nVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
      "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6"
      "_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
      "cN_IoypGlUPQGe77Rw" },

    { "RFC 7515 A.3", FN_ALG_ES256,
      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue65"
      "9LNpXW6pCyStikYjKIWI5a0\"}]}",
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
      "nVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q" },

    { "RFC 7520 4.1", FN_ALG_RS256,
      "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"n\":\"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLw"
      "UBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5"
      "ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVb"
      "b9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\",\"e\":\"AQAB\"}]}",
      "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzL"
      "CBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmV"
      "ldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0Zm"
      "TuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0R"
      "nltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb"
      "6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg" },

    { "RFC 7520 4.2", FN_ALG_PS384,
      "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"n\":\"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLw"
      "UBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5"
      "ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVb"
      "b9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\",\"e\":\"AQAB\"}]}",
      "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzL"
      "CBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmV"
      "ldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fU"
      "DcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFl"
      "fz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n"
      "6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw" },

    { "RFC 7520 4.4", FN_ALG_HS256,
      "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"018c0ae5-4d9b-471b-bfd6-eef314bc7037\",\"use\":\"sig\",\"alg\":\"HS256\",\"k\":\"hJtXIZ2uSN5k"
      "bQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\"}]}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c"
      "2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHl"
      "vdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJ"
      "ZFTsPPqMDA7g1Md7p0" },

    { "RFC 8037 A.4", FN_ALG_EDDSA,
      "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4"
      "ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg" },
};

#define VECTORS  ((int) (sizeof(vectors) / sizeof(vectors[0])))


START_TEST(test_vectors)
{
    int              i, k, alg;
    long             n;
    fn_jwt_t         t;
    fn_jwks_t       *set;
    const char      *err;
    unsigned char    sig[512];
    const vector_t  *v;

    for (k = 0; k < VECTORS; k++) {
        v = &vectors[k];
        set = fn_jwks_parse(v->set, strlen(v->set), FN_JWKS_SECRETS, &err);
        ck_assert_msg(set != NULL && set->n == 1 && set->skipped == 0, "%s: the key", v->name);
        ck_assert_int_eq(fn_jwt_open(&t, v->token, strlen(v->token)), FN_JWT_OK);
        ck_assert_int_eq(t.alg, v->alg);

        n = fn_base64url_decode(sig, sizeof(sig), t.signature.p, t.signature.n);
        ck_assert_int_gt(n, 0);
        ck_assert_msg(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n, sig, (size_t) n) == 1, "%s", v->name);

        /* the algorithm belongs to the key, and the signature to the algorithm */
        for (alg = FN_ALG_NONE; alg <= FN_ALG_EDDSA; alg++) {
            if (alg != (int) v->alg) {
                ck_assert_msg(fn_jwk_verify(&set->keys[0], (fn_alg_e) alg, t.input.p, t.input.n, sig, (size_t) n) == 0,
                              "%s: as %s", v->name, fn_alg_name((fn_alg_e) alg));
            }
        }

        /* nothing shorter, longer or changed */
        ck_assert_int_eq(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n - 1, sig, (size_t) n), 0);

        for (i = 0; i < n; i++) {
            ck_assert_int_eq(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n, sig, (size_t) i), 0);
            sig[i] ^= 0x40;
            ck_assert_int_eq(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n, sig, (size_t) n), 0);
            sig[i] ^= 0x40;
        }

        sig[n] = 0;
        ck_assert_int_eq(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n, sig, (size_t) n + 1), 0);
        memset(sig, 0, sizeof(sig));
        ck_assert_int_eq(fn_jwk_verify(&set->keys[0], t.alg, t.input.p, t.input.n, sig, (size_t) n), 0);

        fn_jwks_free(set);
    }
}
END_TEST


/* A secret that anybody could have published is no secret. */
START_TEST(test_public_only)
{
    fn_jwks_t   *set;
    const char  *err;

    set = fn_jwks_parse(vectors[0].set, strlen(vectors[0].set), FN_JWKS_PUBLIC, &err);
    ck_assert_ptr_null(set);
    ck_assert_ptr_nonnull(err);
}
END_TEST


START_TEST(test_no_sets)
{
    size_t       i, n;
    char        *large;
    fn_jwks_t   *set;
    const char  *err;

    static const char *const  bad[] = {
        "", " ", "null", "[]", "{}", "{\"keys\":null}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[null,1,\"a\",[]]}", "{\"keys\":[{}]}",
        "{\"keys\":[{\"kty\":\"EC\"}]}", "{\"keys\":[{\"kty\":5,\"k\":\"a\"}]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}]}",
        "{\"keys\":[", "{\"keys\":[{\"kty\":\"oct\"", "\xff\xfe"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = NULL;
        set = fn_jwks_parse(bad[i], strlen(bad[i]), FN_JWKS_SECRETS, &err);
        ck_assert_msg(set == NULL && err != NULL, "accepted: %s", bad[i]);
    }

    /* every cut of a good one */
    for (i = 0; i < (size_t) VECTORS; i++) {
        for (n = 0; n < strlen(vectors[i].set); n++) {
            ck_assert_ptr_null(fn_jwks_parse(vectors[i].set, n, FN_JWKS_SECRETS, &err));
        }
    }

    /* too large, and too deep */
    large = malloc(FN_JWKS_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(large);
    memset(large, ' ', FN_JWKS_MAX_BYTES + 1);
    memcpy(large, vectors[0].set, strlen(vectors[0].set));
    ck_assert_ptr_null(fn_jwks_parse(large, FN_JWKS_MAX_BYTES + 1, FN_JWKS_SECRETS, &err));
    set = fn_jwks_parse(large, FN_JWKS_MAX_BYTES, FN_JWKS_SECRETS, &err);
    ck_assert_ptr_nonnull(set);
    fn_jwks_free(set);
    memset(large, '[', FN_JWKS_MAX_BYTES);
    memcpy(large, "{\"keys\":", 8);
    ck_assert_ptr_null(fn_jwks_parse(large, FN_JWKS_MAX_BYTES, FN_JWKS_SECRETS, &err));
    free(large);
}
END_TEST


/* One key of no use does not take the others with it, RFC 7517 section 5. */
START_TEST(test_mixed)
{
    unsigned     i;
    fn_buf_t     b = FN_BUF_INIT;
    fn_jwks_t   *set;
    const char  *err;

    fn_buf_adds(&b, "{\"keys\":[{\"kty\":\"new\"},");
    fn_buf_add(&b, vectors[2].set + 9, strlen(vectors[2].set) - 11);
    fn_buf_adds(&b, ",{\"kty\":\"EC\",\"crv\":\"P-256K\"}],\"more\":[1,2]}");
    set = fn_jwks_parse(b.data, b.len, FN_JWKS_PUBLIC, &err);
    ck_assert_ptr_nonnull(set);
    ck_assert_uint_eq(set->n, 1);
    ck_assert_uint_eq(set->skipped, 2);
    ck_assert_ptr_nonnull(set->why);
    fn_jwks_free(set);

    /* more than are kept */
    fn_buf_reset(&b);
    fn_buf_adds(&b, "{\"keys\":[");
    for (i = 0; i < FN_JWKS_MAX + 5; i++) {
        fn_buf_adds(&b, i ? "," : "");
        fn_buf_add(&b, vectors[2].set + 9, strlen(vectors[2].set) - 11);
    }
    fn_buf_adds(&b, "]}");
    set = fn_jwks_parse(b.data, b.len, FN_JWKS_PUBLIC, &err);
    ck_assert_ptr_nonnull(set);
    ck_assert_uint_le(set->n, FN_JWKS_MAX);
    fn_jwks_free(set);
    fn_buf_free(&b);
}
END_TEST


UNIT_MAIN("jwk", test_vectors, test_public_only, test_no_sets, test_mixed)
