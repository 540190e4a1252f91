/* The memory of a class of limits: see the header. */
#include <string.h>

#include "fn_limit_store.h"


#define LAYOUT          2           /* of a store and its entries */
#define ALIGN           64
#define RING_MIN        256
#define RING_MAX        65536
#define IDLE_SHIFT      6           /* idle_at counts units of 64 ms: 32 bits are eight years */


typedef struct {
    uint32_t        tag[FN_STORE_WAYS];         /* 0: unused; written last */
    uint32_t        idle_at[FN_STORE_WAYS];     /* when there is nothing left to remember */
} fn_bucket_t;

typedef struct {
    uint64_t        lo;
    uint64_t        tat;
    uint64_t        pending;        /* ns */
    uint32_t        bound_ms;
    uint32_t        queued;         /* bits of the rings that it is in */
} fn_gcra_slot_t;

typedef struct {
    uint64_t        lo;
    uint32_t        pending;        /* requests */
    uint32_t        bound_ms;
    uint32_t        queued;
    fn_window_t     window;
} fn_window_slot_t;


static size_t
fn_slot_size(fn_store_kind_e kind)
{
    return kind == FN_STORE_GCRA ? sizeof(fn_gcra_slot_t) : sizeof(fn_window_slot_t);
}


static uint32_t *
fn_ring(fn_limit_store_t *s, fn_ring_e ring)
{
    return (uint32_t *) ((char *) s + ALIGN * 2) + (ring == FN_RING_HEAVY ? s->ring_mask + 1 : 0);
}


static fn_bucket_t *
fn_bucket(const fn_limit_store_t *s, uint64_t n)
{
    return (fn_bucket_t *) ((char *) s + s->buckets + n * s->bucket_size);
}


static fn_bucket_t *
fn_bucket_of(const fn_limit_store_t *s, fn_limit_key_t key)
{
    return fn_bucket(s, (uint64_t) (((unsigned __int128) key.hi * s->nbuckets) >> 64));
}


static uint32_t
fn_tag(fn_limit_key_t key)
{
    uint32_t  tag = (uint32_t) key.hi;

    return tag == 0 ? 1 : tag;
}


static void *
fn_slot(const fn_limit_store_t *s, const fn_bucket_t *b, unsigned way)
{
    return (char *) b + sizeof(fn_bucket_t) + way * fn_slot_size(s->kind);
}


static uint32_t
fn_units(uint64_t ns)
{
    uint64_t  units = ns / FN_NS_PER_MS >> IDLE_SHIFT;

    return units > UINT32_MAX ? UINT32_MAX : (uint32_t) units;
}


fn_limit_store_t *
fn_limit_store_init(void *mem, size_t size, fn_store_kind_e kind)
{
    size_t             bucket, ring, head;
    fn_limit_store_t  *s = mem;

    bucket = sizeof(fn_bucket_t) + FN_STORE_WAYS * fn_slot_size(kind);
    bucket = (bucket + ALIGN - 1) / ALIGN * ALIGN;

    for (ring = RING_MIN; ring < RING_MAX && ring < size / 1024; ring *= 2) { /* void */ }

    head = ALIGN * 2 + 2 * ring * sizeof(uint32_t);

    if (size < head + bucket) {
        return NULL;
    }

    s->kind = kind;
    s->nbuckets = (size - head) / bucket;
    s->bucket_size = bucket;
    s->buckets = head;
    s->ring_mask = (uint32_t) ring - 1;
    s->layout = LAYOUT;

    return s;
}


int
fn_limit_store_valid(const fn_limit_store_t *s, fn_store_kind_e kind)
{
    return s->layout == LAYOUT && s->kind == kind;
}


uint64_t
fn_limit_store_slots(const fn_limit_store_t *s)
{
    return s->nbuckets * FN_STORE_WAYS;
}


/* A process that died between two lines of fn_find() has its entry counted twice. */

uint64_t
fn_limit_store_used(const fn_limit_store_t *s, uint64_t *bytes)
{
    uint64_t  used = __atomic_load_n(&s->used, __ATOMIC_RELAXED);

    if (used > fn_limit_store_slots(s)) {
        used = fn_limit_store_slots(s);
    }

    *bytes = used * s->bucket_size / FN_STORE_WAYS;

    return used;
}


void
fn_limit_store_prefetch(const fn_limit_store_t *s, fn_limit_key_t key)
{
    const fn_bucket_t  *b = fn_bucket_of(s, key);

    __builtin_prefetch(b->tag, 1);
    __builtin_prefetch(b->idle_at, 1);
}


static uint64_t
fn_slot_lo(const fn_limit_store_t *s, const fn_bucket_t *b, unsigned way)
{
    return *(const uint64_t *) fn_slot(s, b, way);
}


/* An entry for a new key: an unused one, or that of who will be idle first. */

static unsigned
fn_make_room(fn_limit_store_t *s, fn_bucket_t *b, uint32_t now_units)
{
    unsigned  way, best = 0;

    for (way = 0; way < FN_STORE_WAYS; way++) {
        if (b->tag[way] == 0) {
            s->used++;
            return way;
        }
        if (b->idle_at[way] < b->idle_at[best]) {
            best = way;
        }
    }

    if (b->idle_at[best] > now_units) {
        s->evicted++;
    }

    return best;
}


static unsigned
fn_find(fn_limit_store_t *s, fn_bucket_t *b, fn_limit_key_t key, uint32_t now_units)
{
    void      *slot;
    uint32_t   tag = fn_tag(key);
    unsigned   way;

    for (way = 0; way < FN_STORE_WAYS; way++) {
        if (b->tag[way] == tag && fn_slot_lo(s, b, way) == key.lo) {
            return way;
        }
    }

    way = fn_make_room(s, b, now_units);
    slot = fn_slot(s, b, way);

    __atomic_store_n(&b->tag[way], 0, __ATOMIC_SEQ_CST);
    memset(slot, 0, fn_slot_size(s->kind));
    memcpy(slot, &key.lo, sizeof(key.lo));
    b->idle_at[way] = 0;
    __atomic_store_n(&b->tag[way], tag, __ATOMIC_SEQ_CST);

    return way;
}


static void
fn_set_idle(fn_bucket_t *b, unsigned way, uint64_t ns)
{
    /* one more, as it is rounded down */
    b->idle_at[way] = fn_units(ns) + 1;
}


void
fn_limit_store_check(fn_limit_store_t *s, fn_limit_key_t key, const fn_rate_t *rate, uint64_t now, fn_limit_ref_t *ref,
    fn_limit_answer_t *a)
{
    uint32_t           now_ms = (uint32_t) (now / FN_NS_PER_MS), units = fn_units(now);
    fn_bucket_t       *b = fn_bucket_of(s, key);
    fn_window_slot_t  *w;

    ref->bucket = b;
    ref->way = fn_find(s, b, key, units);

    if (s->kind == FN_STORE_GCRA) {
        fn_gcra_check(a, rate, ((fn_gcra_slot_t *) fn_slot(s, b, ref->way))->tat, now);
        return;
    }

    w = fn_slot(s, b, ref->way);

    if (b->idle_at[ref->way] <= units) {
        w->window.n = 0;
        w->pending = 0;
    }

    fn_window_expire(&w->window, rate->period_s, now_ms);
    fn_window_check(a, rate, &w->window, now_ms);

    /* who goes on although refused must not be the first to be forgotten */
    if (!a->admitted) {
        fn_set_idle(b, ref->way, now + rate->period_s * FN_NS_PER_S);
    }
}


/* The entry is to be told to Redis. In a full ring it will be with its next request. */

static void
fn_queue(fn_limit_store_t *s, const fn_bucket_t *b, unsigned way, fn_ring_e ring, uint32_t *queued)
{
    uint64_t  n;

    /* who is in the ring of the heavy ones need not be in the other */
    if (*queued >> ring || s->ring_tail[ring] - s->ring_head[ring] > s->ring_mask) {
        return;
    }

    n = (uint64_t) ((const char *) b - (const char *) fn_bucket(s, 0)) / s->bucket_size * FN_STORE_WAYS + way;

    fn_ring(s, ring)[s->ring_tail[ring] & s->ring_mask] = (uint32_t) n;
    s->ring_tail[ring]++;
    *queued |= 1u << ring;
}


static uint32_t
fn_bound(uint64_t ns)
{
    return ns / FN_NS_PER_MS > UINT32_MAX ? UINT32_MAX : (uint32_t) (ns / FN_NS_PER_MS);
}


void
fn_limit_store_take(fn_limit_store_t *s, const fn_limit_ref_t *ref, const fn_rate_t *rate, uint64_t now)
{
    fn_bucket_t       *b = ref->bucket;
    fn_gcra_slot_t    *g;
    fn_window_slot_t  *w;

    if (s->kind == FN_STORE_GCRA) {
        g = fn_slot(s, b, ref->way);
        g->tat = fn_gcra_take(rate, g->tat, now);
        g->pending += rate->interval_ns;
        g->bound_ms = fn_bound(rate->tolerance_ns);
        fn_set_idle(b, ref->way, g->tat);
        fn_queue(s, b, ref->way, g->tat - now >= rate->tolerance_ns / 2 ? FN_RING_HEAVY : FN_RING_LIGHT, &g->queued);
        return;
    }

    w = fn_slot(s, b, ref->way);
    fn_window_add(&w->window, rate->period_s, (uint32_t) (now / FN_NS_PER_MS), 1);
    w->pending++;
    w->bound_ms = rate->period_s * 1000;
    fn_set_idle(b, ref->way, now + rate->period_s * FN_NS_PER_S);
    fn_queue(s, b, ref->way, fn_window_used(&w->window) >= (rate->limit + 1) / 2 ? FN_RING_HEAVY : FN_RING_LIGHT, &w->queued);
}


/* 1 when there is something to tell. Of what has drained meanwhile nobody has to know. */

static int
fn_collect_slot(fn_limit_store_t *s, const fn_bucket_t *b, unsigned way, fn_ring_e ring, uint64_t now, fn_limit_delta_t *d)
{
    uint32_t           used;
    uint64_t           backlog, ns;
    fn_gcra_slot_t    *g;
    fn_window_slot_t  *w;

    d->tag = b->tag[way];
    d->lo = fn_slot_lo(s, b, way);

    if (s->kind == FN_STORE_GCRA) {
        g = fn_slot(s, b, way);
        backlog = g->tat > now ? g->tat - now : 0;
        ns = g->pending < backlog ? g->pending : backlog;
        d->amount = (ns + 999) / 1000;
        d->bound_ms = g->bound_ms;
        g->pending = 0;
        g->queued &= ~(1u << ring);

    } else {
        w = fn_slot(s, b, way);
        fn_window_expire(&w->window, w->bound_ms / 1000, (uint32_t) (now / FN_NS_PER_MS));
        used = b->idle_at[way] <= fn_units(now) ? 0 : fn_window_used(&w->window);
        d->amount = w->pending < used ? w->pending : used;
        d->bound_ms = w->bound_ms;
        w->pending = 0;
        w->queued &= ~(1u << ring);
    }

    return d->tag != 0 && d->amount != 0;
}


unsigned
fn_limit_store_collect(fn_limit_store_t *s, fn_ring_e ring, uint64_t now, fn_limit_delta_t *out, unsigned max)
{
    unsigned  n = 0;
    uint32_t  index;

    /* a bound also on entries that have nothing to tell: the lock is held */
    unsigned  tries = 2 * max;

    while (n < max && tries-- > 0 && fn_limit_store_waiting(s, ring)) {
        index = fn_ring(s, ring)[s->ring_head[ring] & s->ring_mask];
        s->ring_head[ring]++;

        if (index >= fn_limit_store_slots(s)) {
            continue;
        }

        out[n].index = index;
        n += (unsigned) fn_collect_slot(s, fn_bucket(s, index / FN_STORE_WAYS), index % FN_STORE_WAYS, ring, now, &out[n]);
    }

    return n;
}


int
fn_limit_store_waiting(const fn_limit_store_t *s, fn_ring_e ring)
{
    return __atomic_load_n(&s->ring_head[ring], __ATOMIC_RELAXED) != __atomic_load_n(&s->ring_tail[ring], __ATOMIC_RELAXED);
}


/* The entry of a delta, unless somebody else has it now. */

static void *
fn_entry_of(fn_limit_store_t *s, const fn_limit_delta_t *d, fn_bucket_t **b, unsigned *way)
{
    *b = fn_bucket(s, d->index / FN_STORE_WAYS);
    *way = d->index % FN_STORE_WAYS;

    return (*b)->tag[*way] == d->tag && fn_slot_lo(s, *b, *way) == d->lo ? fn_slot(s, *b, *way) : NULL;
}


void
fn_limit_store_restore(fn_limit_store_t *s, const fn_limit_delta_t *d)
{
    void              *slot;
    unsigned           way;
    fn_bucket_t       *b;
    fn_gcra_slot_t    *g;
    fn_window_slot_t  *w;

    slot = fn_entry_of(s, d, &b, &way);
    if (slot == NULL) {
        return;
    }

    if (s->kind == FN_STORE_GCRA) {
        g = slot;
        g->pending += d->amount * 1000;
        fn_queue(s, b, way, FN_RING_LIGHT, &g->queued);

    } else {
        w = slot;
        w->pending += (uint32_t) d->amount;
        fn_queue(s, b, way, FN_RING_LIGHT, &w->queued);
    }
}


int
fn_limit_store_merge(fn_limit_store_t *s, const fn_limit_delta_t *d, int64_t backlog_us, uint64_t now)
{
    uint64_t         tat;
    unsigned         way;
    fn_bucket_t     *b;
    fn_gcra_slot_t  *g;

    if (s->kind != FN_STORE_GCRA || backlog_us < 0 || (uint64_t) backlog_us > UINT64_MAX / 4 / 1000) {
        return -1;
    }

    g = fn_entry_of(s, d, &b, &way);
    if (g == NULL) {
        return 0;
    }

    tat = now + (uint64_t) backlog_us * 1000 + g->pending;

    if (tat > g->tat) {
        g->tat = tat;
        fn_set_idle(b, way, tat);
    }

    return 0;
}


int
fn_limit_store_merge_cells(fn_limit_store_t *s, const fn_limit_delta_t *d, const char *cells, size_t n, uint64_t now)
{
    uint32_t           now_ms = (uint32_t) (now / FN_NS_PER_MS), period_s = d->bound_ms / 1000;
    unsigned           way;
    fn_bucket_t       *b;
    fn_window_t        all;
    fn_window_slot_t  *w;

    if (s->kind != FN_STORE_WINDOW || fn_window_parse(&all, cells, n, period_s, now_ms) != 0) {
        return -1;
    }

    w = fn_entry_of(s, d, &b, &way);
    if (w == NULL) {
        return 0;
    }

    if (w->pending > 0) {
        fn_window_add(&all, period_s, now_ms, w->pending);
    }

    fn_window_expire(&w->window, period_s, now_ms);

    if (fn_window_used(&all) >= fn_window_used(&w->window)) {
        w->window = all;
        fn_set_idle(b, way, now + (uint64_t) d->bound_ms * FN_NS_PER_MS);
    }

    return 0;
}
