/* What the directives of the pg module say. Const at request time. */
#ifndef NGX_FITNUDGE_PG_CONF_H
#define NGX_FITNUDGE_PG_CONF_H

#include "ngx_fitnudge_pg_conn.h"
#include "../worker/libfitnudge/fn_breaker.h"

typedef struct {
    ngx_array_t                statements;      /* of ngx_fitnudge_pg_statement_t */
    ngx_int_t                  position;        /* statement: how far the primary has written */
    ngx_int_t                  replayed;        /* statement: how far a replica has replayed */

    ngx_fitnudge_pg_server_t   primary;
    ngx_fitnudge_pg_server_t   slow;
    ngx_array_t                replicas;        /* of ngx_fitnudge_pg_server_t */
    char                      *password;
    fn_breaker_policy_t        breaker;
} ngx_fitnudge_pg_main_conf_t;

extern ngx_command_t  ngx_fitnudge_pg_commands[];

void *ngx_fitnudge_pg_create_main_conf(ngx_conf_t *cf);
char *ngx_fitnudge_pg_init_main_conf(ngx_conf_t *cf, void *conf);

#endif
