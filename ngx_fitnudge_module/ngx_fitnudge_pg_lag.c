/*
 * The lag of replicas.  In turns of a fifth of the smallest max_lag the primary is asked how far it has written its log
 * and every replica how far it has replayed it; fn_lag.h says what follows from the two.  So the lag is known to
 * be below a bound, at the moment a read is sent, or the replica is not asked: while it is away, while it does not
 * follow the primary, and while the primary cannot be asked either.
 *
 * Neither is what replicas say of themselves: the time of the last transaction they replayed grows while nothing is written, and what
 * they have received says nothing of what they have not.
 *
 * Cached answers stay right.  A change is committed before it is heard of (reply, change channel), at h.  Until
 * h + max_lag + margin, which is what ngx_fitnudge_pg_sticky() gives, its readers go to the primary.  A replica that is asked at
 * t > h + max_lag holds all that was committed before t - max_lag > h, so the change, too: how long ago the lag was measured
 * is part of it already.  An answer of a replica that was asked before h was asked for under the generation before, and is
 * stale when it is stored.  The margin is for the clocks of the processes, which nginx moves once a turn of the event loop.
 */
#include "ngx_http_fitnudge.h"
#include "ngx_fitnudge_pg_lag.h"
#include "fn_lag.h"


#define TURNS       5           /* questions in max_lag */
#define COMPLAIN    10          /* s between two lines on one replica */
#define ID_MAX      32


/*
 * The position of the end of what is written; insert, not flush, as with synchronous_commit = off a commit may be seen
 * before it is flushed.  At the start of a page PostgreSQL counts the page's header (24 bytes, 40 in a segment's first),
 * of which a replica that has everything knows nothing yet.
 */
const char  ngx_fitnudge_pg_lag_position_sql[] =
    "SELECT (p - CASE WHEN p % segment = 40 THEN 40 WHEN p % page = 24 THEN 24 ELSE 0 END)::text, id"
    " FROM (SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS p, current_setting('wal_block_size')::numeric AS page,"
    " pg_size_bytes(current_setting('wal_segment_size'))::numeric AS segment,"
    " (SELECT system_identifier::text FROM pg_control_system()) AS id) AS q";

/* no row: it is a primary itself */
const char  ngx_fitnudge_pg_lag_replayed_sql[] =
    "SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::text, (SELECT system_identifier::text FROM pg_control_system())"
    " WHERE pg_is_in_recovery()";


static void ngx_fitnudge_pg_lag_handler(ngx_event_t *ev);
static void ngx_fitnudge_pg_lag_ask(ngx_fitnudge_pg_backend_t *backend, ngx_int_t statement, ngx_fitnudge_op_pt done);
static void ngx_fitnudge_pg_lag_position_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static void ngx_fitnudge_pg_lag_replayed_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply);
static ngx_int_t ngx_fitnudge_pg_lag_read(ngx_int_t rc, PGresult *result, uint64_t *position, const char **id);
static void ngx_fitnudge_pg_lag_say(ngx_fitnudge_pg_backend_t *replica);


/* of this process, made when it starts */
static struct {
    fn_lag_t                    lag;
    char                        id[ID_MAX];     /* of the database system; empty until the primary has said it */
    ngx_msec_t                  asked;          /* the question that is on its way, of the primary */

    ngx_fitnudge_pg_backend_t  *primary;
    ngx_fitnudge_pg_backend_t  *replicas;
    ngx_uint_t                  n;
    ngx_int_t                   position;
    ngx_int_t                   replayed;
    ngx_msec_t                  interval;
    ngx_event_t                 turn;
} ngx_fitnudge_pg_lag;


void
ngx_fitnudge_pg_lag_start(ngx_fitnudge_pg_backend_t *primary, ngx_fitnudge_pg_backend_t *replicas, ngx_uint_t n,
    ngx_int_t position, ngx_int_t replayed)
{
    ngx_uint_t  i;

    ngx_memzero(&ngx_fitnudge_pg_lag, sizeof(ngx_fitnudge_pg_lag));

    if (n == 0) {
        return;
    }

    ngx_fitnudge_pg_lag.primary = primary;
    ngx_fitnudge_pg_lag.replicas = replicas;
    ngx_fitnudge_pg_lag.n = n;
    ngx_fitnudge_pg_lag.position = position;
    ngx_fitnudge_pg_lag.replayed = replayed;
    ngx_fitnudge_pg_lag.interval = replicas[0].server->max_lag / TURNS;

    for (i = 0; i < n; i++) {
        replicas[i].complain = ngx_time() + COMPLAIN;
        ngx_fitnudge_pg_lag.interval = ngx_min(ngx_fitnudge_pg_lag.interval, replicas[i].server->max_lag / TURNS);
    }

    ngx_fitnudge_pg_lag.turn.handler = ngx_fitnudge_pg_lag_handler;
    ngx_fitnudge_pg_lag.turn.data = &ngx_fitnudge_pg_lag;
    ngx_fitnudge_pg_lag.turn.log = ngx_cycle->log;
    ngx_fitnudge_pg_lag.turn.cancelable = 1;

    ngx_add_timer(&ngx_fitnudge_pg_lag.turn, ngx_fitnudge_pg_lag.interval);
}


void
ngx_fitnudge_pg_lag_stop(void)
{
    if (ngx_fitnudge_pg_lag.turn.timer_set) {
        ngx_del_timer(&ngx_fitnudge_pg_lag.turn);
    }
}


ngx_uint_t
ngx_fitnudge_pg_lag_ok(const ngx_fitnudge_pg_backend_t *replica)
{
    return replica->known && ngx_current_msec - replica->fresh < replica->server->max_lag;
}


static void
ngx_fitnudge_pg_lag_handler(ngx_event_t *ev)
{
    ngx_uint_t                  i;
    ngx_fitnudge_pg_backend_t  *replica;

    /* one that is leaving answers what it has, and asks no more */
    if (ngx_exiting || ngx_terminate) {
        return;
    }

    ngx_add_timer(ev, ngx_fitnudge_pg_lag.interval);

    if (!ngx_fitnudge_pg_lag.primary->asked) {
        ngx_fitnudge_pg_lag.asked = ngx_current_msec;
        ngx_fitnudge_pg_lag_ask(ngx_fitnudge_pg_lag.primary, ngx_fitnudge_pg_lag.position,
                                ngx_fitnudge_pg_lag_position_done);
    }

    for (i = 0; i < ngx_fitnudge_pg_lag.n; i++) {
        replica = &ngx_fitnudge_pg_lag.replicas[i];

        ngx_fitnudge_pg_lag_say(replica);

        if (!replica->asked && ngx_fitnudge_pg_lag.id[0] != '\0') {
            ngx_fitnudge_pg_lag_ask(replica, ngx_fitnudge_pg_lag.replayed, ngx_fitnudge_pg_lag_replayed_done);
        }
    }
}


static void
ngx_fitnudge_pg_lag_ask(ngx_fitnudge_pg_backend_t *backend, ngx_int_t statement, ngx_fitnudge_op_pt done)
{
    ngx_msec_t          timeout;
    ngx_fitnudge_op_t  *op;

    timeout = ngx_min(backend->server->timeout, ngx_fitnudge_pg_lag.interval * TURNS);

    op = ngx_fitnudge_op_create(NULL, timeout, done, backend);
    if (op == NULL) {
        return;
    }

    op->timeout.cancelable = 1;
    backend->asked = 1;

    if (ngx_fitnudge_pg_ask(op, backend, statement) != NGX_OK) {
        backend->asked = 0;
    }
}


static void
ngx_fitnudge_pg_lag_position_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    uint64_t                    position;
    const char                 *id;
    ngx_fitnudge_pg_backend_t  *backend = op->data;

    backend->asked = 0;

    if (ngx_fitnudge_pg_lag_read(rc, reply, &position, &id) == NGX_OK) {

        if (ngx_strcmp(ngx_fitnudge_pg_lag.id, id) != 0) {
            ngx_memzero(&ngx_fitnudge_pg_lag.lag, sizeof(fn_lag_t));
            ngx_cpystrn((u_char *) ngx_fitnudge_pg_lag.id, (u_char *) id, ID_MAX);
        }

        fn_lag_note(&ngx_fitnudge_pg_lag.lag, ngx_fitnudge_pg_lag.asked, position);
    }

    PQclear(reply);
}


static void
ngx_fitnudge_pg_lag_replayed_done(ngx_fitnudge_op_t *op, ngx_int_t rc, void *reply)
{
    uint64_t                    position, t;
    const char                 *id;
    ngx_fitnudge_pg_backend_t  *replica = op->data;

    replica->asked = 0;

    if (ngx_fitnudge_pg_lag_read(rc, reply, &position, &id) == NGX_OK) {

        replica->foreign = ngx_strcmp(ngx_fitnudge_pg_lag.id, id) != 0;

        if (replica->foreign) {
            replica->known = 0;

        } else if (fn_lag_reached(&ngx_fitnudge_pg_lag.lag, position, &t)) {
            replica->fresh = (ngx_msec_t) t;
            replica->known = 1;
        }

    } else if (rc == NGX_OK) {
        /* it was promoted: what it holds is not the primary's any more */
        replica->known = 0;
    }

    PQclear(reply);
}


static ngx_int_t
ngx_fitnudge_pg_lag_read(ngx_int_t rc, PGresult *result, uint64_t *position, const char **id)
{
    off_t  n;

    if (rc != NGX_OK || PQntuples(result) != 1 || PQnfields(result) != 2 || PQgetisnull(result, 0, 0)
        || PQgetisnull(result, 0, 1) || PQgetlength(result, 0, 1) >= ID_MAX)
    {
        return NGX_ERROR;
    }

    n = ngx_atoof((u_char *) PQgetvalue(result, 0, 0), (size_t) PQgetlength(result, 0, 0));
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *position = (uint64_t) n;
    *id = PQgetvalue(result, 0, 1);

    return NGX_OK;
}


/* Says when a replica begins or ceases to be asked, or never was. */
static void
ngx_fitnudge_pg_lag_say(ngx_fitnudge_pg_backend_t *replica)
{
    ngx_uint_t  ok;

    ok = ngx_fitnudge_pg_lag_ok(replica) && ngx_fitnudge_pg_backend_well(replica);

    /* at first it is given some time */
    if ((replica->said && ok == replica->used) || (ngx_time() < replica->complain && (replica->said || !ok))) {
        return;
    }

    replica->said = 1;
    replica->used = ok ? 1 : 0;
    replica->complain = ngx_time() + COMPLAIN;

    if (ok) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "fitnudge: postgres %s: answers reads",
                      replica->server->name);

    } else {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "fitnudge: postgres %s: is not asked, as %s",
                      replica->server->name,
                      replica->foreign ? "it belongs to another database system"
                                       : "it is away or lags behind the primary");
    }
}
