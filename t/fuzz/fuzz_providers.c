/*
 * What outside services answer, and the contexts of their calls: the first byte chooses the provider, the next two the status and the
 * headers; the rest is the body, and the context of a build. A result must be JSON, a request must not break its own lines.
 */
#include <stdlib.h>
#include <string.h>

#include "jobs/json_each.h"
#include "mail/message.h"
#include "mail/templates.h"
#include "providers/exchange.h"
#include "providers/process.h"

#include "fn_mail_link.h"
#include "fn_sigv4.h"
#include "fn_voices.h"

#define JOB  "01900000-0000-7000-8000-00000000abcd"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_up(void);
static void fuzz_pair(const fn_pair_t *p, const uint8_t *data, size_t size);
static void fuzz_text(const char *text, size_t n);
static int nothing(void *data, const char *key, size_t key_len, const fn_json_field_t *value);

static fn_settings_t  settings;
static fn_process_t  *process;


static void
complain(const char *problem)
{
    (void) problem;
}


static void
set_up(void)
{
    size_t  i;

    static const struct { const char *name, *value; } values[] = {
        { "openai_api_key", "env:FZ" }, { "elevenlabs_api_key", "env:FZ" }, { "elevenlabs_voices", "a calm=b" }, { "r2_endpoint", "https://r2.example" },
        { "r2_access_key", "env:FZ" }, { "r2_secret_key", "env:FZ" }, { "r2_bucket", "media" }, { "smtp_host", "127.0.0.1" }, { "smtp_from", "a@b.example" },
        { "mail_templates", "../../conf/templates/mail" }, { "posthog_api_key", "env:FZ" }, { "n8n_webhook_url", "env:FZ_URL" }, { "slack_webhook_url", "env:FZ_URL" },
        { "sentry_dsn", "env:FZ_DSN" }, { "otlp_endpoint", "http://127.0.0.1:4318" }
    };

    setenv("FZ", "key", 1);
    setenv("FZ_URL", "https://x.example/hook", 1);
    setenv("FZ_DSN", "https://k1@sentry.example/1", 1);

    if (fn_settings_init(&settings) != 0) {
        abort();
    }

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (fn_setting_apply(&settings, fn_setting_find(values[i].name, FN_SCOPE_WORKER), values[i].value) != NULL) {
            abort();
        }
    }

    settings.jwt_secret = strdup("0123456789abcdef0123456789abcdef");
    settings.fcm_service_account = strdup("{}");
    process = fn_process_open(&settings, complain);

    if (process == NULL || process->templates == NULL) {
        abort();
    }

    /* An account without a key: nothing is signed, everything is read. */
    process->fcm_account = calloc(1, sizeof(*process->fcm_account));
    memcpy(process->fcm_account->project, "p", 2);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t   n;
    char    *text;

    if (process == NULL) {
        set_up();
    }

    if (size < 3) {
        return 0;
    }

    for (n = 0; fn_providers[n] != NULL; n++) { /* void */ }

    fuzz_pair(&fn_providers[data[0] % n]->pairs[0], data, size);

    if (fn_providers[data[0] % n]->pairs[1].service != NULL) {
        fuzz_pair(&fn_providers[data[0] % n]->pairs[1], data, size);
    }

    text = malloc(size - 2);
    memcpy(text, data + 3, size - 3);
    text[size - 3] = '\0';
    fuzz_text(text, size - 3);
    free(text);

    return 0;
}


static void
fuzz_pair(const fn_pair_t *p, const uint8_t *data, size_t size)
{
    char             *body, *line;
    size_t            n, split;
    unsigned          i;
    fn_buf_t          result = FN_BUF_INIT;
    fn_call_t         c;
    fn_response_t     r;
    fn_json_field_t   none[] = { FN_JSON_FIELD("x"), FN_JSON_END };

    static fn_exchange_t        x;
    static const long           statuses[] = { 200, 200, 200, 200, 201, 204, 400, 401, 403, 404, 429, 429, 500, 503, 0, 250 };
    static const char *const    lines[] = { NULL, "content-type: audio/mpeg\r\ncontent-length: 7\r\n" };

    n = size - 3;
    body = malloc(n + 1);
    memcpy(body, data + 3, n);
    body[n] = '\0';

    memset(&c, 0, sizeof(c));
    memset(&r, 0, sizeof(r));
    c.settings = &settings;
    c.ctx = body;
    c.ctx_len = n;
    c.job_id = JOB;
    c.now_ms = 1768473000000ull;
    c.process = process;
    memcpy(process->fcm_token.token, "t", 2);
    process->fcm_token.until_ms = UINT64_MAX;
    fn_buf_adds(&c.carried, "carried");

    if (p->build(&x, &c) == FN_BUILT) {
        for (i = 0; i < x.nheaders; i++) {
            for (line = x.headers[i]; *line != '\0'; line++) {
                if (*line == '\r' || *line == '\n') {
                    abort();
                }
            }
        }

        if (strpbrk(x.url, " \r\n\t") != NULL || x.body.failed || (x.method == FN_METHOD_MAIL && strpbrk(x.mail.to, "<>\r\n ") != NULL)) {
            abort();
        }

        /* What is sent as JSON is JSON. */
        if (x.method == FN_METHOD_POST && x.body.len > 0 && x.body.data[0] == '{' && strcmp(p->service, "sentry") != 0
            && fn_json_get(x.body.data, x.body.len, none) != 0)
        {
            abort();
        }
        fn_json_free(none);
    }
    fn_buf_free(&x.body);

    r.status = statuses[data[1] % (sizeof(statuses) / sizeof(statuses[0]))];
    r.body = body;
    r.body_len = n;
    r.retry_after_ms = (data[2] & 4) ? 1000 : -1;
    r.should_retry = (data[2] & 8) ? 1 : -1;
    r.transport_error = (data[2] & 0x30) == 0x30 ? 28 : 0;
    r.headers = lines[data[2] & 1];
    r.headers_len = r.headers != NULL ? strlen(r.headers) : 0;

    /* The first half as headers, in memory of exactly its size. */
    line = NULL;
    if (data[2] & 2) {
        split = n / 2;
        line = malloc(split + 1);
        memcpy(line, body, split);
        r.headers = line;
        r.headers_len = split;
    }

    (void) fn_call_parse(p, &r, &c, &result);

    if (result.len > 0 && fn_json_get(result.data, result.len, none) != 0) {
        abort();
    }
    fn_json_free(none);

    free(line);
    free(body);
    fn_buf_free(&result);
    fn_buf_free(&c.carried);
}


/* The text as a key, a token, a template, a subject, a table of voices, a key file. */
static void
fuzz_text(const char *text, size_t n)
{
    char                 user[37], list[FN_MAIL_LIST_MAX + 1], voice[FN_VOICE_MAX + 1];
    fn_buf_t             b = FN_BUF_INIT;
    const char          *problem, *p;
    fn_message_t         m = { "a@b.example", text, "c@d.example", text, text, text, NULL, "en", JOB, NULL, 1768473000 };
    fn_sigv4_t           k = { "a", "s", "https://x.example", "auto", "media" };
    fn_mail_var_t        vars[] = { { "user_name", text, 0 }, { "n", NULL, 1 } };
    fn_mail_values_t     v = { "en", vars, 2, NULL, NULL };
    fn_fcm_account_t    *a;
    fn_sigv4_request_t   r = { "GET", text, NULL, -1, 1768473000, 60 };

    if (fn_mail_unsubscribe("key", text, n, user, list)) {
        abort();        /* a forgery */
    }

    (void) fn_voices_valid(text);
    (void) fn_voices_find(voice, text, "calm", "fr");
    (void) fn_json_each(text, n, nothing, NULL);
    (void) fn_mail_substitute(&b, text, &v, 1);
    fn_buf_reset(&b);

    if (fn_sigv4_presign(&b, &k, &r) == 0 && (strstr(b.data, "/../") != NULL || strpbrk(b.data, " \r\n") != NULL)) {
        abort();
    }
    fn_buf_reset(&b);

    if (fn_message_build(&b, &m) == 0) {
        /* 7 bits, lines that end in CRLF and are short, ten header fields and no other */
        unsigned  column = 0, fields = 0, body = 0;

        for (p = b.data; *p != '\0'; p++) {
            if (*p == '\n' && (p == b.data || p[-1] != '\r')) {
                abort();
            }
            if ((unsigned char) *p > 0x7e || (*p == '\r' && p[1] != '\n') || column > 80) {
                abort();
            }
            if (!body && column == 0 && *p != ' ' && *p != '\r') {
                fields++;
            }
            body |= column == 0 && *p == '\r';
            column = *p == '\n' ? 0 : column + (*p != '\r');
        }
        if (fields != 10) {
            abort();
        }
    }

    a = fn_fcm_account_new(text, n, &problem);
    fn_fcm_account_free(a);
    fn_buf_free(&b);
}


static int
nothing(void *data, const char *key, size_t key_len, const fn_json_field_t *value)
{
    (void) data;
    (void) key_len;

    return key == NULL || value->raw.p == NULL ? -1 : 0;
}
