/*
 * The memory of a class of limits: what was taken, by key, in one block that processes may share.
 *
 * Buckets of sixteen entries: a key may be in any entry of its bucket, and nowhere else.  There are no lists, so that
 * a process that dies in the middle leaves nothing that others could get lost in.  When a bucket is full, the entry goes that will be idle
 * first: as a rule one that is idle already and loses nothing; among the others, the one with the least to remember.
 * Who keeps coming is never that one.
 *
 * Keys are 128 bits of a hash, of which 96 are kept.  What was taken and not yet told to Redis is `pending`; entries that have such are
 * in a ring, until they are collected: one ring for those that have used half of their limit, and one for the others, so that a
 * crowd that came once does not keep what matters waiting.
 *
 * No locks here: the caller holds one.  Times are ns of a clock that does not go back and is the same for all processes.
 */
#ifndef FN_LIMIT_STORE_H
#define FN_LIMIT_STORE_H

#include "../worker/libfitnudge/fn_gcra.h"

#define FN_STORE_WAYS       16
#define FN_STORE_MIN        (16 * 1024)     /* bytes */

typedef enum { FN_STORE_GCRA = 1, FN_STORE_WINDOW } fn_store_kind_e;

typedef struct fn_limit_store_s  fn_limit_store_t;

struct fn_limit_store_s {
    uint32_t            layout;
    fn_store_kind_e     kind;
    uint64_t            nbuckets;
    uint64_t            bucket_size;
    uint64_t            buckets;            /* offset */
    uint64_t            evicted;            /* entries that were not idle yet */
    uint64_t            used;               /* entries that some key has, idle ones included */
    uint64_t            next_sync;          /* ms; of the exchange, atomic */
    uint32_t            ring_mask;
    uint32_t            ring_head[2];       /* next to collect, by fn_ring_e */
    uint32_t            ring_tail[2];
};

typedef enum { FN_RING_LIGHT = 0, FN_RING_HEAVY } fn_ring_e;

typedef struct { uint64_t hi, lo; } fn_limit_key_t;

/* An entry that was found. */
typedef struct {
    void               *bucket;
    unsigned            way;
} fn_limit_ref_t;

/* What is told to Redis of one key. */
typedef struct {
    uint64_t            index;              /* of the entry */
    uint64_t            lo;
    uint32_t            tag;
    uint32_t            bound_ms;           /* GCRA: tolerance; window: period */
    uint64_t            amount;             /* GCRA: us; window: requests */
} fn_limit_delta_t;

/*
 * Makes a store of `size` zeroed bytes at `mem`, aligned to 64. NULL: too small. A process that finds an existing one uses fn_limit_store_check.
 */
fn_limit_store_t *fn_limit_store_init(void *mem, size_t size, fn_store_kind_e kind);
int fn_limit_store_valid(const fn_limit_store_t *s, fn_store_kind_e kind);

/* Entries there is room for. */
uint64_t fn_limit_store_slots(const fn_limit_store_t *s);
/* Those that are in use, and what they take up; needs no lock. */
uint64_t fn_limit_store_used(const fn_limit_store_t *s, uint64_t *bytes);

/* Loads what the next call will look at. */
void fn_limit_store_prefetch(const fn_limit_store_t *s, fn_limit_key_t key);

/* Finds or makes the entry, and says what would become of a request. Takes nothing. */
void fn_limit_store_check(fn_limit_store_t *s, fn_limit_key_t key, const fn_rate_t *rate, uint64_t now, fn_limit_ref_t *ref,
    fn_limit_answer_t *a);
/* Takes the request of a check that has just admitted it. */
void fn_limit_store_take(fn_limit_store_t *s, const fn_limit_ref_t *ref, const fn_rate_t *rate, uint64_t now);

/* Moves at most `max` pending amounts of a ring to `out`. How many. */
unsigned fn_limit_store_collect(fn_limit_store_t *s, fn_ring_e ring, uint64_t now, fn_limit_delta_t *out, unsigned max);
/* Whether there is something to collect; needs no lock. */
int fn_limit_store_waiting(const fn_limit_store_t *s, fn_ring_e ring);
/* Redis did not get it. */
void fn_limit_store_restore(fn_limit_store_t *s, const fn_limit_delta_t *d);
/*
 * What all instances together have taken, as Redis says: the backlog in us, or the cells as text. It never makes an entry
 * forget. 0, or -1 when it makes no sense.
 */
int fn_limit_store_merge(fn_limit_store_t *s, const fn_limit_delta_t *d, int64_t backlog_us, uint64_t now);
int fn_limit_store_merge_cells(fn_limit_store_t *s, const fn_limit_delta_t *d, const char *cells, size_t n, uint64_t now);

#endif
