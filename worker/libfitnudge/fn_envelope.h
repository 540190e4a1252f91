/*
 * The two messages that travel through Redis (docs/pool.md).  One positional
 * ASCII header line, then an opaque body, so that the attempt counter can be
 * rewritten without touching the body.
 *
 *   job    w1 <id> <job> <prio> <enqueued_ms> <deadline_ms> <attempt> <user|-> <reply_to|-> <traceparent|->\n<body>
 *   reply  w1 <id> <status> <content_type> <n> <tag>*n\n(<Name>: <value>\n)*\n<body>
 *
 * Parsing never copies: the spans point into the input, which must outlive them.
 * Every parser checks bounds and answers -1 for anything it does not know.
 */
#ifndef FN_ENVELOPE_H
#define FN_ENVELOPE_H

#include "fn_buf.h"

#define FN_BODY_MAX         (64 * 1024)     /* bytes of an inline job body from a client */
#define FN_SEALED_MAX       (1024 * 1024)   /* the same from a service that signs it: their batches are large */
#define FN_ENVELOPE_MAX     (1280 * 1024)   /* bytes of a whole envelope, with the context of its steps */
#define FN_TAGS_MAX         16
#define FN_HEADERS_MAX      8

typedef struct { const char *p; size_t n; } fn_span_t;

typedef struct {
    fn_span_t   id;             /* UUID text */
    fn_span_t   job;            /* [a-z0-9_.:]{1,64}; ":call" / ":commit" marks a later step */
    char        prio;           /* h, n, l */
    uint64_t    enqueued_ms;    /* unix ms */
    uint64_t    deadline_ms;    /* unix ms, 0 = none */
    unsigned    attempt;        /* 0 for the first */
    fn_span_t   user;           /* UUID text or empty */
    fn_span_t   reply_to;       /* edge incarnation or empty */
    fn_span_t   traceparent;    /* or empty */
    fn_span_t   body;
} fn_job_env_t;

typedef struct {
    fn_span_t   id;
    unsigned    status;                     /* HTTP status 100..599 */
    fn_span_t   content_type;
    unsigned    ntags;
    fn_span_t   tags[FN_TAGS_MAX];
    unsigned    nheaders;
    fn_span_t   header_names[FN_HEADERS_MAX];
    fn_span_t   header_values[FN_HEADERS_MAX];
    fn_span_t   body;
} fn_reply_env_t;

/* 0, or -1 when malformed. */
int fn_job_env_parse(fn_job_env_t *e, const char *p, size_t n);
int fn_reply_env_parse(fn_reply_env_t *e, const char *p, size_t n);

/* Appends the whole message to `b`. 0, or -1 when a field would not parse again or memory is short. */
int fn_job_env_format(fn_buf_t *b, const fn_job_env_t *e);
int fn_reply_env_format(fn_buf_t *b, const fn_reply_env_t *e);

#endif
