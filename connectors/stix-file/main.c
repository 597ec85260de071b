/* stix-file - push STIX files as they are, or made-up bodies as a load. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kit/setup.h"
#include "../kit/outlet.h"
#include "../kit/stop.h"
#include "body.h"
#include "duration.h"
#include "err.h"
#include "run.h"
#include "size.h"

/* Installed, it is sluice-stix-file: it calls itself as it was called. */
static const char *
name(void)
{
    return program_invocation_short_name;
}

static void
usage(void)
{
    printf("usage: %s [options] FILE|FOLDER...\n       %s [options] --size SIZE\n", name(), name());
    fputs("Push files to the gateway, byte for byte, one bundle each; of a folder, every *.json below it.\n"
          "\n"
          "  --id ID            this connector's id (default: stix-file)\n"
          "  --endpoint URL     the gateway, tcp://host:port or ipc://path (default: $SLUICE_ENDPOINT,\n"
          "                     then tcp://127.0.0.1:7117)\n"
          "  --repeat N         go over the files N times\n"
          "  --count N          push N bundles at most; with --size, exactly N (default: 1)\n"
          "  --rate N/s         bundles or bytes a second, such as 100/s or 10MB/s (default: as fast as it goes)\n"
          "  --size SIZE        push made-up bodies of so many bytes instead, such as 64KiB\n"
          "  --connectors N     N connectors in this process, ID-1 to ID-N, taking turns (at most 1000)\n"
          "  --duration-period P  stay, and run when the gateway permits it, P after the end of the last run, such as\n"
          "                     P2D or PT6H; 0: one run and no more, if nothing holds it\n"
          "  --run-and-terminate  the same as a period of 0\n"
          "  --queue-threshold MB  no run begins with so much in this connector's queue (default: the gateway's)\n"
          "  --log-level LEVEL  error, warn, info, debug (default: warn)\n"
          "  --config FILE      read connector = { id = \"...\"; duration_period = \"P2D\"; ... } from FILE\n"
          "  --wait TIME        how long to try to reach the gateway, \"30s\", \"5m\" (default: 60s)\n"
          "  --format FORMAT    raw or opencti: how bundles become messages (default: the gateway's)\n"
          "  --format-options J what the format is to know of them, a JSON object, such as {\"update\":true}\n"
          "  --progress         show progress on stderr, also where that is no terminal\n"
          "  --help             this\n"
          "\n"
          "The environment is read too: CONNECTOR_ID, SLUICE_ENDPOINT, CONNECTOR_DURATION_PERIOD,\n"
          "CONNECTOR_RUN_AND_TERMINATE, CONNECTOR_QUEUE_THRESHOLD, CONNECTOR_LOG_LEVEL.  Arguments outrank it,\n"
          "and it outranks the file; what is empty counts as not set.\n"
          "\n"
          "Exit status: 0 all acked; 1 some files or bundles were not taken, each is named; 2 usage; 66 a file or\n"
          "folder is not there; 70 the system failed; 75 gateway not reached, stopped by a signal in a\n"
          "run, or a run of a period of 0 was held; 76 another program took the id; 77 the gateway\n"
          "refuses this connector.\n",
          stdout);
}

static int
take_number(const char *option, const char *text, uint64_t most, uint64_t *ret)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || n < 1 || n > most) {
        fprintf(stderr, "%s: --%s %s: write a number from 1 to %llu\n", name(), option, text, (unsigned long long)most);
        return -1;
    }
    *ret = n;
    return 0;
}

static int
say(const char *option, const char *text, const struct err *err)
{
    fprintf(stderr, "%s: --%s %s: %s\n", name(), option, text, err->text);
    return -1;
}

static int
take_size(const char *text, uint64_t *ret)
{
    struct err err;

    if (size_parse(text, ret, &err) != 0)
        return say("size", text, &err);
    if (*ret < BODY_PREFIX) {
        fprintf(stderr, "%s: --size %s: at least %dB, so that no two bodies are the same\n", name(), text, BODY_PREFIX);
        return -1;
    }
    return 0;
}

static int
take_option(int c, const char *text, struct file_options *opt, struct setup_args *args)
{
    struct err err;
    uint64_t n;
    int64_t us;

    switch (c) {
    case 'i':
        args->value[SETUP_ID] = text;
        return 0;
    case 'e':
        args->value[SETUP_ENDPOINT] = text;
        return 0;
    case 'd':
        args->value[SETUP_PERIOD] = text;
        return 0;
    case 't':
        args->value[SETUP_TERMINATE] = "true";
        return 0;
    case 'q':
        args->value[SETUP_THRESHOLD] = text;
        return 0;
    case 'l':
        args->value[SETUP_LOG_LEVEL] = text;
        return 0;
    case 'C':
        args->file = text;
        return 0;
    case 'r':
        return take_number("repeat", text, 1000000, &opt->repeat);
    case 'c':
        return take_number("count", text, UINT32_MAX, &opt->count);
    case 's':
        return take_size(text, &opt->size);
    case 'n':
        if (take_number("connectors", text, OUTLET_HANDLES_MAX, &n) != 0)
            return -1;
        opt->handles = (size_t)n;
        return 0;
    case 'R':
        if (pace_parse(text, &opt->pace, &err) == 0)
            return 0;
        fprintf(stderr, "%s: %s\n", name(), err.text);
        return -1;
    case 'w':
        if (duration_parse_short(text, &us, &err) != 0)
            return say("wait", text, &err);
        opt->wait_ms = us / 1000;
        return 0;
    case 'p':
        opt->progress = true;
        return 0;
    case 'F':
        opt->format = text;
        return 0;
    case 'O':
        opt->format_options = text;
        return 0;
    default:
        return c == 'h' ? 1 : -1; /* getopt has said why */
    }
}

static int
check_together(const struct file_options *opt)
{
    const char *wrong = NULL;

    if (opt->n_names == 0 && opt->size == 0)
        wrong = "name files or folders, or give --size for made-up bodies";
    else if (opt->n_names > 0 && opt->size > 0)
        wrong = "--size makes bodies up, so no files are named with it";
    else if (opt->size > 0 && opt->repeat > 1)
        wrong = "--repeat goes over files; with --size write --count";
    if (wrong != NULL)
        fprintf(stderr, "%s: %s\n", name(), wrong);
    return wrong == NULL ? 0 : -1;
}

/* 0: go on; 1: help was wanted; -1: wrong, and said so. */
static int
take_options(int argc, char **argv, struct file_options *opt, struct setup_args *args)
{
    static const struct option known[] = {
        {"id", required_argument, NULL, 'i'},     {"endpoint", required_argument, NULL, 'e'},
        {"repeat", required_argument, NULL, 'r'}, {"count", required_argument, NULL, 'c'},
        {"rate", required_argument, NULL, 'R'},   {"size", required_argument, NULL, 's'},
        {"wait", required_argument, NULL, 'w'},   {"connectors", required_argument, NULL, 'n'},
        {"duration-period", required_argument, NULL, 'd'},
        {"run-and-terminate", no_argument, NULL, 't'},
        {"queue-threshold", required_argument, NULL, 'q'},
        {"log-level", required_argument, NULL, 'l'}, {"config", required_argument, NULL, 'C'},
        {"format", required_argument, NULL, 'F'}, {"format-options", required_argument, NULL, 'O'},
        {"progress", no_argument, NULL, 'p'},     {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    int c, rc = 0;

    while (rc == 0 && (c = getopt_long(argc, argv, "h", known, NULL)) != -1)
        rc = take_option(c, optarg, opt, args);
    opt->names = argv + optind;
    opt->n_names = (size_t)(argc - optind);
    return rc == 0 ? check_together(opt) : rc;
}

static int
take_setup(const struct setup_args *args, struct setup *setup, struct file_options *opt)
{
    struct err err;

    if (setup_load(setup, args, &err) != 0) {
        fprintf(stderr, "stix-file: %s\n", err.text);
        return -1;
    }
    if (setup->id != NULL)
        opt->id = setup->id;
    opt->endpoint = setup->endpoint;
    opt->level = setup->log_level;
    opt->setup = setup_scheduled(setup) ? setup : NULL;
    if (opt->setup != NULL && opt->handles > 1) {
        fputs("stix-file: a period is one connector's; write --connectors 1, or run a program for each\n", stderr);
        return -1;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct file_options opt;
    struct setup_args args = {.file = NULL};
    struct setup setup;
    struct err err;
    int rc;

    file_options_default(&opt);
    opt.program = name();
    rc = take_options(argc, argv, &opt, &args);
    if (rc == 0)
        rc = take_setup(&args, &setup, &opt);
    if (rc > 0) {
        usage();
        return EXITS_OK;
    }
    if (rc < 0) {
        fprintf(stderr, "%s: --help lists the options\n", name());
        return EXITS_USAGE;
    }
    if (stop_watch(&err) != 0) {
        fprintf(stderr, "%s: %s\n", name(), err.text);
        return EXITS_SYSTEM;
    }
    return (int)file_run(&opt, stdout, stderr);
}
