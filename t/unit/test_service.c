/* What a host knows of a service: breaker, pauses, words of others, and a lock whose owner was killed. */
#include "check_main.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service.h"

static const fn_breaker_policy_t  three = { 3, 1, 0, 1000 };
static const fn_breaker_policy_t  never = { 0, 1, 0, 1000 };

static fn_service_t  *s;
static uint64_t       wait_ms;


static void
begin(void)
{
    s = mmap(NULL, FN_SERVICES * sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(s, MAP_FAILED);
    ck_assert_int_eq(fn_services_init(s), 0);
}


static void
end(void)
{
    munmap(s, FN_SERVICES * sizeof(*s));
}


static unsigned
asked(const fn_breaker_policy_t *p, uint64_t now)
{
    unsigned  ticket;

    ck_assert_int_eq(fn_service_ask(s, p, now, &ticket, &wait_ms), FN_SERVICE_GO);

    return ticket;
}


static fn_service_may_e
refused(uint64_t now)
{
    unsigned  ticket;

    return fn_service_ask(s, &three, now, &ticket, &wait_ms);
}


static void
opened(uint64_t now)
{
    int  i;

    for (i = 1; i <= 3; i++) {
        ck_assert_int_eq(fn_service_said(s, &three, now, asked(&three, now), FN_SERVICE_BAD), i == 3);
    }
}


START_TEST(test_names)
{
    int            i;
    fn_settings_t  settings;

    ck_assert_int_eq(fn_service_find("nosuch"), -1);
    ck_assert_int_eq(fn_settings_init(&settings), 0);

    for (i = 0; fn_service_names[i] != NULL; i++) {
        ck_assert_int_eq(fn_service_find(fn_service_names[i]), i);
        ck_assert_str_eq(fn_service_names[i], fn_count_services[i]);        /* metrics are in the same order */
        ck_assert_uint_gt(fn_service_policy(&settings, fn_service_names[i]).failures, 0);
    }

    ck_assert_uint_eq(fn_service_policy(&settings, "openai").failures, 5);
    ck_assert_uint_eq(fn_service_policy(&settings, "openai").cooldown_ms, 60000);
    ck_assert_uint_eq(fn_service_policy(&settings, "r2").failures, 3);
    ck_assert_uint_eq(fn_service_policy(&settings, "r2").cooldown_ms, 30000);
    fn_settings_free(&settings);
}
END_TEST


START_TEST(test_opens)
{
    unsigned  early, trial;

    early = asked(&three, 100);
    opened(100);
    ck_assert_int_eq(refused(100), FN_SERVICE_OPEN);
    ck_assert_uint_eq(wait_ms, 1000);
    ck_assert_int_eq(refused(1099), FN_SERVICE_OPEN);

    trial = asked(&three, 1100);
    ck_assert_int_eq(refused(1100), FN_SERVICE_OPEN);       /* one trial */

    /* what was asked before it opened is no answer to the trial */
    ck_assert_int_eq(fn_service_said(s, &three, 1101, early, FN_SERVICE_GOOD), 0);
    ck_assert_int_eq(fn_service_said(s, &three, 1101, early, FN_SERVICE_BAD), 0);
    ck_assert_int_eq(refused(1101), FN_SERVICE_OPEN);

    ck_assert_int_eq(fn_service_said(s, &three, 1200, trial, FN_SERVICE_GOOD), -1);
    (void) asked(&three, 1200);
}
END_TEST


START_TEST(test_trial)
{
    unsigned  trial;

    opened(100);
    trial = asked(&three, 1100);
    ck_assert_int_eq(fn_service_said(s, &three, 1150, trial, FN_SERVICE_BAD), 1);
    ck_assert_int_eq(refused(2149), FN_SERVICE_OPEN);

    /* not made after all: the next may */
    trial = asked(&three, 2150);
    ck_assert_int_eq(fn_service_said(s, &three, 2151, trial, FN_SERVICE_UNKNOWN), 0);
    (void) asked(&three, 2151);

    /* lost: somebody else may after the same time */
    ck_assert_int_eq(refused(2200), FN_SERVICE_OPEN);
    ck_assert_int_eq(refused(3150), FN_SERVICE_OPEN);
    trial = asked(&three, 3151);
    ck_assert_int_eq(fn_service_said(s, &three, 3152, trial, FN_SERVICE_GOOD), -1);
}
END_TEST


START_TEST(test_never)
{
    int                i;
    fn_service_view_t  v;

    for (i = 0; i < 100; i++) {
        ck_assert_int_eq(fn_service_said(s, &never, 1, asked(&never, 1), FN_SERVICE_BAD), 0);
    }

    fn_service_view(s, &never, 1, &v);
    ck_assert_int_eq(v.state, FN_BREAKER_CLOSED);
    ck_assert_uint_eq(v.calls, 100);
    ck_assert_uint_eq(v.failures, 100);
}
END_TEST


START_TEST(test_pause)
{
    fn_service_pause(s, 100, 500);
    fn_service_pause(s, 100, 50);
    ck_assert_int_eq(refused(100), FN_SERVICE_PAUSED);
    ck_assert_uint_eq(wait_ms, 500);
    ck_assert_int_eq(refused(599), FN_SERVICE_PAUSED);
    (void) asked(&three, 600);
}
END_TEST


START_TEST(test_words)
{
    unsigned           ticket;
    fn_service_view_t  v;

    /* longer than a cooldown, and shorter */
    ck_assert_int_eq(fn_service_hold(s, &three, 100, 5000, 7), 1);
    ck_assert_int_eq(fn_service_hold(s, &three, 100, 9000, 7), 0);
    ck_assert_int_eq(refused(5099), FN_SERVICE_OPEN);
    fn_service_view(s, &three, 3100, &v);
    ck_assert_int_eq(v.state, FN_BREAKER_OPEN);
    ck_assert_uint_eq(v.open_ms, 2000);
    fn_service_view(s, &three, 5100, &v);
    ck_assert_int_eq(v.state, FN_BREAKER_HALF_OPEN);

    ticket = asked(&three, 5100);
    ck_assert_int_eq(refused(5100), FN_SERVICE_OPEN);
    ck_assert_int_eq(fn_service_said(s, &three, 5200, ticket, FN_SERVICE_BAD), 1);
    ck_assert_int_eq(fn_service_release(s, 8), 1);
    ck_assert_int_eq(fn_service_release(s, 8), 0);
    ticket = asked(&three, 5201);

    ck_assert_int_eq(fn_service_hold(s, &three, 5300, 10, 9), 1);
    ck_assert_int_eq(refused(5309), FN_SERVICE_OPEN);
    ck_assert_int_eq(fn_service_said(s, &three, 5309, ticket, FN_SERVICE_GOOD), 0);
    (void) asked(&three, 5310);

    /* an operator's word holds where breakers never open, too */
    ck_assert_int_eq(fn_service_release(s, 10), 1);
    ck_assert_int_eq(fn_service_hold(s, &never, 6000, 100, 11), 1);
    ck_assert_int_eq(fn_service_ask(s, &never, 6099, &ticket, &wait_ms), FN_SERVICE_OPEN);
    (void) asked(&never, 6100);
}
END_TEST


/* The clock starts when the machine does. */
START_TEST(test_words_after_boot)
{
    ck_assert_int_eq(fn_service_hold(s, &three, 100, 10, 7), 1);
    ck_assert_int_eq(refused(109), FN_SERVICE_OPEN);
    ck_assert_uint_eq(wait_ms, 1);
    (void) asked(&three, 110);
}
END_TEST


START_TEST(test_alerts)
{
    ck_assert_int_eq(fn_service_alert(s, 0, 1000, "no credit"), 1);
    ck_assert_int_eq(fn_service_alert(s, 999, 1000, "no credit"), 0);
    ck_assert_int_eq(fn_service_alert(s, 999, 1000, "key refused"), 1);
    ck_assert_int_eq(fn_service_alert(s, 1998, 1000, "key refused"), 0);
    ck_assert_int_eq(fn_service_alert(s, 1999, 1000, "key refused"), 1);
}
END_TEST


START_TEST(test_texts)
{
    int                i, open;
    char               text[FN_SERVICE_VIEW_MAX];
    uint64_t           until, stamp;
    fn_service_view_t  v, w;

    static const char *const  words[] = {
        "", "open", "open ", "open 1", "open x 2", "open 1 x", "open  1 2", "open -1 2", "open 1 2x", "opened 1 2", "closed 99999999999999999999 1"
    };
    static const char *const  views[] = {
        "", "closed", "closed 1 2 3 4 5", "ajar 1 2 3 4 5 6", "closed 1 2 3 4 5 6 7", "closed 1 2 3 4 5 ", "closed 1 99 3 4 5 6", "closed 999 2 3 4 5 6"
    };

    ck_assert_int_eq(fn_service_word_parse("open 12 34 somebody", &open, &until, &stamp), 0);
    ck_assert(open == 1 && until == 12 && stamp == 34);
    ck_assert_int_eq(fn_service_word_parse("closed 0 56", &open, &until, &stamp), 0);
    ck_assert(open == 0 && until == 0 && stamp == 56);

    for (i = 0; i < FN_ROWS(words); i++) {
        ck_assert_int_eq(fn_service_word_parse(words[i], &open, &until, &stamp), -1);
    }

    opened(100);
    fn_service_view(s, &three, 600, &v);
    fn_service_view_format(text, &v);
    ck_assert_str_eq(text, "open 0 3 500 0 3 3");
    ck_assert_int_eq(fn_service_view_parse(text, &w), 0);
    ck_assert(w.state == v.state && w.opens_at == 3 && w.open_ms == 500 && w.paused_ms == 0 && w.calls == 3 && w.failures == 3);

    for (i = 0; i < FN_ROWS(views); i++) {
        ck_assert_int_eq(fn_service_view_parse(views[i], &w), -1);
    }
}
END_TEST


START_TEST(test_killed)
{
    int    status;
    pid_t  pid;

    opened(100);
    pid = fork();
    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        (void) pthread_mutex_lock(&s->lock);
        (void) kill(getpid(), SIGKILL);
    }

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    (void) asked(&three, 101);
    opened(200);
    ck_assert_int_eq(refused(300), FN_SERVICE_OPEN);
}
END_TEST


static Suite *
service_suite(void)
{
    Suite  *suite = suite_create("service");
    TCase  *tc = tcase_create("service");

    tcase_add_checked_fixture(tc, begin, end);
    fn_add(tc, test_names);
    fn_add(tc, test_opens);
    fn_add(tc, test_trial);
    fn_add(tc, test_never);
    fn_add(tc, test_pause);
    fn_add(tc, test_words);
    fn_add(tc, test_words_after_boot);
    fn_add(tc, test_alerts);
    fn_add(tc, test_texts);
    fn_add(tc, test_killed);
    suite_add_tcase(suite, tc);

    return suite;
}

FN_TEST_MAIN(service_suite)
