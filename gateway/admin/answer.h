/* answer.h - what operators are answered, as JSON, into a buffer that is not larger than it has to be.  Pure. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct dead_letter;

enum {
    ANSWER_CAP = 16 * 1024, /* bytes in a piece of an answer */
    ANSWER_MOST = 4 * 1024  /* bytes that one call adds at most */
};

struct answer {
    char   at[ANSWER_CAP];
    size_t len;
};

/* Is there room for one more? */
bool answer_room(const struct answer *a);

/* {"ok":false,"error":text} and the end of the line. */
void answer_error(struct answer *a, const char *text);

/* {"ok":true}, with what was done to whom: connector may be NULL, version 0 (none), state NULL. */
void answer_done(struct answer *a, const char *action, const char *connector, const char *state, uint64_t version);

/* The answer to status: its beginning (with two warnings at most), each connector, its end. */
void answer_status_begin(struct answer *a, bool draining, const char *const *warnings, size_t n);
void answer_status_one(struct answer *a, const struct core_status *s, bool first);
void answer_list_end(struct answer *a); /* of dead letters too */

/* The answer to dead-letters, likewise. */
void answer_letters_begin(struct answer *a);
void answer_letter(struct answer *a, const struct dead_letter *d, bool first);

/* "waiting" "held" "running" "paused" or "not connected". */
const char *answer_state(const struct core_status *s);

#endif
