/* The memory of a part of the response cache: see the header. */
#include <string.h>

#include "fn_cache_store.h"


#define LAYOUT      1
#define ALIGN       64


/* The head of an entry's first chunk; its key, body and gzip variant follow and go on in the next chunks. */
typedef struct {
    uint32_t            next;           /* chunk; has to be first, as in every chunk */
    uint32_t            same;           /* entry of the same hash bucket */
    uint32_t            newer, older;   /* entries by use */
    uint64_t            hash;
    uint32_t            key_len;
    uint32_t            chunks;
    fn_cache_meta_t     meta;
} fn_cache_entry_t;


/* Where in a chain one is. */
typedef struct {
    char               *chunk;
    size_t              at;             /* in the chunk */
} fn_cache_place_t;


static uint32_t *
fn_cache_table(const fn_cache_store_t *s)
{
    return (uint32_t *) ((char *) s + s->table);
}


static char *
fn_cache_chunk(const fn_cache_store_t *s, uint32_t n)
{
    return (char *) s + s->chunks + (uint64_t) n * FN_CACHE_CHUNK;
}


static fn_cache_entry_t *
fn_cache_entry(const fn_cache_store_t *s, uint32_t n)
{
    return (fn_cache_entry_t *) (void *) fn_cache_chunk(s, n);
}


static uint32_t
fn_cache_next(const char *chunk)
{
    return *(const uint32_t *) (const void *) chunk;
}


fn_cache_store_t *
fn_cache_store_init(void *mem, size_t size)
{
    size_t             head, n, buckets;
    fn_cache_store_t  *s = mem;

    head = (sizeof(fn_cache_store_t) + ALIGN - 1) / ALIGN * ALIGN;

    if (size < FN_CACHE_MIN) {
        return NULL;
    }

    n = (size - head) / (FN_CACHE_CHUNK + sizeof(uint32_t));
    n = n > UINT32_MAX / 2 ? UINT32_MAX / 2 : n;

    /* a bucket for every two chunks or so */
    for (buckets = 16; buckets * 2 <= n; buckets *= 2) { /* void */ }

    s->table = head;
    s->chunks = (head + buckets * sizeof(uint32_t) + ALIGN - 1) / ALIGN * ALIGN;
    s->nchunks = (uint32_t) ((size - s->chunks) / FN_CACHE_CHUNK);
    s->mask = (uint32_t) buckets - 1;
    s->fresh = 1;
    s->nfree = s->nchunks - 1;
    s->layout = LAYOUT;

    return s;
}


int
fn_cache_store_valid(const fn_cache_store_t *s)
{
    return s->layout == LAYOUT;
}


uint64_t
fn_cache_store_used(const fn_cache_store_t *s)
{
    return (uint64_t) (s->nchunks - 1 - __atomic_load_n(&s->nfree, __ATOMIC_RELAXED)) * FN_CACHE_CHUNK;
}


void
fn_cache_store_enter(fn_cache_store_t *s)
{
    if (!s->changing) {
        return;
    }

    memset(fn_cache_table(s), 0, ((size_t) s->mask + 1) * sizeof(uint32_t));

    s->fresh = 1;
    s->free = 0;
    s->nfree = s->nchunks - 1;
    s->first = 0;
    s->last = 0;
    s->entries = 0;
    s->resets++;
    s->changing = 0;
}


/* The compiler must not move what lies between out of these two. */

static void
fn_cache_change(fn_cache_store_t *s)
{
    s->changing = 1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}


static void
fn_cache_changed(fn_cache_store_t *s)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    s->changing = 0;
}


static void
fn_cache_unlink(fn_cache_store_t *s, const fn_cache_entry_t *e)
{
    if (e->newer) {
        fn_cache_entry(s, e->newer)->older = e->older;
    } else {
        s->first = e->older;
    }

    if (e->older) {
        fn_cache_entry(s, e->older)->newer = e->newer;
    } else {
        s->last = e->newer;
    }
}


static void
fn_cache_link(fn_cache_store_t *s, uint32_t n)
{
    fn_cache_entry_t  *e = fn_cache_entry(s, n);

    e->newer = 0;
    e->older = s->first;

    if (s->first) {
        fn_cache_entry(s, s->first)->newer = n;
    } else {
        s->last = n;
    }

    s->first = n;
}


/* Reads (dst) or writes (src) n bytes at a place and moves it on. */

static void
fn_cache_pass(const fn_cache_store_t *s, fn_cache_place_t *p, void *dst, const void *src, size_t n)
{
    size_t  part;

    while (n > 0) {
        if (p->at == FN_CACHE_CHUNK) {
            p->chunk = fn_cache_chunk(s, fn_cache_next(p->chunk));
            p->at = sizeof(uint32_t);
        }

        part = FN_CACHE_CHUNK - p->at;
        part = part < n ? part : n;

        if (dst != NULL) {
            memcpy(dst, p->chunk + p->at, part);
            dst = (char *) dst + part;

        } else if (src != NULL) {
            memcpy(p->chunk + p->at, src, part);
            src = (const char *) src + part;
        }

        p->at += part;
        n -= part;
    }
}


static int
fn_cache_same_key(const fn_cache_store_t *s, const fn_cache_entry_t *e, const fn_cache_key_t *key)
{
    char              copy[FN_CACHE_KEY_MAX];
    fn_cache_place_t  p;

    if (e->hash != key->hash || e->key_len != key->len) {
        return 0;
    }

    if (sizeof(*e) + key->len <= FN_CACHE_CHUNK) {
        return memcmp(e + 1, key->data, key->len) == 0;
    }

    p.chunk = (char *) (uintptr_t) e;
    p.at = sizeof(*e);
    fn_cache_pass(s, &p, copy, NULL, key->len);

    return memcmp(copy, key->data, key->len) == 0;
}


static uint32_t
fn_cache_lookup(const fn_cache_store_t *s, const fn_cache_key_t *key)
{
    uint32_t  n;

    for (n = fn_cache_table(s)[key->hash & s->mask]; n != 0; n = fn_cache_entry(s, n)->same) {
        if (fn_cache_same_key(s, fn_cache_entry(s, n), key)) {
            break;
        }
    }

    return n;
}


uint32_t
fn_cache_store_find(fn_cache_store_t *s, const fn_cache_key_t *key, fn_cache_meta_t *meta)
{
    uint32_t  n;

    n = key->len > FN_CACHE_KEY_MAX ? 0 : fn_cache_lookup(s, key);

    if (n == 0) {
        return 0;
    }

    *meta = fn_cache_entry(s, n)->meta;

    if (s->first != n) {
        fn_cache_change(s);
        fn_cache_unlink(s, fn_cache_entry(s, n));
        fn_cache_link(s, n);
        fn_cache_changed(s);
    }

    return n;
}


void
fn_cache_store_body(const fn_cache_store_t *s, uint32_t entry, int gzip, void *dst)
{
    fn_cache_place_t         p;
    const fn_cache_entry_t  *e = fn_cache_entry(s, entry);

    p.chunk = fn_cache_chunk(s, entry);
    p.at = sizeof(*e);

    fn_cache_pass(s, &p, NULL, NULL, e->key_len + (gzip ? e->meta.body_len : 0));
    fn_cache_pass(s, &p, dst, NULL, gzip ? e->meta.gzip_len : e->meta.body_len);
}


static void
fn_cache_drop(fn_cache_store_t *s, uint32_t n)
{
    uint32_t          *link, chunk, next;
    fn_cache_entry_t  *e = fn_cache_entry(s, n);

    for (link = &fn_cache_table(s)[e->hash & s->mask]; *link != n; link = &fn_cache_entry(s, *link)->same) { /* void */ }
    *link = e->same;

    fn_cache_unlink(s, e);

    s->entries--;
    s->nfree += e->chunks;

    for (chunk = n; chunk != 0; chunk = next) {
        next = fn_cache_next(fn_cache_chunk(s, chunk));
        *(uint32_t *) (void *) fn_cache_chunk(s, chunk) = s->free;
        s->free = chunk;
    }
}


void
fn_cache_store_remove(fn_cache_store_t *s, uint32_t entry)
{
    fn_cache_change(s);
    fn_cache_drop(s, entry);
    fn_cache_changed(s);
}


/* A chain of n free chunks: the caller knows that there are so many. */

static uint32_t
fn_cache_chain(fn_cache_store_t *s, uint32_t n)
{
    uint32_t  first = 0, chunk;

    for (s->nfree -= n; n > 0; n--) {
        if (s->free != 0) {
            chunk = s->free;
            s->free = fn_cache_next(fn_cache_chunk(s, chunk));
        } else {
            chunk = s->fresh++;
        }

        *(uint32_t *) (void *) fn_cache_chunk(s, chunk) = first;
        first = chunk;
    }

    return first;
}


int
fn_cache_store_put(fn_cache_store_t *s, const fn_cache_key_t *key, const fn_cache_meta_t *meta, const void *body, const void *gzip,
    unsigned evictions)
{
    size_t             size;
    uint32_t           n, need, *bucket;
    fn_cache_place_t   p;
    fn_cache_entry_t  *e;

    if (key->len > FN_CACHE_KEY_MAX) {
        return -1;
    }

    fn_cache_change(s);

    n = fn_cache_lookup(s, key);
    if (n != 0) {
        fn_cache_drop(s, n);
    }

    /* the first chunk has the head, each of the others a link */
    size = sizeof(fn_cache_entry_t) + key->len + meta->body_len + meta->gzip_len;
    need = size <= FN_CACHE_CHUNK
           ? 1 : (uint32_t) (1 + (size - FN_CACHE_CHUNK + FN_CACHE_CHUNK - sizeof(uint32_t) - 1) / (FN_CACHE_CHUNK - sizeof(uint32_t)));

    while (s->nfree < need && s->last != 0 && evictions > 0) {
        fn_cache_drop(s, s->last);
        s->evicted++;
        evictions--;
    }

    if (s->nfree < need) {
        fn_cache_changed(s);
        return -1;
    }

    n = fn_cache_chain(s, need);
    e = fn_cache_entry(s, n);

    e->hash = key->hash;
    e->key_len = (uint32_t) key->len;
    e->chunks = need;
    e->meta = *meta;

    p.chunk = fn_cache_chunk(s, n);
    p.at = sizeof(*e);
    fn_cache_pass(s, &p, NULL, key->data, key->len);
    fn_cache_pass(s, &p, NULL, body, meta->body_len);
    fn_cache_pass(s, &p, NULL, gzip, meta->gzip_len);

    bucket = &fn_cache_table(s)[key->hash & s->mask];
    e->same = *bucket;
    *bucket = n;

    fn_cache_link(s, n);
    s->entries++;

    fn_cache_changed(s);

    return 0;
}
