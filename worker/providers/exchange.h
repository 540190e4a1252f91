/* What providers share: filling in a request, reading a response, and what an ordinary failure means. */
#ifndef FN_EXCHANGE_H
#define FN_EXCHANGE_H

#include "../provider.h"

/* Empties the request; the body keeps its memory. */
void fn_exchange_begin(fn_exchange_t *x, fn_method_e method, int64_t timeout_ms, int64_t attempts);

/* base without its trailing slashes, then path; with an empty path base as it is. 0, or -1: it does not fit, or has a control character or a blank. */
int  fn_exchange_url(fn_exchange_t *x, const char *base, const char *path);

/* 0, or -1: one too many, too long, or a value that could end the line. */
int  fn_exchange_header(fn_exchange_t *x, const char *name, const char *value);

/* 1 when s is a text of at least one byte. */
int  fn_set(const char *s);

/* 1 when the host of an http(s) address is this machine. */
int  fn_url_is_local(const char *url);

/* The value of a header of the response, trimmed; its length in *n. NULL: absent. */
const char *fn_response_header(const fn_response_t *r, const char *name, size_t *n);

/*
 * What an answer other than the expected one means: lost connections, 408 and 5xx are tried again, 429 is busy, the rest is
 * dead; x-should-retry overrules. Sets c->wait_ms from Retry-After.
 */
fn_outcome_e fn_failed(const fn_response_t *r, fn_call_t *c);

/* A pair's functions, with what parse says besides its outcome reset. */
fn_outcome_e fn_call_parse(const fn_pair_t *pair, const fn_response_t *r, fn_call_t *c, fn_buf_t *result);

/* Appends s, without control characters (newline and tab may stay when `lines`), at most max code points, valid UTF-8 stays valid. */
void fn_clean_text(fn_buf_t *b, const char *s, size_t n, size_t max, int lines);

/* All providers, ended by NULL. */
extern const fn_provider_t *const fn_providers[];

const fn_provider_t *fn_provider_find(const char *name);

#endif
