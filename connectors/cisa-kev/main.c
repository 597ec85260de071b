/* cisa-kev - CISA's catalogue of known exploited vulnerabilities, as STIX bundles. */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "../kit/setup.h"
#include "../kit/stop.h"
#include "duration.h"
#include "err.h"
#include "fetch.h"
#include "run.h"

/* Installed, it is sluice-cisa-kev: it calls itself as it was called. */
static const char *
name(void)
{
    return program_invocation_short_name;
}

static void
usage(void)
{
    printf("usage: %s [options]\n", name());
    fputs("Send what is new in CISA's catalogue of known exploited vulnerabilities to the gateway.\n"
          "\n"
          "  --id ID            this connector's id (default: cisa-kev)\n"
          "  --endpoint URL     the gateway, tcp://host:port or ipc://path (default: $SLUICE_ENDPOINT,\n"
          "                     then tcp://127.0.0.1:7117)\n"
          "  --feed URL|FILE    the catalogue in JSON (default: CISA's; then, without a network and before the\n"
          "                     first real run, a built-in sample is sent)\n"
          "  --per-bundle N     vulnerabilities in a bundle (default: 1, at most 10000)\n"
          "  --wait TIME        how long to try to reach the gateway, \"30s\", \"5m\" (default: 60s)\n"
          "  --reset-state      forget what was sent before: everything is new\n"
          "  --once             run now and once, whatever the configuration says of a period (the default\n"
          "                     without one)\n"
          "  --duration-period P  stay, and run when the gateway permits it, P after the end of the last run, such as\n"
          "                     P2D or PT6H; 0: one run and no more, if nothing holds it\n"
          "  --run-and-terminate  the same as a period of 0\n"
          "  --queue-threshold MB  no run begins with so much in this connector's queue (default: the gateway's)\n"
          "  --log-level LEVEL  error, warn, info, debug (default: warn)\n"
          "  --config FILE      read connector = { id = \"...\"; duration_period = \"P2D\"; ... } from FILE\n"
          "  --format FORMAT    raw or opencti: how bundles become messages (default: the gateway's)\n"
          "  --format-options J what the format is to know of them, a JSON object, such as {\"update\":true}\n"
          "  --progress         show progress on stderr, also where that is no terminal\n"
          "  --help             this\n"
          "\n"
          "The environment is read too: CONNECTOR_ID, SLUICE_ENDPOINT, CONNECTOR_DURATION_PERIOD,\n"
          "CONNECTOR_RUN_AND_TERMINATE, CONNECTOR_QUEUE_THRESHOLD, CONNECTOR_LOG_LEVEL.  Arguments outrank it,\n"
          "and it outranks the file; what is empty counts as not set.\n"
          "\n"
          "Exit status: 0 done; 1 bundles refused; 2 usage; 65 feed or state malformed; 69 feed unavailable;\n"
          "70 the system failed; 75 gateway not reached, stopped by a signal in a run, or a run of a period of\n"
          "0 was held: run again; 76 another program took the id or changed the state; 77 the gateway\n"
          "refuses this connector.\n",
          stdout);
}

static int
take_count(const char *text, size_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || n < 1 || n > KEV_PER_BUNDLE_MAX) {
        fprintf(stderr, "%s: --per-bundle %s: give a number from 1 to %d\n", name(), text, KEV_PER_BUNDLE_MAX);
        return -1;
    }
    *ret = n;
    return 0;
}

static int
take_wait(const char *text, int64_t *ret_ms)
{
    struct err err;
    int64_t us;

    if (duration_parse_short(text, &us, &err) != 0) {
        fprintf(stderr, "%s: --wait %s: %s\n", name(), text, err.text);
        return -1;
    }
    *ret_ms = us / 1000;
    return 0;
}

static int
take_feed(const char *text, struct kev_options *opt)
{
    struct err err;
    bool url;

    if (text[0] == '\0') {
        fprintf(stderr, "%s: --feed is empty: give a URL, or the path of a file\n", name());
        return -1;
    }
    if (kev_is_url(text, &url, &err) != 0) {
        fprintf(stderr, "%s: %s\n", name(), err.text);
        return -1;
    }
    opt->feed = text;
    opt->may_sample = false;
    return 0;
}

/* 0: go on; 1: help was wanted; -1: wrong, and said so. */
static int
take_options(int argc, char **argv, struct kev_options *opt, struct setup_args *args, bool *ret_once)
{
    static const struct option known[] = {
        {"id", required_argument, NULL, 'i'},         {"endpoint", required_argument, NULL, 'e'},
        {"feed", required_argument, NULL, 'f'},       {"per-bundle", required_argument, NULL, 'n'},
        {"wait", required_argument, NULL, 'w'},       {"reset-state", no_argument, NULL, 'r'},
        {"once", no_argument, NULL, '1'},             {"progress", no_argument, NULL, 'p'},
        {"duration-period", required_argument, NULL, 'd'},
        {"run-and-terminate", no_argument, NULL, 't'},
        {"queue-threshold", required_argument, NULL, 'q'},
        {"log-level", required_argument, NULL, 'l'},  {"config", required_argument, NULL, 'c'},
        {"format", required_argument, NULL, 'F'},     {"format-options", required_argument, NULL, 'O'},
        {"help", no_argument, NULL, 'h'},             {NULL, 0, NULL, 0}};
    int c, rc = 0;

    while (rc == 0 && (c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (c) {
        case 'i':
            args->value[SETUP_ID] = optarg;
            break;
        case 'e':
            args->value[SETUP_ENDPOINT] = optarg;
            break;
        case 'd':
            args->value[SETUP_PERIOD] = optarg;
            break;
        case 't':
            args->value[SETUP_TERMINATE] = "true";
            break;
        case 'q':
            args->value[SETUP_THRESHOLD] = optarg;
            break;
        case 'l':
            args->value[SETUP_LOG_LEVEL] = optarg;
            break;
        case 'c':
            args->file = optarg;
            break;
        case 'f':
            rc = take_feed(optarg, opt);
            break;
        case 'n':
            rc = take_count(optarg, &opt->per_bundle);
            break;
        case 'w':
            rc = take_wait(optarg, &opt->wait_ms);
            break;
        case 'r':
            opt->reset_state = true;
            break;
        case '1':
            *ret_once = true;
            break;
        case 'p':
            opt->progress = true;
            break;
        case 'F':
            opt->format = optarg;
            break;
        case 'O':
            opt->format_options = optarg;
            break;
        case 'h':
            rc = 1;
            break;
        default:
            rc = -1; /* getopt has said why */
        }
    }
    if (rc == 0 && optind < argc) {
        fprintf(stderr, "%s: \"%s\" is not an option; a feed is given with --feed\n", name(), argv[optind]);
        rc = -1;
    }
    return rc;
}

static int
take_setup(const struct setup_args *args, bool once, struct setup *setup, struct kev_options *opt)
{
    struct err err;

    if (setup_load(setup, args, &err) != 0) {
        fprintf(stderr, "%s: %s\n", name(), err.text);
        return -1;
    }
    if (setup->id != NULL)
        opt->id = setup->id;
    opt->endpoint = setup->endpoint;
    opt->level = setup->log_level;
    opt->setup = !once && setup_scheduled(setup) ? setup : NULL;
    return 0;
}

int
main(int argc, char **argv)
{
    struct kev_options opt;
    struct setup_args args = {.file = NULL};
    struct setup setup;
    struct err err;
    bool once = false;
    int rc;

    kev_options_default(&opt);
    opt.program = name();
    rc = take_options(argc, argv, &opt, &args, &once);
    if (rc == 0)
        rc = take_setup(&args, once, &setup, &opt);
    if (rc > 0) {
        usage();
        return EXITS_OK;
    }
    if (rc < 0) {
        fprintf(stderr, "%s: --help lists the options\n", name());
        return EXITS_USAGE;
    }
    if (stop_watch(&err) != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fprintf(stderr, "%s: libcurl or the signals could not be set up\n", name());
        return EXITS_SYSTEM;
    }
    rc = (int)kev_run(&opt, stdout, stderr);
    curl_global_cleanup();
    return rc;
}
