/*
 * The C steps of jobs, joined to the rows of libfitnudge/fn_jobs.c by name (worker/jobs/steps.c has the table).
 * All run in an executor process, one at a time, and may block on CPU; never on the network.
 */
#ifndef FN_STEPS_H
#define FN_STEPS_H

#include "libfitnudge/fn_envelope.h"
#include "libfitnudge/fn_jobs.h"
#include "libfitnudge/fn_settings.h"
#include "provider.h"

/* Commands the steps may send to Redis; implemented by the executor (blocking, short timeout). A failure is like a miss. */
typedef struct fn_cache_s fn_cache_t;
int  fn_cache_get(fn_cache_t *c, const char *key, fn_buf_t *out);                                   /* 1 hit, 0 miss */
void fn_cache_set(fn_cache_t *c, const char *key, const char *value, size_t len, int64_t ttl_ms);

typedef enum {
    FN_STEP_COMMIT,     /* go on to commit with ctx */
    FN_STEP_CALL,       /* hop to the net lane with ctx */
    FN_STEP_DEAD        /* cannot ever work; logged */
} fn_step_e;

typedef struct {
    const char *job;            /* row in fn_jobs */

    /* After prepare (prepared = its context JSON, "" without prepare). req is the whole p_req. Appends the ctx JSON for call or commit. */
    fn_step_e (*local)(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                       const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);

    const fn_provider_t *call;  /* or NULL */

    /* Net lane, when the exchange ended: joins the call's ctx and the provider's result (NULL when it failed) into the commit's ctx. */
    int (*joined)(const char *ctx, size_t ctx_len, const char *result, size_t result_len,
                  const fn_settings_t *s, fn_buf_t *commit_ctx);

    /* After commit: may rewrite the body of a 2xx and add header lines ("Name: value\n"). commit_ctx is NULL on replay. */
    int (*render)(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len,
                  const fn_settings_t *s, fn_cache_t *cache, const char *commit_ctx, size_t commit_ctx_len,
                  fn_buf_t *out_body, fn_buf_t *out_headers);
} fn_steps_t;

const fn_steps_t *fn_steps_find(const char *job, size_t len);   /* NULL: a plain write */

#endif
