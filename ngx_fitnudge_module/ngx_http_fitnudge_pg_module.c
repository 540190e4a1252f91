/*
 * Reads from PostgreSQL: the statements of the configuration and the connections of a worker process.
 * A query goes to the connection with the shortest queue.  Queries are reads without effect: one whose
 * connection was lost is sent once more, elsewhere.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg.h"
#include "ngx_fitnudge_pg_conn.h"
#include "ngx_fitnudge_metrics.h"


typedef struct {
    ngx_array_t          statements;        /* of ngx_fitnudge_pg_statement_t */
} ngx_fitnudge_pg_main_conf_t;


static void *ngx_fitnudge_pg_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_fitnudge_pg_init_process(ngx_cycle_t *cycle);
static void ngx_fitnudge_pg_exit_process(ngx_cycle_t *cycle);
static ngx_uint_t ngx_fitnudge_pg_starting(void);
static ngx_int_t ngx_fitnudge_pg_send(ngx_fitnudge_op_t *op);


extern ngx_module_t  ngx_http_fitnudge_pg_module;


/* of this process, made when it starts */
static struct {
    ngx_fitnudge_pg_server_t   server;
    ngx_fitnudge_pg_conn_t    *conns;
    ngx_uint_t                 nconns;
    ngx_queue_t                early;           /* ops that came before the first connection stood */
    ngx_uint_t                 nearly;
} ngx_fitnudge_pg;


static ngx_http_module_t  ngx_http_fitnudge_pg_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
    ngx_fitnudge_pg_create_main_conf,      /* create main configuration */
    NULL,                                  /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_pg_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_pg_module_ctx,      /* module context */
    NULL,                                  /* module directives */
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
ngx_fitnudge_pg_query(ngx_fitnudge_op_t *op, ngx_int_t statement, ngx_uint_t nparams, const char *const *values)
{
    size_t                    size, len;
    u_char                   *p;
    ngx_uint_t                i;
    ngx_fitnudge_pg_query_t  *query;

    if (statement < 0
        || (ngx_uint_t) statement >= ngx_fitnudge_pg.server.nstatements
        || nparams != ngx_fitnudge_pg.server.statements[statement].nparams)
    {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0, "fitnudge: statement %i is unknown or takes other parameters",
                      statement);
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
    }

    size = sizeof(ngx_fitnudge_pg_query_t) + nparams * sizeof(char *);

    for (i = 0; i < nparams; i++) {
        size += values[i] == NULL ? 0 : ngx_strlen(values[i]) + 1;
    }

    query = ngx_alloc(size, ngx_cycle->log);
    if (query == NULL) {
        ngx_fitnudge_op_free(op);
        return NGX_DECLINED;
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

    op->backend = query;
    op->kind = NGX_FITNUDGE_OP_POSTGRES;

    if (ngx_fitnudge_pg_send(op) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_fitnudge_pg_starting() && ngx_fitnudge_pg.nearly < ngx_fitnudge_pg.server.queue) {
        ngx_queue_insert_tail(&ngx_fitnudge_pg.early, &op->queue);
        ngx_fitnudge_pg.nearly++;
        return NGX_OK;
    }

    ngx_free(query);
    ngx_fitnudge_op_free(op);

    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_UNAVAILABLE, 1);

    return NGX_DECLINED;
}


ngx_uint_t
ngx_fitnudge_pg_up(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_fitnudge_pg.nconns; i++) {
        if (ngx_fitnudge_pg.conns[i].state == NGX_FITNUDGE_PG_READY) {
            return 1;
        }
    }

    return ngx_fitnudge_pg_starting();
}


void
ngx_fitnudge_pg_gauges(void)
{
    ngx_uint_t               i, states[3] = { 0, 0, 0 }, ops;
    ngx_fitnudge_pg_conn_t  *conn;

    ops = 0;

    for (i = 0; i < ngx_fitnudge_pg.nconns; i++) {
        conn = &ngx_fitnudge_pg.conns[i];
        states[conn->state]++;
        ops += conn->nops;
    }

    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_READY, states[NGX_FITNUDGE_PG_READY]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_CONNECTING, states[NGX_FITNUDGE_PG_CONNECTING]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_AWAY, states[NGX_FITNUDGE_PG_AWAY]);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_IN_FLIGHT, ops);
    ngx_fitnudge_gauge(NGX_FITNUDGE_G_POSTGRES_QUEUED, ngx_fitnudge_pg.nearly);
}


void
ngx_fitnudge_pg_changed(void)
{
    ngx_queue_t        *q, early;
    ngx_fitnudge_op_t  *op;

    if (ngx_queue_empty(&ngx_fitnudge_pg.early)) {
        return;
    }

    ngx_queue_init(&early);
    ngx_queue_add(&early, &ngx_fitnudge_pg.early);
    ngx_queue_init(&ngx_fitnudge_pg.early);
    ngx_fitnudge_pg.nearly = 0;

    while (!ngx_queue_empty(&early)) {
        q = ngx_queue_head(&early);
        ngx_queue_remove(q);
        op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

        if (op->detached) {
            ngx_fitnudge_pg_finish(op, NGX_ERROR);

        } else if (ngx_fitnudge_pg_send(op) != NGX_OK) {

            if (ngx_fitnudge_pg_starting()) {
                ngx_queue_insert_tail(&ngx_fitnudge_pg.early, q);
                ngx_fitnudge_pg.nearly++;

            } else {
                ngx_fitnudge_pg_finish(op, NGX_ERROR);
            }
        }
    }
}


/*
 * No connection stands, but one is being made for the first time: a process that has just started answers
 * requests before that.
 */
static ngx_uint_t
ngx_fitnudge_pg_starting(void)
{
    ngx_uint_t               i, starting;
    ngx_fitnudge_pg_conn_t  *conn;

    starting = 0;

    for (i = 0; i < ngx_fitnudge_pg.nconns; i++) {
        conn = &ngx_fitnudge_pg.conns[i];

        if (conn->state == NGX_FITNUDGE_PG_READY) {
            return 0;
        }

        if (conn->state == NGX_FITNUDGE_PG_CONNECTING && !conn->outage) {
            starting = 1;
        }
    }

    return starting;
}


void
ngx_fitnudge_pg_again(ngx_fitnudge_op_t *op)
{
    ngx_fitnudge_pg_query_t  *query = op->backend;

    PQclear(query->result);
    query->result = NULL;

    if (op->detached || query->retried) {
        ngx_fitnudge_pg_finish(op, NGX_ERROR);
        return;
    }

    query->retried = 1;
    ngx_fitnudge_count(NGX_FITNUDGE_M_POSTGRES_RETRIES, 1);

    if (ngx_fitnudge_pg_send(op) != NGX_OK) {
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

    if (op->detached) {
        PQclear(result);
        result = NULL;
    }

    ngx_fitnudge_op_complete(op, rc, result);
}


static ngx_int_t
ngx_fitnudge_pg_send(ngx_fitnudge_op_t *op)
{
    ngx_uint_t               i, n;
    ngx_fitnudge_pg_conn_t  *conn, *best;

    /* a connection that turns out to be broken declines, and is not asked again */
    for (n = 0; n < ngx_fitnudge_pg.nconns; n++) {
        best = NULL;

        for (i = 0; i < ngx_fitnudge_pg.nconns; i++) {
            conn = &ngx_fitnudge_pg.conns[i];

            if (conn->state == NGX_FITNUDGE_PG_READY && !conn->broken.posted
                && (best == NULL || conn->nops < best->nops))
            {
                best = conn;
            }
        }

        if (best == NULL) {
            break;
        }

        if (ngx_fitnudge_pg_conn_query(best, op) == NGX_OK) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static void *
ngx_fitnudge_pg_create_main_conf(ngx_conf_t *cf)
{
    ngx_fitnudge_pg_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_fitnudge_pg_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&pmcf->statements, cf->pool, 32, sizeof(ngx_fitnudge_pg_statement_t)) != NGX_OK) {
        return NULL;
    }

    return pmcf;
}


static ngx_int_t
ngx_fitnudge_pg_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                            i;
    const ngx_fitnudge_pg_main_conf_t    *pmcf;
    const ngx_http_fitnudge_main_conf_t  *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_base_module);

    if (fmcf == NULL || !fmcf->enabled) {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_fitnudge_pg_module);

    /* nginx has initialised OpenSSL */
    PQinitOpenSSL(0, 0);

    ngx_fitnudge_pg.server.conninfo = (char *) fmcf->postgres.data;
    ngx_fitnudge_pg.server.password = fmcf->postgres_password;
    ngx_fitnudge_pg.server.timeout = fmcf->pg_timeout;
    ngx_fitnudge_pg.server.queue = fmcf->pg_queue;
    ngx_fitnudge_pg.server.statements = pmcf->statements.elts;
    ngx_fitnudge_pg.server.nstatements = pmcf->statements.nelts;

    ngx_fitnudge_pg.conns = ngx_calloc(fmcf->pg_connections * sizeof(ngx_fitnudge_pg_conn_t), cycle->log);
    if (ngx_fitnudge_pg.conns == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&ngx_fitnudge_pg.early);

    for (i = 0; i < fmcf->pg_connections; i++) {
        if (ngx_fitnudge_pg_conn_start(&ngx_fitnudge_pg.conns[i], &ngx_fitnudge_pg.server, i) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_fitnudge_pg.nconns = i + 1;
    }

    return NGX_OK;
}


/*
 * Until here the connections stayed open for requests that were still on their way; they do not hold
 * the process, its timers of ops do.
 */
static void
ngx_fitnudge_pg_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t          i;
    ngx_queue_t        *q;
    ngx_fitnudge_op_t  *op;

    for (i = 0; i < ngx_fitnudge_pg.nconns; i++) {
        ngx_fitnudge_pg_conn_stop(&ngx_fitnudge_pg.conns[i]);
    }

    ngx_fitnudge_pg.nconns = 0;

    if (ngx_fitnudge_pg.conns != NULL) {
        while (!ngx_queue_empty(&ngx_fitnudge_pg.early)) {
            q = ngx_queue_head(&ngx_fitnudge_pg.early);
            ngx_queue_remove(q);
            op = ngx_queue_data(q, ngx_fitnudge_op_t, queue);

            ngx_free(op->backend);
            ngx_fitnudge_op_free(op);
        }

        ngx_free(ngx_fitnudge_pg.conns);
        ngx_fitnudge_pg.conns = NULL;
    }
}
