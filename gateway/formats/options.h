/* options.h - what a bundle's sender asked for: the header's JSON object, read.  Thread: who has it. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"

struct err;

/* A value as it came. */
struct option {
    uint32_t at, len; /* len 0: not given, or null */
};

struct options {
    char         *text; /* owned */
    uint32_t      len;
    struct option work_id, update, entities_types, draft_id, applicant_id, event_version;
    bool          no_split, cleanup;
    /* Members that are not known here: each with its key, between commas; owned. */
    char         *others;
    uint32_t      others_len;
    struct budget *budget;
};

/* Read the options ("" are none).  Returns 0, -1 with *err where they are wrong, or -2 for want of memory; *o is to be
 * closed in any case. */
int options_read(const char *text, size_t len, struct budget *budget, struct options *o, struct err *err);

/* The envelope is made (envelope.h): keep no more than event_version, which each content says.  A bundle may wait for
 * long, and its options can be more than it is. */
void options_trim(struct options *o);

void options_close(struct options *o);

#endif
