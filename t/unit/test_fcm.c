/* FCM: the account, the assertion, the token and its cache, the message, and the table of errors. */
#include "provider_test.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "jobs/json_each.h"
#include "libfitnudge/fn_jwt.h"
#include "providers/process.h"

#define token_pair  (&fn_provider_fcm.pairs[0])
#define send_pair   (&fn_provider_fcm.pairs[1])

#define CTX  "{\"token\":\"device:1\",\"title\":\"Zeit f\\u00fcr \\\"Sport\\\"\",\"body\":\"Los!\",\"data\":{\"goal_id\":\"g1\",\"n\":3,\"b\":true," \
             "\"o\":{\"x\":[1,2]},\"z\":null}}"

static EVP_PKEY      *rsa;
static fn_process_t   process;


/* A key file with this key and these other members. */
static char *
account_json(EVP_PKEY *key, const char *type, const char *project, const char *uri)
{
    BIO       *bio = BIO_new(BIO_s_mem());
    char      *pem;
    long       n;
    fn_buf_t   b = FN_BUF_INIT;

    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    n = BIO_get_mem_data(bio, &pem);
    fn_buf_addf(&b, "{\"type\":\"%s\",\"project_id\":\"%s\",\"private_key_id\":\"kid1\",\"client_email\":\"pool@p1.iam.gserviceaccount.com\","
                    "\"token_uri\":\"%s\",\"private_key\":", type, project, uri);
    fn_buf_add_json_string(&b, pem, (size_t) n);
    fn_buf_adds(&b, "}");
    BIO_free(bio);

    return b.data;
}

static void
on(void)
{
    char        *json;
    const char  *problem;

    if (rsa == NULL) {
        rsa = EVP_RSA_gen(2048);
    }
    json = account_json(rsa, "service_account", "p1", "https://oauth2.googleapis.com/token");
    memset(&process, 0, sizeof(process));
    process.fcm_account = fn_fcm_account_new(json, strlen(json), &problem);
    ck_assert_msg(process.fcm_account != NULL, "%s", problem);
    set(fcm_service_account, json);
    free(json);
    call.process = &process;
}

static void
off(void)
{
    fn_fcm_account_free(process.fcm_account);
    end();
}


START_TEST(test_account)
{
    size_t       i;
    char        *json;
    EVP_PKEY    *small = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256");
    const char  *problem;

    static const char *const  bad[][2] = {
        { "", "JSON" }, { "{", "JSON" }, { "[]", "service account" }, { "{\"type\":7}", "service account" }, { "{\"type\":\"authorized_user\"}", "service account" },
        { "{\"type\":\"service_account\"}", "project_id" }, { "{\"type\":\"service_account\",\"project_id\":\"a/../b\"}", "project_id" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a\\\"b\"}", "client_email" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\\u0000\"}", "client_email" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\",\"private_key_id\":{}}", "private_key_id" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\",\"private_key_id\":\"k\",\"token_uri\":\"http://evil.example/t\"}", "token_uri" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\",\"private_key_id\":\"k\",\"token_uri\":\"http://localhost:1@evil.example/\"}", "token_uri" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\",\"private_key_id\":\"k\",\"token_uri\":\"https://x/t\",\"private_key\":\"no\"}", "private_key" },
        { "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"a@b\",\"private_key_id\":\"k\",\"token_uri\":\"https://x/t\",\"private_key\":"
          "\"-----BEGIN ENCRYPTED PRIVATE KEY-----\\nMIIB\\n-----END ENCRYPTED PRIVATE KEY-----\\n\"}", "private_key" },
    };

    begin();
    on();
    ck_assert_str_eq(process.fcm_account->project, "p1");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        problem = NULL;
        ck_assert(fn_fcm_account_new(bad[i][0], strlen(bad[i][0]), &problem) == NULL);
        ck_assert_msg(strstr(problem, bad[i][1]) != NULL, "%s: %s", bad[i][0], problem);
    }
    json = account_json(small, "service_account", "p", "https://x/t");
    ck_assert(fn_fcm_account_new(json, strlen(json), &problem) == NULL && strstr(problem, "2048") != NULL);
    free(json);
    json = account_json(ec, "service_account", "p", "https://x/t");
    ck_assert(fn_fcm_account_new(json, strlen(json), &problem) == NULL && strstr(problem, "RSA") != NULL);
    free(json);
    json = calloc(1, 20001);
    memset(json, ' ', 20000);
    ck_assert(fn_fcm_account_new(json, 20000, &problem) == NULL && strstr(problem, "16 KB") != NULL);
    free(json);
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
    off();
}
END_TEST


/* RFC 7515: verified with the public key, and with the claims that Google asks for. */
START_TEST(test_assertion)
{
    char         claims[512], header_json[256], signature[512];
    long         n;
    char        *dot, *dot2;
    fn_buf_t     b = FN_BUF_INIT;
    EVP_MD_CTX  *md = EVP_MD_CTX_new();

    begin();
    on();
    ck_assert_int_eq(fn_fcm_assertion(&b, process.fcm_account, NOW_MS / 1000), 0);
    dot = strchr(b.data, '.');
    dot2 = strchr(dot + 1, '.');
    n = fn_base64url_decode(header_json, sizeof(header_json), b.data, (size_t) (dot - b.data));
    ck_assert_int_gt(n, 0);
    header_json[n] = '\0';
    ck_assert_str_eq(header_json, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"kid1\"}");
    n = fn_base64url_decode(claims, sizeof(claims), dot + 1, (size_t) (dot2 - dot - 1));
    ck_assert_int_gt(n, 0);
    claims[n] = '\0';
    ck_assert_str_eq(claims, "{\"iss\":\"pool@p1.iam.gserviceaccount.com\",\"scope\":\"https://www.googleapis.com/auth/firebase.messaging\","
        "\"aud\":\"https://oauth2.googleapis.com/token\",\"iat\":1768473000,\"exp\":1768476600}");
    n = fn_base64url_decode(signature, sizeof(signature), dot2 + 1, strlen(dot2 + 1));
    ck_assert_int_eq(n, 256);
    ck_assert_int_eq(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, rsa), 1);
    ck_assert_int_eq(EVP_DigestVerify(md, (unsigned char *) signature, 256, (unsigned char *) b.data, (size_t) (dot2 - b.data)), 1);
    EVP_MD_CTX_free(md);
    fn_buf_free(&b);
    off();
}
END_TEST


START_TEST(test_token)
{
    begin();
    ck_assert_int_eq(build(token_pair, CTX), FN_OFF);
    on();
    ck_assert_int_eq(build(send_pair, CTX), FN_OFF);                /* no token yet */
    ck_assert_int_eq(build(token_pair, CTX), FN_BUILT);
    ck_assert_str_eq(x.url, "https://oauth2.googleapis.com/token");
    ck_assert_str_eq(header("Content-Type"), "application/x-www-form-urlencoded");
    ck_assert(x.plain);
    ck_assert(strncmp(x.body.data, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ", 78) == 0);

    ck_assert_int_eq(parse(token_pair, 200, "{\"access_token\":\"ya29.x\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"), FN_DONE);
    ck_assert_str_eq(process.fcm_token.token, "ya29.x");
    ck_assert_uint_eq(process.fcm_token.until_ms, NOW_MS + 3299000);
    ck_assert_int_eq(result.len, 0);
    ck_assert_int_eq(build(token_pair, CTX), FN_SKIP);
    call.now_ms += 3298999;
    ck_assert_int_eq(build(token_pair, CTX), FN_SKIP);
    call.now_ms++;
    ck_assert_int_eq(build(token_pair, CTX), FN_BUILT);

    ck_assert_int_eq(parse(token_pair, 200, "{\"access_token\":\"t\",\"expires_in\":60}"), FN_DONE);
    ck_assert_uint_eq(process.fcm_token.until_ms, call.now_ms + 30000);
    ck_assert_int_eq(parse(token_pair, 200, "{\"access_token\":\"t\",\"expires_in\":999999999999}"), FN_DONE);
    ck_assert_uint_eq(process.fcm_token.until_ms, call.now_ms + 86100000);

    fn_oauth_clear(&process.fcm_token);
    ck_assert_int_eq(parse(token_pair, 200, "{\"access_token\":\"a b\",\"expires_in\":60}"), FN_DEAD);
    ck_assert_int_eq(parse(token_pair, 200, "{\"access_token\":\"a\",\"expires_in\":\"60\"}"), FN_DEAD);
    ck_assert_int_eq(parse(token_pair, 200, "{\"expires_in\":60}"), FN_DEAD);
    ck_assert(!fn_oauth_valid(&process.fcm_token, 0));
    ck_assert_int_eq(parse(token_pair, 400, "{\"error\":\"invalid_grant\"}"), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    ck_assert_int_eq(parse(token_pair, 503, ""), FN_RETRY);
    ck_assert_ptr_null(call.alert);
    off();
}
END_TEST


START_TEST(test_message)
{
    char      *big;
    fn_buf_t   ctx = FN_BUF_INIT;

    begin();
    on();
    memcpy(process.fcm_token.token, "ya29.x", 7);
    ck_assert_int_eq(build(send_pair, CTX), FN_BUILT);
    ck_assert_str_eq(x.url, "https://fcm.googleapis.com/v1/projects/p1/messages:send");
    ck_assert_str_eq(header("Authorization"), "Bearer ya29.x");
    ck_assert_str_eq(x.body.data,
        "{\"message\":{\"token\":\"device:1\",\"notification\":{\"title\":\"Zeit f\xc3\xbcr \\\"Sport\\\"\",\"body\":\"Los!\"},"
        "\"data\":{\"goal_id\":\"g1\",\"n\":\"3\",\"b\":\"true\",\"o\":\"{\\\"x\\\":[1,2]}\"},"
        "\"android\":{\"priority\":\"HIGH\",\"ttl\":\"3600s\",\"collapse_key\":\"" JOB_ID "\",\"notification\":{\"tag\":\"" JOB_ID "\",\"sound\":\"default\"}},"
        "\"apns\":{\"headers\":{\"apns-priority\":\"10\",\"apns-collapse-id\":\"" JOB_ID "\",\"apns-expiration\":\"1768476600\"},"
        "\"payload\":{\"aps\":{\"sound\":\"default\"}}}}}");

    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"sound\":\"gong.wav\"}"), FN_BUILT);
    ck_assert(strstr(x.body.data, "\"data\"") == NULL);
    ck_assert(strstr(x.body.data, "\"sound\":\"gong.wav\"") != NULL);

    ck_assert_int_eq(build(send_pair, "{\"token\":\"\",\"title\":\"t\",\"body\":\"b\"}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"\",\"body\":\"b\"}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\"}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":[1]}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"from\":\"x\"}}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"google.x\":\"x\"}}"), FN_OFF);
    ck_assert_int_eq(build(send_pair, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"\":\"x\"}}"), FN_OFF);

    /* A long text is cut, data that is too large is not. */
    big = calloc(1, 6001);
    memset(big, 'x', 6000);
    fn_buf_addf(&ctx, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"%s\"}", big);
    ck_assert_int_eq(build(send_pair, ctx.data), FN_BUILT);
    ck_assert_int_lt(x.body.len, 1200);
    fn_buf_reset(&ctx);
    big[3950] = '\0';
    fn_buf_addf(&ctx, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"x\":\"%s\"}}", big);
    ck_assert_int_eq(build(send_pair, ctx.data), FN_BUILT);
    big[3950] = 'x';
    big[4100] = '\0';
    fn_buf_reset(&ctx);
    fn_buf_addf(&ctx, "{\"token\":\"d\",\"title\":\"t\",\"body\":\"b\",\"data\":{\"x\":\"%s\"}}", big);
    ck_assert_int_eq(build(send_pair, ctx.data), FN_OFF);
    free(big);
    fn_buf_free(&ctx);
    off();
}
END_TEST


#define ERROR(code, status, message, detail) \
    "{\"error\":{\"code\":" #code ",\"status\":\"" status "\",\"message\":\"" message "\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.BadRequest\"}," \
    "{\"@type\":\"type.googleapis.com/google.firebase.fcm.v1.FcmError\",\"errorCode\":\"" detail "\"}]}}"

static const struct { long status; const char *body; fn_outcome_e outcome; int forget; long wait; int alert; } errors[] = {
    { 404, ERROR(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"), FN_DEAD, 1, -1, 0 },
    { 404, "{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\",\"message\":\"m\"}}", FN_DEAD, 1, -1, 0 },
    { 403, ERROR(403, "PERMISSION_DENIED", "m", "SENDER_ID_MISMATCH"), FN_DEAD, 1, -1, 0 },
    { 403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":\"m\"}}", FN_DEAD, 0, -1, 1 },
    { 400, ERROR(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", "INVALID_ARGUMENT"), FN_DEAD, 1, -1, 0 },
    { 400, ERROR(400, "INVALID_ARGUMENT", "Invalid value at 'message.data'", "INVALID_ARGUMENT"), FN_DEAD, 0, -1, 1 },
    { 429, ERROR(429, "RESOURCE_EXHAUSTED", "m", "QUOTA_EXCEEDED"), FN_BUSY, 0, 60000, 0 },
    { 429, "<html>", FN_BUSY, 0, 60000, 0 },
    { 503, ERROR(503, "UNAVAILABLE", "m", "UNAVAILABLE"), FN_RETRY, 0, 10000, 0 },
    { 500, ERROR(500, "INTERNAL", "m", "INTERNAL"), FN_RETRY, 0, 10000, 0 },
    { 502, "", FN_RETRY, 0, 10000, 0 },
    { 401, ERROR(401, "UNAUTHENTICATED", "m", "THIRD_PARTY_AUTH_ERROR"), FN_DEAD, 0, -1, 1 },
    { 418, "{}", FN_DEAD, -1, -1, 0 }
};

START_TEST(test_errors)
{
    begin();
    on();
    ck_assert_int_eq(parse(send_pair, errors[_i].status, errors[_i].body), errors[_i].outcome);
    ck_assert_int_eq(call.wait_ms, errors[_i].wait);
    ck_assert_int_eq(call.alert != NULL, errors[_i].alert);
    ck_assert_int_eq(call.again, 0);
    if (errors[_i].outcome == FN_DEAD && errors[_i].forget >= 0) {
        ck_assert_msg(strstr(text_of(&result), errors[_i].forget ? "\"delete_token\":true" : "\"delete_token\":false") != NULL, "%s", text_of(&result));
    } else {
        ck_assert_int_eq(result.len, 0);
    }
    off();
}
END_TEST


START_TEST(test_answer)
{
    begin();
    on();
    ck_assert_int_eq(parse(send_pair, 200, "{\"name\":\"projects/p1/messages/0:1\"}"), FN_DONE);
    ck_assert_str_eq(result.data, "{\"message_id\":\"projects/p1/messages/0:1\",\"delete_token\":false,\"error\":null}");
    ck_assert_int_eq(parse(send_pair, 200, "{\"name\":7}"), FN_DEAD);
    ck_assert_int_eq(broken(send_pair, 28), FN_RETRY);

    /* a revoked token is renewed once */
    memcpy(process.fcm_token.token, "old", 4);
    process.fcm_token.until_ms = NOW_MS * 2;
    ck_assert_int_eq(parse(send_pair, 401, ""), FN_RETRY);
    ck_assert_int_eq(call.again, 1);
    call.renewed = 0;
    ck_assert_int_eq(parse(send_pair, 401, ERROR(401, "UNAUTHENTICATED", "m", "")), FN_RETRY);
    ck_assert_int_eq(call.again, 1);
    ck_assert_ptr_null(call.alert);
    ck_assert_int_eq(build(token_pair, CTX), FN_BUILT);
    ck_assert_int_eq(parse(send_pair, 401, "{\"error\":{\"status\":\"UNAUTHENTICATED\"}}"), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    off();
}
END_TEST


static int
note(void *data, const char *key, size_t key_len, const fn_json_field_t *v)
{
    fn_buf_addf(data, "%.*s=%d:%.*s:%s;", (int) key_len, key, (int) v->type, (int) v->raw.n, v->raw.p, fn_json_text(v));
    return key_len == 4 && memcmp(key, "stop", 4) == 0 ? -1 : 0;
}

START_TEST(test_each)
{
    size_t    i;
    fn_buf_t  b = FN_BUF_INIT;

    static const char *const  cases[][2] = {
        { "{\"a\":1,\"b\" : \"x\\n\" , \"c\":{\"d\":[{}]},\"e\":[1,{\"a\":2}],\"f\":null,\"\":true}",
          "a=3:1:;b=4:\"x\\n\":x\n;c=5:{\"d\":[{}]}:;e=6:[1,{\"a\":2}]:;f=1:null:;=2:true:;" },
        { "[1,[2],\"x\"]", "=3:1:;=6:[2]:;=4:\"x\":x;" }, { "{}", "" }, { "[]", "" }
    };
    static const char *const  bad[] = { "", "7", "\"x\"", "null", "{\"a\":1", "[1", "{\"a\":1}}", "[1]x", "{\"stop\":1,\"b\":2}", "\xff" };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_json_each(cases[i][0], strlen(cases[i][0]), note, &b), 0);
        ck_assert_str_eq(text_of(&b), cases[i][1]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(fn_json_each(bad[i], strlen(bad[i]), note, &b), -1);
    }
    fn_buf_reset(&b);
    for (i = 0; i < 100000; i++) {
        fn_buf_adds(&b, "[");
    }
    ck_assert_int_eq(fn_json_each(b.data, b.len, note, &b), -1);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_hostile)
{
    begin();
    on();
    memcpy(process.fcm_token.token, "t", 2);
    hostile(token_pair);
    hostile(send_pair);
    memcpy(process.fcm_token.token, "t", 2);
    hostile_contexts(send_pair);
    off();
}
END_TEST


static Suite *
fcm_suite(void)
{
    Suite  *s = suite_create("fcm");
    TCase  *tc = tcase_create("fcm");

    tcase_set_timeout(tc, 60);
    rsa = EVP_RSA_gen(2048);
    fn_add(tc, test_account);
    fn_add(tc, test_assertion);
    fn_add(tc, test_token);
    fn_add(tc, test_message);
    fn_add_rows(tc, test_errors, errors);
    fn_add(tc, test_answer);
    fn_add(tc, test_each);
    fn_add(tc, test_hostile);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(fcm_suite)
