/* Signed requests: whose they are, of when, and what they hold. */
#include "unit.h"

#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fn_webhook.h"

/* Twilio SendGrid's own test of its libraries. */
#define KEY        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
#define SIGNATURE  "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
#define TIMESTAMP  "1600112502"
#define BODY       "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\"," \
                   "\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\"," \
                   "\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\"," \
                   "\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n"
#define NOW        1600112502

static fn_settings_t  settings;


static fn_webhook_e
check(const char *signature, const char *timestamp, const char *body, int64_t now)
{
    fn_span_t  s = { signature, signature ? strlen(signature) : 0 }, t = { timestamp, timestamp ? strlen(timestamp) : 0 };
    fn_span_t  b = { body, strlen(body) };

    return fn_webhook_check(fn_webhook_find("mail.events"), &settings, &s, &t, &b, now);
}


START_TEST(test_sendgrid)
{
    size_t  i;
    char    body[sizeof(BODY)], signature[sizeof(SIGNATURE)];

    settings.email_events_key = (char *) KEY;

    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW), FN_WEBHOOK_GOOD);

    for (i = 0; i < sizeof(BODY) - 1; i++) {
        memcpy(body, BODY, sizeof(BODY));
        body[i] ^= 1;
        ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, body, NOW), FN_WEBHOOK_FORGED);
    }

    for (i = 0; i < sizeof(SIGNATURE) - 2; i++) {
        memcpy(signature, SIGNATURE, sizeof(SIGNATURE));
        signature[i] = signature[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(check(signature, TIMESTAMP, BODY, NOW), FN_WEBHOOK_FORGED);
    }

    ck_assert_int_eq(check(SIGNATURE, "1600112503", BODY, NOW), FN_WEBHOOK_FORGED);
    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, "", NOW), FN_WEBHOOK_FORGED);
}
END_TEST


START_TEST(test_headers)
{
    size_t  i;

    static const char *const  odd[] = {
        "", "=", "====", "AAAA", "AAA=", "MEUCIGHQ", SIGNATURE "AAAA", " " SIGNATURE, SIGNATURE "\n", "MEUC IGHQ", "-_-_", "\xff\xff\xff\xff"
    };
    static const char *const  times[] = { "", "x", "-1600112502", "1600112502 ", "0x5F5FC776", "1600112502.0", "99999999999999999999" };

    settings.email_events_key = (char *) KEY;

    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        ck_assert_msg(check(odd[i], TIMESTAMP, BODY, NOW) == FN_WEBHOOK_FORGED, "%s", odd[i]);
    }

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        ck_assert_msg(check(SIGNATURE, times[i], BODY, NOW) == FN_WEBHOOK_FORGED, "%s", times[i]);
    }

    ck_assert_int_eq(check(NULL, TIMESTAMP, BODY, NOW), FN_WEBHOOK_MISSING);
    ck_assert_int_eq(check(SIGNATURE, NULL, BODY, NOW), FN_WEBHOOK_MISSING);
    settings.email_events_key = NULL;
    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW), FN_WEBHOOK_OFF);
    ck_assert_ptr_null(fn_webhook_find("goals.create"));
}
END_TEST


START_TEST(test_window)
{
    settings.email_events_key = (char *) KEY;

    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW + 86400), FN_WEBHOOK_GOOD);
    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW + 86401), FN_WEBHOOK_OLD);
    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW - 300), FN_WEBHOOK_GOOD);
    ck_assert_int_eq(check(SIGNATURE, TIMESTAMP, BODY, NOW - 301), FN_WEBHOOK_OLD);
}
END_TEST


START_TEST(test_keys)
{
    size_t  i;

    static const char *const  bad[] = {
        "", "x", "env", KEY "AAAA",
        /* the first byte of the point, the curve P-384, a key of RSA */
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAF83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqb4LgqxYfGWOqVkGRCSXhB4dXnbSJBpwDJhxOgkAQzDVHKbqLHMbPTAdzYCqzbUdzKDOXwMCNMEVEuTi8I7DUGZMMsMv0hCH"
        "bjsBO0vv0yYTLsT4z1bvSc2tZGT8Xc5S",
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ=="
    };

    ck_assert(fn_webhook_key_valid(KEY));

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!fn_webhook_key_valid(bad[i]), "%s", bad[i]);
    }
}
END_TEST


/* What is signed with a key of our own, as it is checked. */
static fn_webhook_e
check_own(const char *body, size_t n)
{
    int                  n_der;
    char                 key[300], signature[300];
    size_t               len;
    EVP_PKEY            *pkey;
    fn_span_t            s, t, b;
    EVP_MD_CTX          *md;
    unsigned char       *der = NULL;
    unsigned char        mac[200];

    pkey = EVP_EC_gen("P-256");
    md = EVP_MD_CTX_new();
    n_der = i2d_PUBKEY(pkey, &der);
    EVP_EncodeBlock((unsigned char *) key, der, n_der);
    settings.email_events_key = key;

    len = sizeof(mac);
    ck_assert(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pkey) == 1 && EVP_DigestSignUpdate(md, TIMESTAMP, strlen(TIMESTAMP)) == 1
              && EVP_DigestSignUpdate(md, body, n) == 1 && EVP_DigestSignFinal(md, mac, &len) == 1);
    EVP_EncodeBlock((unsigned char *) signature, mac, (int) len);

    s.p = signature;
    s.n = strlen(signature);
    t.p = TIMESTAMP;
    t.n = strlen(TIMESTAMP);
    b.p = body;
    b.n = n;

    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
    OPENSSL_free(der);

    return fn_webhook_check(fn_webhook_find("mail.events"), &settings, &s, &t, &b, NOW);
}


START_TEST(test_text)
{
    char    deep[2 * FN_WEBHOOK_DEPTH + 3];
    size_t  i;

    static const char *const  bad[] = {
        "", "  ", "{}", "1", "\"x\"", "[", "[}", "[1,]", "[]x", "[\"\\u0000\"]", "[\"\\ud800\"]", "[\"\xff\"]", "\xef\xbb\xbf[]", "[NaN]", "//\n[]"
    };

    ck_assert_int_eq(check_own("[]", 2), FN_WEBHOOK_GOOD);
    ck_assert_int_eq(check_own(" \r\n[{\"a\":1.5e3}]\n", 17), FN_WEBHOOK_GOOD);
    ck_assert_int_eq(check_own("[]\0", 3), FN_WEBHOOK_TEXT);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(check_own(bad[i], strlen(bad[i])) == FN_WEBHOOK_TEXT, "%s", bad[i]);
    }

    memset(deep, '[', FN_WEBHOOK_DEPTH + 1);
    memset(deep + FN_WEBHOOK_DEPTH + 1, ']', FN_WEBHOOK_DEPTH + 1);
    ck_assert_int_eq(check_own(deep, 2 * FN_WEBHOOK_DEPTH + 2), FN_WEBHOOK_TEXT);
    ck_assert_int_eq(check_own(deep + 1, 2 * FN_WEBHOOK_DEPTH), FN_WEBHOOK_GOOD);
}
END_TEST


UNIT_MAIN("webhook", test_text, test_sendgrid, test_headers, test_window, test_keys)
