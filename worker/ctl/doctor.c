/*
 * fitnudgectl doctor: looks at everything the system needs and says of each thing whether it is right and, if not, what to do.
 * It changes nothing, and goes on after what is wrong, so that one run tells all.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libfitnudge/fn_conf.h"
#include "../libfitnudge/fn_jobs.h"
#include "../libfitnudge/fn_time.h"
#include "doctor.h"
#include "online.h"

#define FN_REDIS_LEAST      7           /* scripts with flags */
#define FN_POSTGRES_LEAST   150000
#define FN_SKEW_WARN_MS     1000
#define FN_SKEW_WRONG_MS    5000        /* deadlines of requests are seconds */
#define FN_TEXT_MAX         512

static const char *const  fn_verdicts[] = { "ok", "off", "advice", "wrong" };


void
fn_doctor_say(fn_doctor_t *d, fn_verdict_e verdict, const char *what, const char *todo, const char *fmt, ...)
{
    char      text[FN_TEXT_MAX];
    va_list   ap;
    fn_buf_t  b = FN_BUF_INIT;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    text[strcspn(text, "\n")] = '\0';           /* the first line of what libraries say */
    d->wrong += verdict == FN_WRONG;
    d->advice += verdict == FN_ADVICE;

    if (d->json) {
        fn_buf_addf(&b, "{\"check\":\"%s\",\"result\":\"%s\",\"found\":", what, fn_verdicts[verdict]);
        fn_buf_add_json_string(&b, text, strlen(text));
        fn_buf_adds(&b, ",\"todo\":");

        if (todo != NULL) {
            fn_buf_add_json_string(&b, todo, strlen(todo));

        } else {
            fn_buf_adds(&b, "null");
        }

        fn_buf_adds(&b, "}");

        if (!b.failed) {
            (void) puts(b.data);
        }

        fn_buf_free(&b);
        return;
    }

    (void) printf("%-7s %-24s %s\n", fn_verdicts[verdict], what, text);

    if (todo != NULL) {
        (void) printf("%-7s %-24s -> %s\n", "", "", todo);
    }
}


static void
skew(fn_doctor_t *d, const char *what, uint64_t theirs, uint64_t before, uint64_t after)
{
    uint64_t  off;

    /* their clock was read somewhere between our two */
    off = theirs < before ? before - theirs : theirs > after ? theirs - after : 0;

    fn_doctor_say(d, off >= FN_SKEW_WRONG_MS ? FN_WRONG : off >= FN_SKEW_WARN_MS ? FN_ADVICE : FN_FINE, what,
        off >= FN_SKEW_WARN_MS ? "let a time service (chrony, systemd-timesyncd) set the clocks of all machines" : NULL,
        "%llu.%03u s apart from this machine", (unsigned long long) off / 1000, (unsigned) (off % 1000));
}


/* --- PostgreSQL ------------------------------------------------------------------------------------------------------ */

/* The first column of the first row, or "" (then *failed is set, when the statement did). */
static const char *
query(fn_doctor_t *d, const char *sql, int *failed)
{
    PGresult     *r;
    static char   value[FN_TEXT_MAX];

    value[0] = '\0';
    r = PQexec(d->db, sql);
    *failed = PQresultStatus(r) != PGRES_TUPLES_OK;

    if (!*failed && PQntuples(r) > 0) {
        (void) snprintf(value, sizeof(value), "%s", PQgetvalue(r, 0, 0));
    }

    PQclear(r);

    return value;
}


static int
doctor_connect(fn_doctor_t *d)
{
    int          version;
    const char  *keys[6], *values[6];
    unsigned     n;

    n = 0;
    keys[n] = "dbname",             values[n++] = d->settings->postgres;
    keys[n] = "application_name",   values[n++] = "fitnudgectl doctor";
    keys[n] = "connect_timeout",    values[n++] = "5";
    keys[n] = "options",            values[n++] = "-c statement_timeout=5s";

    if (d->settings->postgres_password != NULL) {
        keys[n] = "password",       values[n++] = d->settings->postgres_password;
    }

    keys[n] = NULL;
    values[n] = NULL;

    d->db = PQconnectdbParams(keys, values, 1);

    if (d->db == NULL || PQstatus(d->db) != CONNECTION_OK) {
        fn_doctor_say(d, FN_WRONG, "postgres", "start PostgreSQL, or correct postgres and postgres_password in fitnudge_worker { }",
            "%s", d->db ? PQerrorMessage(d->db) : "no memory");
        return -1;
    }

    fn_doctor_say(d, FN_FINE, "postgres", NULL, "connected to %s as %s", PQdb(d->db), PQuser(d->db));

    version = PQserverVersion(d->db);
    fn_doctor_say(d, version >= FN_POSTGRES_LEAST ? FN_FINE : FN_WRONG, "postgres version",
        version >= FN_POSTGRES_LEAST ? NULL : "upgrade to PostgreSQL 15 or later", "%d.%d", version / 10000, version % 10000);

    return 0;
}


/* The functions that this program's job table names, of which the database has to know every one. */
static void
doctor_functions(fn_doctor_t *d)
{
    int              failed;
    char             sql[256], missing[FN_TEXT_MAX / 2];
    size_t           n;
    unsigned         k, count;
    const char      *name;
    const fn_job_t  *job;

    missing[0] = '\0';

    for (job = fn_jobs, count = 0, n = 0; job->name != NULL; job++) {
        for (k = 0; k < 2; k++) {
            name = k == 0 ? job->prepare : job->commit;

            if (name == NULL) {
                continue;
            }

            (void) snprintf(sql, sizeof(sql), "SELECT coalesce(has_function_privilege(to_regprocedure('jobs.%s(uuid,uuid,jsonb%s)'), "
                            "'execute'), false)", name, k == 0 ? "" : ",jsonb");

            if (strcmp(query(d, sql, &failed), "t") == 0) {
                continue;
            }

            if (count++ < 3) {
                n += (size_t) snprintf(missing + n, sizeof(missing) - n, "%sjobs.%s", n ? ", " : "", name);
            }
        }
    }

    fn_doctor_say(d, count ? FN_WRONG : FN_FINE, "migrations", count ? "run sqitch deploy in sql/ as it belongs to this version" : NULL,
        count ? "%u functions are missing: %s%s" : "every job has its SQL functions", count, missing, count > 3 ? ", ..." : "");
}


static void
doctor_sqitch(fn_doctor_t *d)
{
    int          failed;
    const char  *v;

    v = query(d, "SELECT CASE WHEN to_regclass('sqitch.changes') IS NULL THEN 'none' ELSE 'there' END", &failed);

    /* whoever may not look into the schema is told so, and not that there is nothing */
    if (!failed && strcmp(v, "none") == 0) {
        v = query(d, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sqitch'", &failed);
        fn_doctor_say(d, strcmp(v, "0") == 0 ? FN_WRONG : FN_FINE, "sqitch",
            strcmp(v, "0") == 0 ? "deploy the database with sqitch (docs/operations.md), not by hand" : NULL,
            strcmp(v, "0") == 0 ? "this database was never deployed" : "the database was deployed by sqitch");
        return;
    }

    v = query(d, "SELECT count(*) || ' changes, the last is ' || (array_agg(change ORDER BY committed_at DESC))[1] FROM sqitch.changes", &failed);
    fn_doctor_say(d, FN_FINE, "sqitch", NULL, "%s", failed ? "the database was deployed by sqitch" : v);
}


static void
doctor_roles(fn_doctor_t *d)
{
    int          failed;
    const char  *v;

    v = query(d, "SELECT coalesce(string_agg(r, ', '), '') FROM unnest(ARRAY['fitnudge_owner','fitnudge_api','fitnudge_edge','fitnudge_pool']) r "
                 "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)", &failed);
    fn_doctor_say(d, failed || *v ? FN_WRONG : FN_FINE, "roles", failed || *v ? "run sqitch deploy in sql/: it makes the roles" : NULL,
        *v ? "missing: %s" : "all are there%s", v);

    v = query(d, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user", &failed);
    fn_doctor_say(d, strcmp(v, "f") == 0 ? FN_FINE : FN_WRONG, "pool role",
        strcmp(v, "f") == 0 ? NULL : "connect as fitnudge_pool: row level security does not bind this role",
        "%s %s", PQuser(d->db), strcmp(v, "f") == 0 ? "has no more rights than it needs" : "is above row level security");
}


static void
doctor_postgres(fn_doctor_t *d)
{
    int                   failed;
    long                  most, wanted;
    uint64_t              before, theirs;
    const char           *v;
    const fn_settings_t  *s = d->settings;

    if (doctor_connect(d) != 0) {
        return;
    }

    v = query(d, "SELECT pg_is_in_recovery()", &failed);
    fn_doctor_say(d, strcmp(v, "f") == 0 ? FN_FINE : FN_WRONG, "postgres primary",
        strcmp(v, "f") == 0 ? NULL : "name the primary in postgres, replicas belong to fitnudge_postgres_replica",
        strcmp(v, "f") == 0 ? "it takes writes" : "it is a replica");

    v = query(d, "SELECT current_setting('fsync') || ' ' || current_setting('full_page_writes')", &failed);
    fn_doctor_say(d, strcmp(v, "on on") == 0 ? FN_FINE : FN_WRONG, "postgres durability",
        strcmp(v, "on on") == 0 ? NULL : "set fsync = on and full_page_writes = on: a crash of the machine loses data",
        "fsync, full_page_writes: %s", v);

    wanted = (long) ((s->sql_processes_max > 0 ? s->sql_processes_max : s->sql_processes)
                     + (s->auth_processes_max > 0 ? s->auth_processes_max : s->auth_processes) + 1) * 2;
    most = strtol(query(d, "SHOW max_connections", &failed), NULL, 10);
    fn_doctor_say(d, wanted < most ? FN_FINE : FN_WRONG, "postgres connections",
        wanted < most ? NULL : "raise max_connections, or lower sql_processes_max and auth_processes_max",
        "max_connections %ld, this pool may have %ld during a reload, and the edge its own", most, wanted);

    doctor_sqitch(d);
    doctor_functions(d);
    doctor_roles(d);

    before = fn_now_ms();
    theirs = strtoull(query(d, "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", &failed), NULL, 10);
    skew(d, "clock of postgres", theirs, before, fn_now_ms());
}


/* --- Redis ----------------------------------------------------------------------------------------------------------- */

/* A line "name:value" of INFO. */
static const char *
info(const char *text, const char *name)
{
    size_t        n;
    const char   *p;
    static char   value[128];

    n = strlen(name);

    for (p = text; p != NULL && *p != '\0'; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        if (strncmp(p, name, n) == 0 && p[n] == ':') {
            (void) snprintf(value, sizeof(value), "%.*s", (int) strcspn(p + n + 1, "\r\n"), p + n + 1);
            return value;
        }
    }

    return "";
}


static void
doctor_config(fn_doctor_t *d, const char *name, const char *want, const char *todo, fn_verdict_e otherwise)
{
    redisReply  *a;
    const char  *v;

    a = fn_redis_command(&d->redis, "CONFIG GET %s", name);
    v = a && a->type == REDIS_REPLY_ARRAY && a->elements == 2 ? a->element[1]->str : NULL;

    if (v == NULL) {
        fn_doctor_say(d, FN_ADVICE, name, "allow CONFIG GET, or look yourself", "Redis does not say; it should be %s", want);

    } else {
        fn_doctor_say(d, strcmp(v, want) == 0 ? FN_FINE : otherwise, name, strcmp(v, want) == 0 ? NULL : todo, "%s", v);
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


static void
doctor_redis_state(fn_doctor_t *d)
{
    int          ok;
    redisReply  *a;
    const char  *v;

    a = fn_redis_command(&d->redis, "INFO");

    if (a == NULL || a->type != REDIS_REPLY_STRING) {
        fn_doctor_say(d, FN_ADVICE, "redis version", "allow INFO, or look yourself: it has to be 7.0 or later", "Redis does not say");

    } else {
        v = info(a->str, "redis_version");
        ok = strtol(v, NULL, 10) >= FN_REDIS_LEAST;
        fn_doctor_say(d, ok ? FN_FINE : FN_WRONG, "redis version", ok ? NULL : "upgrade to Redis 7.0 or later", "%s", v);

        v = info(a->str, "aof_last_write_status");
        ok = strcmp(v, "ok") == 0 || *v == '\0';
        fn_doctor_say(d, ok ? FN_FINE : FN_WRONG, "redis disk", ok ? NULL : "make room on the disk of Redis' data, and look at its log",
            "the last write to the AOF: %s", *v ? v : "none");
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


static void
doctor_redis(fn_doctor_t *d)
{
    uint64_t     before;
    redisReply  *a;

    fn_redis_init(&d->redis, d->settings, 5000);

    if (fn_redis_connect(&d->redis) != 0) {
        fn_doctor_say(d, FN_WRONG, "redis", "start Redis, or correct fitnudge_redis and fitnudge_redis_password", "no connection to %s",
            d->settings->redis);
        return;
    }

    fn_doctor_say(d, FN_FINE, "redis", NULL, "connected to %s", d->settings->redis);

    doctor_redis_state(d);
    doctor_config(d, "maxmemory-policy", "noeviction", "set maxmemory-policy noeviction: any other one throws away jobs", FN_WRONG);
    doctor_config(d, "appendonly", "yes", "set appendonly yes: without it a restart of Redis loses what waits", FN_WRONG);
    doctor_config(d, "appendfsync", "everysec", "set appendfsync everysec: no risks more than a second, always is slow", FN_ADVICE);

    before = fn_now_ms();
    a = fn_redis_command(&d->redis, "TIME");

    if (a != NULL && a->type == REDIS_REPLY_ARRAY && a->elements == 2) {
        skew(d, "clock of redis", strtoull(a->element[0]->str, NULL, 10) * 1000 + strtoull(a->element[1]->str, NULL, 10) / 1000,
             before, fn_now_ms());
    }

    if (a != NULL) {
        freeReplyObject(a);
    }
}


/* --- this machine, services, mail ------------------------------------------------------------------------------------ */

static void
doctor_kernel(fn_doctor_t *d)
{
    int    c;
    FILE  *f;

    f = fopen("/proc/sys/kernel/sched_autogroup_enabled", "re");
    c = f ? fgetc(f) : '0';

    if (f != NULL) {
        (void) fclose(f);
    }

    fn_doctor_say(d, c == '1' ? FN_ADVICE : FN_FINE, "sched_autogroup_enabled",
        c == '1' ? "install conf/sysctl.d/fitnudge.conf and run sysctl --system" : NULL, "%c%s", c == EOF ? '0' : c,
        c == '1' ? ": processes are scheduled by session, which slows down the pool beside others" : "");
}


static void
doctor_services(fn_doctor_t *d)
{
    size_t                i;
    const fn_settings_t  *s = d->settings;

    const struct { const char *name; const char *a, *b; const char *settings; }  services[] = {
        { "openai",     s->openai_api_key, s->openai_api_key, "openai_api_key" },
        { "elevenlabs", s->elevenlabs_api_key, s->elevenlabs_voices, "elevenlabs_api_key and elevenlabs_voices" },
        { "r2",         s->r2_access_key && s->r2_secret_key ? s->r2_access_key : NULL, s->r2_bucket,
                        "r2_access_key, r2_secret_key, r2_bucket and r2_account" },
        { "fcm",        s->fcm_service_account, s->fcm_service_account, "fcm_service_account" },
        { "smtp",       s->smtp_host, s->smtp_from ? s->smtp_from : s->smtp_username, "smtp_host and smtp_from or smtp_username" },
        { "posthog",    s->posthog_api_key, s->posthog_api_key, "posthog_api_key" },
        { "n8n",        s->n8n_webhook_url, s->n8n_webhook_url, "n8n_webhook_url" },
        { "slack",      s->slack_webhook_url, s->slack_webhook_url, "slack_webhook_url" },
        { "sentry",     s->sentry_dsn, s->sentry_dsn, "sentry_dsn" },
        { "otlp",       s->otlp_endpoint, s->otlp_endpoint, "otlp_endpoint" }
    };

    for (i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        char  todo[128];

        (void) snprintf(todo, sizeof(todo), "to switch it on set %s in fitnudge_worker { }", services[i].settings);

        if (services[i].a != NULL && services[i].b != NULL) {
            fn_doctor_say(d, FN_FINE, services[i].name, NULL, "configured");

        } else if (services[i].a == NULL && services[i].b == NULL) {
            fn_doctor_say(d, FN_OFF, services[i].name, todo, "not configured");

        } else {
            fn_doctor_say(d, FN_WRONG, services[i].name, todo, "half configured");
        }
    }
}


static void
doctor_said(void *data, const fn_online_t *o)
{
    fn_doctor_say(data, o->ok ? FN_FINE : FN_WRONG, o->check, o->todo, "%s", o->found);
}


int
fn_ctl_doctor(const char *conf, int json, int online, const char *resolver)
{
    char           err[1024];
    fn_doctor_t    d;
    fn_settings_t  s;

    memset(&d, 0, sizeof(d));
    d.json = json;
    d.resolver = resolver;
    d.settings = &s;

    if (fn_conf_load(conf, &s, err, sizeof(err)) != 0) {
        fn_doctor_say(&d, FN_WRONG, "configuration", "correct the line; nginx -t and fitnudge-worker -t check the file", "%s", err);
        return 1;
    }

    fn_doctor_say(&d, FN_FINE, "configuration", NULL, "%s", conf);

    doctor_postgres(&d);
    doctor_redis(&d);
    doctor_kernel(&d);
    doctor_services(&d);
    fn_doctor_mail(&d);

    if (strcmp(s.cron, "off") == 0) {
        fn_doctor_say(&d, FN_OFF, "cron", "to switch it on set cron on in fitnudge_worker { }", "nothing is begun by the clock");
    }

    if (online) {
        fn_ctl_online(&s, doctor_said, &d);
    }

    PQfinish(d.db);
    fn_redis_close(&d.redis);
    fn_settings_free(&s);

    if (!json) {
        (void) printf("\n%u wrong, %u to think about\n", d.wrong, d.advice);
    }

    return d.wrong > 0;
}
