/*
 * Reads from PostgreSQL: the statements of the configuration and who answers them in a worker process: the
 * primary, its connections for slow statements, or a replica.  Queries are reads without effect: one whose
 * connection was lost is sent once more, and one that a replica could not answer is sent to the primary.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_metrics.h"
#include "ngx_fitnudge_pg_backend.h"
#include "ngx_fitnudge_pg_conf.h"
#include "ngx_fitnudge_pg_lag.h"


#define STICKY_MARGIN  500      /* ms: how far apart the clocks of two worker processes may be */


static ngx_int_t ngx_fitnudge_pg_postconfiguration(ngx_conf_t *cf);
static void ngx_fitnudge_pg_statements(ngx_fitnudge_pg_server_t *server, const ngx_fitnudge_pg_main_conf_t *pmcf);
static ngx_int_t ngx_fitnudge_pg_init_process(ngx_cycle_t *cycle);
static void ngx_fitnudge_pg_exit_process(ngx_cycle_t *cycle);
static ngx_fitnudge_pg_query_t *ngx_fitnudge_pg_query_create(ngx_int_t statement, ngx_uint_t nparams,
    const char *const *values);
static ngx_uint_t ngx_fitnudge_pg_usable(const ngx_fitnudge_pg_backend_t *replica);
static ngx_fitnudge_pg_backend_t *ngx_fitnudge_pg_replica(void);


extern ngx_module_t  ngx_http_fitnudge_pg_module;


/* of this process, made when it starts */
static struct {
    const ngx_fitnudge_pg_main_conf_t  *conf;
    ngx_fitnudge_pg_backend_t           primary;
    ngx_fitnudge_pg_backend_t           slow;
    ngx_fitnudge_pg_backend_t          *replicas;
    ngx_uint_t                          nreplicas;
    ngx_msec_t                          sticky;
} ngx_fitnudge_pg;


static ngx_http_module_t  ngx_http_fitnudge_pg_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_fitnudge_pg_postconfiguration,     /* postconfiguration */
    ngx_fitnudge_pg_create_main_conf,      /* create main configuration */
    ngx_fitnudge_pg_init_main_conf,        /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_pg_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_pg_module_ctx,      /* module context */
    ngx_fitnudge_pg_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_fitnudge_pg_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_fitnudge_pg_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_int_t
ngx_fitnudge_pg_statement(ngx_conf_t *cf, const char *sql, ngx_uint_t nparams)
{
    u_char                       *last;
    ngx_fitnudge_pg_main_conf_t  *pmcf;
    ngx_fitnudge_pg_statement_t  *statement;

    if (nparams > NGX_FITNUDGE_PG_PARAMS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "a statement has too many parameters: %ui", nparams);
        return NGX_ERROR;
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_pg_module);

    statement = ngx_array_push(&pmcf->statements);
    if (statement == NULL) {
        return NGX_ERROR;
    }

    statement->sql = sql;
    statement->nparams = nparams;

    last = ngx_snprintf((u_char *) statement->name, sizeof(statement->name) - 1, "fn_%ui",
                        pmcf->statements.nelts - 1);
    *last = '\0';

    return (ngx_int_t) pmcf->statements.nelts - 1;
}


ngx_int_t
ngx_fitnudge_pg_query(ngx_fitnudge_op_t *op, ngx_fitnudge_pg_target_e target, ngx_int_t statement, ngx_uint_t nparams,
    const char *const *values)
{
    ngx_fitnudge_pg_backend_t  *backend;

    op->backend = ngx_fitnudge_pg_query_create(statement, nparams, values);
    op->kind = NGX_FITNUDGE_OP_POSTGRES;

    if (op->backend == NULL) {
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
    }

    backend = NULL;

    if (target == NGX_FITNUDGE_PG_SLOW) {
        backend = &ngx_fitnudge_pg.slow;
        ngx_fitnudge_count(NGX_FITNUDGE_M_PG_SLOW, 1);

    } else if (target == NGX_FITNUDGE_PG_REPLICA_OK) {
        backend = ngx_fitnudge_pg_replica();

        if (backend != NULL && ngx_fitnudge_pg_backend_query(backend, op) == NGX_OK) {
            ngx_fitnudge_count(NGX_FITNUDGE_M_PG_REPLICA, 1);
            return NGX_OK;
        }

        backend = NULL;
    }

    if (backend == NULL) {
        backend = &ngx_fitnudge_pg.primary;
        ngx_fitnudge_count(NGX_FITNUDGE_M_PG_PRIMARY, 1);
    }

    if (ngx_fitnudge_pg_backend_query(backend, op) == NGX_OK) {
        return NGX_OK;
    }

    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_UNAVAILABLE, 1);

    ngx_free(op->backend);
    ngx_fitnudge_op_free(op);

    return NGX_DECLINED;
}


ngx_int_t
ngx_fitnudge_pg_ask(ngx_fitnudge_op_t *op, ngx_fitnudge_pg_backend_t *backend, ngx_int_t statement)
{
    ngx_fitnudge_pg_query_t  *query;

    query = ngx_fitnudge_pg_query_create(statement, 0, NULL);

    if (query != NULL) {
        query->lag = 1;
        op->backend = query;

        if (ngx_fitnudge_pg_backend_query(backend, op) == NGX_OK) {
            return NGX_OK;
        }

        ngx_free(query);
    }

    ngx_fitnudge_op_free(op);

    return NGX_DECLINED;
}


ngx_msec_t
ngx_fitnudge_pg_timeout(ngx_fitnudge_pg_target_e target)
{
    return target == NGX_FITNUDGE_PG_SLOW ? ngx_fitnudge_pg.slow.server->timeout
                                          : ngx_fitnudge_pg.primary.server->timeout;
}


ngx_uint_t
ngx_fitnudge_pg_up(void)
{
    return ngx_fitnudge_pg_backend_up(&ngx_fitnudge_pg.primary);
}


static void
ngx_fitnudge_pg_gauge(const ngx_fitnudge_pg_backend_t *backend, ngx_uint_t *states, ngx_uint_t *ops, ngx_uint_t *waiting)
{
    ngx_uint_t  i;

    for (i = 0; i < backend->nconns; i++) {
        states[backend->conns[i].state]++;
        *ops += backend->conns[i].nops;
    }

    *waiting += backend->nwaiting;
}


/* Of all servers together. */
void
ngx_fitnudge_pg_gauges(void)
{
    ngx_uint_t  i, states[3] = { 0, 0, 0 }, ops = 0, waiting = 0;

    ngx_fitnudge_pg_gauge(&ngx_fitnudge_pg.primary, states, &ops, &waiting);
    ngx_fitnudge_pg_gauge(&ngx_fitnudge_pg.slow, states, &ops, &waiting);

    for (i = 0; i < ngx_fitnudge_pg.nreplicas; i++) {
        ngx_fitnudge_pg_gauge(&ngx_fitnudge_pg.replicas[i], states, &ops, &waiting);
    }

    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_READY, states[NGX_FITNUDGE_PG_READY]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_CONNECTING, states[NGX_FITNUDGE_PG_CONNECTING]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_AWAY, states[NGX_FITNUDGE_PG_AWAY]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_IN_FLIGHT, ops);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_QUEUED, waiting);
}


ngx_msec_t
ngx_fitnudge_pg_sticky(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_fitnudge_pg.nreplicas; i++) {
        if (ngx_fitnudge_pg_usable(&ngx_fitnudge_pg.replicas[i])) {
            return ngx_fitnudge_pg.sticky;
        }
    }

    return 0;
}


void
ngx_fitnudge_pg_answered(ngx_fitnudge_op_t *op, ngx_int_t rc)
{
    const char               *state;
    ngx_fitnudge_pg_query_t  *query = op->backend;

    /* FN400 is the function's own answer; all else may be the replica's: a conflict with its recovery, an older schema */
    if (rc == NGX_DECLINED && query->backend->server->max_lag != 0 && !op->detached) {
        state = PQresultErrorField(query->result, PG_DIAG_SQLSTATE);

        if (state == NULL || ngx_strcmp(state, "FN400") != 0) {
            ngx_fitnudge_pg_again(op);
            return;
        }
    }

    ngx_fitnudge_pg_finish(op, rc);
}


void
ngx_fitnudge_pg_again(ngx_fitnudge_op_t *op)
{
    ngx_fitnudge_pg_query_t    *query = op->backend;
    ngx_fitnudge_pg_backend_t  *backend = query->backend;

    PQclear(query->result);
    query->result = NULL;

    if (op->detached || query->retried || query->lag) {
        ngx_fitnudge_pg_finish(op, NGX_ERROR);
        return;
    }

    query->retried = 1;

    if (backend->server->max_lag != 0) {
        backend = &ngx_fitnudge_pg.primary;
    }

    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_RETRIES, 1);

    if (ngx_fitnudge_pg_backend_query(backend, op) != NGX_OK) {
        ngx_fitnudge_pg_finish(op, NGX_ERROR);
    }
}


void
ngx_fitnudge_pg_finish(ngx_fitnudge_op_t *op, ngx_int_t rc)
{
    PGresult                 *result;
    ngx_fitnudge_pg_query_t  *query = op->backend;

    result = query->result;

    ngx_free(query);
    op->backend = NULL;
    op->released = NULL;

    if (op->detached) {
        PQclear(result);
        result = NULL;
    }

    ngx_fitnudge_op_complete(op, rc, result);
}


static ngx_fitnudge_pg_query_t *
ngx_fitnudge_pg_query_create(ngx_int_t statement, ngx_uint_t nparams, const char *const *values)
{
    size_t                              size, len;
    u_char                             *p;
    ngx_uint_t                          i;
    ngx_fitnudge_pg_query_t            *query;
    const ngx_fitnudge_pg_server_t     *server = ngx_fitnudge_pg.primary.server;

    if (statement < 0
        || (ngx_uint_t) statement >= server->nstatements
        || nparams != server->statements[statement].nparams)
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0, "fitnudge: statement %i is unknown or takes other parameters",
                      statement);
        return NULL;
    }

    size = sizeof(ngx_fitnudge_pg_query_t) + nparams * sizeof(char *);

    for (i = 0; i < nparams; i++) {
        size += values[i] == NULL ? 0 : ngx_strlen(values[i]) + 1;
    }

    query = ngx_alloc(size, ngx_cycle->log);
    if (query == NULL) {
        return NULL;
    }

    ngx_memzero(query, sizeof(ngx_fitnudge_pg_query_t));

    query->statement = (ngx_uint_t) statement;
    query->nparams = nparams;

    p = (u_char *) &query->values[nparams];

    for (i = 0; i < nparams; i++) {
        if (values[i] == NULL) {
            query->values[i] = NULL;
            continue;
        }

        len = ngx_strlen(values[i]) + 1;
        query->values[i] = (char *) p;
        p = ngx_cpymem(p, values[i], len);
    }

    return query;
}


static ngx_uint_t
ngx_fitnudge_pg_usable(const ngx_fitnudge_pg_backend_t *replica)
{
    return ngx_fitnudge_pg_lag_ok(replica) && ngx_fitnudge_pg_backend_well(replica);
}


/* By turns, as often as their weights say: the smooth round robin of nginx's upstreams. */
static ngx_fitnudge_pg_backend_t *
ngx_fitnudge_pg_replica(void)
{
    ngx_int_t                   total;
    ngx_uint_t                  i;
    ngx_fitnudge_pg_backend_t  *replica, *best;

    best = NULL;
    total = 0;

    for (i = 0; i < ngx_fitnudge_pg.nreplicas; i++) {
        replica = &ngx_fitnudge_pg.replicas[i];

        if (!ngx_fitnudge_pg_usable(replica)) {
            continue;
        }

        replica->turn += (ngx_int_t) replica->server->weight;
        total += (ngx_int_t) replica->server->weight;

        if (best == NULL || replica->turn > best->turn) {
            best = replica;
        }
    }

    if (best != NULL) {
        best->turn -= total;
    }

    return best;
}


static ngx_int_t
ngx_fitnudge_pg_postconfiguration(ngx_conf_t *cf)
{
    ngx_fitnudge_pg_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_pg_module);

    pmcf->position = ngx_fitnudge_pg_statement(cf, ngx_fitnudge_pg_lag_position_sql, 0);
    pmcf->replayed = ngx_fitnudge_pg_statement(cf, ngx_fitnudge_pg_lag_replayed_sql, 0);

    return pmcf->position == NGX_ERROR || pmcf->replayed == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static void
ngx_fitnudge_pg_statements(ngx_fitnudge_pg_server_t *server, const ngx_fitnudge_pg_main_conf_t *pmcf)
{
    server->statements = pmcf->statements.elts;
    server->nstatements = pmcf->statements.nelts;
}


static ngx_int_t
ngx_fitnudge_pg_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                            i;
    ngx_fitnudge_pg_server_t             *servers;
    ngx_fitnudge_pg_main_conf_t          *pmcf;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    if (fmcf == NULL || !fmcf->enabled) {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_pg_module);
    ngx_fitnudge_pg.conf = pmcf;
    servers = pmcf->replicas.elts;

    /* other modules add statements until the configuration is complete: now their array does not move any more */
    ngx_fitnudge_pg_statements(&pmcf->primary, pmcf);
    ngx_fitnudge_pg_statements(&pmcf->slow, pmcf);

    for (i = 0; i < pmcf->replicas.nelts; i++) {
        ngx_fitnudge_pg_statements(&servers[i], pmcf);
    }

    /* nginx has initialised OpenSSL */
    PQinitOpenSSL(0, 0);

    if (ngx_fitnudge_pg_backend_start(&ngx_fitnudge_pg.primary, &pmcf->primary, &pmcf->breaker) != NGX_OK
        || ngx_fitnudge_pg_backend_start(&ngx_fitnudge_pg.slow, &pmcf->slow, &pmcf->breaker) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (pmcf->replicas.nelts == 0) {
        return NGX_OK;
    }

    ngx_fitnudge_pg.replicas = ngx_calloc(pmcf->replicas.nelts * sizeof(ngx_fitnudge_pg_backend_t), cycle->log);
    if (ngx_fitnudge_pg.replicas == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < pmcf->replicas.nelts; i++) {
        if (ngx_fitnudge_pg_backend_start(&ngx_fitnudge_pg.replicas[i], &servers[i], &pmcf->breaker) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_fitnudge_pg.nreplicas = i + 1;
        ngx_fitnudge_pg.sticky = ngx_max(ngx_fitnudge_pg.sticky, servers[i].max_lag + STICKY_MARGIN);
    }

    ngx_fitnudge_pg_lag_start(&ngx_fitnudge_pg.primary, ngx_fitnudge_pg.replicas, ngx_fitnudge_pg.nreplicas,
                              pmcf->position, pmcf->replayed);

    return NGX_OK;
}


static void
ngx_fitnudge_pg_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    if (ngx_fitnudge_pg.conf == NULL) {
        return;
    }

    ngx_fitnudge_pg_lag_stop();

    for (i = 0; i < ngx_fitnudge_pg.nreplicas; i++) {
        ngx_fitnudge_pg_backend_stop(&ngx_fitnudge_pg.replicas[i]);
    }

    ngx_fitnudge_pg.nreplicas = 0;

    if (ngx_fitnudge_pg.replicas != NULL) {
        ngx_free(ngx_fitnudge_pg.replicas);
        ngx_fitnudge_pg.replicas = NULL;
    }

    ngx_fitnudge_pg_backend_stop(&ngx_fitnudge_pg.slow);
    ngx_fitnudge_pg_backend_stop(&ngx_fitnudge_pg.primary);

    ngx_fitnudge_pg.conf = NULL;
}
