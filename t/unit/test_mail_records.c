/* SPF, DMARC and DKIM as receivers judge them. */
#include "unit.h"

#include "fn_mail_records.h"

#define RSA_512   "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ=="
#define RSA_1024  "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDdlatRjRjogo3WojgGHFHYLugdUWAY9iR3fy4arWNA1KoS8kVw33cJibXr8bvwUAUparCwlvdbH6dvEOfou0/gCFQs" \
                  "HUfQrSDv+MuSUMAe8jzKE4qW+jK+xQU9a03GUnKHkkle+Q0pX/g6jXZ7r1/xAK5Do2kQ+X5xK9cipRgEKwIDAQAB"

typedef struct {
    const char   *texts[3];
    fn_record_e   verdict;
    const char   *found;
} fn_case_t;


static void
judge(fn_record_pt f, const fn_case_t *cases, size_t n)
{
    size_t       i;
    unsigned     k;
    fn_span_t    texts[3];
    fn_record_t  r;

    for (i = 0; i < n; i++) {
        for (k = 0; k < 3 && cases[i].texts[k] != NULL; k++) {
            texts[k] = span(cases[i].texts[k]);
        }

        f(&r, texts, k);
        ck_assert_msg(r.verdict == cases[i].verdict && strstr(r.found, cases[i].found) != NULL, "%s: %d, %s",
                      k ? cases[i].texts[0] : "nothing", r.verdict, r.found);
        ck_assert((r.todo == NULL) == (r.verdict == FN_RECORD_GOOD));
    }
}

#define JUDGE(f, cases)  judge(f, cases, sizeof(cases) / sizeof(cases[0]))


START_TEST(test_spf)
{
    static const fn_case_t  cases[] = {
        { { "v=spf1 include:_spf.sendgrid.net ~all" }, FN_RECORD_GOOD, "names the servers" },
        { { "google-site-verification=x", "V=SPF1 mx -ALL" }, FN_RECORD_GOOD, "names the servers" },
        { { "v=spf1 redirect=_spf.example.com" }, FN_RECORD_GOOD, "another domain" },
        { { "v=spf1 mx" }, FN_RECORD_WEAK, "other servers" },
        { { "v=spf1" }, FN_RECORD_WEAK, "other servers" },
        { { "v=spf1 mx ?all" }, FN_RECORD_WEAK, "other servers" },
        { { "v=spf1 +all" }, FN_RECORD_BAD, "everybody" },
        { { "v=spf1 mx all" }, FN_RECORD_BAD, "everybody" },
        { { "v=spf1 mx ~all", "v=spf1 a ~all" }, FN_RECORD_BAD, "several" },
        { { "v=spf10 mx ~all" }, FN_RECORD_MISSING, "no SPF" },
        { { " v=spf1 mx ~all" }, FN_RECORD_MISSING, "no SPF" },
        { { NULL }, FN_RECORD_MISSING, "no SPF" }
    };

    JUDGE(fn_mail_spf, cases);
}
END_TEST


START_TEST(test_dmarc)
{
    static const fn_case_t  cases[] = {
        { { "v=DMARC1; p=quarantine; rua=mailto:dmarc@fitnudge.app; fo=1" }, FN_RECORD_GOOD, "policy" },
        { { "v=DMARC1;p = Reject ;" }, FN_RECORD_GOOD, "policy" },
        { { "v=DMARC1; sp=reject; p=none" }, FN_RECORD_WEAK, "none" },
        { { "v=DMARC1; sp=reject" }, FN_RECORD_BAD, "no policy" },
        { { "v=DMARC1; p=maybe" }, FN_RECORD_BAD, "none that there is" },
        { { "v=DMARC1; p=" }, FN_RECORD_BAD, "none that there is" },
        { { "v=DMARC1; p=reject", "v=DMARC1; p=none" }, FN_RECORD_BAD, "several" },
        { { "v=DMARC11; p=reject" }, FN_RECORD_MISSING, "no DMARC" },
        { { "v=spf1 ~all" }, FN_RECORD_MISSING, "no DMARC" }
    };

    JUDGE(fn_mail_dmarc, cases);
}
END_TEST


START_TEST(test_dkim)
{
    static const fn_case_t  cases[] = {
        { { "v=DKIM1; k=rsa; p=" RSA_1024 }, FN_RECORD_WEAK, "short" },
        { { "p=" RSA_1024 }, FN_RECORD_WEAK, "short" },
        { { "v=DKIM1; p=" RSA_512 }, FN_RECORD_BAD, "so short" },
        { { "v=DKIM1; p=" }, FN_RECORD_BAD, "revoked" },
        { { "v=DKIM1; p= ; k=rsa" }, FN_RECORD_BAD, "revoked" },
        { { "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDdlatR" }, FN_RECORD_BAD, "damaged" },
        { { "v=DKIM1; p=???" }, FN_RECORD_BAD, "damaged" },
        { { "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" }, FN_RECORD_WEAK, "Ed25519" },
        { { "v=DKIM1; k=ed25519; p=11qYAYKx" }, FN_RECORD_BAD, "damaged" },
        { { "v=DKIM1; p=" RSA_1024, "v=DKIM1; p=" RSA_512 }, FN_RECORD_BAD, "several" },
        { { "v=DKIM2; p=" RSA_1024 }, FN_RECORD_MISSING, "no DKIM" },
        { { "hello" }, FN_RECORD_MISSING, "no DKIM" }
    };

    JUDGE(fn_mail_dkim, cases);
}
END_TEST


UNIT_MAIN("mail_records", test_spf, test_dmarc, test_dkim)
