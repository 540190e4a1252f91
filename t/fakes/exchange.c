/*
 * Runs a provider the way the net loop does, one blocking libcurl transfer after the other, and prints what happened.
 *
 *     exchange <provider> [setting=value ...] < contexts          one context a line; they share one process' tokens and templates
 *     exchange presign <method> <key> [<type> <bytes>] [setting=value ...]
 *
 * Prints a JSON line for each exchange, {"service","method","url","headers","sent","status","outcome","wait_ms","alert"}, then one
 * for each context, {"end":"done|retry|dead|busy|off","result":...|null}. A failed exchange is not tried again, as nobody waits here.
 * Settings are those of nginx.conf, of both blocks; NOW_MS and JOB_ID of the environment stand in for the clock and the job.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "libfitnudge/fn_time.h"
#include "providers/exchange.h"
#include "providers/process.h"
#include "providers/r2.h"

#define BODY_MAX  (16 * 1024 * 1024)

static const char *const  outcomes[] = { "done", "retry", "dead", "busy" };
static const char *const  methods[] = { "", "GET", "POST", "PUT", "DELETE", "HEAD", "MAIL" };

typedef struct {
    fn_buf_t    body, headers;
    size_t      max;
    const char *rest;           /* of the mail that is still to be sent */
    size_t      left;
} wire_t;

static int settings_read(fn_settings_t *s, int argc, char **argv);
static void complain(const char *problem);
static int presign(const fn_settings_t *s, int argc, char **argv, uint64_t now_ms);
static void run(const fn_provider_t *p, fn_call_t *c);
static void transfer(fn_exchange_t *x, fn_response_t *r, wire_t *w);
static size_t on_body(char *p, size_t size, size_t count, void *data);
static size_t on_header(char *p, size_t size, size_t count, void *data);
static size_t on_read(char *p, size_t size, size_t count, void *data);
static void say(const char *name, const char *s);


int
main(int argc, char **argv)
{
    int                   rc, first;
    char                 *line = NULL;
    size_t                size = 0;
    ssize_t               n;
    uint64_t              now_ms;
    fn_call_t             c;
    fn_process_t         *process;
    fn_settings_t         s;
    const fn_provider_t  *p;

    if (argc < 2 || fn_settings_init(&s) != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fprintf(stderr, "usage: exchange <provider>|presign ... [setting=value ...] < contexts\n");
        return 2;
    }

    first = strcmp(argv[1], "presign") == 0 ? (argc > 4 && strchr(argv[4], '=') == NULL ? 6 : 4) : 2;

    if (first > argc || settings_read(&s, argc - first, argv + first) != 0) {
        return 2;
    }

    now_ms = getenv("NOW_MS") != NULL ? strtoull(getenv("NOW_MS"), NULL, 10) : fn_now_ms();

    if (strcmp(argv[1], "presign") == 0) {
        rc = presign(&s, first, argv, now_ms);
        fn_settings_free(&s);
        return rc;
    }

    p = fn_provider_find(argv[1]);
    process = fn_process_open(&s, complain);

    if (p == NULL || process == NULL) {
        fprintf(stderr, "no such provider\n");
        return 2;
    }

    while ((n = getline(&line, &size, stdin)) > 0) {
        memset(&c, 0, sizeof(c));
        c.settings = &s;
        c.ctx = line;
        c.ctx_len = (size_t) n;
        c.job_id = getenv("JOB_ID") != NULL ? getenv("JOB_ID") : "01900000-0000-7000-8000-00000000abcd";
        c.now_ms = now_ms;
        c.process = process;
        run(p, &c);
        fn_buf_free(&c.carried);
    }

    free(line);
    fn_process_close(process);
    fn_settings_free(&s);
    curl_global_cleanup();

    return 0;
}


static int
settings_read(fn_settings_t *s, int argc, char **argv)
{
    int                  i;
    char                *equal;
    const char          *problem;
    const fn_setting_t  *d;

    for (i = 0; i < argc; i++) {
        equal = strchr(argv[i], '=');
        if (equal == NULL) {
            fprintf(stderr, "%s: name=value is expected\n", argv[i]);
            return -1;
        }

        *equal = '\0';
        d = fn_setting_find(argv[i], FN_SCOPE_WORKER);
        d = d != NULL ? d : fn_setting_find(argv[i], FN_SCOPE_HTTP);
        problem = d != NULL ? fn_setting_apply(s, d, equal + 1) : "no such setting";

        if (problem != NULL) {
            fprintf(stderr, "%s: %s\n", argv[i], problem);
            return -1;
        }
    }

    return 0;
}


static void
complain(const char *problem)
{
    fprintf(stderr, "%s\n", problem);
}


static int
presign(const fn_settings_t *s, int argc, char **argv, uint64_t now_ms)
{
    fn_buf_t  url = FN_BUF_INIT;

    if (fn_r2_presign(&url, s, argv[2], argv[3], argc == 6 ? argv[4] : NULL, argc == 6 ? strtoll(argv[5], NULL, 10) : -1, now_ms) != 0) {
        fprintf(stderr, "no address for this\n");
        return 1;
    }

    puts(url.data);
    fn_buf_free(&url);

    return 0;
}


static void
run(const fn_provider_t *p, fn_call_t *c)
{
    int                rc;
    size_t             i;
    wire_t             w;
    unsigned           h;
    fn_buf_t           result = FN_BUF_INIT, out = FN_BUF_INIT;
    const char        *end;
    fn_outcome_e       outcome;
    fn_response_t      r;
    static fn_exchange_t  x;

    end = "done";

    for (i = 0; p->pairs[i].service != NULL; i++) {
        rc = p->pairs[i].build(&x, c);

        if (rc == FN_SKIP) {
            continue;
        }

        if (rc == FN_OFF) {
            end = "off";
            break;
        }

        memset(&w, 0, sizeof(w));
        transfer(&x, &r, &w);
        outcome = fn_call_parse(&p->pairs[i], &r, c, &result);

        printf("{\"service\":\"%s\",\"method\":\"%s\"", p->pairs[i].service,
               x.method == FN_METHOD_BODY ? (x.body.len > 0 ? "POST" : "GET") : methods[x.method]);
        say("url", x.url);
        printf(",\"headers\":[");
        for (h = 0; h < x.nheaders; h++) {
            fn_buf_reset(&out);
            fn_buf_add_json_string(&out, x.headers[h], strlen(x.headers[h]));
            printf("%s%s", h > 0 ? "," : "", out.data);
        }
        printf("],\"sent\":%zu,\"error\":%d,\"status\":%ld,\"outcome\":\"%s\",\"wait_ms\":%ld", x.body.len, r.transport_error, r.status,
               outcomes[outcome], c->wait_ms);
        say("alert", c->alert);
        printf("}\n");

        fn_buf_free(&w.body);
        fn_buf_free(&w.headers);

        if (outcome == FN_RETRY && c->again) {
            i = (size_t) -1;
            continue;
        }

        if (outcome != FN_DONE) {
            end = outcomes[outcome];
            break;
        }
    }

    printf("{\"end\":\"%s\",\"result\":%s}\n", end, result.len > 0 ? result.data : "null");
    fflush(stdout);
    fn_buf_free(&result);
    fn_buf_free(&out);
    fn_buf_free(&x.body);
}


static void
say(const char *name, const char *s)
{
    fn_buf_t  b = FN_BUF_INIT;

    if (s == NULL) {
        printf(",\"%s\":null", name);
        return;
    }

    fn_buf_add_json_string(&b, s, strlen(s));
    printf(",\"%s\":%s", name, b.data);
    fn_buf_free(&b);
}


static void
transfer(fn_exchange_t *x, fn_response_t *r, wire_t *w)
{
    CURL               *easy;
    CURLcode            code;
    unsigned            i;
    curl_off_t          after;
    struct curl_slist  *headers = NULL, *to = NULL;

    easy = curl_easy_init();
    w->max = x->response_max > 0 ? x->response_max : BODY_MAX;

    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, x->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, x->method == FN_METHOD_MAIL ? "smtp,smtps" : "http,https");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, w);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, w);

    for (i = 0; i < x->nheaders; i++) {
        headers = curl_slist_append(headers, x->headers[i]);
    }
    headers = curl_slist_append(headers, "Expect:");

    switch (x->method) {

    case FN_METHOD_MAIL:
        to = curl_slist_append(to, x->mail.to);
        curl_easy_setopt(easy, CURLOPT_MAIL_FROM, x->mail.from);
        curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, to);
        curl_easy_setopt(easy, CURLOPT_USE_SSL, x->mail.starttls ? (long) CURLUSESSL_ALL : (long) CURLUSESSL_NONE);
        if (x->mail.username != NULL) {
            curl_easy_setopt(easy, CURLOPT_USERNAME, x->mail.username);
            curl_easy_setopt(easy, CURLOPT_PASSWORD, x->mail.password);
        }
        w->rest = x->body.data;
        w->left = x->body.len;
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, w);
        break;

    case FN_METHOD_HEAD:
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        break;

    case FN_METHOD_DELETE:
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
        break;

    default:
        if (x->body.len > 0) {
            curl_easy_setopt(easy, CURLOPT_POST, 1L);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body.data);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) x->body.len);
        }
        if (x->method == FN_METHOD_PUT) {
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
        }
    }

    if (x->method != FN_METHOD_MAIL) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    }

    code = curl_easy_perform(easy);

    memset(r, 0, sizeof(*r));
    after = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &r->status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &after);
    r->transport_error = (int) code;
    r->body = w->body.len > 0 ? w->body.data : "";
    r->body_len = w->body.len;
    r->headers = w->headers.data;
    r->headers_len = w->headers.len;
    r->retry_after_ms = after > 0 ? (long) after * 1000 : -1;
    r->should_retry = -1;

    curl_slist_free_all(headers);
    curl_slist_free_all(to);
    curl_easy_cleanup(easy);
}


static size_t
on_body(char *p, size_t size, size_t count, void *data)
{
    wire_t  *w = data;

    if (w->body.len + size * count > w->max) {
        return 0;
    }

    fn_buf_add(&w->body, p, size * count);

    return size * count;
}


static size_t
on_header(char *p, size_t size, size_t count, void *data)
{
    wire_t  *w = data;

    fn_buf_add(&w->headers, p, size * count);

    return size * count;
}


static size_t
on_read(char *p, size_t size, size_t count, void *data)
{
    size_t   n;
    wire_t  *w = data;

    n = w->left < size * count ? w->left : size * count;
    memcpy(p, w->rest, n);
    w->rest += n;
    w->left -= n;

    return n;
}
