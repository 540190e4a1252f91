/* One pipeline for all queues; no answer is large but for the job that is next in each. */
#include "look.h"

#include <stdio.h>

#include "delivery.h"
#include "libfitnudge/fn_keys.h"
#include "libfitnudge/fn_time.h"
#include "scoreboard.h"

#define FN_KEY_MAX      256
#define FN_COMMANDS     8           /* a lane: LLEN and LINDEX of three queues, ZCARD of delayed and dead */


static int
fn_look_ask(fn_redis_t *r, const char *lane)
{
    char      key[FN_KEY_MAX];
    unsigned  k;

    for (k = 0; k < 3 && r->c != NULL; k++) {
        (void) snprintf(key, sizeof(key), FN_K_QUEUE, lane, "hnl"[k]);

        if (redisAppendCommand(r->c, "LLEN %s", key) != REDIS_OK || redisAppendCommand(r->c, "LINDEX %s -1", key) != REDIS_OK) {
            return -1;
        }
    }

    (void) snprintf(key, sizeof(key), FN_K_DELAYED, lane);

    if (redisAppendCommand(r->c, "ZCARD %s", key) != REDIS_OK) {
        return -1;
    }

    (void) snprintf(key, sizeof(key), FN_K_DEAD, lane);

    return redisAppendCommand(r->c, "ZCARD %s", key) == REDIS_OK ? 0 : -1;
}


static uint64_t
fn_look_age(const redisReply *a, uint64_t now)
{
    fn_task_t  t;

    if (a->type != REDIS_REPLY_STRING || fn_task_parse(&t, a->str, a->len) != 0 || t.env.enqueued_ms >= now) {
        return 0;
    }

    return now - t.env.enqueued_ms;
}


static void
fn_look_answer(fn_lane_t *lane, unsigned i, const redisReply *a, uint64_t now)
{
    uint64_t  n;

    n = a->type == REDIS_REPLY_INTEGER ? (uint64_t) a->integer : 0;

    if (i == 6) {
        lane->delayed = n;

    } else if (i == 7) {
        lane->dead = n;

    } else if (i % 2 == 0) {
        lane->waiting[i / 2] = n;

    } else {
        lane->oldest_ms[i / 2] = fn_look_age(a, now);
    }
}


int
fn_look(fn_redis_t *r, fn_scoreboard_t *board)
{
    uint64_t     now;
    unsigned     i, lane;
    redisReply  *a;

    for (lane = 0; lane < FN_LANES; lane++) {
        if (r->c == NULL || fn_look_ask(r, fn_role_names[lane + 1]) != 0) {
            fn_redis_close(r);
            return -1;
        }
    }

    now = fn_now_ms();

    for (lane = 0; lane < FN_LANES; lane++) {
        for (i = 0; i < FN_COMMANDS; i++) {
            a = fn_redis_reply(r);

            if (a == NULL) {
                return -1;
            }

            fn_look_answer(&board->lane[lane], i, a, now);
            freeReplyObject(a);
        }
    }

    board->looked_ms = fn_mono_ms();

    return 0;
}
