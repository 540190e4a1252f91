/* fitnudge-worker: command line, configuration, then the master. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "libfitnudge/fn_conf.h"
#include "libfitnudge/fn_log.h"
#include "pool.h"

#define FN_CONF_DEFAULT  "/etc/nginx/nginx.conf"


static void
fn_usage(FILE *out)
{
    (void) fputs("usage: fitnudge-worker [-t] [-c file]\n"
                 "\n"
                 "  -c file   nginx.conf to read (" FN_CONF_DEFAULT ")\n"
                 "  -t        test the configuration and exit\n"
                 "  -h        this text\n"
                 "\n"
                 "It stays in the foreground. Signals to the master: TERM, INT finish what is in hand and exit;\n"
                 "HUP reads the configuration again; USR1 opens the log again.\n", out);
}


int
main(int argc, char **argv)
{
    int            c, test;
    char           err[1024];
    const char    *conf;
    fn_settings_t  s;

    conf = FN_CONF_DEFAULT;
    test = 0;

    while ((c = getopt(argc, argv, "c:th")) != -1) {
        switch (c) {

        case 'c':
            conf = optarg;
            break;

        case 't':
            test = 1;
            break;

        case 'h':
            fn_usage(stdout);
            return 0;

        default:
            fn_usage(stderr);
            return 2;
        }
    }

    if (optind != argc) {
        fn_usage(stderr);
        return 2;
    }

    if (fn_conf_load(conf, &s, err, sizeof(err)) != 0) {
        (void) fprintf(stderr, "fitnudge-worker: [emerg] %s\n", err);

        if (test) {
            (void) fprintf(stderr, "fitnudge-worker: configuration file %s test failed\n", conf);
        }

        return 1;
    }

    if (test) {
        (void) fprintf(stderr, "fitnudge-worker: configuration file %s test is successful\n", conf);
        fn_settings_free(&s);
        return 0;
    }

    if (fn_log_open(s.log, FN_LOG_INFO) != 0) {
        (void) fprintf(stderr, "fitnudge-worker: [emerg] the log \"%s\" cannot be opened\n", s.log);
        fn_settings_free(&s);
        return 1;
    }

    (void) curl_global_init(CURL_GLOBAL_DEFAULT);

    return fn_master_run(conf, &s, argv);
}
