/*
 * The memory of a part of the response cache, in one block that processes may share.
 *
 * Chunks of one size: an entry is a chain of them, so that nothing fragments and every freed chunk fits every need. The least recently used
 * entries go when there is no room. The full key is compared: two answers can never be mistaken for each other.
 *
 * No locks here: the caller holds one, and calls fn_cache_store_enter() after taking it. A process that died in the middle of a change left
 * a mark, and whoever comes next empties the store: it is a cache.
 */
#ifndef FN_CACHE_STORE_H
#define FN_CACHE_STORE_H

#include <stddef.h>
#include <stdint.h>

#define FN_CACHE_CHUNK      1024            /* bytes */
#define FN_CACHE_MIN        (32 * FN_CACHE_CHUNK)
#define FN_CACHE_TAGS       4
#define FN_CACHE_ETAG_LEN   18
#define FN_CACHE_KEY_MAX    512

typedef struct fn_cache_store_s  fn_cache_store_t;

struct fn_cache_store_s {
    uint32_t    layout;
    uint32_t    changing;           /* somebody is in the middle of a change */
    uint32_t    nchunks;            /* 1 .. nchunks - 1 are used, 0 means none */
    uint32_t    mask;               /* of the hash table */
    uint32_t    fresh;              /* chunks from here on were never used: their memory is not even touched */
    uint32_t    free;               /* list of those that were */
    uint32_t    nfree;              /* both */
    uint32_t    first, last;        /* entries by use, the most recent one first */
    uint32_t    entries;
    uint64_t    evicted, resets;
    uint64_t    table, chunks;      /* offsets */
};

typedef struct {
    uint64_t        hash;
    const void     *data;
    size_t          len;            /* at most FN_CACHE_KEY_MAX */
} fn_cache_key_t;

typedef struct {
    uint64_t        generation[FN_CACHE_TAGS];      /* of the tags, as they were before the question was asked */
    uint64_t        created_ms;                     /* of a clock that all processes share and that does not go back */
    uint32_t        body_len;
    uint32_t        gzip_len;                       /* 0: there is no such variant */
    unsigned char   etag[FN_CACHE_ETAG_LEN];
    unsigned char   gzip_etag[FN_CACHE_ETAG_LEN];
} fn_cache_meta_t;

/* Makes a store of `size` zeroed bytes at `mem`, aligned to 64. NULL: too small. */
fn_cache_store_t *fn_cache_store_init(void *mem, size_t size);
int fn_cache_store_valid(const fn_cache_store_t *s);

/* What the entries take up, in bytes; needs no lock. */
uint64_t fn_cache_store_used(const fn_cache_store_t *s);

/* After the lock was taken, before anything else. */
void fn_cache_store_enter(fn_cache_store_t *s);

/* The entry of a key, or 0. It is the most recently used one then. */
uint32_t fn_cache_store_find(fn_cache_store_t *s, const fn_cache_key_t *key, fn_cache_meta_t *meta);

/* Copies the body (meta.body_len bytes), or its gzip variant (meta.gzip_len). */
void fn_cache_store_body(const fn_cache_store_t *s, uint32_t entry, int gzip, void *dst);

/*
 * Stores an answer in place of the key's earlier one. 0, or -1 when it does not fit; then the earlier one is gone as well. At most
 * `evictions` others give way.
 */
int fn_cache_store_put(fn_cache_store_t *s, const fn_cache_key_t *key, const fn_cache_meta_t *meta, const void *body, const void *gzip,
    unsigned evictions);

void fn_cache_store_remove(fn_cache_store_t *s, uint32_t entry);

#endif
