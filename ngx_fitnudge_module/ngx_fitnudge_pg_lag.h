/* How old each replica's data may be, measured all the time. Private to the pg module. */
#ifndef NGX_FITNUDGE_PG_LAG_H
#define NGX_FITNUDGE_PG_LAG_H

#include "ngx_fitnudge_pg_backend.h"

/* Statements, for ngx_fitnudge_pg_statement(); without parameters. */
extern const char  ngx_fitnudge_pg_lag_position_sql[];
extern const char  ngx_fitnudge_pg_lag_replayed_sql[];

/* Begins to measure. The backends stay where they are until _stop(). */
void ngx_fitnudge_pg_lag_start(ngx_fitnudge_pg_backend_t *primary, ngx_fitnudge_pg_backend_t *replicas, ngx_uint_t n,
    ngx_int_t position, ngx_int_t replayed);

void ngx_fitnudge_pg_lag_stop(void);

/* 1 when the replica holds everything that was committed max_lag ago. */
ngx_uint_t ngx_fitnudge_pg_lag_ok(const ngx_fitnudge_pg_backend_t *replica);

/* The pg module: a query of the module itself, to this backend only. As ngx_fitnudge_pg_query(). */
ngx_int_t ngx_fitnudge_pg_ask(ngx_fitnudge_op_t *op, ngx_fitnudge_pg_backend_t *backend, ngx_int_t statement);

#endif
