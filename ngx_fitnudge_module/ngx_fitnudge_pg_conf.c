/*
 * The directives of the pg module.  What libpq would do at connection time and an event loop cannot afford is
 * refused here: resolving names, reading service files.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg_conf.h"
#include "../worker/libfitnudge/fn_secret.h"


#define REPLICAS_MAX  16

/* in which directive a parameter may stand */
#define IN_PRIMARY    0x01
#define IN_REPLICA    0x02
#define IN_SLOW       0x04
#define IN_BREAKER    0x08


static char *ngx_fitnudge_pg_postgres(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_fitnudge_pg_postgres_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_fitnudge_pg_postgres_slow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_fitnudge_pg_postgres_breaker(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_fitnudge_pg_postgres_password(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void ngx_fitnudge_pg_free_main_conf(void *data);
static void ngx_fitnudge_pg_unset(ngx_fitnudge_pg_server_t *server);
static char *ngx_fitnudge_pg_parameters(ngx_conf_t *cf, ngx_uint_t first, ngx_uint_t in, void *to);
static char *ngx_fitnudge_pg_parameter(ngx_conf_t *cf, ngx_str_t *arg, ngx_uint_t in, void *to);
static char *ngx_fitnudge_pg_conninfo(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *conninfo);
static ngx_uint_t ngx_fitnudge_pg_needs_dns(ngx_conf_t *cf, const char *hosts);


ngx_command_t  ngx_fitnudge_pg_commands[] = {

    { ngx_string("fitnudge_postgres"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_fitnudge_pg_postgres,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_postgres_password"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_fitnudge_pg_postgres_password,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_postgres_replica"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_fitnudge_pg_postgres_replica,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_postgres_slow"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_fitnudge_pg_postgres_slow,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fitnudge_postgres_breaker"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_fitnudge_pg_postgres_breaker,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


/* What fitnudge_postgres_breaker says, before it becomes a policy. */
typedef struct {
    ngx_uint_t   failures;
    ngx_msec_t   cooldown;
} ngx_fitnudge_pg_breaker_t;

#define BREAKER_FAILURES  5
#define BREAKER_COOLDOWN  2000      /* ms */
#define BREAKER_WINDOW    60000     /* ms: failures longer ago say nothing of now */

#define AT(field)  offsetof(ngx_fitnudge_pg_server_t, field)

/* ngx_uint_t and ngx_msec_t are one type to the parser; NGX_CONF_UNSET_UINT is NGX_CONF_UNSET_MSEC */
static const struct {
    ngx_str_t    name;      /* with its = */
    ngx_uint_t   in;
    ngx_uint_t   time;      /* in ms */
    ngx_int_t    min, max;
    const char  *bounds;
    size_t       offset;
} ngx_fitnudge_pg_known[] = {
    { ngx_string("connections="), IN_PRIMARY|IN_REPLICA|IN_SLOW, 0, 1, 16, "1 to 16", AT(connections) },
    { ngx_string("max="), IN_PRIMARY|IN_REPLICA, 0, 1, 64, "1 to 64", AT(max) },
    { ngx_string("idle="), IN_PRIMARY|IN_REPLICA|IN_SLOW, 1, 1000, 86400000, "1s to 1d", AT(idle) },
    { ngx_string("connect_timeout="), IN_PRIMARY|IN_REPLICA, 1, 100, 60000, "100ms to 1m", AT(connect_timeout) },
    { ngx_string("timeout="), IN_PRIMARY|IN_SLOW, 1, 1, 600000, "1ms to 10m", AT(timeout) },
    { ngx_string("queue="), IN_PRIMARY|IN_REPLICA|IN_SLOW, 0, 1, 65536, "1 to 65536", AT(queue) },
    { ngx_string("max_lag="), IN_REPLICA, 1, 100, 60000, "100ms to 1m", AT(max_lag) },
    { ngx_string("weight="), IN_REPLICA, 0, 1, 100, "1 to 100", AT(weight) },
    { ngx_string("failures="), IN_BREAKER, 0, 1, FN_BREAKER_FAILURES_MAX, "1 to 32",
      offsetof(ngx_fitnudge_pg_breaker_t, failures) },
    { ngx_string("cooldown="), IN_BREAKER, 1, 100, 600000, "100ms to 10m",
      offsetof(ngx_fitnudge_pg_breaker_t, cooldown) },
    { ngx_null_string, 0, 0, 0, 0, NULL, 0 }
};


void *
ngx_fitnudge_pg_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t           *cln;
    ngx_fitnudge_pg_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_fitnudge_pg_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_fitnudge_pg_free_main_conf;
    cln->data = pmcf;

    if (ngx_array_init(&pmcf->statements, cf->pool, 32, sizeof(ngx_fitnudge_pg_statement_t)) != NGX_OK
        || ngx_array_init(&pmcf->replicas, cf->pool, 2, sizeof(ngx_fitnudge_pg_server_t)) != NGX_OK)
    {
        return NULL;
    }

    ngx_fitnudge_pg_unset(&pmcf->primary);
    ngx_fitnudge_pg_unset(&pmcf->slow);

    return pmcf;
}


char *
ngx_fitnudge_pg_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_uint_t                      i, n;
    ngx_fitnudge_pg_server_t       *primary, *server;
    ngx_fitnudge_pg_main_conf_t    *pmcf = conf;
    ngx_http_fitnudge_main_conf_t  *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_fitnudge_base_module);

    if (fmcf->enabled && pmcf->primary.conninfo == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"fitnudge\" is on, but there is no \"fitnudge_postgres\" directive");
        return NGX_CONF_ERROR;
    }

    if (pmcf->breaker.failures == 0) {
        pmcf->breaker.failures = BREAKER_FAILURES;
        pmcf->breaker.cooldown_ms = BREAKER_COOLDOWN;
    }

    pmcf->breaker.probes = 1;
    pmcf->breaker.window_ms = BREAKER_WINDOW;

    primary = &pmcf->primary;

    ngx_conf_init_uint_value(primary->connections, 2);
    ngx_conf_init_uint_value(primary->max, primary->connections);
    ngx_conf_init_msec_value(primary->idle, 10 * 60 * 1000);
    ngx_conf_init_msec_value(primary->connect_timeout, 5000);
    ngx_conf_init_msec_value(primary->timeout, 10000);
    ngx_conf_init_uint_value(primary->queue, 1024);
    primary->max_lag = 0;

    /* opened when they are needed */
    server = &pmcf->slow;

    ngx_conf_init_uint_value(server->connections, 1);
    ngx_conf_init_msec_value(server->idle, primary->idle);
    ngx_conf_init_msec_value(server->timeout, 30000);
    ngx_conf_init_uint_value(server->queue, 64);

    ngx_memcpy(server->name, "slow", sizeof("slow"));
    server->conninfo = primary->conninfo;
    server->connect_timeout = primary->connect_timeout;
    server->max = server->connections;
    server->connections = 0;
    server->max_lag = 0;

    server = pmcf->replicas.elts;
    n = pmcf->replicas.nelts;

    for (i = 0; i < n; i++) {
        ngx_conf_init_uint_value(server[i].connections, primary->connections);
        ngx_conf_init_uint_value(server[i].max, ngx_max(server[i].connections, primary->max));
        ngx_conf_init_msec_value(server[i].idle, primary->idle);
        ngx_conf_init_msec_value(server[i].connect_timeout, primary->connect_timeout);
        ngx_conf_init_uint_value(server[i].queue, primary->queue);
        ngx_conf_init_msec_value(server[i].max_lag, 1000);
        ngx_conf_init_uint_value(server[i].weight, 1);

        /* what it does not answer goes back to the primary within the same time */
        server[i].timeout = primary->timeout;
    }

    for (i = 0; i < n + 2; i++) {
        server = i == 0 ? primary : i == 1 ? &pmcf->slow : (ngx_fitnudge_pg_server_t *) pmcf->replicas.elts + (i - 2);

        if (server->max < server->connections) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"max\" of postgres %s is less than its \"connections\"",
                               server->name);
            return NGX_CONF_ERROR;
        }

        server->password = pmcf->password;
    }

    return NGX_CONF_OK;
}


static void
ngx_fitnudge_pg_free_main_conf(void *data)
{
    ngx_fitnudge_pg_main_conf_t  *pmcf = data;

    if (pmcf->password != NULL) {
        ngx_explicit_memzero(pmcf->password, ngx_strlen(pmcf->password));
        free(pmcf->password);
        pmcf->password = NULL;
    }
}


static void
ngx_fitnudge_pg_unset(ngx_fitnudge_pg_server_t *server)
{
    ngx_memzero(server, sizeof(ngx_fitnudge_pg_server_t));

    server->connections = NGX_CONF_UNSET_UINT;
    server->max = NGX_CONF_UNSET_UINT;
    server->idle = NGX_CONF_UNSET_MSEC;
    server->connect_timeout = NGX_CONF_UNSET_MSEC;
    server->timeout = NGX_CONF_UNSET_MSEC;
    server->queue = NGX_CONF_UNSET_UINT;
    server->max_lag = NGX_CONF_UNSET_MSEC;
    server->weight = NGX_CONF_UNSET_UINT;
}


static char *
ngx_fitnudge_pg_postgres(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                    *value;
    ngx_fitnudge_pg_main_conf_t  *pmcf = conf;

    if (pmcf->primary.conninfo != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_fitnudge_pg_conninfo(cf, &cmd->name, &value[1]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    pmcf->primary.conninfo = (char *) value[1].data;
    ngx_memcpy(pmcf->primary.name, "primary", sizeof("primary"));

    return ngx_fitnudge_pg_parameters(cf, 2, IN_PRIMARY, &pmcf->primary);
}


static char *
ngx_fitnudge_pg_postgres_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                    *value;
    ngx_fitnudge_pg_server_t     *server;
    ngx_fitnudge_pg_main_conf_t  *pmcf = conf;

    if (pmcf->replicas.nelts == REPLICAS_MAX) {
        return "is given more than 16 times";
    }

    value = cf->args->elts;

    if (ngx_fitnudge_pg_conninfo(cf, &cmd->name, &value[1]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    server = ngx_array_push(&pmcf->replicas);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_fitnudge_pg_unset(server);

    server->conninfo = (char *) value[1].data;
    *ngx_snprintf((u_char *) server->name, sizeof(server->name) - 1, "replica %ui", pmcf->replicas.nelts) = '\0';

    return ngx_fitnudge_pg_parameters(cf, 2, IN_REPLICA, server);
}


static char *
ngx_fitnudge_pg_postgres_slow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_fitnudge_pg_main_conf_t  *pmcf = conf;

    if (pmcf->slow.name[0] != '\0') {
        return "is duplicate";
    }

    ngx_memcpy(pmcf->slow.name, "slow", sizeof("slow"));

    return ngx_fitnudge_pg_parameters(cf, 1, IN_SLOW, &pmcf->slow);
}


static char *
ngx_fitnudge_pg_postgres_breaker(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_fitnudge_pg_breaker_t     breaker;
    ngx_fitnudge_pg_main_conf_t  *pmcf = conf;

    if (pmcf->breaker.failures != 0) {
        return "is duplicate";
    }

    breaker.failures = NGX_CONF_UNSET_UINT;
    breaker.cooldown = NGX_CONF_UNSET_MSEC;

    if (ngx_fitnudge_pg_parameters(cf, 1, IN_BREAKER, &breaker) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_uint_value(breaker.failures, BREAKER_FAILURES);
    ngx_conf_init_msec_value(breaker.cooldown, BREAKER_COOLDOWN);

    pmcf->breaker.failures = (unsigned) breaker.failures;
    pmcf->breaker.cooldown_ms = breaker.cooldown;

    return NGX_CONF_OK;
}


static char *
ngx_fitnudge_pg_postgres_password(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                          err[256];
    size_t                        len;
    ngx_str_t                    *value;
    ngx_fitnudge_pg_main_conf_t  *pmcf = conf;

    if (pmcf->password != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    pmcf->password = fn_secret_load((char *) value[1].data, &len, err, sizeof(err));
    if (pmcf->password == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %s", &cmd->name, err);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_fitnudge_pg_parameters(ngx_conf_t *cf, ngx_uint_t first, ngx_uint_t in, void *to)
{
    char        *err;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = first; i < cf->args->nelts; i++) {
        err = ngx_fitnudge_pg_parameter(cf, &value[i], in, to);

        if (err != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" in \"%V\" directive: it %s",
                               &value[i], &value[0], err);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* NGX_CONF_OK, or what is wrong with it. */
static char *
ngx_fitnudge_pg_parameter(ngx_conf_t *cf, ngx_str_t *arg, ngx_uint_t in, void *to)
{
    u_char           *p;
    ngx_int_t         n;
    ngx_str_t         s;
    ngx_uint_t        i, *field;
    const ngx_str_t  *name;

    for (i = 0; ngx_fitnudge_pg_known[i].in != 0; i++) {
        name = &ngx_fitnudge_pg_known[i].name;

        if ((ngx_fitnudge_pg_known[i].in & in)
            && arg->len >= name->len && ngx_memcmp(arg->data, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (ngx_fitnudge_pg_known[i].in == 0) {
        return "is not known";
    }

    field = (ngx_uint_t *) ((u_char *) to + ngx_fitnudge_pg_known[i].offset);

    if (*field != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    s.data = arg->data + ngx_fitnudge_pg_known[i].name.len;
    s.len = arg->len - ngx_fitnudge_pg_known[i].name.len;

    n = ngx_fitnudge_pg_known[i].time ? ngx_parse_time(&s, 0) : ngx_atoi(s.data, s.len);

    if (n == NGX_ERROR || n < ngx_fitnudge_pg_known[i].min || n > ngx_fitnudge_pg_known[i].max) {
        s.len = ngx_strlen("must be from ") + ngx_strlen(ngx_fitnudge_pg_known[i].bounds) + 1;

        p = ngx_pnalloc(cf->temp_pool, s.len);
        if (p == NULL) {
            return "has no memory";
        }

        *ngx_snprintf(p, s.len - 1, "must be from %s", ngx_fitnudge_pg_known[i].bounds) = '\0';

        return (char *) p;
    }

    *field = (ngx_uint_t) n;

    return NGX_CONF_OK;
}


/* A password has its own directive, so that it is not written out. */
static char *
ngx_fitnudge_pg_conninfo(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *conninfo)
{
    char              *err, *rv;
    const char        *host, *hostaddr;
    PQconninfoOption  *options, *o;

    err = NULL;
    options = PQconninfoParse((char *) conninfo->data, &err);

    if (options == NULL) {
        /* libpq's text may quote a password: only its first words are ours */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid connection string in \"%V\"", name);
        PQfreemem(err);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;
    host = NULL;
    hostaddr = NULL;

    for (o = options; o->keyword != NULL; o++) {
        if (o->val == NULL) {
            continue;
        }

        if (ngx_strcmp(o->keyword, "password") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"password\" is not allowed in \"%V\", "
                               "use \"fitnudge_postgres_password\"", name);
            goto done;
        }

        if (ngx_strcmp(o->keyword, "service") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"service\" is not allowed in \"%V\"", name);
            goto done;
        }

        if (ngx_strcmp(o->keyword, "options") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"options\" is not allowed in \"%V\", "
                               "use \"ALTER ROLE\" in the database", name);
            goto done;
        }

        if (ngx_strcmp(o->keyword, "host") == 0) {
            host = o->val;

        } else if (ngx_strcmp(o->keyword, "hostaddr") == 0) {
            hostaddr = o->val;
        }
    }

    if (host != NULL && hostaddr == NULL && ngx_fitnudge_pg_needs_dns(cf, host)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "host \"%s\" in \"%V\" is neither a socket directory "
                           "nor an IP address, use \"hostaddr\"", host, name);
        goto done;
    }

    rv = NGX_CONF_OK;

done:

    PQconninfoFree(options);

    return rv;
}


static ngx_uint_t
ngx_fitnudge_pg_needs_dns(ngx_conf_t *cf, const char *hosts)
{
    u_char      *p, *last, *comma;
    ngx_addr_t   addr;

    p = (u_char *) hosts;
    last = p + ngx_strlen(hosts);

    for ( ;; ) {
        comma = ngx_strlchr(p, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        if (comma != p && *p != '/' && *p != '@'
            && ngx_parse_addr(cf->temp_pool, &addr, p, (size_t) (comma - p)) != NGX_OK)
        {
            return 1;
        }

        if (comma == last) {
            return 0;
        }

        p = comma + 1;
    }
}
