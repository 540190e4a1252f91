/*
 * Delivery, at least once: how jobs come out of Redis and how their results go back (docs/pool.md).
 * A job in hand is an element of the slot list {fn}:s:<inst>:<n>; finishing removes exactly that element, and
 * if it is gone we were declared dead and the result is dropped.  All calls block, briefly; after
 * a lost connection they reconnect and try again until fn_quit is 2.
 */
#ifndef FN_DELIVERY_H
#define FN_DELIVERY_H

#include "libfitnudge/fn_envelope.h"
#include "libfitnudge/fn_jobs.h"
#include "pool.h"
#include "redis.h"

#define FN_BATCH_MAX    64
#define FN_REPLY_TTL_MS 60000
#define FN_DEAD_MAX     10000       /* dead letters a lane; none older than 90 days */

typedef struct {
    fn_span_t        raw;           /* the envelope as it lies in the slot */
    fn_job_env_t     env;           /* parsed; spans into raw */
    const fn_job_t  *job;           /* row of the table, also for ":call" and ":commit"; NULL = unknown */
    char             step;          /* 0 = first, 'c' = ":call", 'm' = ":commit" */
    unsigned         suspect;       /* how often it was at work when a process died: if it was, run it alone */
    int              again;         /* it was in other hands before, which may have begun it */
    int              cancelled;     /* an operator wants it to end */
    const char      *why;           /* it dies: for its letter; NULL = unknown */
    unsigned         slot;          /* in which it lies: 0 .. nslots-1 */
} fn_task_t;

typedef struct {
    unsigned   n;
    unsigned   alone;               /* a wait has brought it, and the queues were empty */
    fn_task_t  task[FN_BATCH_MAX];
    void      *memory;              /* owns what the tasks point to */
} fn_batch_t;

typedef struct fn_delivery_s fn_delivery_t;

/* Connects (waiting for Redis if it must) and registers the child's slots. NULL when asked to quit first, or no memory. */
fn_delivery_t *fn_delivery_open(fn_child_t *child);
void           fn_delivery_close(fn_delivery_t *d);

/*
 * Takes jobs of the child's lane into the nk slots k (each 0 .. nslots-1) until each holds `max`: high, normal, low. Never waits.
 * What already lies in a slot is part of the answer (an answer may have been lost, or a wait has delivered). nk * max is at most
 * FN_BATCH_MAX. 0 with batch->n >= 0, the tasks in the order of k; -1 when asked to quit. The batch is the caller's: fn_batch_free.
 */
int  fn_take(fn_delivery_t *d, const unsigned *k, unsigned nk, unsigned max, fn_batch_t *batch);
void fn_batch_free(fn_batch_t *batch);

/*
 * Waiting for work without a poll: begin arms it for slot k, which must be empty; poll the two fds for POLLIN together with
 * anything else; when one is readable, or after about 2 s, end it and fn_take() from slot k.
 * begin: 0, or -1 = connection lost, or the lane is under orders (call again later; it reconnects, at most once in 100 ms).
 */
int  fn_wait_begin(fn_delivery_t *d, unsigned k);
void fn_wait_fds(fn_delivery_t *d, int fds[2]);     /* -1 = none */
void fn_wait_end(fn_delivery_t *d);                 /* nothing arrives in the slot after this; harmless when not armed */
void fn_wait_leave(fn_delivery_t *d);               /* the same, but what has not ended is by the next take or finish, in its trip */
/*
 * begin, poll and leave for a process that has nothing else to do, and calls no services: up to ms (at most 2 s), less when a signal comes.
 * A fn_take() right after it, from slot k, needs no trip if a job has come alone.
 */
void fn_wait(fn_delivery_t *d, unsigned k, unsigned ms);

/*
 * The results of one or more jobs (at most FN_BATCH_MAX) of one or more slots, sent as one script call. Values are copied.
 * For each job: fn_finish_job, then any of the others. Jobs of one slot stand next to each other.
 */
typedef struct fn_finish_s fn_finish_t;

struct fn_finish_s {
    fn_buf_t   arena;
    struct { size_t at, len; }  *arg;       /* ARGV of finish.lua, in the arena */
    unsigned   n, size;
    unsigned   jobs;
    unsigned   slot[FN_BATCH_MAX], nslots;
    unsigned   nops;                        /* of the last job */
    size_t     count_at;                    /* where its number of ops is written */
    fn_buf_t   scratch;
    int        failed;                      /* no memory: nothing is sent, the jobs stay in the slot */
};

fn_finish_t *fn_finish_new(void);                   /* reusable; NULL = no memory */
void fn_finish_free(fn_finish_t *f);
void fn_finish_start(fn_finish_t *f);               /* empties it */
void fn_finish_job(fn_finish_t *f, const fn_task_t *t);     /* acknowledges; what follows belongs to it */

/* Reply to the edge (nothing when reply_to is empty); headers = "Name: value\n" lines. */
void fn_finish_reply(fn_finish_t *f, const fn_task_t *t, unsigned status, const char *body, size_t body_len,
                     const char *headers, size_t headers_len, const fn_span_t *tags, unsigned ntags);
/* Publishes them and remembers revocations; keep_s: how long their generations are kept in Redis, 0: they are not. */
void fn_finish_tags(fn_finish_t *f, const fn_span_t *tags, unsigned ntags, unsigned keep_s);
/* The next step of the same job: suffix "", ":call" or ":commit"; attempt starts at 0 again. Lane of the job, or "net" for ":call". */
void fn_finish_next(fn_finish_t *f, const fn_task_t *t, const char *suffix, const char *body, size_t body_len);
/* The same envelope again after delay_ms (0 = at once), attempt as given. */
void fn_finish_again(fn_finish_t *f, const fn_task_t *t, unsigned attempt, unsigned delay_ms);
/* An operator wanted it to end: the job state "failed" and a 409 CONFLICT; no dead letter. */
void fn_finish_cancelled(fn_finish_t *f, const fn_task_t *t);
/* To the dead letters, with the job state "failed" and a 500 INTERNAL_ERROR reply in the contract's shape. */
void fn_finish_dead(fn_finish_t *f, const fn_task_t *t);
/* Any envelope into a queue: for follow-ups. */
void fn_finish_push(fn_finish_t *f, const char *lane, char prio, const char *envelope, size_t n);
/* The same, not before run_at_ms (unix time; 0 = at once). */
void fn_finish_at(fn_finish_t *f, const char *lane, char prio, const char *envelope, size_t n, uint64_t run_at_ms);

/*
 * Sends the results. lost (NULL, or n bytes by order of fn_finish_job) says whose job was not ours any more.
 * 0, or -1 when asked to quit before Redis answered: the jobs stay in their slots and are reaped.
 */
int fn_finish(fn_delivery_t *d, fn_finish_t *f, unsigned char *lost);
/* The same and fn_take in one round trip; the slots may be those of the results. The old batch must stay alive until it returns. */
int fn_finish_take(fn_delivery_t *d, fn_finish_t *f, unsigned char *lost, const unsigned *k, unsigned nk, unsigned max,
                   fn_batch_t *batch);

/* Puts everything in slot k back to the right end of its queue, as it was. For leaving in order. */
void fn_giveback(fn_delivery_t *d, unsigned k);

/*
 * Returns the jobs in a slot whose owner has gone to their queues, as jobs that may have been begun. suspect: they may have taken it down; with `only` (an id)
 * just that job may have. how: what happened to its process, for the log, or NULL. -1 = connection lost, else the number of jobs.
 */
int fn_reap(fn_redis_t *r, const char *slot, int suspect, const char *only, const char *how);

int         fn_task_parse(fn_task_t *t, const char *p, size_t n);      /* 0, or -1 = no envelope */
const char *fn_task_lane(const fn_task_t *t);

/* Whether jobs are to end; which is found out with fn_cancelled(). As of the last take. */
int fn_delivery_cancels(const fn_delivery_t *d);

/* The ids of jobs that are to end: an array of strings, the caller frees it. NULL: the connection was lost, or refused. */
redisReply *fn_cancelled(fn_delivery_t *d);

/* The connection, for single commands between the calls above; it may be down (c == NULL). */
fn_redis_t *fn_delivery_redis(fn_delivery_t *d);

/* Backoff with full jitter from the job's row: 0 .. min(cap, base << attempt) ms. */
unsigned fn_backoff_ms(const fn_job_t *job, unsigned attempt);

/* The request of a job, also of its later steps, and the context those carry (else empty). 0 or -1. */
int fn_task_request(const fn_task_t *t, fn_span_t *req, fn_span_t *ctx);

/* A text member of the request's meta ("request_id", "fp"), found by a cheap scan; 0 or -1 = none. */
int fn_meta_find(const fn_span_t *req, const char *name, fn_span_t *value);

/* The 500 of a job that cannot be done, in the contract's shape. */
void fn_internal_error(fn_buf_t *b, const fn_task_t *t);
/*
 * The envelope as it can be queued again: with all its tries, no deadline, no reply, and without the body if that is sensitive; from the
 * first step if that is all it needs (FN_JOB_STORED): then "called" in its body says that the call was made, or may have been.
 */
void fn_fresh_envelope(fn_buf_t *b, const fn_task_t *t);

/*
 * A dead letter: "d1 <attempt> <died_ms> <why>\n<fresh envelope>", why being one line of text. parse: 0, or -1 = not even an envelope;
 * what has no such line is an envelope that died for a reason nobody knows. raw of the task is the whole letter.
 */
typedef struct {
    fn_task_t  task;
    unsigned   attempt;
    uint64_t   died_ms;             /* 0 = unknown */
    fn_span_t  why;
} fn_dead_t;

void fn_dead_letter(fn_buf_t *b, const fn_task_t *t);
int  fn_dead_parse(fn_dead_t *d, const char *p, size_t n);

/* The request_id of a request's meta, for log lines; "" when there is none. Cheap scan, out is at least 65 bytes. */
void fn_request_id(const fn_task_t *t, char *out, size_t size);

/* The trace's id out of the envelope's traceparent (W3C Trace Context, section 3.2), for log lines; NULL when there is none. */
#define FN_TRACE_ID_LEN  32
const char *fn_trace_id(const fn_task_t *t, char out[FN_TRACE_ID_LEN + 1]);

/*
 * The body of ":call" and ":commit": "<req_len> <ctx_len>\n<req><ctx>" - two JSON texts side by side,
 * so that nobody has to parse one to find the other.
 */
void fn_step_body_format(fn_buf_t *b, const char *req, size_t req_len, const char *ctx, size_t ctx_len);
int  fn_step_body_parse(const char *body, size_t n, fn_span_t *req, fn_span_t *ctx);    /* 0 or -1 */

#endif
