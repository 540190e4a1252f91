/* Sets of WAYS entries; a token's hash picks its set, and the entry in it that was used longest ago makes room. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "fn_token_cache.h"

#define WAYS  4


typedef struct {
    uint64_t          hash;
    uint64_t          generation;
    uint64_t          used;         /* turn of the last hit */
    char             *token;        /* NULL: unused */
    size_t            len;
    fn_jwt_claims_t   claims;
} fn_token_entry_t;

struct fn_token_cache_s {
    uint64_t          seed;
    uint64_t          turn;
    size_t            sets;
    fn_token_entry_t  entries[];
};


fn_token_cache_t *
fn_token_cache_create(unsigned entries, uint64_t seed)
{
    size_t             sets;
    fn_token_cache_t  *cache;

    sets = (entries + WAYS - 1) / WAYS;

    cache = calloc(1, sizeof(*cache) + sets * WAYS * sizeof(fn_token_entry_t));
    if (cache == NULL) {
        return NULL;
    }

    cache->seed = seed;
    cache->sets = sets;

    return cache;
}


static fn_token_entry_t *
fn_token_cache_set(fn_token_cache_t *cache, uint64_t hash)
{
    return &cache->entries[(hash >> 8) % cache->sets * WAYS];
}


const fn_jwt_claims_t *
fn_token_cache_find(fn_token_cache_t *cache, const char *token, size_t len, uint64_t generation)
{
    int                i;
    uint64_t           hash;
    fn_token_entry_t  *e;

    if (cache->sets == 0) {
        return NULL;
    }

    hash = XXH3_64bits_withSeed(token, len, cache->seed);
    e = fn_token_cache_set(cache, hash);

    for (i = 0; i < WAYS; i++, e++) {
        if (e->hash == hash && e->token != NULL && e->generation == generation && e->len == len
            && memcmp(e->token, token, len) == 0)
        {
            e->used = ++cache->turn;
            return &e->claims;
        }
    }

    return NULL;
}


void
fn_token_cache_add(fn_token_cache_t *cache, const char *token, size_t len, uint64_t generation, const fn_jwt_claims_t *claims)
{
    int                i;
    char              *copy;
    uint64_t           hash;
    fn_token_entry_t  *e, *place;

    if (cache->sets == 0) {
        return;
    }

    copy = malloc(len);
    if (copy == NULL) {
        return;
    }

    hash = XXH3_64bits_withSeed(token, len, cache->seed);
    e = fn_token_cache_set(cache, hash);
    place = e;

    for (i = 0; i < WAYS; i++, e++) {
        /* one of older keys is worth nothing */
        if (e->token == NULL || e->generation != generation) {
            place = e;
            break;
        }

        if (e->used < place->used) {
            place = e;
        }
    }

    memcpy(copy, token, len);
    free(place->token);

    place->token = copy;
    place->len = len;
    place->hash = hash;
    place->generation = generation;
    place->used = ++cache->turn;
    place->claims = *claims;
}


void
fn_token_cache_free(fn_token_cache_t *cache)
{
    size_t  i;

    if (cache != NULL) {
        for (i = 0; i < cache->sets * WAYS; i++) {
            free(cache->entries[i].token);
        }

        free(cache);
    }
}
