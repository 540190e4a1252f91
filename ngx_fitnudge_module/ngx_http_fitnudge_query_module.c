/*
 * Reads: one SQL function a route, which returns the finished JSON.  The body
 * that leaves is PostgreSQL's own result, kept alive by the request's pool.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_http_fitnudge_query.h"
#include "ngx_http_fitnudge_cache.h"
#include "ngx_fitnudge_pg.h"
#include "ngx_fitnudge_redis.h"
#include "../worker/libfitnudge/fn_query.h"


#define QUERY_STACK  1024


typedef struct {
    ngx_int_t   *statements;        /* number of fn_routes[i]'s statement */
} ngx_http_fitnudge_query_main_conf_t;


static void ngx_http_fitnudge_query_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_query_audit(ngx_http_request_t *r, const fn_route_match_t *m, const ngx_str_t *body);
static void ngx_http_fitnudge_query_audited(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_http_fitnudge_query_send(ngx_http_request_t *r, ngx_str_t *body);
static ngx_int_t ngx_http_fitnudge_query_disposition(ngx_http_request_t *r, const fn_route_match_t *m);
static void ngx_http_fitnudge_query_clear(void *data);
static ngx_int_t ngx_http_fitnudge_query_failed(ngx_http_request_t *r, PGresult *res);
static const char *ngx_http_fitnudge_query_copy(ngx_http_request_t *r, const char *s);
static void *ngx_http_fitnudge_query_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_fitnudge_query_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_fitnudge_query_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_fitnudge_query_init,          /* postconfiguration */

    ngx_http_fitnudge_query_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_fitnudge_query_module = {
    NGX_MODULE_V1,
    &ngx_http_fitnudge_query_module_ctx,   /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_int_t
ngx_http_fitnudge_query_handler(ngx_http_request_t *r)
{
    ngx_int_t                             rc;
    ngx_uint_t                            n;
    const char                           *values[NGX_FITNUDGE_PG_PARAMS];
    const fn_field_t                     *f;
    const fn_route_match_t               *m;
    ngx_fitnudge_op_t                    *op;
    ngx_http_fitnudge_ctx_t              *ctx;
    ngx_http_fitnudge_question_t          question;
    ngx_http_fitnudge_query_main_conf_t  *qmcf;

    ctx = ngx_http_fitnudge_ctx(r);
    m = ngx_http_fitnudge_route_of(r);
    qmcf = ngx_http_get_module_main_conf(r, ngx_http_fitnudge_query_module);

    if (ctx == NULL || m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_fitnudge_params(r, m, values + 1, &rc) != NGX_OK) {
        return rc;
    }

    values[0] = ctx->authenticated ? ctx->claims.sub : NULL;
    n = 1;

    for (f = m->route->params; f != NULL && f->name != NULL; f++) {
        n++;
    }

    question.route = m->route;
    question.target = ngx_http_fitnudge_target(r, m, values + 1);
    question.statement = qmcf->statements[m->route - fn_routes];
    question.n = n;
    question.values = values;

    rc = ngx_http_fitnudge_cache_handler(r, &question);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    op = ngx_fitnudge_op_create(r, ngx_fitnudge_pg_timeout(question.target), ngx_http_fitnudge_query_done, NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_fitnudge_park(r, 1);

    rc = ngx_fitnudge_pg_query(op, question.target, question.statement, n, values);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                                             NULL, NULL, NULL));
    }

    return NGX_DONE;
}


static void
ngx_http_fitnudge_query_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    ngx_str_t                body;
    ngx_http_request_t      *r = op->request;
    const fn_route_match_t  *m;

    rc = ngx_http_fitnudge_query_result(r, rc, reply, &body);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);

    } else if (rc == NGX_OK && body.data != NULL) {
        m = ngx_http_fitnudge_route_of(r);

        if (m->route->flags & FN_R_AUDITED) {
            rc = ngx_http_fitnudge_query_audit(r, m, &body);

            if (rc == NGX_AGAIN) {
                return;
            }

        } else {
            if (m->route->flags & FN_R_TOLD) {
                ngx_http_fitnudge_tell(r, m->route->function, NULL, "{}");
            }

            ngx_http_fitnudge_record(r, &body);
            rc = ngx_http_fitnudge_query_send(r, &body);
        }
    }

    ngx_http_finalize_request(r, rc);
}


/* NGX_AGAIN: it is answered when it is on record, and not without. */

static ngx_int_t
ngx_http_fitnudge_query_audit(ngx_http_request_t *r, const fn_route_match_t *m, const ngx_str_t *body)
{
    ngx_str_t  *kept;

    kept = ngx_palloc(r->pool, sizeof(ngx_str_t));
    if (kept == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *kept = *body;

    if (ngx_http_fitnudge_tell_first(r, m->route->function, "{}", ngx_http_fitnudge_query_audited, kept) != NGX_OK) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
    }

    return NGX_AGAIN;
}


static void
ngx_http_fitnudge_query_audited(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    redisReply          *rep = reply;
    ngx_http_request_t  *r = op->request;

    if (rc == NGX_OK && rep->type == REDIS_REPLY_INTEGER) {
        rc = ngx_http_fitnudge_query_send(r, op->data);
    } else {
        rc = ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
    }

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_fitnudge_query_send(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t  rc;

    rc = ngx_http_fitnudge_query_disposition(r, ngx_http_fitnudge_route_of(r));

    return rc == NGX_OK ? ngx_http_fitnudge_send_json(r, NGX_HTTP_OK, body, 1) : rc;
}


/* RFC 6266: what is a download is saved under the name of what is asked for, "fitnudge-data.json". */

static ngx_int_t
ngx_http_fitnudge_query_disposition(ngx_http_request_t *r, const fn_route_match_t *m)
{
    size_t       size;
    u_char      *p, *value;
    const char  *name;

    if (m == NULL || !(m->route->flags & FN_R_DOWNLOAD)) {
        return NGX_OK;
    }

    name = strrchr(m->route->path, '/') + 1;
    size = sizeof("attachment; filename=\"fitnudge-.json\"") - 1 + ngx_strlen(name);

    value = ngx_pnalloc(r->pool, size);
    if (value == NULL) {
        return NGX_ERROR;
    }

    p = ngx_snprintf(value, size, "attachment; filename=\"fitnudge-%s.json\"", name);

    return ngx_http_fitnudge_header(r, "Content-Disposition", value, p - value);
}


ngx_int_t
ngx_http_fitnudge_query_result(ngx_http_request_t *r, ngx_int_t rc, void *reply, ngx_str_t *body)
{
    PGresult            *res = reply;
    ngx_pool_cleanup_t  *cln;

    ngx_str_null(body);

    if (res == NULL) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        PQclear(res);
        return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
    }

    cln->handler = ngx_http_fitnudge_query_clear;
    cln->data = res;

    return ngx_http_fitnudge_query_look(r, rc, reply, body);
}


ngx_int_t
ngx_http_fitnudge_query_look(ngx_http_request_t *r, ngx_int_t rc, void *reply, ngx_str_t *body)
{
    PGresult  *res = reply;

    ngx_str_null(body);

    if (rc != NGX_OK) {
        return ngx_http_fitnudge_query_failed(r, res);
    }

    if (PQntuples(res) != 1 || PQnfields(res) != 2) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "fitnudge: a read returned %d rows of %d columns", PQntuples(res), PQnfields(res));
        return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
    }

    if (PQgetisnull(res, 0, 1)) {
        return NGX_DECLINED;
    }

    body->data = (u_char *) PQgetvalue(res, 0, 1);
    body->len = PQgetlength(res, 0, 1);

    return NGX_OK;
}


static void
ngx_http_fitnudge_query_clear(void *data)
{
    PQclear(data);
}


/* The function says what is wrong with a parameter by SQLSTATE FN400: field as message, constraint as detail. */

static ngx_int_t
ngx_http_fitnudge_query_failed(ngx_http_request_t *r, PGresult *res)
{
    const char  *state, *field, *constraint;

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    if (state == NULL) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
    }

    if (ngx_strcmp(state, "FN400") == 0) {
        field = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        constraint = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);

        return ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, field,
                                       constraint ? constraint : "format", NULL);
    }

    /* the message could hold personal text: the state alone is logged */
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "fitnudge: a read failed with SQLSTATE %s", state);

    if (ngx_strcmp(state, "57014") == 0) {
        return ngx_http_fitnudge_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
    }

    return ngx_http_fitnudge_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, NULL);
}


ngx_int_t
ngx_http_fitnudge_params(ngx_http_request_t *r, const fn_route_match_t *m, const char **values,
    ngx_int_t *rc)
{
    char              *work, *p, stack[QUERY_STACK + FN_PARAMS_MAX];
    size_t             lens[FN_PARAMS_MAX], n;
    ngx_uint_t         i, k;
    const fn_field_t  *f;
    fn_field_error_t   err;

    static const fn_field_t  none[] = { { NULL, 0, 0, 0, 0, NULL, NULL, NULL } };

    f = m->route->params ? m->route->params : none;

    if (r->args.len || f->name != NULL) {
        work = stack;

        if (r->args.len > QUERY_STACK) {
            work = ngx_pnalloc(r->pool, r->args.len + FN_PARAMS_MAX);
            if (work == NULL) {
                goto failed;
            }
        }

        if (fn_query_parse(f, (const char *) r->args.data, r->args.len, work, values, lens, &err) != 0) {
            *rc = ngx_http_fitnudge_error(r, NGX_HTTP_BAD_REQUEST, err.field, err.constraint, err.message);
            return NGX_DECLINED;
        }

        if (work == stack) {
            for (i = 0; f[i].name != NULL; i++) {
                if (values[i] >= stack && values[i] < stack + sizeof(stack)) {
                    values[i] = ngx_http_fitnudge_query_copy(r, values[i]);
                    if (values[i] == NULL) {
                        goto failed;
                    }
                }
            }
        }
    }

    for (i = 0, k = 0; f[i].name != NULL && k < m->nparams; i++) {
        if (!(f[i].flags & FN_F_PATH)) {
            continue;
        }

        n = m->params[k].n;

        p = ngx_pnalloc(r->pool, n + 1);
        if (p == NULL) {
            goto failed;
        }

        ngx_memcpy(p, m->params[k].p, n);
        p[n] = '\0';
        k++;

        if (fn_field_validate_text(&f[i], p, &n, &err) != 0) {
            *rc = ngx_http_fitnudge_error(r, NGX_HTTP_NOT_FOUND, NULL, NULL, NULL);
            return NGX_DECLINED;
        }

        p[n] = '\0';
        values[i] = p;
    }

    return NGX_OK;

failed:

    *rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    return NGX_DECLINED;
}


static const char *
ngx_http_fitnudge_query_copy(ngx_http_request_t *r, const char *s)
{
    char    *p;
    size_t   n;

    n = ngx_strlen(s) + 1;

    p = ngx_pnalloc(r->pool, n);
    if (p != NULL) {
        ngx_memcpy(p, s, n);
    }

    return p;
}


ngx_int_t
ngx_http_fitnudge_query_statement(ngx_conf_t *cf, const char *function, const fn_field_t *params)
{
    char              *sql;
    u_char            *p, *last, text[2048];
    ngx_uint_t         n;
    const char        *type;
    const fn_field_t  *f;

    last = text + sizeof(text) - 1;

    p = ngx_slprintf(text, last, "SELECT set_config('request.user_id', $1, true), api.%s($1::uuid", function);
    n = 1;

    for (f = params; f != NULL && f->name != NULL; f++) {
        switch (f->type) {
        case FN_T_UUID:
            type = "uuid";
            break;
        case FN_T_INT:
            type = "integer";
            break;
        case FN_T_BOOL:
            type = "boolean";
            break;
        case FN_T_DATE:
            type = "date";
            break;
        default:
            type = "text";
        }

        p = ngx_slprintf(p, last, ", $%ui::%s", ++n, type);
    }

    p = ngx_slprintf(p, last, ")");

    if (n > NGX_FITNUDGE_PG_PARAMS || n > FN_PARAMS_MAX || p == last) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "fitnudge: too many parameters for \"%s\"", function);
        return NGX_ERROR;
    }

    sql = ngx_pnalloc(cf->pool, p - text + 1);
    if (sql == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(sql, text, p - text);
    sql[p - text] = '\0';

    return ngx_fitnudge_pg_statement(cf, sql, n);
}


static void *
ngx_http_fitnudge_query_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_fitnudge_query_main_conf_t));
}


static ngx_int_t
ngx_http_fitnudge_query_init(ngx_conf_t *cf)
{
    ngx_uint_t                            i;
    ngx_http_fitnudge_main_conf_t        *fmcf;
    ngx_http_fitnudge_query_main_conf_t  *qmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (!fmcf->enabled) {
        return NGX_OK;
    }

    qmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_query_module);

    qmcf->statements = ngx_pcalloc(cf->pool, fn_routes_n * sizeof(ngx_int_t));
    if (qmcf->statements == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < fn_routes_n; i++) {
        if (fn_routes[i].kind != FN_READ) {
            continue;
        }

        qmcf->statements[i] = ngx_http_fitnudge_query_statement(cf, fn_routes[i].function,
                                                                fn_routes[i].params);
        if (qmcf->statements[i] == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
