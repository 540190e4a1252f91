/* The states of a circuit breaker.  The only doors between them are open(), half_open() and close(). */
#include "fn_breaker.h"


static void
breaker_open(fn_breaker_t *b, uint64_t now)
{
    b->state = FN_BREAKER_OPEN;
    b->since = now;
    b->failures = 0;
}


static void
breaker_half_open(fn_breaker_t *b, uint64_t now)
{
    b->state = FN_BREAKER_HALF_OPEN;
    b->since = now;
    b->probing = 0;
    b->answered = 0;
}


static void
breaker_close(fn_breaker_t *b)
{
    b->state = FN_BREAKER_CLOSED;
    b->failures = 0;
}


int
fn_breaker_allow(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now)
{
    switch (b->state) {

    case FN_BREAKER_CLOSED:
        return 1;

    case FN_BREAKER_OPEN:
        if (now - b->since < p->cooldown_ms) {
            return 0;
        }

        breaker_half_open(b, now);
        break;

    case FN_BREAKER_HALF_OPEN:
        /* probes that were lost must not keep it half-open for ever */
        if (b->probing >= p->probes && now - b->since >= p->cooldown_ms) {
            b->probing = 0;
        }

        break;
    }

    if (b->probing >= p->probes) {
        return 0;
    }

    b->probing++;
    b->since = now;

    return 1;
}


int
fn_breaker_success(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now)
{
    (void) now;

    b->failures = 0;

    if (b->state != FN_BREAKER_HALF_OPEN || b->probing == 0) {
        return 0;
    }

    b->probing--;
    b->answered++;

    if (b->answered < p->probes) {
        return 0;
    }

    breaker_close(b);

    return 1;
}


int
fn_breaker_failure(fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now)
{
    uint64_t  first;

    switch (b->state) {

    case FN_BREAKER_OPEN:
        return 0;

    case FN_BREAKER_HALF_OPEN:
        breaker_open(b, now);
        return 1;

    case FN_BREAKER_CLOSED:
        break;
    }

    b->at[b->failures % p->failures] = now;
    b->failures++;

    if (b->failures < p->failures) {
        return 0;
    }

    /* the oldest of the last p->failures is where the next one will be written */
    first = b->at[b->failures % p->failures];

    if (p->window_ms != 0 && now - first > p->window_ms) {
        /* keeps the ring's place, and the number small */
        if (b->failures >= 2 * p->failures) {
            b->failures -= p->failures;
        }

        return 0;
    }

    breaker_open(b, now);

    return 1;
}


void
fn_breaker_cancelled(fn_breaker_t *b)
{
    if (b->state == FN_BREAKER_HALF_OPEN && b->probing > 0) {
        b->probing--;
    }
}


uint64_t
fn_breaker_wait(const fn_breaker_t *b, const fn_breaker_policy_t *p, uint64_t now)
{
    uint64_t  passed = now - b->since;

    if (b->state == FN_BREAKER_CLOSED || (b->state == FN_BREAKER_HALF_OPEN && b->probing < p->probes)) {
        return 0;
    }

    return passed >= p->cooldown_ms ? 0 : p->cooldown_ms - passed;
}
