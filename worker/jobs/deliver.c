/*
 * Jobs that do nothing but hand something to an outside service: pushes, mails, events, alerts, speech.  What is to be said is their context, made
 * by SQL (prepare) or sent along in the request; the commit gets {"ctx","result","off"}: result null when the service did not do
 * it, off when nobody has configured it.
 */
#include <string.h>

#include "jobs.h"
#include "json_get.h"

static void
fn_deliver_context(fn_buf_t *out, const char *ctx, size_t ctx_len, const char *result, size_t result_len, int off)
{
    fn_buf_adds(out, "{\"ctx\":");
    fn_buf_add(out, ctx, ctx_len);
    fn_buf_adds(out, ",\"result\":");

    if (result != NULL && result_len > 0) {
        fn_buf_add(out, result, result_len);
    } else {
        fn_buf_adds(out, "null");
    }

    fn_buf_addf(out, ",\"off\":%s}", off ? "true" : "false");
}


fn_step_e
fn_deliver_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    fn_span_t          what = { prepared, prepared_len };
    fn_step_e          step;
    const fn_steps_t  *steps;
    fn_json_field_t    f[] = { FN_JSON_FIELD("body"), FN_JSON_END };

    (void) cache;

    step = FN_STEP_DEAD;
    steps = fn_steps_find(env->job.p, env->job.n);

    /* without prepare the request itself is what is to be said */
    if (prepared_len == 0 && fn_json_get(env->body.p, env->body.n, f) == 0 && f[0].type == FN_JSON_OBJECT) {
        what = f[0].raw;
    }

    if (steps != NULL && steps->call != NULL && what.n > 0) {
        if (steps->call->configured(s)) {
            fn_buf_add(ctx, what.p, what.n);
            step = FN_STEP_CALL;

        } else {
            fn_deliver_context(ctx, what.p, what.n, NULL, 0, 1);
            step = FN_STEP_COMMIT;
        }
    }

    fn_json_free(f);

    return step;
}


int
fn_deliver_joined(const char *ctx, size_t ctx_len, const char *result, size_t result_len, const fn_settings_t *s, fn_buf_t *commit_ctx)
{
    (void) s;

    fn_deliver_context(commit_ctx, ctx, ctx_len, result, result_len, 0);

    return commit_ctx->failed ? -1 : 0;
}
