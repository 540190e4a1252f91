/* Storage: addresses against the vector of providers.md and its own rules, and what R2 answers. */
#include "provider_test.h"

#include "libfitnudge/fn_sigv4.h"
#include "providers/r2.h"

#define HOST  "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"

static const fn_pair_t  put = { "r2", fn_r2_put_build, fn_r2_put_parse };

static const fn_sigv4_t  key = {
    "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "https://" HOST, "auto", "media"
};


static void
r2(void)
{
    set(r2_account, "0123456789abcdef0123456789abcdef");
    set(r2_access_key, "AKIDEXAMPLE");
    set(r2_secret_key, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    set(r2_bucket, "media");
}


START_TEST(test_vector)
{
    char                hash[65];
    fn_buf_t            b = FN_BUF_INIT;
    fn_sigv4_request_t  r = { "PUT", "private/u1/v.mp3", "audio/mpeg", -1, 1768473000, 900 };

    ck_assert_int_eq(fn_sigv4_presign_hash(&b, &key, &r, hash), 0);
    ck_assert_str_eq(hash, "4ef3177096a8decda4c4610931b6d51cb1673716ca612f3488b24824f3ffa8a5");
    ck_assert_str_eq(b.data, "https://" HOST "/media/private/u1/v.mp3?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIDEXAMPLE%2F20260115%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=20260115T103000Z&X-Amz-Expires=900"
        "&X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature=b480e00dfea2a5fa2f67c606ca5d3b0006eec68ea9d2dc91b1acf4716f4b536a");
    fn_buf_free(&b);
}
END_TEST


/* "Authenticating Requests: Using Query Parameters", the example of the S3 API reference, path-style. */
START_TEST(test_signed_headers)
{
    size_t              i;
    fn_buf_t            b = FN_BUF_INIT;
    fn_sigv4_request_t  r = { "GET", "a", NULL, -1, 1768473000, 1 };

    static const struct { const char *type; int64_t length; const char *expected; } cases[] = {
        { NULL, -1, "SignedHeaders=host&" }, { "image/png", -1, "SignedHeaders=content-type%3Bhost&" },
        { "image/png", 5, "SignedHeaders=content-length%3Bcontent-type%3Bhost&" }, { NULL, 0, "SignedHeaders=content-length%3Bhost&" }
    };

    for (i = 0; i < 4; i++) {
        r.content_type = cases[i].type;
        r.content_length = cases[i].length;
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), 0);
        ck_assert_msg(strstr(b.data, cases[i].expected) != NULL, "%s", b.data);
    }
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_keys)
{
    char                long_key[FN_OBJECT_KEY_MAX + 2];
    size_t              i;
    fn_buf_t            b = FN_BUF_INIT;
    fn_sigv4_request_t  r = { "GET", NULL, NULL, -1, 1768473000, 60 };

    static const char *const  bad[] = { "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "a\\b", "a\nb", "a\x7f",
        "\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xae\xc0\xae/a" };
    static const char *const  good[][2] = {
        { "a", "/media/a?" }, { "...", "/media/...?" }, { ".a/..b", "/media/.a/..b?" }, { "a b+c&d=e?f#g%2e", "/media/a%20b%2Bc%26d%3De%3Ff%23g%252e?" },
        { "caf\xc3\xa9/\xe2\x82\xac~_-.", "/media/caf%C3%A9/%E2%82%AC~_-.?" }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        r.key = bad[i];
        ck_assert_msg(fn_sigv4_presign(&b, &key, &r) == -1, "accepted %s", bad[i]);
        ck_assert_int_eq(b.len, 0);
    }
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        r.key = good[i][0];
        fn_buf_reset(&b);
        ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), 0);
        ck_assert_msg(strstr(b.data, good[i][1]) != NULL, "%s", b.data);
    }

    memset(long_key, 'a', sizeof(long_key));
    long_key[FN_OBJECT_KEY_MAX] = '\0';
    r.key = long_key;
    fn_buf_reset(&b);
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), 0);
    long_key[FN_OBJECT_KEY_MAX] = 'a';
    long_key[FN_OBJECT_KEY_MAX + 1] = '\0';
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), -1);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_parts)
{
    size_t              i;
    fn_buf_t            b = FN_BUF_INIT;
    fn_sigv4_t          k;
    fn_sigv4_request_t  r = { "PUT", "a", "audio/mpeg", 5, 1768473000, 60 };

    static const char *const  endpoints[] = { NULL, "", "ftp://x", "https://", "https://x/y", "https://x?y", "https://X", "https://a@b", "https://a b" };

    for (i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        k = key;
        k.endpoint = endpoints[i];
        ck_assert_msg(fn_sigv4_presign(&b, &k, &r) == -1, "%s", endpoints[i]);
    }

    k = key; k.bucket = "a/b";
    ck_assert_int_eq(fn_sigv4_presign(&b, &k, &r), -1);
    k = key; k.bucket = "..";
    ck_assert_int_eq(fn_sigv4_presign(&b, &k, &r), -1);
    k = key; k.secret_key = "";
    ck_assert_int_eq(fn_sigv4_presign(&b, &k, &r), -1);
    k = key; k.access_key = "a\nb";
    ck_assert_int_eq(fn_sigv4_presign(&b, &k, &r), -1);

    r.content_type = "audio/mpeg\r\nx: y";
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), -1);
    r.content_type = "";
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), -1);
    r.content_type = NULL;
    r.ttl_s = 0;
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), -1);
    r.ttl_s = 604801;
    ck_assert_int_eq(fn_sigv4_presign(&b, &key, &r), -1);
    r.ttl_s = 604800;
    k = key; k.endpoint = "http://127.0.0.1:9000//";
    ck_assert_int_eq(fn_sigv4_presign(&b, &k, &r), 0);
    ck_assert(strncmp(b.data, "http://127.0.0.1:9000/media/a?", 30) == 0);
    fn_buf_free(&b);
}
END_TEST


START_TEST(test_client)
{
    fn_buf_t  b = FN_BUF_INIT;

    begin();
    ck_assert_int_eq(fn_r2_presign(&b, &settings, "PUT", "a", "image/png", 5, NOW_MS), -1);
    r2();
    ck_assert_int_eq(fn_r2_presign(&b, &settings, "PUT", "a", "image/png", 5, NOW_MS), 0);
    ck_assert(strncmp(b.data, "https://" HOST "/media/a?", strlen(HOST) + 17) == 0);
    ck_assert(strstr(b.data, "X-Amz-Expires=3600&") != NULL);
    set(r2_account, "evil.example/");
    ck_assert_int_eq(fn_r2_presign(&b, &settings, "PUT", "a", "image/png", 5, NOW_MS), -1);
    fn_buf_free(&b);
    end();
}
END_TEST


START_TEST(test_put)
{
    begin();
    r2();
    ck_assert_int_eq(build(&put, "{\"key\":\"private/u1/v.mp3\",\"content_type\":\"audio/mpeg\"}"), FN_OFF);  /* nothing carried */
    fn_buf_add(&call.carried, "ID3\0\xff", 5);
    ck_assert_int_eq(build(&put, "{\"key\":\"private/u1/v.mp3\",\"content_type\":\"audio/mpeg\"}"), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_PUT);
    ck_assert(x.plain);
    ck_assert_int_eq(x.timeout_ms, 60000);
    ck_assert_int_eq(x.body.len, 5);
    ck_assert_int_eq(call.carried.len, 5);
    ck_assert_str_eq(header("Content-Type"), "audio/mpeg");
    ck_assert(strstr(x.url, "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost&") != NULL);

    ck_assert_int_eq(parse(&put, 200, ""), FN_DONE);
    ck_assert_str_eq(result.data, "{\"key\":\"private/u1/v.mp3\",\"bytes\":5}");
    ck_assert_int_eq(parse(&put, 403, "<Error><Code>SignatureDoesNotMatch</Code></Error>"), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    ck_assert_int_eq(parse(&put, 503, "<Error><Code>SlowDown</Code></Error>"), FN_RETRY);
    ck_assert_ptr_null(call.alert);
    ck_assert_int_eq(broken(&put, 28), FN_RETRY);

    ck_assert_int_eq(build(&put, "{\"key\":\"../x\",\"content_type\":\"audio/mpeg\"}"), FN_OFF);
    ck_assert_int_eq(build(&put, "{\"key\":\"a\\u0000b\",\"content_type\":\"audio/mpeg\"}"), FN_OFF);
    ck_assert_int_eq(build(&put, "{\"key\":\"a\",\"content_type\":\"audio/mpeg\\r\\nX: y\"}"), FN_OFF);
    ck_assert_int_eq(build(&put, "{\"key\":7,\"content_type\":\"audio/mpeg\"}"), FN_OFF);
    ck_assert_int_eq(build(&put, "{\"key\":\"a\"}"), FN_OFF);
    end();
}
END_TEST


START_TEST(test_head_delete)
{
    const fn_pair_t  *h = fn_provider_r2_head.pairs, *d = fn_provider_r2_delete.pairs;

    begin();
    ck_assert_int_eq(build(h, "{\"key\":\"a\"}"), FN_OFF);
    r2();
    ck_assert_int_eq(build(h, "{\"key\":\"a\"}"), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_HEAD);
    ck_assert_int_eq(x.nheaders, 0);
    ck_assert_int_eq(parse_bytes(h, 200, "", 0, "HTTP/1.1 200 OK\r\nContent-Length:  12 \r\nCONTENT-TYPE: image/png\r\n\r\n"), FN_DONE);
    ck_assert_str_eq(result.data, "{\"exists\":true,\"bytes\":12,\"content_type\":\"image/png\"}");
    ck_assert_int_eq(parse_bytes(h, 200, "", 0, "Content-Length: 1x\r\n"), FN_DEAD);
    ck_assert_int_eq(parse(h, 200, ""), FN_DEAD);
    ck_assert_int_eq(parse(h, 404, ""), FN_DONE);
    ck_assert_str_eq(result.data, "{\"exists\":false,\"bytes\":0,\"content_type\":null}");

    ck_assert_int_eq(build(d, "{\"key\":\"a\"}"), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_DELETE);
    ck_assert_int_eq(parse(d, 204, ""), FN_DONE);
    ck_assert_int_eq(parse(d, 404, ""), FN_DONE);
    ck_assert_int_eq(parse(d, 403, ""), FN_DEAD);
    ck_assert_int_eq(parse(d, 429, ""), FN_BUSY);
    end();
}
END_TEST


/* Bodies in which SQL names objects. */
START_TEST(test_urls)
{
    size_t    i;
    fn_buf_t  out = FN_BUF_INIT, same = FN_BUF_INIT;

    static const char *const  none[] = {
        "{\"url\":\"r2:\"}", "{\"url\":\"r2:a//b\"}", "{\"url\":\"r2:../x\"}", "{\"upload_url\":\"r2:put:\"}", "{\"upload_url\":\"r2:put:99:5:image/png\"}",
        "{\"upload_url\":\"r2:put:1:5:image/png:a\"}", "{\"upload_url\":\"r2:put:x:5:image/png:a\"}"
    };
    static const char *const  others[] = {
        "", "{}", "[1,2]", "{\"title\":\"r2:a\"}", "{\"title\":\"url\\\":\\\"r2:a\"}", "{\"avatar_url\":\"https://x/r2:a\"}", "{\"url\": \"r2:a\"}"
    };

    begin();
    r2();

    ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, "{\"url\":\"r2:private/u/a.png\",\"x\":1,\"voice_url\":\"r2:b\"}", 53, NOW_MS), 0);
    ck_assert(strstr(out.data, "{\"url\":\"https://") == out.data && strstr(out.data, "/media/private/u/a.png?X-Amz") != NULL
              && strstr(out.data, "\",\"x\":1,\"voice_url\":\"https://") != NULL && out.data[out.len - 1] == '}');

    /* the same for a quarter of an hour */
    ck_assert_int_eq(fn_r2_sign_urls(&same, &settings, "{\"url\":\"r2:private/u/a.png\",\"x\":1,\"voice_url\":\"r2:b\"}", 53,
                                     NOW_MS / 900000 * 900000 + 899999), 0);
    ck_assert_str_eq(same.data, out.data);

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fn_buf_reset(&out);
        ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, others[i], strlen(others[i]), NOW_MS), 0);
        ck_assert(out.len == strlen(others[i]) && memcmp(out.len ? out.data : "", others[i], out.len) == 0);
    }

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        fn_buf_reset(&out);
        ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, none[i], strlen(none[i]), NOW_MS), 0);
        ck_assert_msg(strstr(out.data, "rl\":null}") != NULL, "%s: %s", none[i], out.data);
    }

    /* to upload, as long as it was allowed */
    fn_buf_reset(&out);
    fn_buf_reset(&same);
    fn_buf_addf(&same, "{\"upload_url\":\"r2:put:%lld:5:image/png:a\"}", (long long) NOW_MS / 1000 + 60);
    ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, same.data, same.len, NOW_MS), 0);
    ck_assert(strstr(out.data, "X-Amz-Expires=60&") != NULL && strstr(out.data, "content-length%3Bcontent-type") != NULL);
    fn_buf_reset(&out);
    ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, same.data, same.len, NOW_MS + 60000), 0);
    ck_assert_str_eq(out.data, "{\"upload_url\":null}");

    /* no storage; and what is no JSON is not read past its end */
    set(r2_bucket, "");
    fn_buf_reset(&out);
    ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, "{\"url\":\"r2:a\"}", 14, NOW_MS), 0);
    ck_assert_str_eq(out.data, "{\"url\":null}");
    fn_buf_reset(&out);
    ck_assert_int_eq(fn_r2_sign_urls(&out, &settings, "{\"url\":\"r2:a", 12, NOW_MS), 0);

    fn_buf_free(&out);
    fn_buf_free(&same);
    end();
}
END_TEST


/* Questions that change nothing. */
START_TEST(test_probes)
{
    size_t  i;

    static const fn_pair_t *const  probes[] = { &fn_probe_r2, &fn_probe_openai, &fn_probe_smtp };

    begin();
    for (i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        ck_assert_int_eq(build(probes[i], "{}"), FN_OFF);
        hostile(probes[i]);
    }

    r2();
    ck_assert_int_eq(build(&fn_probe_r2, "{}"), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_HEAD);
    ck_assert_msg(strstr(x.url, "/media?X-Amz-Algorithm=") != NULL, "%s", x.url);
    ck_assert_int_eq(parse(&fn_probe_r2, 200, ""), FN_DONE);
    ck_assert_int_eq(parse(&fn_probe_r2, 403, ""), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);
    ck_assert_int_eq(parse(&fn_probe_r2, 404, ""), FN_DEAD);
    ck_assert_str_eq(call.alert, "R2: there is no such bucket");

    set(openai_api_key, "k\r\nX: y");
    ck_assert_int_eq(build(&fn_probe_openai, "{}"), FN_OFF);
    set(openai_api_key, "k");
    ck_assert_int_eq(build(&fn_probe_openai, "{}"), FN_BUILT);
    ck_assert_str_eq(x.url, "https://api.openai.com/v1/models");
    ck_assert_str_eq(header("Authorization"), "Bearer k");
    ck_assert_uint_eq(x.body.len, 0);
    ck_assert_int_eq(parse(&fn_probe_openai, 200, "{}"), FN_DONE);
    ck_assert_int_eq(parse(&fn_probe_openai, 401, "{}"), FN_DEAD);
    ck_assert_ptr_nonnull(call.alert);

    set(smtp_host, "mail.example");
    set(smtp_from, "a@b.example");
    ck_assert_int_eq(build(&fn_probe_smtp, "{}"), FN_BUILT);
    ck_assert_int_eq(x.method, FN_METHOD_MAIL);
    ck_assert_uint_eq(x.body.len, 0);
    ck_assert_int_eq(x.mail.starttls, 1);
    end();
}
END_TEST


START_TEST(test_hostile)
{
    begin();
    r2();
    fn_buf_adds(&call.carried, "x");
    call.ctx = "{\"key\":\"a\"}";
    call.ctx_len = strlen(call.ctx);
    hostile(&put);
    hostile(fn_provider_r2_head.pairs);
    hostile(fn_provider_r2_delete.pairs);
    hostile_contexts(&put);
    hostile_contexts(fn_provider_r2_head.pairs);
    end();
}
END_TEST


static Suite *
r2_suite(void)
{
    Suite  *s = suite_create("r2");
    TCase  *tc = tcase_create("r2");

    fn_add(tc, test_vector);
    fn_add(tc, test_signed_headers);
    fn_add(tc, test_keys);
    fn_add(tc, test_parts);
    fn_add(tc, test_client);
    fn_add(tc, test_put);
    fn_add(tc, test_head_delete);
    fn_add(tc, test_urls);
    fn_add(tc, test_probes);
    fn_add(tc, test_hostile);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(r2_suite)
