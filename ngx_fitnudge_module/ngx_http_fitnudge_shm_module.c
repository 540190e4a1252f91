/*
 * The shared memory of the worker processes.
 *
 * Generations: an array of counters, a tag's hash picks one.  A collision costs a cache miss, no
 * more.  What "bump all" adds to is one epoch, the high half of every generation.
 *
 * Revocations: an open-addressed table of 32-byte slots, each known by a hash of 128 bits of its kind and what it
 * names (session, token or user).  An entry may be in any of the WINDOW slots that follow its hash.  A slot that was used once never becomes unused again, only dead, so that a
 * reader may stop at the first unused one.  Writers hold the zone's mutex; readers take no lock:
 * a slot is live only while its `until` is, which a writer kills before it changes the
 * id and sets when the id is whole.  A writer that dies in between leaves a dead slot.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_shm.h"
#include "ngx_fitnudge_metrics.h"
#include "../worker/libfitnudge/fn_uuid.h"


#define LAYOUT      4           /* of this structure; a zone of another layout is refused */
#define COUNTERS    65536       /* fewer in a small zone */
#define WINDOW      32
#define COMPLAIN_INTERVAL  60   /* s */
#define SWEEP       65536       /* slots counted at a time */
#define UNUSED      0
#define DEAD        1

#define REVOKED     "revoked:"
#define UUID_LEN    36
#define JTI_MAX     64
#define FOREVER     ((uint64_t) 1 << 40)    /* s: no time is later */


/* What is revoked; also the seed of its hash. */
typedef enum {
    NGX_FITNUDGE_SHM_SESSION = 1,
    NGX_FITNUDGE_SHM_JTI,
    NGX_FITNUDGE_SHM_USER,
    NGX_FITNUDGE_SHM_BARRED,
    NGX_FITNUDGE_SHM_KINDS
} ngx_fitnudge_shm_kind_e;


typedef struct {
    uint64_t         hi, lo;    /* hash of what it is */
    uint64_t         until;     /* unix s; UNUSED, DEAD */
    uint64_t         before;    /* tokens issued before that, unix s; FOREVER; of BARRED the number, odd while it holds */
} ngx_fitnudge_shm_slot_t;


typedef struct {
    uint64_t         generation;
    uint64_t         bumped;    /* ngx_current_msec of the last bump; 0: never */
} ngx_fitnudge_shm_counter_t;


typedef struct {
    ngx_uint_t                layout;
    uint64_t                  epoch;
    uint64_t                  evicted;
    uint64_t                  heard;            /* ngx_current_msec when the revocations were last known to be complete; 0: never */
    uint64_t                  seen[NGX_FITNUDGE_SHM_KINDS];     /* entries ever made: most kinds have none */
    ngx_uint_t                counters_mask;
    ngx_uint_t                slots_n;
    uint64_t                  all_bumped;       /* as a counter's */
    ngx_fitnudge_shm_counter_t  *counters;
    ngx_fitnudge_shm_slot_t  *slots;
} ngx_fitnudge_shm_t;


static ngx_int_t ngx_fitnudge_shm_init_zone(ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_fitnudge_shm_init_process(ngx_cycle_t *cycle);
static uint64_t ngx_fitnudge_shm_find(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len, time_t now);
static XXH128_hash_t ngx_fitnudge_shm_hash(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len);
static void ngx_fitnudge_shm_revoke(const u_char *p, size_t len);
static void ngx_fitnudge_shm_insert(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len, uint64_t before,
    uint64_t until);


/* of this process, set when it starts */
static ngx_fitnudge_shm_t  *ngx_fitnudge_shm;
static ngx_slab_pool_t     *ngx_fitnudge_shm_pool;


static ngx_http_module_t  ngx_http_fitnudge_shm_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


extern ngx_module_t  ngx_http_fitnudge_shm_module;

ngx_module_t  ngx_http_fitnudge_shm_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_shm_module_ctx,     /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_fitnudge_shm_init_process,         /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_shm_zone_t *
ngx_fitnudge_shm_add(ngx_conf_t *cf, size_t size)
{
    ngx_str_t        name = ngx_string("fitnudge");
    ngx_shm_zone_t  *zone;

    zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_fitnudge_shm_module);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_fitnudge_shm_init_zone;

    return zone;
}


void
ngx_fitnudge_shm_apply(const u_char *tag, size_t len)
{
    ngx_fitnudge_shm_t          *sh = ngx_fitnudge_shm;
    ngx_fitnudge_shm_counter_t  *counter;

    if (sh == NULL || len == 0) {
        return;
    }

    if (len > sizeof(REVOKED) - 1 && ngx_memcmp(tag, REVOKED, sizeof(REVOKED) - 1) == 0) {
        ngx_fitnudge_shm_revoke(tag + sizeof(REVOKED) - 1, len - (sizeof(REVOKED) - 1));
        return;
    }

    counter = &sh->counters[XXH3_64bits(tag, len) & sh->counters_mask];
    __atomic_store_n(&counter->bumped, (uint64_t) ngx_current_msec, __ATOMIC_SEQ_CST);
    (void) __atomic_add_fetch(&counter->generation, 1, __ATOMIC_SEQ_CST);
}


void
ngx_fitnudge_shm_bump_all(void)
{
    if (ngx_fitnudge_shm != NULL) {
        __atomic_store_n(&ngx_fitnudge_shm->all_bumped, (uint64_t) ngx_current_msec, __ATOMIC_SEQ_CST);
        (void) __atomic_add_fetch(&ngx_fitnudge_shm->epoch, 1, __ATOMIC_SEQ_CST);
    }
}


uint64_t
ngx_fitnudge_shm_generation(const u_char *tag, size_t len)
{
    uint64_t                     epoch;
    ngx_fitnudge_shm_t          *sh = ngx_fitnudge_shm;
    ngx_fitnudge_shm_counter_t  *counter;

    if (sh == NULL) {
        return 0;
    }

    counter = &sh->counters[XXH3_64bits(tag, len) & sh->counters_mask];
    epoch = __atomic_load_n(&sh->epoch, __ATOMIC_SEQ_CST);

    return (epoch << 32) + __atomic_load_n(&counter->generation, __ATOMIC_SEQ_CST);
}


ngx_uint_t
ngx_fitnudge_shm_bumped_within(const u_char *tag, size_t len, ngx_msec_t ms)
{
    uint64_t             one, all;
    ngx_fitnudge_shm_t  *sh = ngx_fitnudge_shm;

    if (sh == NULL) {
        return 0;
    }

    one = __atomic_load_n(&sh->counters[XXH3_64bits(tag, len) & sh->counters_mask].bumped, __ATOMIC_SEQ_CST);
    all = __atomic_load_n(&sh->all_bumped, __ATOMIC_SEQ_CST);

    return (one != 0 && (uint64_t) ngx_current_msec < one + ms) || (all != 0 && (uint64_t) ngx_current_msec < all + ms);
}


ngx_uint_t
ngx_fitnudge_shm_revoked(const fn_jwt_claims_t *claims, time_t now)
{
    if (ngx_fitnudge_shm == NULL) {
        return 0;
    }

    /* a token that does not say when it was issued was so before any time */
    return ngx_fitnudge_shm_find(NGX_FITNUDGE_SHM_SESSION, (u_char *) claims->session_id, ngx_strlen(claims->session_id), now)
           || ngx_fitnudge_shm_find(NGX_FITNUDGE_SHM_JTI, (u_char *) claims->jti, ngx_strlen(claims->jti), now)
           || ngx_fitnudge_shm_find(NGX_FITNUDGE_SHM_USER, (u_char *) claims->sub, UUID_LEN, now) > (uint64_t) claims->iat;
}


ngx_uint_t
ngx_fitnudge_shm_barred(const fn_jwt_claims_t *claims, time_t now)
{
    return ngx_fitnudge_shm != NULL
           && (ngx_fitnudge_shm_find(NGX_FITNUDGE_SHM_BARRED, (u_char *) claims->sub, UUID_LEN, now) & 1);
}


void
ngx_fitnudge_shm_heard(void)
{
    if (ngx_fitnudge_shm != NULL) {
        __atomic_store_n(&ngx_fitnudge_shm->heard, (uint64_t) ngx_current_msec, __ATOMIC_SEQ_CST);
    }
}


ngx_uint_t
ngx_fitnudge_shm_stale(ngx_msec_t ms)
{
    uint64_t  heard;

    if (ngx_fitnudge_shm == NULL) {
        return 0;
    }

    heard = __atomic_load_n(&ngx_fitnudge_shm->heard, __ATOMIC_SEQ_CST);

    return heard == 0 || (uint64_t) ngx_current_msec > heard + ms;
}


/* Tokens issued before which time are revoked, unix s; of BARRED its number; 0: nothing is known. */
static uint64_t
ngx_fitnudge_shm_find(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len, time_t now)
{
    uint64_t                  until, hi, lo, before;
    ngx_uint_t                i, n, tries;
    XXH128_hash_t             hash;
    ngx_fitnudge_shm_t       *sh = ngx_fitnudge_shm;
    ngx_fitnudge_shm_slot_t  *slot;

    if (len == 0 || __atomic_load_n(&sh->seen[kind], __ATOMIC_ACQUIRE) == 0) {
        return 0;
    }

    hash = ngx_fitnudge_shm_hash(kind, p, len);
    n = hash.low64 % sh->slots_n;
    tries = 0;

    for (i = 0; i < WINDOW; i++) {
        slot = &sh->slots[n];

        until = __atomic_load_n(&slot->until, __ATOMIC_ACQUIRE);

        if (until == UNUSED) {
            return 0;
        }

        hi = __atomic_load_n(&slot->hi, __ATOMIC_ACQUIRE);
        lo = __atomic_load_n(&slot->lo, __ATOMIC_ACQUIRE);
        before = __atomic_load_n(&slot->before, __ATOMIC_ACQUIRE);

        /* the slot changed hands meanwhile: look again, but not forever */
        if (until != __atomic_load_n(&slot->until, __ATOMIC_ACQUIRE) && tries++ < WINDOW) {
            i--;
            continue;
        }

        if (hi == hash.high64 && lo == hash.low64 && until > (uint64_t) now) {
            return before;
        }

        n = (n + 1) % sh->slots_n;
    }

    return 0;
}


static XXH128_hash_t
ngx_fitnudge_shm_hash(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len)
{
    size_t  i;
    u_char  lower[UUID_LEN];

    /* ids are the same in either case */
    if (kind != NGX_FITNUDGE_SHM_JTI && len == UUID_LEN) {
        for (i = 0; i < UUID_LEN; i++) {
            lower[i] = ngx_tolower(p[i]);
        }

        p = lower;
    }

    return XXH3_128bits_withSeed(p, len, kind);
}


static ngx_int_t
ngx_fitnudge_shm_init_zone(ngx_shm_zone_t *zone, void *data)
{
    size_t               size, bytes;
    ngx_uint_t           n;
    ngx_slab_pool_t     *pool;
    ngx_fitnudge_shm_t  *sh;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data != NULL || zone->shm.exists) {
        sh = data != NULL ? data : pool->data;

        if (sh->layout != LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "zone \"%V\" has layout %ui, this module needs %ui: restart nginx",
                          &zone->shm.name, sh->layout, (ngx_uint_t) LAYOUT);
            return NGX_ERROR;
        }

        zone->data = sh;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(pool, sizeof(ngx_fitnudge_shm_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    size = zone->shm.size;
    n = COUNTERS;

    while (n * sizeof(ngx_fitnudge_shm_counter_t) > size / 4) {
        n /= 2;
    }

    sh->counters_mask = n - 1;
    sh->counters = ngx_slab_calloc(pool, n * sizeof(ngx_fitnudge_shm_counter_t));
    if (sh->counters == NULL) {
        return NGX_ERROR;
    }

    /* all other pages; nothing else is allocated from this zone */
    bytes = pool->pfree * ngx_pagesize;
    sh->slots_n = bytes / sizeof(ngx_fitnudge_shm_slot_t);
    sh->slots = sh->slots_n < WINDOW ? NULL : ngx_slab_calloc(pool, bytes);
    if (sh->slots == NULL) {
        return NGX_ERROR;
    }

    /* a zone made anew must not repeat the generations of the one before */
    sh->epoch = (uint64_t) ngx_time();
    sh->layout = LAYOUT;

    pool->data = sh;
    zone->data = sh;

    return NGX_OK;
}


static ngx_int_t
ngx_fitnudge_shm_init_process(ngx_cycle_t *cycle)
{
    ngx_http_fitnudge_main_conf_t  *fmcf;

    ngx_fitnudge_shm = NULL;

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    if (fmcf != NULL && fmcf->zone != NULL) {
        ngx_fitnudge_shm_pool = (ngx_slab_pool_t *) fmcf->zone->shm.addr;
        ngx_fitnudge_shm = fmcf->zone->data;
    }

    return NGX_OK;
}


/* "<session id>:<until>", "jti:<jti>:<until>", "user:<user id>:<before>:<until>" or "barred:<user id>:<number>:<until>", times in unix s. */
static void
ngx_fitnudge_shm_revoke(const u_char *p, size_t len)
{
    time_t                    until, before;
    const u_char             *last, *colon;
    ngx_fitnudge_shm_kind_e   kind;

    last = p + len;

    for (colon = last - 1; colon > p && *colon != ':'; colon--) { /* void */ }

    until = ngx_atotm((u_char *) colon + 1, last - colon - 1);
    if (colon == p || until == (time_t) NGX_ERROR) {
        goto invalid;
    }

    last = colon;
    before = (time_t) FOREVER;
    kind = NGX_FITNUDGE_SHM_SESSION;

    if (last - p > 4 && ngx_memcmp(p, "jti:", 4) == 0) {
        p += 4;
        kind = NGX_FITNUDGE_SHM_JTI;

        if (last - p > JTI_MAX) {
            goto invalid;
        }

    } else if ((last - p > 5 && ngx_memcmp(p, "user:", 5) == 0) || (last - p > 7 && ngx_memcmp(p, "barred:", 7) == 0)) {
        kind = *p == 'u' ? NGX_FITNUDGE_SHM_USER : NGX_FITNUDGE_SHM_BARRED;
        p += kind == NGX_FITNUDGE_SHM_USER ? 5 : 7;

        if (last - p < UUID_LEN + 2 || p[UUID_LEN] != ':') {
            goto invalid;
        }

        before = ngx_atotm((u_char *) p + UUID_LEN + 1, last - p - UUID_LEN - 1);
        if (before == (time_t) NGX_ERROR || before <= 0) {
            goto invalid;
        }

        last = p + UUID_LEN;
    }

    if (kind != NGX_FITNUDGE_SHM_JTI && !fn_uuid_valid((const char *) p, last - p)) {
        goto invalid;
    }

    until += NGX_FITNUDGE_SHM_SLACK;

    if (until > ngx_time()) {
        ngx_fitnudge_shm_insert(kind, p, last - p, (uint64_t) before, (uint64_t) until);
    }

    return;

invalid:

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "fitnudge: malformed revocation ignored");
}


static void
ngx_fitnudge_shm_insert(ngx_fitnudge_shm_kind_e kind, const u_char *p, size_t len, uint64_t before, uint64_t until)
{
    uint64_t                  now, evicted;
    ngx_uint_t                i, n;
    XXH128_hash_t             hash;
    ngx_fitnudge_shm_t       *sh = ngx_fitnudge_shm;
    ngx_fitnudge_shm_slot_t  *slot, *place, *first;
    static time_t             complain;

    evicted = 0;
    now = (uint64_t) ngx_time();
    hash = ngx_fitnudge_shm_hash(kind, p, len);
    n = hash.low64 % sh->slots_n;
    place = NULL;
    first = NULL;

    ngx_shmtx_lock(&ngx_fitnudge_shm_pool->mutex);

    for (i = 0; i < WINDOW; i++) {
        slot = &sh->slots[n];

        if (slot->until == UNUSED) {
            place = place == NULL ? slot : place;
            break;
        }

        if (slot->until > now && slot->hi == hash.high64 && slot->lo == hash.low64) {
            if (slot->before < before) {
                __atomic_store_n(&slot->before, before, __ATOMIC_SEQ_CST);
            }

            if (slot->until < until) {
                __atomic_store_n(&slot->until, until, __ATOMIC_RELEASE);
            }

            goto done;
        }

        if (slot->until <= now) {
            place = place == NULL ? slot : place;

        } else if (first == NULL || slot->until < first->until) {
            first = slot;
        }

        n = (n + 1) % sh->slots_n;
    }

    if (place == NULL) {
        evicted = ++sh->evicted;
        ngx_fitnudge_count(NGX_FITNUDGE_M_REVOCATIONS_EVICTED, 1);

        /* what expires first goes, and that may be the new one */
        if (first->until >= until) {
            goto done;
        }

        place = first;
    }

    __atomic_store_n(&place->until, DEAD, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place->hi, hash.high64, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place->lo, hash.low64, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place->before, before, __ATOMIC_SEQ_CST);
    __atomic_store_n(&place->until, until, __ATOMIC_SEQ_CST);

    ngx_fitnudge_count(NGX_FITNUDGE_M_REVOCATIONS, 1);
    (void) __atomic_add_fetch(&sh->seen[kind], 1, __ATOMIC_SEQ_CST);

done:

    ngx_shmtx_unlock(&ngx_fitnudge_shm_pool->mutex);

    if (evicted && ngx_time() >= complain) {
        complain = ngx_time() + COMPLAIN_INTERVAL;
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "fitnudge: %uL revocations were forgotten too early: \"fitnudge_zone\" is too small", evicted);
    }
}


/*
 * The table can be large, and nothing tells when an entry expires: each call counts a part of it, some tenths of a
 * millisecond long, and the number is known when the end is reached.  One process does it.
 */
void
ngx_fitnudge_shm_gauges(void)
{
    uint64_t             now;
    ngx_uint_t           last;
    ngx_fitnudge_shm_t  *sh = ngx_fitnudge_shm;
    static ngx_uint_t    at, used;

    if (sh == NULL || ngx_worker != 0) {
        return;
    }

    now = (uint64_t) ngx_time();
    last = ngx_min(at + SWEEP, sh->slots_n);

    for ( /* void */ ; at < last; at++) {
        used += __atomic_load_n(&sh->slots[at].until, __ATOMIC_RELAXED) > now;
    }

    if (at == sh->slots_n) {
        ngx_fitnudge_gauge(NGX_FITNUDGE_G_REVOKED_USED, (int64_t) used);
        at = 0;
        used = 0;
    }

    ngx_fitnudge_gauge(NGX_FITNUDGE_G_REVOKED_MAX, (int64_t) sh->slots_n);
}
