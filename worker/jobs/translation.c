/* translation.fill: SQL makes the prompt and judges the answer (sql/deploy/translations.sql); what is C here is the money. */
#include "jobs.h"
#include "json_get.h"
#include "../providers/openai.h"


fn_step_e
fn_translation_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                     const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    int              may;
    fn_json_field_t  f[] = { FN_JSON_FIELD("spent_today"), FN_JSON_FIELD("spent_month"), FN_JSON_END };

    if (fn_json_get(prepared, prepared_len, f) != 0) {
        fn_json_free(f);
        return FN_STEP_DEAD;
    }

    may = fn_ai_may_spend(s, f[0].number, f[1].number);
    fn_json_free(f);

    if (may) {
        return fn_deliver_local(env, prepared, prepared_len, s, cache, ctx);
    }

    fn_buf_adds(ctx, "{\"ctx\":{},\"result\":null,\"off\":true}");

    return ctx->failed ? FN_STEP_DEAD : FN_STEP_COMMIT;
}


int
fn_translation_joined(const char *ctx, size_t ctx_len, const char *result, size_t result_len,
                      const fn_settings_t *s, fn_buf_t *commit_ctx)
{
    int64_t          cost;
    fn_buf_t         b = FN_BUF_INIT;
    fn_json_field_t  f[] = { FN_JSON_FIELD("prompt_tokens"), FN_JSON_FIELD("completion_tokens"), FN_JSON_FIELD("cached_tokens"), FN_JSON_END };

    cost = 0;

    if (result != NULL && fn_json_get(result, result_len, f) == 0) {
        cost = fn_ai_cost(s, f[0].number, f[1].number, f[2].number);
    }

    fn_json_free(f);

    if (fn_deliver_joined(ctx, ctx_len, result, result_len, s, &b) != 0) {
        fn_buf_free(&b);
        return -1;
    }

    /* one member more before the last brace */
    fn_buf_add(commit_ctx, b.data, b.len - 1);
    fn_buf_addf(commit_ctx, ",\"cost\":%lld}", (long long) cost);
    fn_buf_free(&b);

    return commit_ctx->failed ? -1 : 0;
}
