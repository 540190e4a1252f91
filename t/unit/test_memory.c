/*
 * Every allocation fails in turn: nothing crashes, nothing leaks (under the sanitizer), and a
 * function that says it succeeded has the whole result.
 */
#include "check_main.h"

#include "fn_conf.h"
#include "fn_envelope.h"
#include "fn_field.h"
#include "fn_jwt.h"
#include "fn_routes.h"

#define ID   "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
#define KEY  "0123456789abcdef0123456789abcdef"

#define SPAN(s)  { s, sizeof(s) - 1 }

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

static long  countdown = -1;        /* allocations until one fails; -1: none does */
static int   tripped;


static int
fails(void)
{
    if (countdown < 0 || countdown-- > 0) {
        return 0;
    }

    tripped = 1;

    return 1;
}


void *
__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}


void *
__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}


char *
__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}


/* Runs `f` with the 1st, 2nd, ... allocation failing until none is reached any more. 0 from `f` is success. */

static void
each(int (*f)(fn_buf_t *out))
{
    int       rc;
    long      n;
    fn_buf_t  whole = FN_BUF_INIT, out;

    ck_assert_int_eq(f(&whole), 0);

    for (n = 0, tripped = 1; tripped; n++) {
        ck_assert_int_lt(n, 10000);
        memset(&out, 0, sizeof(out));
        tripped = 0;
        countdown = n;
        rc = f(&out);
        countdown = -1;

        if (rc == 0) {
            ck_assert_uint_eq(out.len, whole.len);
            ck_assert_mem_eq(out.data, whole.data, whole.len);
        } else {
            ck_assert_msg(tripped, "failed without a reason");
        }
        fn_buf_free(&out);
    }

    ck_assert_int_gt(n, 1);
    fn_buf_free(&whole);
}


static int
a_job(fn_buf_t *out)
{
    static char   body[2000];
    fn_job_env_t  e = { SPAN(ID), SPAN("goals.create"), 'n', 1, 2, 0, SPAN(ID), { 0 }, { 0 }, { body, sizeof(body) } };

    memset(body, 'x', sizeof(body));

    return fn_job_env_format(out, &e);
}


static int
a_reply(fn_buf_t *out)
{
    static char     body[2000];
    fn_reply_env_t  e = { .id = SPAN(ID), .status = 200, .content_type = SPAN("application/json"),
                          .nheaders = 1, .header_names = { SPAN("Location") }, .header_values = { SPAN("/") } };

    memset(body, 'x', sizeof(body));
    e.body.p = body;
    e.body.n = sizeof(body);

    return fn_reply_env_format(out, &e);
}


static int
a_token(fn_buf_t *out)
{
    fn_jwt_policy_t  policy = { KEY, 32, "fitnudge", "authenticated", 0, 0, NULL };
    fn_jwt_claims_t  c = { .sub = ID, .role = "authenticated", .iat = 1, .exp = 2 };

    return fn_jwt_sign(out, &policy, &c);
}


static int
a_body(fn_buf_t *out)
{
    static const char  text[] =
        "{\"title\":\"a title that is long enough\",\"description\":\"\\u00e9 and so on, until the buffer of the"
        " output has grown twice or so, because that is where an allocation may fail\",\"frequency\":3}";
    fn_field_error_t   err;
    const fn_route_t  *r;

    for (r = fn_routes; strcmp(r->function, "goals.create") != 0; r++) { /* void */ }

    return fn_fields_validate_json(r->body, text, sizeof(text) - 1, out, &err);
}


static const char *
note(const fn_conf_directive_t *d, void *data)
{
    unsigned  i;

    for (i = 0; i < d->argc; i++) {
        fn_buf_adds(data, d->argv[i]);
        fn_buf_adds(data, " ");
    }

    return ((fn_buf_t *) data)->failed ? "no memory" : NULL;
}


static int
a_conf(fn_buf_t *out)
{
    static const char  text[] =
        "user x;\nhttp {\n fitnudge_redis unix:/r.sock;\n fitnudge_worker { postgres 'dbname=x user=y'; sql_batch 3; }\n"
        " server { listen 80; location / { return 200 \"a text that makes the buffer grow a few times more\"; } }\n}\n";
    int                rc;
    char               err[512] = "";

    rc = fn_conf_parse("nginx.conf", text, sizeof(text) - 1, note, out, err, sizeof(err));
    if (rc != 0) {
        ck_assert_str_ne(err, "");      /* only now: an assertion allocates as well */
    }

    return rc;
}


static const struct { int (*f)(fn_buf_t *out); const char *name; } writers[] = {
    { a_job, "job" }, { a_reply, "reply" }, { a_token, "token" }, { a_body, "body" }, { fn_openapi_write, "openapi" },
    { a_conf, "conf" },
};

START_TEST(writer)
{
    each(writers[_i].f);
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("memory");
    TCase  *tc = tcase_create("memory");

    fn_add_rows(tc, writer, writers);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
