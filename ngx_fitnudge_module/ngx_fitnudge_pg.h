/*
 * PostgreSQL reads: a few connections a worker process, always in pipeline mode,
 * shared by all requests.  One statement an op, one Sync an op.
 */
#ifndef NGX_FITNUDGE_PG_H
#define NGX_FITNUDGE_PG_H

#include <libpq-fe.h>
#include "ngx_fitnudge_op.h"

#define NGX_FITNUDGE_PG_PARAMS  20

/* Who may answer. */
typedef enum {
    NGX_FITNUDGE_PG_PRIMARY = 0,
    NGX_FITNUDGE_PG_REPLICA_OK,     /* a replica that is fresh enough; without one, the primary */
    NGX_FITNUDGE_PG_SLOW            /* the primary, over the connections of slow statements */
} ngx_fitnudge_pg_target_e;

/*
 * Registers a statement at configuration time (any number of connections will prepare it before its
 * first use). `sql` must stay valid for the cycle. Returns its number, or NGX_ERROR.
 */
ngx_int_t ngx_fitnudge_pg_statement(ngx_conf_t *cf, const char *sql, ngx_uint_t nparams);

/*
 * Sends. values are NUL-terminated text or NULL. They are copied out before the return.
 * done(rc NGX_OK, PGresult *): ownership of the result passes to the asker (PQclear); it is
 * PGRES_TUPLES_OK. done(NGX_DECLINED, PGresult *): the statement failed, PQresultErrorField() says why; the result
 * passes to the asker, too. A lost connection gives NGX_ERROR, after one try on another connection; what a replica cannot
 * answer, the primary is asked.
 * Returns NGX_OK; NGX_DECLINED when no connection is up or all queues are full (op is freed, done is not called): answer 503.
 */
ngx_int_t ngx_fitnudge_pg_query(ngx_fitnudge_op_t *op, ngx_fitnudge_pg_target_e target, ngx_int_t statement,
    ngx_uint_t nparams, const char *const *values);

/* How long an answer may take, ms: for the op. */
ngx_msec_t ngx_fitnudge_pg_timeout(ngx_fitnudge_pg_target_e target);

/* 1 when at least one connection of this process to the primary is ready. */
ngx_uint_t ngx_fitnudge_pg_up(void);

/*
 * How long (ms) after a change was heard its readers are the primary's: after that every replica that may be asked has it.
 * 0: no replica may be asked now.
 */
ngx_msec_t ngx_fitnudge_pg_sticky(void);

/* Sets the gauges of this process. */
void ngx_fitnudge_pg_gauges(void);

#endif
