/*
 * What the host knows of each outside service: its circuit breaker and its pauses.  In the scoreboard, shared by the net processes;
 * a robust lock guards each, so that a process killed inside leaves it usable.  Times are fn_mono_ms().
 */
#ifndef FN_SERVICE_H
#define FN_SERVICE_H

#include <pthread.h>

#include "libfitnudge/fn_breaker.h"
#include "libfitnudge/fn_counts.h"
#include "libfitnudge/fn_settings.h"

#define FN_SERVICES     16          /* places in the scoreboard */
#define FN_SERVICE_VIEW_MAX  128

typedef struct {
    pthread_mutex_t  lock;
    fn_breaker_t     breaker;
    unsigned         generation;        /* changes with the breaker's state: what was asked before counts no more */
    uint64_t         open_until_ms;     /* OPEN: nothing before; of the cooldown, of another host, or of an operator */
    uint64_t         paused_until_ms;   /* the service has asked for it */
    uint64_t         alerted_ms;        /* when an operator was last told, 0 = never */
    unsigned         alerted;           /* a hash of what was said */
    uint64_t         calls, failures;   /* since the pool started */
    uint64_t         heard;             /* stamp of the last word from other hosts */
} fn_service_t;

typedef struct {
    fn_breaker_state_e  state;
    unsigned            failures_in_row, opens_at;  /* 0 = never */
    uint64_t            open_ms, paused_ms;     /* still, 0 = not */
    uint64_t            calls, failures;
} fn_service_view_t;

typedef enum { FN_SERVICE_GOOD, FN_SERVICE_BAD, FN_SERVICE_UNKNOWN } fn_service_said_e;

typedef enum { FN_SERVICE_GO, FN_SERVICE_PAUSED, FN_SERVICE_OPEN } fn_service_may_e;

extern const char *const  fn_service_names[];       /* in the order of FN_SERVICE_TABLE, ended by NULL */

/* Its number, or -1. */
int fn_service_find(const char *name);

/* The settings of its breaker; failures is 0 when it has none. */
fn_breaker_policy_t fn_service_policy(const fn_settings_t *s, const char *name);

/* For zeroed memory, before the first fork. 0 or -1. */
int fn_services_init(fn_service_t *all);

/* May it be asked now? If not, *wait_ms says when it is worth asking again. If so, the ticket goes to fn_service_said(), once. */
fn_service_may_e fn_service_ask(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned *ticket, uint64_t *wait_ms);

/* How it went. 1: this opened the breaker, -1: this closed it, else 0. */
int fn_service_said(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, unsigned ticket, fn_service_said_e what);

/* Nothing more for ms. */
void fn_service_pause(fn_service_t *s, uint64_t now, uint64_t ms);

/* Opened for ms by somebody else; closed by an operator. stamp: the last word that was heard is not heard again. 1 when it was new. */
int fn_service_hold(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, uint64_t ms, uint64_t stamp);
int fn_service_release(fn_service_t *s, uint64_t stamp);

/* 1 when nobody was told the same within ms; then it counts as told. */
int fn_service_alert(fn_service_t *s, uint64_t now, uint64_t ms, const char *text);

void fn_service_view(fn_service_t *s, const fn_breaker_policy_t *p, uint64_t now, fn_service_view_t *v);

/* The texts in Redis (libfitnudge/fn_keys.h): a word, "open|closed <until ms> <stamp ms> ...", and a view. 0, or -1 = malformed. */
int  fn_service_word_parse(const char *s, int *open, uint64_t *until_ms, uint64_t *stamp);
void fn_service_view_format(char out[FN_SERVICE_VIEW_MAX], const fn_service_view_t *v);
int  fn_service_view_parse(const char *s, fn_service_view_t *v);

extern const char *const  fn_service_states[];      /* by fn_breaker_state_e */

#endif
