/* The store of the response cache: chains of chunks, full keys, eviction, what a crash leaves behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fn_cache_store.h"
#include "unit.h"


static fn_cache_store_t *
store(size_t size)
{
    void  *mem = aligned_alloc(64, size);

    ck_assert_ptr_nonnull(mem);
    memset(mem, 0, size);

    return fn_cache_store_init(mem, size);
}


static int
put(fn_cache_store_t *s, const char *name, uint64_t hash, size_t body, size_t gzip, unsigned evictions)
{
    int               rc;
    char             *b, *g;
    fn_cache_key_t    k = { hash, name, strlen(name) };
    fn_cache_meta_t   meta;

    b = malloc(body + 1);
    g = malloc(gzip + 1);
    memset(b, name[0], body);
    memset(g, 'z', gzip);
    memset(&meta, 0, sizeof(meta));
    meta.body_len = (uint32_t) body;
    meta.gzip_len = (uint32_t) gzip;

    rc = fn_cache_store_put(s, &k, &meta, b, g, evictions);

    free(b);
    free(g);

    return rc;
}


/* 1 when the entry is there and whole, 0 when it is not there. */
static int
has(fn_cache_store_t *s, const char *name, uint64_t hash)
{
    char             *b;
    size_t            i, wrong = 0;
    uint32_t          n;
    fn_cache_key_t    k = { hash, name, strlen(name) };
    fn_cache_meta_t   meta;

    n = fn_cache_store_find(s, &k, &meta);
    if (n == 0) {
        return 0;
    }

    b = malloc(meta.body_len + 1);
    fn_cache_store_body(s, n, 0, b);
    for (i = 0; i < meta.body_len; i++) {
        wrong += b[i] != name[0];
    }
    free(b);

    b = malloc(meta.gzip_len + 1);
    fn_cache_store_body(s, n, 1, b);
    for (i = 0; i < meta.gzip_len; i++) {
        wrong += b[i] != 'z';
    }
    free(b);
    ck_assert_uint_eq(wrong, 0);

    return 1;
}


START_TEST(test_sizes)
{
    char               name[16];
    size_t             n;
    fn_cache_store_t  *s = store(1 << 20);

    ck_assert_ptr_null(fn_cache_store_init(s, 100));

    /* around the edges of chunks */
    for (n = 0; n < 5000; n += n < 800 || (n > 1800 && n < 2200) ? 1 : 97) {
        ck_assert_int_eq(put(s, "a", 1, n, n / 3, 64), 0);
        ck_assert_int_eq(has(s, "a", 1), 1);
        ck_assert_uint_eq(s->entries, 1);
    }

    /* nothing is lost: all of it can be used again */
    ck_assert_uint_gt(fn_cache_store_used(s), 4000);
    fn_cache_store_remove(s, s->first);
    ck_assert_uint_eq(s->nfree, s->nchunks - 1);
    ck_assert_uint_eq(fn_cache_store_used(s), 0);

    for (n = 0; n < s->nchunks - 1; n++) {
        (void) snprintf(name, sizeof(name), "k%zu", n);
        ck_assert_int_eq(put(s, name, n * 7919, 10, 0, 0), 0);
    }
    ck_assert_uint_eq(s->nfree, 0);
    ck_assert_uint_eq(fn_cache_store_used(s), (uint64_t) (s->nchunks - 1) * FN_CACHE_CHUNK);
    ck_assert_int_eq(put(s, "more", 5, 10, 0, 0), -1);
    ck_assert_int_eq(put(s, "more", 5, 10, 0, 1), 0);
    ck_assert_uint_eq(s->evicted, 1);
    free(s);
}
END_TEST


START_TEST(test_keys)
{
    char               large[FN_CACHE_KEY_MAX + 2];
    fn_cache_store_t  *s = store(1 << 18);

    /* one hash, different keys */
    ck_assert_int_eq(put(s, "alice", 42, 300, 0, 0), 0);
    ck_assert_int_eq(put(s, "bob", 42, 300, 0, 0), 0);
    ck_assert_int_eq(put(s, "carol", 42, 3000, 0, 0), 0);
    ck_assert_int_eq(has(s, "alice", 42), 1);
    ck_assert_int_eq(has(s, "bob", 42), 1);
    ck_assert_int_eq(has(s, "carol", 42), 1);
    ck_assert_int_eq(has(s, "dave", 42), 0);
    ck_assert_int_eq(has(s, "alice", 43), 0);

    memset(large, 'l', sizeof(large));
    large[FN_CACHE_KEY_MAX] = '\0';
    ck_assert_int_eq(put(s, large, 9, 2000, 500, 0), 0);
    ck_assert_int_eq(has(s, large, 9), 1);

    large[FN_CACHE_KEY_MAX] = 'l';
    large[FN_CACHE_KEY_MAX + 1] = '\0';
    ck_assert_int_eq(put(s, large, 9, 10, 0, 0), -1);
    ck_assert_int_eq(has(s, large, 9), 0);
    free(s);
}
END_TEST


START_TEST(test_lru)
{
    fn_cache_store_t  *s = store(FN_CACHE_MIN);
    unsigned           room = s->nchunks - 1;

    ck_assert_int_eq(put(s, "old", 1, 10, 0, 0), 0);
    ck_assert_int_eq(put(s, "used", 2, 10, 0, 0), 0);
    while (s->nfree > 0) {
        ck_assert_int_eq(put(s, "filler", 1000 + s->nfree, 10, 0, 0), 0);
        /* the key is the same text, the hash is not */
    }
    ck_assert_int_eq(has(s, "used", 2), 1);
    ck_assert_int_eq(put(s, "new", 3, 10, 0, 8), 0);
    ck_assert_int_eq(has(s, "old", 1), 0);
    ck_assert_int_eq(has(s, "used", 2), 1);
    ck_assert_int_eq(has(s, "new", 3), 1);

    /* what cannot fit takes at most so many others along, and its own earlier version */
    ck_assert_int_eq(put(s, "new", 3, room * FN_CACHE_CHUNK, 0, 2), -1);
    ck_assert_int_eq(has(s, "new", 3), 0);
    ck_assert_int_eq(has(s, "used", 2), 1);

    /* all of them may go */
    ck_assert_int_eq(put(s, "huge", 4, (room - 1) * (FN_CACHE_CHUNK - 8), 0, 1000), 0);
    ck_assert_int_eq(has(s, "huge", 4), 1);
    free(s);
}
END_TEST


START_TEST(test_crash)
{
    fn_cache_store_t  *s = store(FN_CACHE_MIN);

    ck_assert_int_eq(put(s, "a", 1, 3000, 0, 0), 0);
    fn_cache_store_enter(s);
    ck_assert_int_eq(has(s, "a", 1), 1);

    /* somebody died in the middle, and left anything at all */
    s->changing = 1;
    s->first = 77777;
    s->free = 99999;
    fn_cache_store_enter(s);
    ck_assert_int_eq(has(s, "a", 1), 0);
    ck_assert_uint_eq(s->entries, 0);
    ck_assert_uint_eq(s->resets, 1);
    ck_assert_int_eq(put(s, "a", 1, 3000, 0, 0), 0);
    ck_assert_int_eq(has(s, "a", 1), 1);
    free(s);
}
END_TEST


/* Against a simple model: random puts, finds and removals never show what was not put, and lose no chunk. */
START_TEST(test_random)
{
    char               name[8];
    size_t             size[64] = { 0 };
    unsigned           i, k;
    uint32_t           n, used, e;
    fn_cache_key_t     key;
    fn_cache_meta_t    meta;
    fn_cache_store_t  *s = store(1 << 17);

    srandom(1);

    for (i = 0; i < 50000; i++) {
        k = (unsigned) random() % 64;
        (void) snprintf(name, sizeof(name), "%c%u", (char) ('A' + k % 26), k);

        if (random() % 3 == 0) {
            size[k] = (size_t) random() % 9000;
            if (put(s, name, k % 8, size[k], size[k] / 4, 16) != 0) {
                size[k] = 0;
            }

        } else {
            key.hash = k % 8;
            key.data = name;
            key.len = strlen(name);
            n = fn_cache_store_find(s, &key, &meta);
            if (n != 0) {
                ck_assert_uint_eq(meta.body_len, size[k]);
                ck_assert_int_eq(has(s, name, k % 8), 1);
                if (random() % 4 == 0) {
                    fn_cache_store_remove(s, n);
                }
            }
        }
    }

    used = 0;
    e = s->entries;
    while (s->first != 0) {
        fn_cache_store_remove(s, s->first);
        used++;
    }
    ck_assert_uint_eq(used, e);
    ck_assert_uint_eq(s->nfree, s->nchunks - 1);
    free(s);
}
END_TEST


UNIT_MAIN("cache store", test_sizes, test_keys, test_lru, test_crash, test_random)
