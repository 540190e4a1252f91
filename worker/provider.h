/*
 * A provider is a list of exchanges with outside services, each a pair of pure functions: build makes the request from
 * the call, parse turns the response into an outcome and a result. Neither touches the network, a clock or a
 * file; net.c and net_job.c, which run exchanges, own timeouts, retries and logging.
 *
 * The loop's part for a list: build the first pair; FN_SKIP goes on to the next. Parse; on FN_DONE the next pair,
 * after the last the job's commit with the result. `carried` and `result` live until then, across all pairs. A pair
 * that is tried again is built again, as signatures grow old.
 */
#ifndef FN_PROVIDER_H
#define FN_PROVIDER_H

#include "libfitnudge/fn_buf.h"
#include "libfitnudge/fn_envelope.h"
#include "libfitnudge/fn_settings.h"

typedef enum { FN_DONE, FN_RETRY, FN_DEAD, FN_BUSY } fn_outcome_e;

typedef enum {
    FN_METHOD_BODY,         /* POST when there is a body, else GET */
    FN_METHOD_GET,
    FN_METHOD_POST,
    FN_METHOD_PUT,
    FN_METHOD_DELETE,
    FN_METHOD_HEAD,
    FN_METHOD_MAIL          /* SMTP: body is the message, mail says the rest; without a body it ends after the login */
} fn_method_e;

#define FN_URL_MAX      4096
#define FN_HEADERS      8
#define FN_HEADER_MAX   2304        /* an OAuth token has up to 2048 bytes */
#define FN_ADDRESS_MAX  254         /* RFC 5321 section 4.5.3.1.3, without the brackets */

/* What libcurl needs besides the message. The strings of settings are not copied. */
typedef struct {
    char        from[FN_ADDRESS_MAX + 1];       /* CURLOPT_MAIL_FROM, without brackets */
    char        to[FN_ADDRESS_MAX + 1];         /* CURLOPT_MAIL_RCPT */
    const char *username, *password;            /* NULL: no AUTH */
    int         starttls;                       /* CURLUSESSL_ALL: no TLS, no mail */
} fn_mail_t;

typedef struct {
    char         url[FN_URL_MAX];
    char         headers[FN_HEADERS][FN_HEADER_MAX];    /* "Name: value"; the loop adds traceparent and X-Request-Id */
    unsigned     nheaders;
    fn_buf_t     body;              /* any bytes */
    long         timeout_ms;
    unsigned     attempts;          /* at most; the job's deadline also ends them */
    fn_method_e  method;
    size_t       response_max;      /* bytes of an answer that are worth reading, 0 = the loop's own limit */
    int          plain;             /* no X-Request-Id, no traceparent: a stranger's or a signed request */
    fn_mail_t    mail;
} fn_exchange_t;

typedef struct {
    int         transport_error;    /* a CURLcode, 0 = a response arrived */
    long        status;             /* of HTTP, or the last reply of SMTP */
    const char *body;               /* bytes */
    size_t      body_len;
    long        retry_after_ms;     /* from retry-after-ms or Retry-After, -1 = none */
    int         should_retry;       /* x-should-retry: 1, 0, or -1 absent */
    const char *headers;            /* the lines of the answer, each ended by CRLF; NULL = not kept */
    size_t      headers_len;
} fn_response_t;

typedef struct fn_process_s fn_process_t;       /* providers/process.h: what all calls of a process share */

/* One job's call, from its first exchange to its last. */
typedef struct {
    const fn_settings_t *settings;
    const char          *ctx;           /* the job's context, JSON */
    size_t               ctx_len;
    const char          *job_id;        /* UUID: idempotency, collapse keys, Message-ID; never NULL */
    uint64_t             now_ms;        /* wall clock; the loop sets it before each build and parse */
    fn_process_t        *process;       /* NULL: nothing is shared, nothing is cached */
    fn_buf_t             carried;       /* bytes that an exchange leaves for the next; the loop frees it */
    unsigned             renewed;       /* times parse wanted to begin again */

    /* What parse says besides its outcome; fn_call_parse() resets these before. */
    long                 wait_ms;       /* nothing more to this service before, whatever the outcome; -1 = the loop's own backoff */
    int                  again;         /* FN_RETRY: at once, from the first pair */
    const char          *alert;         /* an operator has to act: a constant sentence; NULL = none */
} fn_call_t;

enum { FN_BUILT = 0, FN_SKIP = 1, FN_OFF = -1 };

typedef struct {
    const char *service;            /* whose breaker, limits and metrics: "elevenlabs", "r2" */
    /* FN_BUILT; FN_SKIP: not needed this time; FN_OFF: not configured or the context is unusable, the commit then falls back */
    int          (*build)(fn_exchange_t *x, fn_call_t *c);
    /* appends to the result, a JSON object for the commit function's p_ctx; on FN_DEAD too when there is something to say */
    fn_outcome_e (*parse)(const fn_response_t *r, fn_call_t *c, fn_buf_t *result);
} fn_pair_t;

typedef struct {
    const char *name;
    int          (*configured)(const fn_settings_t *s);     /* 1, or 0: off, /health says not_configured */
    const fn_pair_t *pairs;         /* ended by one without a service */
} fn_provider_t;

extern const fn_provider_t fn_provider_openai;

/*
 * Whether a service accepts our credentials, asked in a way that changes nothing there (fitnudgectl doctor --online): the models of
 * the account, the bucket, a token, a login. FN_DONE, or what else is the matter; the alert says what an operator has to mend.
 */
extern const fn_pair_t fn_probe_openai, fn_probe_r2, fn_probe_fcm, fn_probe_smtp;

#endif
