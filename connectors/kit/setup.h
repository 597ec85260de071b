/* setup.h - what every connector here is told, and from where: arguments, then the environment, then a file.
 *
 * Names are OpenCTI's, so that a deployment's variables go on meaning what they mean.  Each key is taken from the first
 * place that has it; an empty argument or variable counts as not set (OpenCTI would take its own default then, and
 * not look into the file).  Texts are lent: from the arguments, the environment, or the struct itself. */
#ifndef KIT_SETUP_H
#define KIT_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "sluice/sluice.h"

struct err;

enum setup_key {
    SETUP_ID,        /* --id                CONNECTOR_ID                 id */
    SETUP_ENDPOINT,  /* --endpoint          SLUICE_ENDPOINT              endpoint */
    SETUP_PERIOD,    /* --duration-period   CONNECTOR_DURATION_PERIOD    duration_period */
    SETUP_THRESHOLD, /* --queue-threshold   CONNECTOR_QUEUE_THRESHOLD    queue_threshold */
    SETUP_TERMINATE, /* --run-and-terminate CONNECTOR_RUN_AND_TERMINATE  run_and_terminate */
    SETUP_LOG_LEVEL, /* --log-level         CONNECTOR_LOG_LEVEL          log_level */
    SETUP_KEYS
};

enum {
    SETUP_TEXT_MAX = 256,        /* bytes in a value of the file, its NUL included */
    SETUP_FILE_MAX = 1024 * 1024 /* bytes in the file */
};

/* What the command line said; NULL: nothing. */
struct setup_args {
    const char *file; /* --config */
    const char *value[SETUP_KEYS];
};

struct setup {
    const char *id, *endpoint; /* NULL: not set */
    const char *period;        /* NULL: there is no schedule, unless run_and_terminate */
    struct sluice_schedule_options schedule;
    enum sluice_level log_level;
    char file[SETUP_KEYS][SETUP_TEXT_MAX]; /* what the file said */
};

/* Read all of it.  ERR_CONFIG: the text names the place, what is wrong and what to write; ERR_IO, ERR_NOMEM.  A
 * period of zero sets run_and_terminate. */
int setup_load(struct setup *c, const struct setup_args *args, struct err *err);

/* Is the connector to run by a schedule? */
bool setup_scheduled(const struct setup *c);

/* For setup.c and setup_file.c: a key's name in the file; and the reading of it, into c->file. */
const char *setup_name(enum setup_key key);
int setup_read_file(struct setup *c, const char *path, struct err *err);

#endif
