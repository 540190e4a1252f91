/* The C steps of accounts: codes and tokens of ids, the passwords that have to be given again, and the mails that hold a secret. */
#include "pool_test.h"

#include <stdlib.h>

#include "jobs/digest.h"
#include "jobs/json_get.h"
#include "jobs/secret.h"
#include "steps.h"

#define JOB    "0195f000-0000-7000-8000-0000000000aa"
#define OTHER  "0195f000-0000-7000-8000-0000000000ab"

#define KEY    "a test key of at least 32 bytes, no more"

struct fn_cache_s {
    int  unused;
};

static fn_settings_t  settings;
static fn_cache_t     cache;


int
fn_cache_get(fn_cache_t *c, const char *key, fn_buf_t *out)
{
    (void) c;
    (void) key;
    (void) out;

    return 0;
}


void
fn_cache_set(fn_cache_t *c, const char *key, const char *value, size_t len, int64_t ttl_ms)
{
    (void) c;
    (void) key;
    (void) value;
    (void) len;
    (void) ttl_ms;
}


static fn_step_e
local(const char *job, const char *req, const char *prepared, fn_buf_t *ctx)
{
    fn_job_env_t  env;

    memset(&env, 0, sizeof(env));
    env.id = span(JOB);
    env.job = span(job);
    env.body = span(req);
    fn_buf_reset(ctx);

    return fn_steps_find(job, strlen(job))->local(&env, prepared, strlen(prepared), &settings, &cache, ctx);
}


/* The text at one path of a JSON document; good until the next call. */
static const char *
at(const fn_buf_t *doc, const char *path)
{
    static char      text[2048];
    fn_json_field_t  f[] = { FN_JSON_FIELD(path), FN_JSON_END };

    (void) snprintf(text, sizeof(text), "(absent)");

    if (fn_json_get(doc->data, doc->len, f) != 0) {
        (void) snprintf(text, sizeof(text), "(no JSON)");
    } else if (f[0].type == FN_JSON_STRING) {
        (void) snprintf(text, sizeof(text), "%s", fn_json_text(&f[0]));
    } else if (f[0].type != FN_JSON_ABSENT) {
        (void) snprintf(text, sizeof(text), "%.*s", (int) f[0].raw.n, f[0].raw.p);
    }

    fn_json_free(f);

    return text;
}


static void
test_secret(void)
{
    char         code[FN_SECRET_MAX], again[FN_SECRET_MAX], token[FN_SECRET_MAX], hash[FN_SHA256_HEX + 1], other[FN_SHA256_HEX + 1];
    fn_span_t    id = span(JOB), id2 = span(OTHER);
    fn_secret_e  kind;

    ok(fn_secret_make(code, &settings, FN_SECRET_CODE, &id) == 0 && strlen(code) == FN_SECRET_CODE_LEN
       && strspn(code, "0123456789") == FN_SECRET_CODE_LEN, "a code is six digits");
    ok(fn_secret_make(again, &settings, FN_SECRET_CODE, &id) == 0 && strcmp(code, again) == 0, "the same at each delivery");
    ok(fn_secret_make(again, &settings, FN_SECRET_CODE, &id2) == 0 && strcmp(code, again) != 0, "another of another id");
    ok(fn_secret_make(token, &settings, FN_SECRET_TOKEN, &id) == 0 && strlen(token) == FN_SHA256_HEX, "a token is 256 bits");

    ok(fn_secret_code_hash(hash, &settings, &id, code, strlen(code)) == 0
       && fn_secret_code_hash(other, &settings, &id2, code, strlen(code)) == 0 && strcmp(hash, other) != 0, "a code's hash is bound to its id");
    settings.jwt_secret = "another key of at least 32 bytes, really";
    ok(fn_secret_code_hash(other, &settings, &id, code, strlen(code)) == 0 && strcmp(hash, other) != 0, "and to the key");
    settings.jwt_secret = NULL;
    ok(fn_secret_make(again, &settings, FN_SECRET_TOKEN, &id) == -1, "without a key there is none");
    settings.jwt_secret = KEY;

    ok(fn_secret_kind("reset_token", &kind) == 0 && kind == FN_SECRET_TOKEN, "a kind has a name");
    ok(fn_secret_kind("password", &kind) == -1, "no other");
}


/* What a mail says is what the job before has stored the hash of. */
static void
test_mail(void)
{
    char      code[8], hash[FN_SHA256_HEX + 1];
    fn_buf_t  ctx = FN_BUF_INIT, req = FN_BUF_INIT, mail = FN_BUF_INIT;

    ok(local("auth.verify_resend", "{\"body\":{}}", "", &ctx) == FN_STEP_COMMIT, "a code is made");
    (void) snprintf(hash, sizeof(hash), "%s", at(&ctx, "code_hash"));

    /* without a mail server the mail's context goes to the commit */
    ok(local("mail.send", "{}", "{\"template\":\"verification\",\"language\":\"en\",\"to\":\"a@b.c\",\"name\":\"A\",\"user_id\":\"u\","
             "\"vars\":{\"expires_minutes\":15},\"secret\":{\"kind\":\"verification_code\",\"var\":\"verification_code\",\"id\":\"" JOB "\"}}", &mail)
       == FN_STEP_COMMIT, "and its mail");
    (void) snprintf(code, sizeof(code), "%s", at(&mail, "ctx.vars.verification_code"));
    is(at(&mail, "ctx.vars.expires_minutes"), "15", "with the other values");
    is(at(&mail, "ctx.to"), "a@b.c", "and the rest");
    is(at(&mail, "ctx.secret"), "(absent)", "but not how it was made");

    fn_buf_addf(&req, "{\"body\":{\"verification_code\":\"%s\"}}", code);
    ok(local("auth.verify_email", req.data, "{\"id\":\"" JOB "\"}", &ctx) == FN_STEP_COMMIT, "what is entered");
    is(at(&ctx, "hash"), hash, "is what was sent");
    is(at(&ctx, "id"), JOB, "for this id");
    ok(local("auth.verify_email", req.data, "{\"id\":null}", &ctx) == FN_STEP_COMMIT && strcmp(at(&ctx, "hash"), hash) != 0, "and for no other");
    is(at(&ctx, "id"), "null", "also for none");

    ok(local("auth.password_mail", "{\"body\":{}}", "", &ctx) == FN_STEP_COMMIT, "a token is made");
    ok(local("mail.send", "{}", "{\"template\":\"password_reset\",\"language\":\"en\",\"to\":\"a@b.c\",\"name\":\"A\",\"user_id\":\"u\",\"vars\":{},"
             "\"secret\":{\"kind\":\"reset_token\",\"var\":\"reset_url\",\"id\":\"" JOB "\",\"prefix\":\"https://x/?t=\"}}", &mail) == FN_STEP_COMMIT, "and its mail");
    ok(strncmp(at(&mail, "ctx.vars.reset_url"), "https://x/?t=", 13) == 0, "behind the address");
    (void) fn_sha256_hex(hash, at(&mail, "ctx.vars.reset_url") + 13, FN_SHA256_HEX);
    is(at(&ctx, "token_hash"), hash, "is what the database has the hash of");

    ok(local("mail.send", "{}", "{\"template\":\"welcome\",\"vars\":{\"a\":1},\"secret\":null}", &mail) == FN_STEP_COMMIT, "most mails have none");
    is(at(&mail, "ctx.vars"), "{\"a\":1}", "and are as they were");
    ok(local("mail.send", "{}", "{\"vars\":{},\"secret\":{\"kind\":\"nonsense\",\"var\":\"x\",\"id\":\"" JOB "\"}}", &mail) == FN_STEP_DEAD, "an unknown kind is dead");
    ok(local("mail.send", "{}", "{\"vars\":{},\"secret\":{\"kind\":\"reset_token\"}}", &mail) == FN_STEP_DEAD, "as is one of no id");
    ok(local("mail.send", "{}", "{}", &mail) == FN_STEP_DEAD, "or of no values");

    fn_buf_free(&ctx);
    fn_buf_free(&req);
    fn_buf_free(&mail);
}


static void
test_passwords(void)
{
    char      hash[FN_SHA256_HEX + 1];
    fn_buf_t  ctx = FN_BUF_INIT, known = FN_BUF_INIT;

    ok(local("auth.password_reset", "{\"body\":{\"token\":\"t\",\"password\":\"brand new 1\"}}", "", &ctx) == FN_STEP_COMMIT, "reset");
    (void) fn_sha256_hex(hash, "t", 1);
    is(at(&ctx, "token_hash"), hash, "the token's hash");
    ok(strncmp(at(&ctx, "password_hash"), "$y$", 3) == 0, "the password's");
    ok(strstr(ctx.data, "brand new") == NULL, "and not itself");
    fn_buf_addf(&known, "{\"hash\":\"%s\"}", at(&ctx, "password_hash"));
    ok(local("auth.password_reset", "{\"body\":{\"token\":\"t\"}}", "", &ctx) == FN_STEP_DEAD, "without a password: dead");

    ok(local("users.delete", "{\"body\":{\"password\":\"brand new 1\"}}", known.data, &ctx) == FN_STEP_COMMIT, "given again");
    is(at(&ctx, "ok"), "true", "right");
    is(at(&ctx, "password_hash"), "(absent)", "no new one");
    ok(local("users.delete", "{\"body\":{\"password\":\"brand new 2\"}}", known.data, &ctx) == FN_STEP_COMMIT, "given again");
    is(at(&ctx, "ok"), "false", "wrong");
    ok(local("users.delete", "{\"body\":{\"password\":\"\"}}", "{\"hash\":null}", &ctx) == FN_STEP_COMMIT, "who has none");
    is(at(&ctx, "ok"), "false", "has no right one");

    ok(local("auth.password_change", "{\"body\":{\"current_password\":\"brand new 1\",\"new_password\":\"brand new 2\"}}", known.data, &ctx)
       == FN_STEP_COMMIT, "changed");
    is(at(&ctx, "ok"), "true", "with the right one");
    ok(strncmp(at(&ctx, "password_hash"), "$y$", 3) == 0, "to a new hash");
    ok(local("auth.password_change", "{\"body\":{\"current_password\":\"wrong\",\"new_password\":\"brand new 2\"}}", known.data, &ctx)
       == FN_STEP_COMMIT, "or not");
    is(at(&ctx, "password_hash"), "(absent)", "and nothing is hashed");
    ok(local("auth.password_change", "{\"body\":", known.data, &ctx) == FN_STEP_DEAD, "no JSON: dead");
    ok(local("auth.password_change", "{\"body\":{}}", "", &ctx) == FN_STEP_DEAD, "nothing prepared: dead");

    fn_buf_free(&ctx);
    fn_buf_free(&known);
}


int
main(void)
{
    if (fn_settings_init(&settings) != 0) {
        return EXIT_FAILURE;
    }

    settings.jwt_secret = KEY;

    test_secret();
    test_mail();
    test_passwords();

    settings.jwt_secret = NULL;
    fn_settings_free(&settings);

    return done_testing();
}
