/* fitnudgectl: a look at the queues and the dead letters, and what may be done about them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../libfitnudge/fn_conf.h"
#include "../libfitnudge/fn_log.h"
#include "ctl.h"

#define FN_CONF_DEFAULT  "/etc/nginx/nginx.conf"

const char *const  fn_ctl_lanes[] = { "sql", "auth", "net", NULL };

static const struct {
    const char  *name;
    int          min, max;              /* arguments */
    int        (*run)(fn_ctl_t *c, int argc, char **argv);
    const char  *help;
} fn_commands[] = {
    { "lanes", 0, 0, fn_ctl_cmd_lanes, "lanes                        how many wait, work, are delayed or dead in each lane" },
    { "ls",    1, 2, fn_ctl_cmd_ls,    "ls <lane> [n]                the next n (20) jobs of a lane" },
    { "show",  1, 1, fn_ctl_cmd_show,  "show <id>                    one job, wherever it is" },
    { "dead",  2, 3, fn_ctl_cmd_dead,  "dead ls <lane> [n]           the newest dead letters\n"
                                       "  dead replay <lane> <id|all>  back into the queue\n"
                                       "  dead drop <lane> <id|all>    gone for good" },
    { "inflight", 0, 0, fn_ctl_cmd_inflight,
                                       "inflight                     the jobs that are in work, on all hosts" },
    { "pause", 1, 3, fn_ctl_cmd_pause, "pause <lane> [--until TIME|+DURATION]\n"
                                       "                               nothing more is taken from it, on all hosts" },
    { "resume", 1, 1, fn_ctl_cmd_resume,
                                       "resume <lane>                and again" },
    { "limit", 2, 2, fn_ctl_cmd_limit, "limit <lane> <n|off>         at most n of its jobs in work at once, on all hosts together" },
    { "rate",  2, 3, fn_ctl_cmd_rate,  "rate <lane> <n|off> [burst]  at most n jobs a second, and burst (n) at once, on all hosts together" },
    { "refuse", 1, 1, fn_ctl_cmd_refuse,
                                       "refuse <lane>                every edge answers 503 instead of enqueueing for it" },
    { "accept", 1, 1, fn_ctl_cmd_accept,
                                       "accept <lane>                and enqueues again" },
    { "cancel", 1, 1, fn_ctl_cmd_cancel,
                                       "cancel <id>                  one job, waiting or in work, is to end" },
    { "breaker", 0, 4, fn_ctl_cmd_breaker,
                                       "breaker                      which outside services are not asked, and until when\n"
                                       "  breaker open <service> [--until TIME|+DURATION]\n"
                                       "                               not to be asked, on every host\n"
                                       "  breaker close <service>      to be asked again" },
    { "maintenance", 1, 5, fn_ctl_cmd_maintenance,
                                       "maintenance on [--message TEXT] [--until TIME|+DURATION]\n"
                                       "                               requests are refused with 503, on every edge\n"
                                       "  maintenance off              and answered again\n"
                                       "  maintenance status           whether they are" },
    { "doctor", 0, 2, NULL,            "doctor [--online] [ip:port]  whether all that the system needs is right, and what to do;\n"
                                       "                               online: also whether outside services accept our keys;\n"
                                       "                               ip:port: of the name server to ask about the mail domain" },
    { "cron",  0, 2, fn_ctl_cmd_cron,  "cron ls                      what happens by the clock: when next, when last, what came of it\n"
                                       "  cron run <name>              begins a run now" },
    { "budget", 0, 0, fn_ctl_cmd_budget,
                                       "budget                       what the AI has cost today and this month, and what is left of it" },
    { "flags", 1, 5, fn_ctl_cmd_flags,  "flags ls                     feature flags, and who changed them last\n"
                                       "  flags show <key>             one of them, as JSON\n"
                                       "  flags on|off <key> [--reason TEXT]\n"
                                       "  flags kill <key> [--reason TEXT]\n"
                                       "                               off for everybody, at once, and the team is told\n"
                                       "  flags stage <key> <development|staging|production>\n"
                                       "  flags set <key> <json>       makes one, or changes what the JSON names\n"
                                       "  flags member <segment> <user> <in|out|auto>\n"
                                       "                               whether somebody is in a segment, such as beta" },
    { "experiments", 1, 4, fn_ctl_cmd_experiments,
                                       "experiments ls               experiments, and how many have seen them\n"
                                       "  experiments results <key> [days]\n"
                                       "                               what they show of the last days (30)\n"
                                       "  experiments on|off <key>\n"
                                       "  experiments set <key> <json>\n"
                                       "                               makes one, or changes what the JSON names" },
    { "i18n", 1, 4, fn_ctl_cmd_i18n,   "i18n missing                 texts that a language lacks\n"
                                       "  i18n translate               asks the AI for them, and tells n8n\n"
                                       "  i18n review [language]       what machines have translated\n"
                                       "  i18n review <language> <key> [text]\n"
                                       "                               it is right, or this is\n"
                                       "  i18n export <language>       what was looked at and is not in the files yet, as JSON" },
    { NULL, 0, 0, NULL, NULL }
};


static int
fn_usage(FILE *out, int rc)
{
    size_t  i;

    (void) fputs("usage: fitnudgectl [-c file] [--json] <command>\n\n", out);

    for (i = 0; fn_commands[i].name != NULL; i++) {
        (void) fprintf(out, "  %s\n", fn_commands[i].help);
    }

    (void) fputs("\n  -c file   nginx.conf to read (" FN_CONF_DEFAULT ")\n"
                 "  --json    one JSON object a line\n\n"
                 "lanes: sql, auth, net.  Exit status: 0 done, 1 not found or not possible, 2 wrong usage.\n", out);

    return rc;
}


const char *
fn_ctl_lane(const char *name)
{
    size_t  i;

    for (i = 0; fn_ctl_lanes[i] != NULL; i++) {
        if (strcmp(fn_ctl_lanes[i], name) == 0) {
            return fn_ctl_lanes[i];
        }
    }

    (void) fprintf(stderr, "fitnudgectl: there is no lane \"%s\"; lanes are sql, auth and net\n", name);

    return NULL;
}


static int
fn_ctl_run(fn_ctl_t *c, const char *conf, int argc, char **argv)
{
    int            rc, k, online;
    char           err[1024];
    size_t         i;
    const char    *resolver;
    fn_settings_t  s;

    for (i = 0; fn_commands[i].name != NULL && strcmp(fn_commands[i].name, argv[0]) != 0; i++) { /* void */ }

    if (fn_commands[i].name == NULL) {
        (void) fprintf(stderr, "fitnudgectl: there is no command \"%s\"\n\n", argv[0]);
        return fn_usage(stderr, 2);
    }

    if (argc - 1 < fn_commands[i].min || argc - 1 > fn_commands[i].max) {
        (void) fprintf(stderr, "usage: fitnudgectl %s\n", fn_commands[i].help);
        return 2;
    }

    if (fn_commands[i].run == NULL) {
        for (online = 0, resolver = NULL, k = 1; k < argc; k++) {
            if (strcmp(argv[k], "--online") == 0 && !online) {
                online = 1;

            } else if (strchr(argv[k], ':') != NULL && resolver == NULL) {
                resolver = argv[k];

            } else {
                (void) fprintf(stderr, "usage: fitnudgectl %s\n", fn_commands[i].help);
                return 2;
            }
        }

        return fn_ctl_doctor(conf, c->json, online, resolver);
    }

    if (fn_conf_load(conf, &s, err, sizeof(err)) != 0) {
        (void) fprintf(stderr, "fitnudgectl: %s\n", err);
        return 1;
    }

    c->settings = &s;
    fn_redis_init(&c->redis, &s, 5000);

    if (fn_redis_connect(&c->redis) != 0) {
        (void) fprintf(stderr, "fitnudgectl: no connection to redis at %s\n", s.redis);
        rc = 1;

    } else {
        rc = fn_commands[i].run(c, argc - 1, argv + 1);
    }

    fn_redis_close(&c->redis);
    c->settings = NULL;
    fn_settings_free(&s);

    return rc;
}


int
main(int argc, char **argv)
{
    int          i;
    fn_ctl_t     c;
    const char  *conf;

    memset(&c, 0, sizeof(c));
    conf = FN_CONF_DEFAULT;

    (void) fn_log_open("stderr", FN_LOG_ERROR);

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            conf = argv[++i];

        } else if (strcmp(argv[i], "--json") == 0) {
            c.json = 1;

        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            return fn_usage(stdout, 0);

        } else {
            (void) fprintf(stderr, "fitnudgectl: unknown option \"%s\"\n\n", argv[i]);
            return fn_usage(stderr, 2);
        }
    }

    if (i == argc) {
        return fn_usage(stderr, 2);
    }

    return fn_ctl_run(&c, conf, argc - i, argv + i);
}
