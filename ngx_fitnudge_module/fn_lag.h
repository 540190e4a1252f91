/*
 * How old a replica's data may be, told without comparing clocks and without writing.
 *
 * Asked at T, the primary says up to where it has written its log: everything that was committed before T is below that position.
 * A replica that has replayed as far holds all of it, so what it answers afterwards is at most (now - T) old, whether the
 * database is idle, the replication is cut or a server's clock is wrong.
 */
#ifndef FN_LAG_H
#define FN_LAG_H

#include <stdint.h>

#define FN_LAG_SAMPLES  32

typedef struct {
    struct {
        uint64_t    asked;      /* ms of the caller's clock, when the question was sent */
        uint64_t    position;   /* in the log */
    } samples[FN_LAG_SAMPLES];  /* a ring */
    unsigned        n;          /* filled */
    unsigned        next;
} fn_lag_t;

/* What the primary said. A position that went back is another primary's: what was known before is forgotten. */
void fn_lag_note(fn_lag_t *lag, uint64_t asked, uint64_t position);

/* 1, and the newest T whose commits a replica at `position` holds; 0 when it is not known. */
int fn_lag_reached(const fn_lag_t *lag, uint64_t position, uint64_t *t);

#endif
