/*
 * A provider is a pair of pure functions around one exchange with an outside service: build makes the request
 * from the job's context, parse turns the response into an outcome and a result. Neither touches
 * the network; the loop in net.c that runs exchanges owns timeouts, retries and logging.
 */
#ifndef FN_PROVIDER_H
#define FN_PROVIDER_H

#include "libfitnudge/fn_buf.h"
#include "libfitnudge/fn_settings.h"

typedef enum { FN_DONE, FN_RETRY, FN_DEAD, FN_BUSY } fn_outcome_e;

typedef struct {
    char      url[1024];
    char      headers[8][512];      /* "Name: value"; the loop adds traceparent and X-Request-Id */
    unsigned  nheaders;
    fn_buf_t  body;                 /* POST when not empty */
    long      timeout_ms;
    unsigned  attempts;             /* at most; the job's deadline also ends them */
} fn_exchange_t;

typedef struct {
    int         transport_error;    /* a CURLcode, 0 = a response arrived */
    long        status;
    const char *body;
    size_t      body_len;
    long        retry_after_ms;     /* from retry-after-ms or Retry-After, -1 = none */
    int         should_retry;       /* x-should-retry: 1, 0, or -1 absent */
} fn_response_t;

typedef struct {
    const char *name;
    /* 0, or -1: not configured or the context is unusable; the commit then falls back */
    int          (*build)(fn_exchange_t *x, const fn_settings_t *s, const char *ctx, size_t ctx_len);
    /* appends the result, a JSON object for the commit function's p_ctx, on FN_DONE */
    fn_outcome_e (*parse)(const fn_response_t *r, const fn_settings_t *s, fn_buf_t *result);
} fn_provider_t;

extern const fn_provider_t fn_provider_openai;

#endif
