/* run.h - push files, or made-up bodies, once or by a schedule, and say what became of them.
 *
 * Memory: the paths (paths.h), what is unanswered (all handles together 256 MiB at most, one handle 64 MiB; or, where
 * that is more, the largest body once for each handle, of at most 1 GiB), and one body on its way there. */
#ifndef STIX_FILE_RUN_H
#define STIX_FILE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../kit/exits.h"
#include "sluice/sluice.h"
#include "pace.h"

struct setup;

struct file_options {
    const char *program;   /* named in front of every line for people */
    const char *id, *endpoint;
    char      **names;     /* files and folders; n_names of them, 0 with size */
    size_t      n_names;
    uint64_t    size;      /* of synthetic bodies; 0: push the files */
    uint64_t    repeat;    /* times over the files */
    uint64_t    count;     /* bundles in all; 0: all files, or one synthetic body */
    size_t      handles;   /* connectors in this process */
    struct pace pace;
    const char *format, *format_options; /* of every bundle; NULL: as the gateway is configured */
    bool        progress;
    int64_t     wait_ms;   /* for the gateway's welcome */
    const struct setup *setup; /* when to push; borrowed.  NULL: now, and once.  With one handle only */
    enum sluice_level level; /* the library's words up to this one are said */
};

void file_options_default(struct file_options *opt);

/* A summary for each run goes to out, everything else to say.  Returns the exit status. */
enum exits file_run(const struct file_options *opt, FILE *out, FILE *say);

#endif
