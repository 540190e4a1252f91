/*
 * Waiting for work without a poll: an idle process is blocked in BLMOVE on two connections, one on the high queue and one on the
 * normal (it waits for one list only). Behind each BLMOVE stand the questions its job would be asked, so that their answers come with
 * it, and the end of the other wait, so that nothing arrives in the slot once a job has (docs/pool.md, "Waiting").
 */
#ifndef FN_WAITS_H
#define FN_WAITS_H

#include "redis.h"

#define FN_WAIT_MS  2000        /* how long a wait is at most; far below the 30 s after which we count as dead */

typedef struct {
    fn_redis_t   redis[2];
    const char  *queue[3];      /* high, normal, low */
    const char  *mark[3];       /* keys; where one is there, jobs do not begin just so */
    int          armed;         /* bits of redis: blocked, or their answers have not been read */
    uint64_t     retry_ms;      /* fn_mono_ms() before which none is begun: Redis refuses them */
} fn_waits_t;

/* The names of keys are the caller's and must stay. lane: who CLIENT LIST says it is. */
void fn_waits_init(fn_waits_t *w, const fn_settings_t *s, const char *lane, const char *const queue[3], const char *const mark[3]);
void fn_waits_close(fn_waits_t *w);

/* Arms them; a job that comes is moved to the slot, a list that must be empty. 0, or -1 = no connection, or too soon after a refusal. */
int  fn_waits_begin(fn_waits_t *w, const char *slot);

void fn_waits_fds(const fn_waits_t *w, int fds[2]);     /* -1 = none */

/* Which of them have ended, within ms (0: now): bits of redis, 0 = none. A signal ends it early. */
int  fn_waits_poll(const fn_waits_t *w, int ms);

/*
 * To be called when some have ended (of fn_waits_poll): reads one and the other, which it has ended. If that is all, one job is in the
 * slot, no other is in the queues and no mark is there, the job is the answer (the caller frees it). NULL: what is in the slot is to be
 * asked for, after what is still armed has been unblocked.
 */
redisReply *fn_waits_over(fn_waits_t *w, int ended);

/*
 * Ends them by way of another connection: queues CLIENT UNBLOCK there, for a trip that has other things to say as well; then reads the n answers,
 * which come first on it, and those of the waits. Nothing arrives in the slot after this.
 */
unsigned fn_waits_unblock(fn_waits_t *w, fn_redis_t *by);      /* n */
void     fn_waits_read(fn_waits_t *w, fn_redis_t *by, unsigned n);

#endif
