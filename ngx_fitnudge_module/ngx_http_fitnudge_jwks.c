/*
 * Key sets and their refresh.
 *
 * A file is read with the configuration.  What a location answers is fetched when the process starts, when it is older
 * than the ttl, and when a token names an unknown key: one fetch at a time for a source, at most one a cooldown.  Requests
 * that need its outcome are parked, each with a time limit of its own.  A fetch that fails changes nothing:
 * the keys that are there stay, and it is tried again with growing pauses.
 *
 * The last good document of each source is kept in shared memory, so that processes that start find it there, even
 * while the service that has the keys is away, and so that a process sees what another one has fetched.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_http_fitnudge_fetch.h"
#include "ngx_http_fitnudge_jwks.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_op.h"


#define LAYOUT          1
#define BACKOFF_FIRST   500         /* ms */
#define BACKOFF_EMPTY   10000       /* the longest pause without any keys, ms */
#define BACKOFF_STALE   60000       /* ... with those of before, ms */


typedef struct {
    uint64_t     source;                            /* hash; 0: unused */
    uint64_t     generation;                        /* of the text; 0: none */
    uint64_t     loaded;                            /* ngx_current_msec of the last good fetch */
    size_t       len;
    u_char       text[FN_JWKS_MAX_BYTES];
} ngx_http_fitnudge_jwks_slot_t;

typedef struct {
    ngx_uint_t                      layout;
    ngx_http_fitnudge_jwks_slot_t   slots[NGX_HTTP_FITNUDGE_JWKS_MAX];
} ngx_http_fitnudge_jwks_shm_t;

/* A source in this process. */
typedef struct {
    const ngx_http_fitnudge_jwks_source_t  *conf;
    ngx_http_fitnudge_jwks_slot_t          *slot;       /* NULL: a file */
    fn_jwks_t                              *keys;       /* NULL: never had any; a file's belong to the configuration */
    uint64_t                                generation; /* of the slot, as keys were made from it */
    ngx_msec_t                              finished;   /* the last fetch */
    ngx_uint_t                              failures;   /* since the last good fetch */
    ngx_event_t                             timer;      /* the next refresh; cancelable */
    ngx_event_t                             begin;      /* posted: a fetch is to begin */
    unsigned                                fetching:1; /* or about to */
    unsigned                                fetched:1;  /* `finished` is set */
} ngx_http_fitnudge_jwks_state_t;


static ngx_int_t ngx_http_fitnudge_jwks_init_zone(ngx_shm_zone_t *zone, void *data);
static void ngx_http_fitnudge_jwks_choose_slot(ngx_http_fitnudge_jwks_state_t *s);
static void ngx_http_fitnudge_jwks_adopt(ngx_http_fitnudge_jwks_state_t *s);
static void ngx_http_fitnudge_jwks_fetch(ngx_http_fitnudge_jwks_state_t *s);
static void ngx_http_fitnudge_jwks_begin(ngx_event_t *ev);
static void ngx_http_fitnudge_jwks_fetched(void *data, ngx_uint_t status, const ngx_str_t *body);
static const char *ngx_http_fitnudge_jwks_store(ngx_http_fitnudge_jwks_state_t *s, const ngx_str_t *body);
static void ngx_http_fitnudge_jwks_schedule(ngx_http_fitnudge_jwks_state_t *s);
static void ngx_http_fitnudge_jwks_refresh(ngx_event_t *ev);
static void ngx_http_fitnudge_jwks_wake(void);
static ngx_int_t ngx_http_fitnudge_jwks_park(ngx_http_request_t *r, ngx_msec_t timeout, void (*woken)(ngx_http_request_t *r));
static void ngx_http_fitnudge_jwks_resume(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_http_fitnudge_jwks_released(ngx_fitnudge_op_t *op);


/* of this process, set when it starts */
static struct {
    ngx_http_fitnudge_jwks_state_t   states[NGX_HTTP_FITNUDGE_JWKS_MAX];
    ngx_uint_t                       n;
    fn_jwt_trust_t                   trusts[NGX_HTTP_FITNUDGE_JWKS_MAX + 1];
    uint64_t                         generation;
    ngx_http_fitnudge_jwks_shm_t    *shm;
    ngx_slab_pool_t                 *pool;
    ngx_queue_t                      waiters;           /* ops */
} ngx_http_fitnudge_jwks;


/* --- shared memory ------------------------------------------------------ */

ngx_shm_zone_t *
ngx_http_fitnudge_jwks_add_zone(ngx_conf_t *cf)
{
    size_t           size;
    ngx_str_t        name = ngx_string("fitnudge_keys");
    ngx_shm_zone_t  *zone;

    extern ngx_module_t  ngx_http_fitnudge_jwt_module;

    /* always the same size, so that a reload keeps it whatever is configured */
    size = ngx_align(sizeof(ngx_http_fitnudge_jwks_shm_t), ngx_pagesize) + 8 * ngx_pagesize;

    zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_fitnudge_jwt_module);
    if (zone != NULL) {
        zone->init = ngx_http_fitnudge_jwks_init_zone;
    }

    return zone;
}


static ngx_int_t
ngx_http_fitnudge_jwks_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t               *pool;
    ngx_http_fitnudge_jwks_shm_t  *shm;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data != NULL || zone->shm.exists) {
        shm = data != NULL ? data : pool->data;

        if (shm->layout != LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "zone \"%V\" has layout %ui, this module needs %ui: restart nginx",
                          &zone->shm.name, shm->layout, (ngx_uint_t) LAYOUT);
            return NGX_ERROR;
        }

        zone->data = shm;
        return NGX_OK;
    }

    shm = ngx_slab_calloc(pool, sizeof(ngx_http_fitnudge_jwks_shm_t));
    if (shm == NULL) {
        return NGX_ERROR;
    }

    shm->layout = LAYOUT;
    pool->data = shm;
    zone->data = shm;

    return NGX_OK;
}


/* The slot with the document of this source, else one that no source of this configuration has. */
static void
ngx_http_fitnudge_jwks_choose_slot(ngx_http_fitnudge_jwks_state_t *s)
{
    ngx_uint_t                      i, k, used;
    ngx_http_fitnudge_jwks_slot_t  *slot, *place;

    place = NULL;

    ngx_shmtx_lock(&ngx_http_fitnudge_jwks.pool->mutex);

    for (i = 0; i < NGX_HTTP_FITNUDGE_JWKS_MAX; i++) {
        slot = &ngx_http_fitnudge_jwks.shm->slots[i];

        if (slot->source == s->conf->hash) {
            place = slot;
            break;
        }

        used = 0;

        for (k = 0; k < ngx_http_fitnudge_jwks.n; k++) {
            used |= ngx_http_fitnudge_jwks.states[k].conf->conf_ctx != NULL
                    && ngx_http_fitnudge_jwks.states[k].conf->hash == slot->source;
        }

        if (!used && place == NULL) {
            place = slot;
        }
    }

    if (place != NULL && place->source != s->conf->hash) {
        place->source = s->conf->hash;
        place->len = 0;
        place->loaded = 0;
        __atomic_store_n(&place->generation, 0, __ATOMIC_SEQ_CST);
    }

    ngx_shmtx_unlock(&ngx_http_fitnudge_jwks.pool->mutex);

    s->slot = place;
}


/* Makes keys of a document that this process has not seen. */
static void
ngx_http_fitnudge_jwks_adopt(ngx_http_fitnudge_jwks_state_t *s)
{
    size_t       len;
    u_char      *text;
    uint64_t     generation;
    fn_jwks_t   *keys;
    const char  *err;

    text = ngx_alloc(FN_JWKS_MAX_BYTES, ngx_cycle->log);
    if (text == NULL) {
        return;
    }

    len = 0;

    ngx_shmtx_lock(&ngx_http_fitnudge_jwks.pool->mutex);

    generation = s->slot->generation;

    if (s->slot->source == s->conf->hash && s->slot->len <= FN_JWKS_MAX_BYTES) {
        len = s->slot->len;
        ngx_memcpy(text, s->slot->text, len);
    }

    ngx_shmtx_unlock(&ngx_http_fitnudge_jwks.pool->mutex);

    s->generation = generation;

    keys = len ? fn_jwks_parse((char *) text, len, FN_JWKS_PUBLIC, &err) : NULL;
    ngx_free(text);

    if (keys == NULL) {
        return;
    }

    fn_jwks_free(s->keys);

    s->keys = keys;
    s->failures = 0;
    ngx_http_fitnudge_jwks.trusts[s - ngx_http_fitnudge_jwks.states].keys = keys;
    ngx_http_fitnudge_jwks.generation++;
}


/* --- a worker process --------------------------------------------------- */

void
ngx_http_fitnudge_jwks_start(ngx_shm_zone_t *zone, const ngx_http_fitnudge_jwks_source_t *sources, ngx_uint_t n,
    const fn_jwt_trust_t *own)
{
    ngx_uint_t                       i;
    fn_jwt_policy_t                 *policy;
    ngx_http_fitnudge_jwks_state_t  *s;

    ngx_queue_init(&ngx_http_fitnudge_jwks.waiters);

    ngx_http_fitnudge_jwks.n = n;
    ngx_http_fitnudge_jwks.generation = 1;
    ngx_http_fitnudge_jwks.trusts[n] = *own;

    if (zone != NULL) {
        ngx_http_fitnudge_jwks.shm = zone->data;
        ngx_http_fitnudge_jwks.pool = (ngx_slab_pool_t *) zone->shm.addr;
    }

    for (i = 0; i < n; i++) {
        ngx_http_fitnudge_jwks.states[i].conf = &sources[i];
    }

    for (i = 0; i < n; i++) {
        s = &ngx_http_fitnudge_jwks.states[i];

        policy = &ngx_http_fitnudge_jwks.trusts[i].policy;
        *policy = own->policy;
        policy->key = NULL;
        policy->key_len = 0;
        policy->app_metadata = 1;
        policy->issuer = s->conf->issuer ? s->conf->issuer : own->policy.issuer;
        policy->audience = s->conf->audience ? s->conf->audience : own->policy.audience;

        if (s->conf->conf_ctx == NULL) {
            s->keys = s->conf->keys;
            ngx_http_fitnudge_jwks.trusts[i].keys = s->keys;
            continue;
        }

        s->timer.handler = ngx_http_fitnudge_jwks_refresh;
        s->timer.data = s;
        s->timer.log = ngx_cycle->log;
        s->timer.cancelable = 1;

        s->begin.handler = ngx_http_fitnudge_jwks_begin;
        s->begin.data = s;
        s->begin.log = ngx_cycle->log;

        ngx_http_fitnudge_jwks_choose_slot(s);
        ngx_http_fitnudge_jwks_adopt(s);
        ngx_http_fitnudge_jwks_schedule(s);
    }
}


ngx_uint_t
ngx_http_fitnudge_jwks_trusts(const fn_jwt_trust_t **trusts, uint64_t *generation)
{
    ngx_uint_t                       i;
    ngx_http_fitnudge_jwks_state_t  *s;

    for (i = 0; i < ngx_http_fitnudge_jwks.n; i++) {
        s = &ngx_http_fitnudge_jwks.states[i];

        if (s->slot != NULL && __atomic_load_n(&s->slot->generation, __ATOMIC_ACQUIRE) != s->generation) {
            ngx_http_fitnudge_jwks_adopt(s);
        }
    }

    *trusts = ngx_http_fitnudge_jwks.trusts;
    *generation = ngx_http_fitnudge_jwks.generation;

    return ngx_http_fitnudge_jwks.n + 1;
}


static void
ngx_http_fitnudge_jwks_fetch(ngx_http_fitnudge_jwks_state_t *s)
{
    if (!s->fetching) {
        s->fetching = 1;

        if (s->timer.timer_set) {
            ngx_del_timer(&s->timer);
        }

        /* not from within a request */
        ngx_post_event(&s->begin, &ngx_posted_events);
    }
}


static void
ngx_http_fitnudge_jwks_begin(ngx_event_t *ev)
{
    ngx_str_t                        why = ngx_string("no connection is free");
    ngx_http_fitnudge_jwks_state_t  *s = ev->data;

    ngx_fitnudge_count(NGX_FITNUDGE_M_KEY_FETCHES, 1);

    if (ngx_http_fitnudge_fetch(s->conf->conf_ctx, (ngx_str_t *) &s->conf->name, s->conf->timeout,
                                ngx_http_fitnudge_jwks_fetched, s)
        != NGX_OK)
    {
        ngx_http_fitnudge_jwks_fetched(s, 0, &why);
    }
}


static void
ngx_http_fitnudge_jwks_fetched(void *data, ngx_uint_t status, const ngx_str_t *body)
{
    const char                      *why;
    ngx_http_fitnudge_jwks_state_t  *s = data;

    s->fetching = 0;
    s->fetched = 1;
    s->finished = ngx_current_msec;

    if (status == NGX_HTTP_OK) {
        why = ngx_http_fitnudge_jwks_store(s, body);

        if (why != NULL) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: the answer of \"%V\" is no usable key set: %s",
                          &s->conf->name, why);
        }

    } else {
        why = "";

        if (status == 0) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: keys cannot be fetched from \"%V\": %V", &s->conf->name, body);

        } else {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fitnudge: keys cannot be fetched from \"%V\": status %ui",
                          &s->conf->name, status);
        }
    }

    if (why != NULL) {
        s->failures++;
        ngx_fitnudge_count(NGX_FITNUDGE_M_KEY_FETCHES_FAILED, 1);

    } else {
        s->failures = 0;
    }

    ngx_http_fitnudge_jwks_schedule(s);
    ngx_http_fitnudge_jwks_wake();
}


/* Keeps a good document for all processes. NULL, or why it is none. */
static const char *
ngx_http_fitnudge_jwks_store(ngx_http_fitnudge_jwks_state_t *s, const ngx_str_t *body)
{
    fn_jwks_t                      *keys;
    const char                     *err;
    ngx_http_fitnudge_jwks_slot_t  *slot = s->slot;

    keys = fn_jwks_parse((char *) body->data, body->len, FN_JWKS_PUBLIC, &err);
    if (keys == NULL) {
        return err;
    }

    if (keys->skipped) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0, "fitnudge: %ui keys of \"%V\" are not used: %s",
                      (ngx_uint_t) keys->skipped, &s->conf->name, keys->why);
    }

    fn_jwks_free(keys);

    ngx_shmtx_lock(&ngx_http_fitnudge_jwks.pool->mutex);

    if (slot->source == s->conf->hash) {
        slot->loaded = (uint64_t) ngx_current_msec;

        /* the same again is no change: what was verified stays so */
        if (slot->generation == 0 || slot->len != body->len || ngx_memcmp(slot->text, body->data, body->len) != 0) {
            ngx_memcpy(slot->text, body->data, body->len);
            slot->len = body->len;
            (void) __atomic_add_fetch(&slot->generation, 1, __ATOMIC_SEQ_CST);
        }
    }

    ngx_shmtx_unlock(&ngx_http_fitnudge_jwks.pool->mutex);

    if (slot->generation != s->generation) {
        ngx_http_fitnudge_jwks_adopt(s);
    }

    return NULL;
}


/* When to fetch next. */
static void
ngx_http_fitnudge_jwks_schedule(ngx_http_fitnudge_jwks_state_t *s)
{
    uint64_t    now, due;
    ngx_msec_t  pause, most;

    if (ngx_exiting || s->fetching) {
        return;
    }

    if (s->failures > 0) {
        most = s->keys != NULL ? BACKOFF_STALE : BACKOFF_EMPTY;
        pause = BACKOFF_FIRST << ngx_min(s->failures - 1, 10);
        pause = ngx_min(pause, most);

    } else if (s->keys == NULL) {
        pause = 1;

    } else if (!s->fetched) {
        pause = 100;        /* what the configuration says may be another service than before */

    } else {
        now = (uint64_t) ngx_current_msec;
        due = s->slot->loaded + s->conf->ttl;
        pause = due > now ? (ngx_msec_t) (due - now) : 1;
    }

    /* processes and servers do not ask all at once */
    pause += pause > 1 ? (ngx_msec_t) ngx_random() % (pause / 10 + 1) : 0;

    ngx_add_timer(&s->timer, pause);
}


static void
ngx_http_fitnudge_jwks_refresh(ngx_event_t *ev)
{
    ngx_http_fitnudge_jwks_state_t  *s = ev->data;

    if (ngx_exiting) {
        return;
    }

    /* another process may have done it */
    if (s->failures == 0 && s->fetched && s->keys != NULL && s->slot->loaded + s->conf->ttl > (uint64_t) ngx_current_msec) {
        ngx_http_fitnudge_jwks_schedule(s);
        return;
    }

    ngx_http_fitnudge_jwks_fetch(s);
}


/* --- requests that wait ------------------------------------------------- */

ngx_int_t
ngx_http_fitnudge_jwks_wait(ngx_http_request_t *r, const fn_jwt_t *t, ngx_msec_t *deadline, void (*woken)(ngx_http_request_t *r))
{
    ngx_int_t                        rc;
    ngx_msec_t                       timeout, now;
    ngx_uint_t                       i;
    ngx_http_fitnudge_jwks_state_t  *s;

    /* a location never gives a secret */
    if (FN_ALG_BIT(t->alg) & FN_ALG_HMAC) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;
    timeout = 0;
    now = ngx_current_msec;

    for (i = 0; i < ngx_http_fitnudge_jwks.n; i++) {
        s = &ngx_http_fitnudge_jwks.states[i];

        if (s->slot == NULL || (s->keys != NULL && t->kid_len == 0)) {
            continue;
        }

        if (!s->fetching) {
            /* what another process has fetched lately is what this one would get */
            if (s->fetched && s->keys != NULL
                && __atomic_load_n(&s->slot->loaded, __ATOMIC_RELAXED) + s->conf->cooldown > (uint64_t) now)
            {
                continue;
            }

            if (s->fetched && (s->keys == NULL || (ngx_msec_int_t) (s->finished + s->conf->cooldown - now) > 0)) {
                /* asked lately: who got no answer does not know */
                rc = s->failures > 0 ? NGX_ERROR : rc;
                continue;
            }

            ngx_http_fitnudge_jwks_fetch(s);
        }

        timeout = ngx_max(timeout, s->conf->timeout);
    }

    if (timeout == 0) {
        return rc;
    }

    if (*deadline == 0) {
        *deadline = now + timeout;
        *deadline += *deadline == 0;
    }

    if ((ngx_msec_int_t) (*deadline - now) <= 0) {
        return NGX_ERROR;
    }

    return ngx_http_fitnudge_jwks_park(r, *deadline - now, woken);
}


static ngx_int_t
ngx_http_fitnudge_jwks_park(ngx_http_request_t *r, ngx_msec_t timeout, void (*woken)(ngx_http_request_t *r))
{
    ngx_fitnudge_op_t  *op;

    op = ngx_fitnudge_op_create(r, timeout, ngx_http_fitnudge_jwks_resume, (void *) (uintptr_t) woken);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->released = ngx_http_fitnudge_jwks_released;
    ngx_queue_insert_tail(&ngx_http_fitnudge_jwks.waiters, &op->queue);

    /* a client that goes away is noticed meanwhile, as limit_req does it */
    r->read_event_handler = ngx_http_test_reading;

    if (r->connection->read->ready) {
        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_queue_remove(&op->queue);
        ngx_fitnudge_op_free(op);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_http_fitnudge_jwks_wake(void)
{
    ngx_queue_t         woken, *q;
    ngx_fitnudge_op_t  *op;

    ngx_queue_init(&woken);

    if (!ngx_queue_empty(&ngx_http_fitnudge_jwks.waiters)) {
        ngx_queue_add(&woken, &ngx_http_fitnudge_jwks.waiters);
        ngx_queue_init(&ngx_http_fitnudge_jwks.waiters);
    }

    /* one that is resumed may let go of another: it then leaves this queue by itself; or wait again, in the new one */
    while (!ngx_queue_empty(&woken)) {
        q = ngx_queue_head(&woken);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        ngx_queue_remove(q);
        op->released = NULL;

        ngx_fitnudge_op_complete(op, NGX_OK, NULL);
    }
}


static void
ngx_http_fitnudge_jwks_resume(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    ngx_http_request_t  *r = op->request;

    (void) rc;
    (void) reply;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ((void (*)(ngx_http_request_t *)) (uintptr_t) op->data)(r);

    ngx_http_core_run_phases(r);
}


static void
ngx_http_fitnudge_jwks_released(ngx_fitnudge_op_t *op)
{
    ngx_queue_remove(&op->queue);
    ngx_fitnudge_op_free(op);
}
