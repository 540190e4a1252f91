/* The step functions of each job, joined to the job table in steps.c. */
#ifndef FN_JOBS_STEPS_H
#define FN_JOBS_STEPS_H

#include "../steps.h"

/* auth.c */
fn_step_e fn_auth_signup_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                               const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_auth_login_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                              const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_auth_refresh_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                                const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
int       fn_auth_render(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len,
                         const fn_settings_t *s, fn_cache_t *cache, const char *commit_ctx, size_t commit_ctx_len,
                         fn_buf_t *out_body, fn_buf_t *out_headers);

/* account.c */
fn_step_e fn_code_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                        const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_verify_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                          const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_reset_mail_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                              const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_reset_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                         const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_confirm_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                           const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
fn_step_e fn_mail_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                        const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);

/* Appends "code_hash":"...", of the code that is made of `id`. 0, or -1. */
int       fn_code_add_hash(fn_buf_t *ctx, const fn_settings_t *s, const fn_span_t *id);

/* motivation.c */
fn_step_e fn_motivation_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                              const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
int       fn_motivation_joined(const char *ctx, size_t ctx_len, const char *result, size_t result_len,
                               const fn_settings_t *s, fn_buf_t *commit_ctx);
int       fn_motivation_render(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len,
                               const fn_settings_t *s, fn_cache_t *cache, const char *commit_ctx, size_t commit_ctx_len,
                               fn_buf_t *out_body, fn_buf_t *out_headers);

/* Whether there is money left for today and this month; and what a call has cost, in micro-dollars, which is counted. */
int       fn_ai_may_spend(const fn_settings_t *s, int64_t today, int64_t month);
int64_t   fn_ai_cost(const fn_settings_t *s, int64_t prompt, int64_t completion, int64_t cached);

/* translation.c */
fn_step_e fn_translation_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                               const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
int       fn_translation_joined(const char *ctx, size_t ctx_len, const char *result, size_t result_len,
                                const fn_settings_t *s, fn_buf_t *commit_ctx);

/* deliver.c */
fn_step_e fn_deliver_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                           const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
int       fn_deliver_joined(const char *ctx, size_t ctx_len, const char *result, size_t result_len,
                            const fn_settings_t *s, fn_buf_t *commit_ctx);

/* media.c */
fn_step_e fn_media_upload_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len,
                                const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx);
int       fn_media_render(const fn_job_env_t *env, unsigned status, const char *body, size_t body_len,
                          const fn_settings_t *s, fn_cache_t *cache, const char *commit_ctx, size_t commit_ctx_len,
                          fn_buf_t *out_body, fn_buf_t *out_headers);

#endif
