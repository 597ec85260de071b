/* cisa-kev - CISA's catalogue of known exploited vulnerabilities, as STIX bundles. */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

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
    fputs("Send what is new in CISA's catalogue of known exploited vulnerabilities to the gateway, once.\n"
          "\n"
          "  --id ID            this connector's id (default: cisa-kev)\n"
          "  --endpoint URL     the gateway, tcp://host:port or ipc://path (default: $SLUICE_ENDPOINT,\n"
          "                     then tcp://127.0.0.1:7117)\n"
          "  --feed URL|FILE    the catalogue in JSON (default: CISA's; then, without a network and before the\n"
          "                     first real run, a built-in sample is sent)\n"
          "  --per-bundle N     vulnerabilities in a bundle (default: 1, at most 10000)\n"
          "  --wait TIME        how long to try to reach the gateway, \"30s\", \"5m\" (default: 60s)\n"
          "  --reset-state      forget what was sent before: everything is new\n"
          "  --once             run once (this version does nothing else)\n"
          "  --progress         show progress on stderr, also where that is no terminal\n"
          "  --help             this\n"
          "\n"
          "Exit status: 0 done; 1 bundles refused; 2 usage; 65 feed or state malformed; 69 feed unavailable;\n"
          "70 the system failed; 75 gateway not reached, or stopped by a signal: run again; 76 another program\n"
          "took the id or changed the state; 77 the gateway refuses this connector.\n",
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
take_options(int argc, char **argv, struct kev_options *opt)
{
    static const struct option known[] = {
        {"id", required_argument, NULL, 'i'},         {"endpoint", required_argument, NULL, 'e'},
        {"feed", required_argument, NULL, 'f'},       {"per-bundle", required_argument, NULL, 'n'},
        {"wait", required_argument, NULL, 'w'},       {"reset-state", no_argument, NULL, 'r'},
        {"once", no_argument, NULL, '1'},             {"progress", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},             {NULL, 0, NULL, 0}};
    int c, rc = 0;

    while (rc == 0 && (c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (c) {
        case 'i':
            opt->id = optarg;
            break;
        case 'e':
            opt->endpoint = optarg;
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
            break;
        case 'p':
            opt->progress = true;
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

int
main(int argc, char **argv)
{
    struct kev_options opt;
    struct err err;
    int rc;

    kev_options_default(&opt);
    opt.program = name();
    rc = take_options(argc, argv, &opt);
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
