/*
 * What all worker processes share: generation counters of cache tags (lock-free) and
 * revocations (open-addressed table under the zone's mutex for writers, lock-free for readers).
 * A full revocation table evicts what expires first and counts it.
 */
#ifndef NGX_FITNUDGE_SHM_H
#define NGX_FITNUDGE_SHM_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../worker/libfitnudge/fn_jwt.h"

#define NGX_FITNUDGE_SHM_MIN    (64 * 1024)
#define NGX_FITNUDGE_SHM_MAX    (1024 * 1024 * 1024)

/* A revocation is remembered longer than the last token that it concerns lives, for clocks that differ, s. */
#define NGX_FITNUDGE_SHM_SLACK  300

/* Configuration time: the zone of this configuration. NULL: an error was logged. */
ngx_shm_zone_t *ngx_fitnudge_shm_add(ngx_conf_t *cf, size_t size);

/*
 * Applies one tag from a reply or the change channel:
 *   "revoked:<session id>:<until>"                  the session has ended
 *   "revoked:jti:<jti>:<until>"                     this one token is dead
 *   "revoked:user:<user id>:<before>:<until>"       so is every token of the user issued before that second
 *                                                   (times in unix s; remembered until the last token concerned has expired)
 *   "revoked:barred:<user id>:<number>:<until>"     the user is barred if the number is odd, no more if it is even; the greatest
 *                                                   counts, in whatever order they come
 *   anything else                     bump the tag's generation
 */
void ngx_fitnudge_shm_apply(const u_char *tag, size_t len);

/* Everything heard may be out of date (change subscription was lost): bump all generations. */
void ngx_fitnudge_shm_bump_all(void);

/* 1 when the token, its session, or the user's tokens of its time were revoked. */
ngx_uint_t ngx_fitnudge_shm_revoked(const fn_jwt_claims_t *claims, time_t now);

/* 1 when no token opens anything for the user, whenever it was issued and by whom. */
ngx_uint_t ngx_fitnudge_shm_barred(const fn_jwt_claims_t *claims, time_t now);

/* The revocations are complete now: a process is subscribed, has loaded them, and has just heard from Redis. */
void ngx_fitnudge_shm_heard(void);

/* 1 when no process could say so for longer than that. */
ngx_uint_t ngx_fitnudge_shm_stale(ngx_msec_t ms);

/* Sets the gauges of this process: to be called every second. */
void ngx_fitnudge_shm_gauges(void);

uint64_t ngx_fitnudge_shm_generation(const u_char *tag, size_t len);

/* 1 when the tag (or another one of its counter), or all of them, were bumped less than `ms` ago. */
ngx_uint_t ngx_fitnudge_shm_bumped_within(const u_char *tag, size_t len, ngx_msec_t ms);

#endif
