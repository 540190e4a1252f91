/* The DNS records of the domain that mails come from. Asks, and leaves the judgement to fn_mail_records.h. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_mail_records.h"
#include "doctor.h"

#define FN_TEXTS_MAX    16              /* TXT records of a name */
#define FN_ANSWER_MAX   8192

static const struct {
    const char   *what;
    int           selected;             /* the selector stands before the label */
    const char   *label;                /* ... and that before the domain */
    fn_record_pt  judge;
}  fn_doctor_records[] = {
    { "mail domain SPF",   0, "",             fn_mail_spf },
    { "mail domain DKIM",  1, "._domainkey.", fn_mail_dkim },
    { "mail domain DMARC", 0, "_dmarc.",      fn_mail_dmarc }
};

static const fn_verdict_e  fn_doctor_verdicts[] = {
    [FN_RECORD_GOOD] = FN_FINE, [FN_RECORD_WEAK] = FN_ADVICE, [FN_RECORD_MISSING] = FN_ADVICE, [FN_RECORD_BAD] = FN_WRONG
};


/* Asks this name server and no other. 0, or -1: it is no ip:port. */
static int
fn_doctor_resolver(struct __res_state *state, const char *address)
{
    char         host[INET_ADDRSTRLEN];
    long         port;
    char        *end;
    const char  *colon;

    colon = strrchr(address, ':');

    if (colon == NULL || (size_t) (colon - address) >= sizeof(host)) {
        return -1;
    }

    memcpy(host, address, (size_t) (colon - address));
    host[colon - address] = '\0';
    port = strtol(colon + 1, &end, 10);

    memset(&state->nsaddr_list[0], 0, sizeof(state->nsaddr_list[0]));
    state->nsaddr_list[0].sin_family = AF_INET;
    state->nsaddr_list[0].sin_port = htons((uint16_t) port);
    state->nscount = 1;

    return end == colon + 1 || *end != '\0' || port < 1 || port > 65535
           || inet_pton(AF_INET, host, &state->nsaddr_list[0].sin_addr) != 1 ? -1 : 0;
}


/* The TXT records of a name, their strings joined in `room`. How many, or -1: nobody answers. */
static int
fn_doctor_texts(const fn_doctor_t *d, const char *name, fn_span_t texts[FN_TEXTS_MAX], char room[FN_ANSWER_MAX])
{
    int                   n, i, count, missing;
    char                 *out = room;
    ns_msg                msg;
    ns_rr                 rr;
    size_t                at, len;
    unsigned char         answer[FN_ANSWER_MAX];
    struct __res_state    state;

    memset(&state, 0, sizeof(state));

    if (res_ninit(&state) != 0) {
        return -1;
    }

    state.retrans = 2;
    state.retry = 2;

    if (d->resolver != NULL && fn_doctor_resolver(&state, d->resolver) != 0) {
        res_nclose(&state);
        return -1;
    }

    n = res_nquery(&state, name, ns_c_in, ns_t_txt, answer, sizeof(answer));
    missing = n < 0 && (state.res_h_errno == HOST_NOT_FOUND || state.res_h_errno == NO_DATA);
    res_nclose(&state);

    if (n < 0 || ns_initparse(answer, n < (int) sizeof(answer) ? n : (int) sizeof(answer), &msg) != 0) {
        return missing ? 0 : -1;
    }

    for (i = 0, count = 0; i < ns_msg_count(msg, ns_s_an) && count < FN_TEXTS_MAX; i++) {
        if (ns_parserr(&msg, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != ns_t_txt) {
            continue;
        }

        texts[count].p = out;

        /* character-strings: a byte of length, then text (RFC 1035 section 3.3.14); together they are shorter than the answer */
        for (at = 0; at < ns_rr_rdlen(rr); at += len + 1) {
            len = ns_rr_rdata(rr)[at];

            if (at + 1 + len > ns_rr_rdlen(rr)) {
                break;
            }

            memcpy(out, ns_rr_rdata(rr) + at + 1, len);
            out += len;
        }

        texts[count].n = (size_t) (out - texts[count].p);
        count++;
    }

    return count;
}


void
fn_doctor_mail(fn_doctor_t *d)
{
    int                   n;
    char                  name[400], room[FN_ANSWER_MAX];
    size_t                i;
    fn_span_t             texts[FN_TEXTS_MAX];
    const char           *from, *at;
    fn_record_t           r;
    const fn_settings_t  *s = d->settings;

    from = s->smtp_from ? s->smtp_from : s->smtp_username;
    at = from ? strrchr(from, '@') : NULL;

    if (s->smtp_host == NULL || at == NULL || strlen(at + 1) > 253) {
        fn_doctor_say(d, FN_OFF, "mail domain", "set smtp_host and smtp_from to send mails", "no mail is sent");
        return;
    }

    for (i = 0; i < sizeof(fn_doctor_records) / sizeof(fn_doctor_records[0]); i++) {
        (void) snprintf(name, sizeof(name), "%s%s%s", fn_doctor_records[i].selected ? s->smtp_dkim_selector : "", fn_doctor_records[i].label,
                        at + 1);
        n = fn_doctor_texts(d, name, texts, room);

        if (n < 0) {
            fn_doctor_say(d, FN_ADVICE, fn_doctor_records[i].what, "look whether this machine's resolver works, or name another one",
                          "no answer about %s", name);
            continue;
        }

        fn_doctor_records[i].judge(&r, texts, (unsigned) n);
        fn_doctor_say(d, fn_doctor_verdicts[r.verdict], fn_doctor_records[i].what, r.todo, "%s: %s", name, r.found);
    }
}
