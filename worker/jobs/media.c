/* Uploads: SQL decides whether there is room and writes down what may come; here its answers get their addresses. */
#include "../libfitnudge/fn_r2.h"
#include "../libfitnudge/fn_time.h"
#include "jobs.h"

/* What SQL has to know of the settings. */
fn_step_e
fn_media_upload_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache,
                      fn_buf_t *ctx)
{
    (void) env;
    (void) prepared;
    (void) prepared_len;
    (void) cache;

    if (fn_r2_configured(s)) {
        fn_buf_addf(ctx, "{\"ttl_s\":%lld}", (long long) s->r2_url_ttl_ms / 1000);

    } else {
        fn_buf_adds(ctx, "{\"ttl_s\":null}");
    }

    return FN_STEP_COMMIT;
}


/* Answers in which SQL names objects: libfitnudge/fn_r2.h. */
int
fn_media_render(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len, const fn_settings_t *s, fn_cache_t *cache,
                const char *commit_ctx, size_t commit_ctx_len, fn_buf_t *out_body, fn_buf_t *out_headers)
{
    (void) env;
    (void) status;
    (void) cache;
    (void) commit_ctx;
    (void) commit_ctx_len;
    (void) out_headers;

    return fn_r2_sign_urls(out_body, s, body, body_len, fn_now_ms());
}
