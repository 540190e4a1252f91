/* Breakers and pauses of outside services: see service.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service.h"

#define FN_SERVICE_NAME(id, name)  name,

const char *const  fn_service_names[] = { FN_SERVICE_TABLE(FN_SERVICE_NAME) NULL };

const char *const  fn_service_states[] = { "closed", "open", "half-open" };

_Static_assert(sizeof(fn_service_names) / sizeof(fn_service_names[0]) - 1 <= FN_SERVICES, "FN_SERVICES is too small");


int
fn_service_find(const char *name)
{
    int  i;

    for (i = 0; fn_service_names[i] != NULL; i++) {
        if (strcmp(fn_service_names[i], name) == 0) {
            return i;
        }
    }

    return -1;
}


fn_breaker_policy_t
fn_service_policy(const fn_settings_t *s, const char *name)
{
    fn_breaker_policy_t  p;

    memset(&p, 0, sizeof(p));
    p.probes = 1;

    if (strcmp(name, "openai") == 0) {
        p.failures = (unsigned) s->openai_breaker_failures;
        p.cooldown_ms = (uint64_t) s->openai_breaker_ms;

    } else if (strcmp(name, "r2") == 0) {
        p.failures = (unsigned) s->r2_breaker_failures;
        p.cooldown_ms = (uint64_t) s->r2_breaker_ms;

    } else {
        p.failures = (unsigned) s->breaker_failures;
        p.cooldown_ms = (uint64_t) s->breaker_ms;
    }

    return p;
}


int
fn_services_init(fn_service_t *all)
{
    int                  rc;
    unsigned             i;
    pthread_mutexattr_t  a;

    if (pthread_mutexattr_init(&a) != 0) {
        return -1;
    }

    rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) != 0
         || pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) != 0;

    for (i = 0; rc == 0 && i < FN_SERVICES; i++) {
        rc = pthread_mutex_init(&all[i].lock, &a);
    }

    (void) pthread_mutexattr_destroy(&a);

    return rc == 0 ? 0 : -1;
}


static void
service_lock(fn_service_t *s)
{
    if (pthread_mutex_lock(&s->lock) != EOWNERDEAD) {
        return;
    }

    /* Killed half-way through a change of a few numbers: none of them is worth more than starting anew. */
    memset(&s->breaker, 0, sizeof(s->breaker));
    s->generation++;
    s->open_until_ms = 0;
    s->paused_until_ms = 0;
    (void) pthread_mutex_consistent(&s->lock);
}


static void
service_unlock(fn_service_t *s)
{
    (void) pthread_mutex_unlock(&s->lock);
}


static fn_service_may_e
service_ask(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned *ticket, uint64_t *wait_ms)
{
    fn_breaker_state_e  before;

    if (now < s->open_until_ms) {
        *wait_ms = s->open_until_ms - now;
        return FN_SERVICE_OPEN;
    }

    if (now < s->paused_until_ms) {
        *wait_ms = s->paused_until_ms - now;
        return FN_SERVICE_PAUSED;
    }

    before = s->breaker.state;

    if (p->failures > 0 && !fn_breaker_allow(&s->breaker, p, now)) {
        *wait_ms = fn_breaker_wait(&s->breaker, p, now);
        *wait_ms = *wait_ms > 0 ? *wait_ms : 1;
        return FN_SERVICE_OPEN;
    }

    if (s->breaker.state != before) {
        s->generation++;
    }

    s->calls++;
    *ticket = s->generation;

    return FN_SERVICE_GO;
}


fn_service_may_e
fn_service_ask(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned *ticket, uint64_t *wait_ms)
{
    fn_service_may_e  may;

    service_lock(s);
    may = service_ask(s, p, now, ticket, wait_ms);
    service_unlock(s);

    return may;
}


static int
service_said(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned ticket, fn_service_said_e what)
{
    if (what == FN_SERVICE_BAD) {
        s->failures++;
    }

    if (p->failures == 0 || ticket != s->generation) {
        return 0;
    }

    switch (what) {

    case FN_SERVICE_GOOD:
        if (fn_breaker_success(&s->breaker, p, now)) {
            s->generation++;
            return -1;
        }
        break;

    case FN_SERVICE_BAD:
        if (fn_breaker_failure(&s->breaker, p, now)) {
            s->generation++;
            s->open_until_ms = now + p->cooldown_ms;
            return 1;
        }
        break;

    case FN_SERVICE_UNKNOWN:
        fn_breaker_cancelled(&s->breaker);
        break;
    }

    return 0;
}


int
fn_service_said(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned ticket, fn_service_said_e what)
{
    int  rc;

    service_lock(s);
    rc = service_said(s, p, now, ticket, what);
    service_unlock(s);

    return rc;
}


void
fn_service_pause(fn_service_t *s, uint64_t now, uint64_t ms)
{
    service_lock(s);

    if (now + ms > s->paused_until_ms) {
        s->paused_until_ms = now + ms;
    }

    service_unlock(s);
}


int
fn_service_hold(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, uint64_t ms, uint64_t stamp)
{
    int  news;

    service_lock(s);
    news = stamp != s->heard;

    if (news) {
        s->heard = stamp;

        if (now + ms > s->open_until_ms) {
            s->generation++;
            s->open_until_ms = now + ms;
            s->breaker.state = FN_BREAKER_OPEN;
            s->breaker.failures = 0;
            /* Cooled down exactly then; of a machine that has just booted this is before its first millisecond, and wraps. */
            s->breaker.since = s->open_until_ms - p->cooldown_ms;
        }
    }

    service_unlock(s);

    return news;
}


int
fn_service_release(fn_service_t *s, uint64_t stamp)
{
    int  news;

    service_lock(s);
    news = stamp != s->heard;

    if (news) {
        s->heard = stamp;
        s->generation++;
        memset(&s->breaker, 0, sizeof(s->breaker));
        s->open_until_ms = 0;
        s->paused_until_ms = 0;
    }

    service_unlock(s);

    return news;
}


int
fn_service_alert(fn_service_t *s, uint64_t now, uint64_t ms, const char *text)
{
    int       news;
    unsigned  hash;

    for (hash = 2166136261U; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char) *text) * 16777619U;
    }

    service_lock(s);
    news = s->alerted_ms == 0 || s->alerted != hash || now - s->alerted_ms >= ms;

    if (news) {
        s->alerted = hash;
        s->alerted_ms = now > 0 ? now : 1;
    }

    service_unlock(s);

    return news;
}


void
fn_service_view(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, fn_service_view_t *v)
{
    service_lock(s);

    v->state = s->breaker.state;
    v->open_ms = now < s->open_until_ms ? s->open_until_ms - now : 0;
    v->paused_ms = now < s->paused_until_ms ? s->paused_until_ms - now : 0;

    if (v->open_ms > 0) {
        v->state = FN_BREAKER_OPEN;

    } else if (p->failures == 0) {
        v->state = FN_BREAKER_CLOSED;

    } else if (v->state == FN_BREAKER_OPEN) {
        v->state = FN_BREAKER_HALF_OPEN;        /* the next call is the trial */
    }

    v->failures_in_row = v->state == FN_BREAKER_CLOSED ? s->breaker.failures : 0;
    v->opens_at = p->failures;
    v->calls = s->calls;
    v->failures = s->failures;

    service_unlock(s);
}


/* A number after a blank. Where it ends, or NULL. */
static const char *
service_number(const char *s, uint64_t *n)
{
    char  *end;

    if (s == NULL || s[0] != ' ' || s[1] < '0' || s[1] > '9') {
        return NULL;
    }

    errno = 0;
    *n = strtoull(s + 1, &end, 10);

    return errno == 0 && (*end == ' ' || *end == '\0') ? end : NULL;
}


int
fn_service_word_parse(const char *s, int *open, uint64_t *until_ms, uint64_t *stamp)
{
    *open = strncmp(s, "open ", 5) == 0;

    if (!*open && strncmp(s, "closed ", 7) != 0) {
        return -1;
    }

    s = service_number(strchr(s, ' '), until_ms);

    return service_number(s, stamp) != NULL ? 0 : -1;
}


void
fn_service_view_format(char out[FN_SERVICE_VIEW_MAX], const fn_service_view_t *v)
{
    snprintf(out, FN_SERVICE_VIEW_MAX, "%s %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, fn_service_states[v->state],
             v->failures_in_row, v->opens_at, v->open_ms, v->paused_ms, v->calls, v->failures);
}


int
fn_service_view_parse(const char *s, fn_service_view_t *v)
{
    size_t    n;
    unsigned  i;
    uint64_t  row, at;

    n = strcspn(s, " ");

    for (i = 0; i <= FN_BREAKER_HALF_OPEN; i++) {
        if (strlen(fn_service_states[i]) == n && memcmp(fn_service_states[i], s, n) == 0) {
            break;
        }
    }

    if (i > FN_BREAKER_HALF_OPEN) {
        return -1;
    }

    v->state = (fn_breaker_state_e) i;
    s = service_number(s + n, &row);
    s = service_number(s, &at);
    s = service_number(s, &v->open_ms);
    s = service_number(s, &v->paused_ms);
    s = service_number(s, &v->calls);
    s = service_number(s, &v->failures);

    if (s == NULL || *s != '\0' || row > FN_BREAKER_FAILURES_MAX * 2 || at > FN_BREAKER_FAILURES_MAX) {
        return -1;
    }

    v->failures_in_row = (unsigned) row;
    v->opens_at = (unsigned) at;

    return 0;
}
