/* What other modules may ask of the database in the way routes do. */
#ifndef NGX_HTTP_FITNUDGE_QUERY_H
#define NGX_HTTP_FITNUDGE_QUERY_H

#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg.h"

/* Registers SELECT api.<function>(user, params...) at configuration time. Its number, or NGX_ERROR. */
ngx_int_t ngx_http_fitnudge_query_statement(ngx_conf_t *cf, const char *function, const fn_field_t *params);

/*
 * Takes over what the op of such a statement was completed with.
 *   NGX_OK and body set: the JSON, alive as long as r->pool
 *   NGX_DECLINED: SQL NULL
 *   else (body null): an error was sent, finalize with the value
 */
ngx_int_t ngx_http_fitnudge_query_result(ngx_http_request_t *r, ngx_int_t rc, void *reply, ngx_str_t *body);

/* Who may answer a read; values[i] is route->params[i] as ngx_http_fitnudge_params() gave it. */
ngx_fitnudge_pg_target_e ngx_http_fitnudge_target(ngx_http_request_t *r, const fn_route_match_t *m,
    const char *const *values);

/* ngx_http_fitnudge_record.c: queues the note of a search (FN_R_RECORDED) that PostgreSQL has answered with `answer`; else does nothing. */
void ngx_http_fitnudge_record(ngx_http_request_t *r, const ngx_str_t *answer);

#endif
