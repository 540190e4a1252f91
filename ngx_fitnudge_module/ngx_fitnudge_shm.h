/*
 * What all worker processes share: generation counters of cache tags (lock-free) and
 * revoked sessions (open-addressed table under the zone's mutex for writers, lock-free for readers).
 * A full revocation table evicts what expires first and counts it.
 */
#ifndef NGX_FITNUDGE_SHM_H
#define NGX_FITNUDGE_SHM_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_FITNUDGE_SHM_MIN    (64 * 1024)
#define NGX_FITNUDGE_SHM_MAX    (1024 * 1024 * 1024)

/* A revoked session is remembered longer than its last token lives, for clocks that differ, s. */
#define NGX_FITNUDGE_SHM_SLACK  300

/* Configuration time: the zone of this configuration. NULL: an error was logged. */
ngx_shm_zone_t *ngx_fitnudge_shm_add(ngx_conf_t *cf, size_t size);

/*
 * Applies one tag from a reply or the change channel:
 *   "revoked:<session id>:<unix s>"  remember the session as ended until then
 *   anything else                     bump the tag's generation
 */
void ngx_fitnudge_shm_apply(const u_char *tag, size_t len);

/* Everything heard may be out of date (change subscription was lost): bump all generations. */
void ngx_fitnudge_shm_bump_all(void);

/* 1 when the session (36 chars, lower case) was revoked and the tokens of it may still live. */
ngx_uint_t ngx_fitnudge_shm_revoked(const u_char *session, time_t now);

/* Sets the gauges of this process: to be called every second. */
void ngx_fitnudge_shm_gauges(void);

uint64_t ngx_fitnudge_shm_generation(const u_char *tag, size_t len);

/* 1 when the tag (or another one of its counter), or all of them, were bumped less than `ms` ago. */
ngx_uint_t ngx_fitnudge_shm_bumped_within(const u_char *tag, size_t len, ngx_msec_t ms);

#endif
