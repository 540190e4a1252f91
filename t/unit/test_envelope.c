/* Envelopes: what is written is read again, what is malformed is refused. */
#include "check_main.h"

#include "fn_envelope.h"

#define ID     "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
#define USER   "0a7f22e2-79b0-7cc3-98c4-dc0c0c07398f"
#define TRACE  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

#define SPAN(s)  { s, sizeof(s) - 1 }
#define is_span(span, s)                                                      \
    do {                                                                      \
        ck_assert_uint_eq((span).n, strlen(s));                               \
        ck_assert_mem_eq((span).p, s, (span).n);                              \
    } while (0)


/* A copy with nothing behind it, so that a sanitizer sees a read beyond the end. */

static char *
exact(const char *s, size_t n)
{
    char  *p = malloc(n ? n : 1);

    ck_assert_ptr_nonnull(p);
    memcpy(p, s, n);

    return p;
}


START_TEST(job_round_trip)
{
    fn_buf_t      b = FN_BUF_INIT;
    fn_job_env_t  got, e = {
        SPAN(ID), SPAN("checkins.create:commit"), 'h', 1767225600123, 1767225605123, 3, SPAN(USER), SPAN("edge-1.77"),
        SPAN(TRACE), SPAN("{\"a\":1}\nsecond line\n")
    };

    fn_buf_adds(&b, "before");
    ck_assert_int_eq(fn_job_env_format(&b, &e), 0);
    ck_assert_str_eq(b.data, "beforew1 " ID " checkins.create:commit h 1767225600123 1767225605123 3 " USER
                             " edge-1.77 " TRACE "\n{\"a\":1}\nsecond line\n");
    ck_assert_int_eq(fn_job_env_parse(&got, b.data + 6, b.len - 6), 0);

    is_span(got.id, ID);
    is_span(got.job, "checkins.create:commit");
    ck_assert_int_eq(got.prio, 'h');
    ck_assert_uint_eq(got.enqueued_ms, 1767225600123);
    ck_assert_uint_eq(got.deadline_ms, 1767225605123);
    ck_assert_uint_eq(got.attempt, 3);
    is_span(got.user, USER);
    is_span(got.reply_to, "edge-1.77");
    is_span(got.traceparent, TRACE);
    is_span(got.body, "{\"a\":1}\nsecond line\n");
    fn_buf_free(&b);
}
END_TEST


START_TEST(job_bare)
{
    static const char  text[] = "w1 " ID " auth.login n 0 0 0 - - -\n";
    fn_job_env_t       e;

    ck_assert_int_eq(fn_job_env_parse(&e, text, sizeof(text) - 1), 0);
    ck_assert_uint_eq(e.user.n, 0);
    ck_assert_uint_eq(e.reply_to.n, 0);
    ck_assert_uint_eq(e.traceparent.n, 0);
    ck_assert_uint_eq(e.body.n, 0);
}
END_TEST


static const char *const  bad_jobs[] = {
    "", "w", "w1", "w1 ", "w1 \n", "\n",
    "w2 " ID " a n 0 0 0 - - -\n{}",
    "W1 " ID " a n 0 0 0 - - -\n{}",
    "w1 " ID " a n 0 0 0 - - -",                            /* no end of line */
    "w1 " ID " a n 0 0 0 - -\n{}",                          /* too few */
    "w1 " ID " a n 0 0 0 - - - -\n{}",                      /* too many */
    "w1 " ID " a n 0 0 0 - - - \n{}",
    "w1 " ID " a n 0 0 0 - - - x\n",
    "w1 " ID " a n 0 0 0 -  -\n",
    "w1  " ID " a n 0 0 0 - - -\n",
    "w1 " ID " a n 0 0 0 - \x01 -\n",
    "w1 " ID "  a n 0 0 0 - - -\n{}",
    " w1 " ID " a n 0 0 0 - - -\n{}",
    "w1 " ID "\ta n 0 0 0 - - -\n{}",
    "w1 " ID " a n 0 0 0 - - -\r\n{}",
    "w1 no-uuid a n 0 0 0 - - -\n{}",
    "w1 - a n 0 0 0 - - -\n{}",
    "w1 " ID " A n 0 0 0 - - -\n{}",                        /* the name of a job */
    "w1 " ID " a/b n 0 0 0 - - -\n{}",
    "w1 " ID " a; n 0 0 0 - - -\n{}",
    "w1 " ID " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa n 0 0 0 - - -\n{}",
    "w1 " ID " a x 0 0 0 - - -\n{}",                        /* priority */
    "w1 " ID " a hn 0 0 0 - - -\n{}",
    "w1 " ID " a n -1 0 0 - - -\n{}",                       /* numbers */
    "w1 " ID " a n +1 0 0 - - -\n{}",
    "w1 " ID " a n 01 0 0 - - -\n{}",
    "w1 " ID " a n 1.0 0 0 - - -\n{}",
    "w1 " ID " a n 0x1 0 0 - - -\n{}",
    "w1 " ID " a n 9223372036854775808 0 0 - - -\n{}",
    "w1 " ID " a n 0 99999999999999999999 0 - - -\n{}",
    "w1 " ID " a n 0 0 1000001 - - -\n{}",
    "w1 " ID " a n 0 0 4294967296 - - -\n{}",
    "w1 " ID " a n 0 0 0 bob - -\n{}",                      /* user */
    "w1 " ID " a n 0 0 0 - \x7f -\n{}",
    "w1 " ID " a n 0 0 0 - \xc3\xa9 -\n{}",
};

START_TEST(job_refused)
{
    size_t        n = strlen(bad_jobs[_i]);
    char         *p = exact(bad_jobs[_i], n);
    fn_job_env_t  e;

    ck_assert_int_eq(fn_job_env_parse(&e, p, n), -1);
    free(p);
}
END_TEST


/* Every way to cut a good message short: the header must be whole, the body may be any. */

START_TEST(job_cut)
{
    static const char  text[] = "w1 " ID " goals.create h 1767225600123 1767225605123 3 " USER " edge " TRACE "\n{}";
    size_t             i, line = strchr(text, '\n') - text + 1;
    fn_job_env_t       e;

    for (i = 0; i < sizeof(text); i++) {
        char  *p = exact(text, i);

        ck_assert_int_eq(fn_job_env_parse(&e, p, i), i < line ? -1 : 0);
        free(p);
    }
}
END_TEST


static const fn_job_env_t  unwritable_jobs[] = {
    { SPAN("x"), SPAN("a"), 'n', 0, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), { 0 }, 'n', 0, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a b"), 'n', 0, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), 0, 0, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), '\n', 0, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), 'n', UINT64_MAX, 0, 0, { 0 }, { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), 'n', 0, 0, 0, SPAN("me"), { 0 }, { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), 'n', 0, 0, 0, { 0 }, SPAN("a b"), { 0 }, SPAN("{}") },
    { SPAN(ID), SPAN("a"), 'n', 0, 0, 0, { 0 }, { 0 }, SPAN("a\nb"), SPAN("{}") },
    { SPAN(ID), SPAN("a"), 'n', 0, 0, 0, { 0 }, { 0 }, SPAN("-\nx"), SPAN("{}") },
};

START_TEST(job_unwritable)
{
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_adds(&b, "kept");
    ck_assert_int_eq(fn_job_env_format(&b, &unwritable_jobs[_i]), -1);
    ck_assert_str_eq(b.data, "kept");
    fn_buf_free(&b);
}
END_TEST


START_TEST(size_limit)
{
    char          *body = malloc(FN_ENVELOPE_MAX);
    fn_buf_t       b = FN_BUF_INIT;
    fn_job_env_t   e = { SPAN(ID), SPAN("a"), 'n', 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 } };

    ck_assert_ptr_nonnull(body);
    memset(body, 'x', FN_ENVELOPE_MAX);
    e.body.p = body;
    e.body.n = FN_ENVELOPE_MAX;
    ck_assert_int_eq(fn_job_env_format(&b, &e), -1);
    e.body.n = FN_ENVELOPE_MAX - 128;
    ck_assert_int_eq(fn_job_env_format(&b, &e), 0);
    fn_buf_free(&b);
    free(body);
}
END_TEST


START_TEST(reply_round_trip)
{
    fn_buf_t        b = FN_BUF_INIT;
    fn_reply_env_t  got, e = {
        .id = SPAN(ID), .status = 201, .content_type = SPAN("application/json"),
        .ntags = 2, .tags = { SPAN("goals:" USER), SPAN("revoked:" ID ":1767225600") },
        .nheaders = 2, .header_names = { SPAN("Location"), SPAN("X-Empty") },
        .header_values = { SPAN("/api/v1/goals/1: x"), SPAN("") }, .body = SPAN("\n\n{}")
    };

    ck_assert_int_eq(fn_reply_env_format(&b, &e), 0);
    ck_assert_str_eq(b.data, "w1 " ID " 201 application/json 2 goals:" USER " revoked:" ID ":1767225600\n"
                             "Location: /api/v1/goals/1: x\nX-Empty: \n\n\n\n{}");
    ck_assert_int_eq(fn_reply_env_parse(&got, b.data, b.len), 0);

    ck_assert_uint_eq(got.status, 201);
    is_span(got.content_type, "application/json");
    ck_assert_uint_eq(got.ntags, 2);
    is_span(got.tags[1], "revoked:" ID ":1767225600");
    ck_assert_uint_eq(got.nheaders, 2);
    is_span(got.header_names[0], "Location");
    is_span(got.header_values[0], "/api/v1/goals/1: x");
    is_span(got.header_values[1], "");
    is_span(got.body, "\n\n{}");
    fn_buf_free(&b);
}
END_TEST


static const char *const  bad_replies[] = {
    "", "w1 " ID " 200 application/json 0\n",               /* no blank line */
    "w1 " ID " 200 application/json 0",
    "w1 " ID " 99 application/json 0\n\n",
    "w1 " ID " 600 application/json 0\n\n",
    "w1 " ID " 0200 application/json 0\n\n",
    "w1 " ID " 200  0\n\n",
    "w1 " ID " 200 application/json 1\n\n",
    "w1 " ID " 200 application/json 1 a b\n\n",
    "w1 " ID " 200 application/json 0 a\n\n",
    "w1 " ID " 200 application/json 17\n\n",
    "w1 " ID " 200 application/json 0\nLocation: \rx\n\n",
    "w1 " ID " 200 application/json 17 a a a a a a a a a a a a a a a a a\n\n",
    "w1 " ID " 200 application/json 99999999999999999999\n\n",
    "w1 " ID " 200 application/json 0 \n\n",
    "w1 " ID " 200 application/json 0\nLocation\n\n",       /* headers */
    "w1 " ID " 200 application/json 0\nLocation:x\n\n",
    "w1 " ID " 200 application/json 0\n: x\n\n",
    "w1 " ID " 200 application/json 0\nLoc ation: x\n\n",
    "w1 " ID " 200 application/json 0\nLocation: x\r\n\n",
    "w1 " ID " 200 application/json 0\nLocation: a\tb\n\n",
    "w1 " ID " 200 application/json 0\nL\xc3\xb6: x\n\n",
    "w1 " ID " 200 application/json 0\nA: 1\nA: 2\nA: 3\nA: 4\nA: 5\nA: 6\nA: 7\nA: 8\nA: 9\n\n",
    "w1 " ID " 200 application/json 0\nLocation: x",
};

START_TEST(reply_refused)
{
    size_t          n = strlen(bad_replies[_i]);
    char           *p = exact(bad_replies[_i], n);
    fn_reply_env_t  e;

    ck_assert_int_eq(fn_reply_env_parse(&e, p, n), -1);
    free(p);
}
END_TEST


static const fn_reply_env_t  unwritable_replies[] = {
    { .id = SPAN(ID), .status = 42, .content_type = SPAN("a") },
    { .id = SPAN(ID), .status = 200 },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .ntags = FN_TAGS_MAX + 1 },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .nheaders = FN_HEADERS_MAX + 1 },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .ntags = 1, .tags = { SPAN("a b") } },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .ntags = 1 },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .nheaders = 1,
      .header_names = { SPAN("A") }, .header_values = { SPAN("x\nSet-Cookie: y") } },       /* splitting */
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .nheaders = 1,
      .header_names = { SPAN("A") }, .header_values = { SPAN("x\n\nbody") } },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .nheaders = 1,
      .header_names = { SPAN("A") }, .header_values = { SPAN("x\ry") } },
    { .id = SPAN(ID), .status = 200, .content_type = SPAN("a"), .nheaders = 1, .header_values = { SPAN("x") } },
};

START_TEST(reply_unwritable)
{
    fn_buf_t  b = FN_BUF_INIT;

    fn_buf_adds(&b, "kept");
    ck_assert_int_eq(fn_reply_env_format(&b, &unwritable_replies[_i]), -1);
    ck_assert_str_eq(b.data, "kept");
    fn_buf_free(&b);
}
END_TEST


static Suite *
suite(void)
{
    Suite  *s = suite_create("envelope");
    TCase  *tc = tcase_create("envelope");

    fn_add(tc, job_round_trip);
    fn_add(tc, job_bare);
    fn_add_rows(tc, job_refused, bad_jobs);
    fn_add(tc, job_cut);
    fn_add_rows(tc, job_unwritable, unwritable_jobs);
    fn_add(tc, size_limit);
    fn_add(tc, reply_round_trip);
    fn_add_rows(tc, reply_refused, bad_replies);
    fn_add_rows(tc, reply_unwritable, unwritable_replies);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(suite)
