/*
 * The C steps of what a person does to the account: verifying the address, a new password, closing it.  SQL never sees a password, a
 * code or a token, only hashes; and a mail that holds one gets it here, on its way out.
 */
#include <string.h>

#include <openssl/crypto.h>

#include "jobs.h"
#include "json_get.h"
#include "password.h"
#include "secret.h"

/* Who asks for the code of no id is to wait as long. */
#define FN_NO_ID  "00000000-0000-0000-0000-000000000000"

static fn_step_e fn_account_end(fn_buf_t *ctx);
static int fn_account_mail_secret(fn_buf_t *out, const fn_settings_t *s, const fn_json_field_t *f);


/* {"code_hash"}: of the code that this job's mail will hold */
fn_step_e
fn_code_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    (void) prepared;
    (void) prepared_len;
    (void) cache;

    fn_buf_adds(ctx, "{");

    if (fn_code_add_hash(ctx, s, &env->id) != 0) {
        return FN_STEP_DEAD;
    }

    return fn_account_end(ctx);
}


int
fn_code_add_hash(fn_buf_t *ctx, const fn_settings_t *s, const fn_span_t *id)
{
    int   rc;
    char  code[FN_SECRET_MAX], hash[FN_SHA256_HEX + 1];

    rc = fn_secret_make(code, s, FN_SECRET_CODE, id) == 0 && fn_secret_code_hash(hash, s, id, code, strlen(code)) == 0 ? 0 : -1;

    if (rc == 0) {
        fn_buf_addf(ctx, "\"code_hash\":\"%s\"", hash);
    }

    OPENSSL_cleanse(code, sizeof(code));

    return rc;
}


/* {"id","hash"}: what the code that was entered would be stored as */
fn_step_e
fn_verify_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    char             hash[FN_SHA256_HEX + 1];
    fn_span_t        id = { FN_NO_ID, sizeof(FN_NO_ID) - 1 };
    fn_step_e        step;
    fn_json_field_t  req[] = { FN_JSON_FIELD("body.verification_code"), FN_JSON_END };
    fn_json_field_t  known[] = { FN_JSON_FIELD("id"), FN_JSON_END };

    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_json_get(env->body.p, env->body.n, req) == 0 && fn_json_get(prepared, prepared_len, known) == 0) {

        if (known[0].type == FN_JSON_STRING) {
            id.p = fn_json_text(&known[0]);
            id.n = known[0].text.len;
        }

        if (fn_secret_code_hash(hash, s, &id, fn_json_text(&req[0]), req[0].text.len) == 0) {
            fn_buf_addf(ctx, "{\"hash\":\"%s\",\"id\":", hash);
            fn_json_add_raw(ctx, &known[0]);
            step = fn_account_end(ctx);
        }
    }

    fn_json_free(req);
    fn_json_free(known);

    return step;
}


/* {"token_hash"}: of the token that this job's mail will hold */
fn_step_e
fn_reset_mail_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache,
                    fn_buf_t *ctx)
{
    char       token[FN_SECRET_MAX], hash[FN_SHA256_HEX + 1];
    fn_step_e  step;

    (void) prepared;
    (void) prepared_len;
    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_secret_make(token, s, FN_SECRET_TOKEN, &env->id) == 0 && fn_sha256_hex(hash, token, strlen(token)) == 0) {
        fn_buf_addf(ctx, "{\"token_hash\":\"%s\"", hash);
        step = fn_account_end(ctx);
    }

    OPENSSL_cleanse(token, sizeof(token));

    return step;
}


/* {"token_hash","password_hash"} */
fn_step_e
fn_reset_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    char             hash[FN_PASSWORD_HASH_MAX], token[FN_SHA256_HEX + 1];
    fn_step_e        step;
    fn_json_field_t  req[] = { FN_JSON_FIELD("body.password"), FN_JSON_FIELD("body.token"), FN_JSON_END };

    (void) prepared;
    (void) prepared_len;
    (void) s;
    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_json_get(env->body.p, env->body.n, req) == 0
        && req[0].type == FN_JSON_STRING
        && fn_sha256_hex(token, fn_json_text(&req[1]), req[1].text.len) == 0
        && fn_password_hash(hash, fn_json_text(&req[0]), req[0].text.len) == 0)
    {
        fn_buf_addf(ctx, "{\"token_hash\":\"%s\",\"password_hash\":", token);
        fn_buf_add_json_string(ctx, hash, strlen(hash));
        step = fn_account_end(ctx);
    }

    fn_json_free(req);

    return step;
}


/* {"ok","hash"}, and "password_hash" where there is a new one: whether the password is the account's, whose hash prepare gave */
fn_step_e
fn_confirm_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    int                    ok, rehash;
    char                   hash[FN_PASSWORD_HASH_MAX];
    fn_step_e              step;
    fn_json_field_t       *given;
    fn_json_field_t        req[] = { FN_JSON_FIELD("body.password"), FN_JSON_FIELD("body.current_password"), FN_JSON_FIELD("body.new_password"),
                                     FN_JSON_END };
    fn_json_field_t        known[] = { FN_JSON_FIELD("hash"), FN_JSON_END };
    const fn_json_field_t *next = &req[2];

    (void) s;
    (void) cache;

    step = FN_STEP_DEAD;

    if (fn_json_get(env->body.p, env->body.n, req) != 0 || fn_json_get(prepared, prepared_len, known) != 0) {
        goto done;
    }

    given = req[0].type == FN_JSON_STRING ? &req[0] : &req[1];
    ok = fn_password_verify(fn_json_text(&known[0]), fn_json_text(given), given->text.len, &rehash);

    fn_buf_addf(ctx, "{\"ok\":%s,\"hash\":", ok ? "true" : "false");
    fn_json_add_raw(ctx, &known[0]);

    if (ok && next->type == FN_JSON_STRING) {
        if (fn_password_hash(hash, fn_json_text(next), next->text.len) != 0) {
            goto done;
        }

        fn_buf_adds(ctx, ",\"password_hash\":");
        fn_buf_add_json_string(ctx, hash, strlen(hash));
    }

    step = fn_account_end(ctx);

done:

    fn_json_free(req);
    fn_json_free(known);

    return step;
}


enum { FN_MAIL_VARS_RAW, FN_MAIL_KIND, FN_MAIL_VAR, FN_MAIL_ID, FN_MAIL_PREFIX, FN_MAIL_COPIED };

/* What prepare gave; with "secret":{"kind","var","id","prefix"?} the code or token of that id is put among the values, behind the prefix. */
fn_step_e
fn_mail_local(const fn_job_env_t *env, const char *prepared, size_t prepared_len, const fn_settings_t *s, fn_cache_t *cache, fn_buf_t *ctx)
{
    size_t           i;
    fn_buf_t         mail = FN_BUF_INIT;
    fn_step_e        step;
    fn_json_field_t  f[] = {
        FN_JSON_FIELD("vars"), FN_JSON_FIELD("secret.kind"), FN_JSON_FIELD("secret.var"), FN_JSON_FIELD("secret.id"),
        FN_JSON_FIELD("secret.prefix"),
        FN_JSON_FIELD("template"), FN_JSON_FIELD("language"), FN_JSON_FIELD("to"), FN_JSON_FIELD("name"), FN_JSON_FIELD("user_id"), FN_JSON_END
    };

    step = FN_STEP_DEAD;

    if (fn_json_get(prepared, prepared_len, f) != 0 || f[FN_MAIL_VARS_RAW].type != FN_JSON_OBJECT) {
        goto done;
    }

    for (i = FN_MAIL_COPIED; f[i].path != NULL; i++) {
        fn_buf_addf(&mail, "%s\"%s\":", i == FN_MAIL_COPIED ? "{" : ",", f[i].path);
        fn_json_add_raw(&mail, &f[i]);
    }

    fn_buf_adds(&mail, ",\"vars\":");

    if (f[FN_MAIL_KIND].type != FN_JSON_STRING) {
        fn_json_add_raw(&mail, &f[FN_MAIL_VARS_RAW]);

    } else if (fn_account_mail_secret(&mail, s, f) != 0) {
        goto done;
    }

    fn_buf_adds(&mail, "}");

    if (!mail.failed) {
        step = fn_deliver_local(env, mail.data, mail.len, s, cache, ctx);
    }

done:

    if (mail.data != NULL) {
        OPENSSL_cleanse(mail.data, mail.size);
    }

    fn_buf_free(&mail);
    fn_json_free(f);

    return step;
}


static int
fn_account_mail_secret(fn_buf_t *out, const fn_settings_t *s, const fn_json_field_t *f)
{
    char              text[FN_SECRET_MAX];
    fn_buf_t          value = FN_BUF_INIT;
    fn_span_t         id, rest;
    fn_secret_e       kind;

    id.p = fn_json_text(&f[FN_MAIL_ID]);
    id.n = f[FN_MAIL_ID].text.len;

    if (f[FN_MAIL_VAR].type != FN_JSON_STRING || id.n == 0
        || fn_secret_kind(fn_json_text(&f[FN_MAIL_KIND]), &kind) != 0 || fn_secret_make(text, s, kind, &id) != 0)
    {
        return -1;
    }

    fn_buf_adds(&value, fn_json_text(&f[FN_MAIL_PREFIX]));
    fn_buf_adds(&value, text);

    fn_buf_adds(out, "{");
    fn_json_add_raw(out, &f[FN_MAIL_VAR]);
    fn_buf_adds(out, ":");
    fn_buf_add_json_string(out, value.data, value.len);

    /* the other values: what stands between the braces */
    rest.p = f[FN_MAIL_VARS_RAW].raw.p + 1;
    rest.n = f[FN_MAIL_VARS_RAW].raw.n - 2;

    if (memchr(rest.p, '"', rest.n) != NULL) {
        fn_buf_adds(out, ",");
        fn_buf_add(out, rest.p, rest.n);
    }

    fn_buf_adds(out, "}");

    OPENSSL_cleanse(text, sizeof(text));

    if (value.data != NULL) {
        OPENSSL_cleanse(value.data, value.size);
    }

    fn_buf_free(&value);

    return out->failed ? -1 : 0;
}


/* Closes the context. */
static fn_step_e
fn_account_end(fn_buf_t *ctx)
{
    fn_buf_adds(ctx, "}");

    return ctx->failed ? FN_STEP_DEAD : FN_STEP_COMMIT;
}
