/* main.c - sluiced: reads its arguments and settings, and wires the parts together. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "err.h"
#include "files.h"
#include "log.h"
#include "loop.h"
#include "settings.h"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1"
#endif

struct arguments {
    const char *config; /* NULL: defaults and the environment */
    bool        check, print;
};

static void
usage(FILE *to)
{
    fputs("usage: sluiced [--config FILE] [--check-config | --print-config]\n"
          "\n"
          "  -c, --config FILE   read the settings from FILE; without it: defaults and SLUICE_* variables\n"
          "      --check-config  say whether the settings are right, and end (0, or 78 if not)\n"
          "      --print-config  print the settings in force as a file, secrets masked, and end\n"
          "      --version       print the version\n"
          "      --help          print this\n"
          "\n"
          "SIGTERM stops in order, a second one at once; SIGHUP reloads the settings, all or nothing.\n",
          to);
}

/* Returns -1 to go on, or the status to end with. */
static int
read_arguments(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
        {"print-config", no_argument, NULL, 'p'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            ret->config = optarg;
            break;
        case 'k':
            ret->check = true;
            break;
        case 'p':
            ret->print = true;
            break;
        case 'v':
            puts("sluiced " SLUICE_VERSION);
            return EX_OK;
        case 'h':
            usage(stdout);
            return EX_OK;
        default:
            usage(stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sluiced: '%s' is not an option\n", argv[optind]);
        usage(stderr);
        return EX_USAGE;
    }
    return -1;
}

static struct settings *
load(void *ctx, struct err *err)
{
    const struct arguments *a = ctx;

    return settings_load(a->config, environ, err);
}

/* Before any thread exists, so that all inherit it: the loop reads signals from a descriptor. */
static void
block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int
run(struct settings *settings, struct arguments *arguments, struct log *log)
{
    const struct loop_source source = {load, arguments};
    struct err err = {0};
    struct loop *loop;
    int status = EX_OK;

    /* The process that will spawn long-running children belongs here: forked before any thread exists. */
    loop = loop_new(settings, &source, log, &err);
    if (loop == NULL || loop_run(loop, &err) != 0) {
        log_event(log, LOG_ERROR, "failed", LOG_STR("text", err.text));
        status = err.code == ERR_CONFIG ? EX_CONFIG : EX_SOFTWARE;
    }
    loop_free(loop);
    if (status == EX_OK)
        log_event(log, LOG_INFO, "stopped");
    return status;
}

int
main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct settings *settings;
    struct err err = {0};
    struct log *log;
    int status = read_arguments(argc, argv, &arguments);

    if (status >= 0)
        return status;
    settings = settings_load(arguments.config, environ, &err);
    if (settings == NULL) {
        fprintf(stderr, "sluiced: %s\n", err.text);
        return EX_CONFIG;
    }
    if (arguments.check || arguments.print) {
        if (arguments.print)
            settings_print(settings, stdout);
        else
            puts("sluiced: the settings are right");
        settings_free(settings);
        return EX_OK;
    }
    /* Frames are allocated in the library's thread and freed in ours: more arenas would only keep more of them. */
    mallopt(M_ARENA_MAX, 2);
    block_signals();
    log = log_new(STDERR_FILENO, settings->log.format, settings->log.level, &err);
    if (log == NULL) {
        fprintf(stderr, "sluiced: %s\n", err.text);
        settings_free(settings);
        return EX_OSERR;
    }
    files_raise(settings->n_connectors, log);
    status = run(settings, &arguments, log);
    log_free(log);
    return status;
}
