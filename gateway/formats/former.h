/* former.h - the thread that makes messages of bundles, so that a large one does not hold up the loop.
 *
 * One job after the other, in order: a large bundle makes those behind it wait, less than 10 ms for each MB
 * (bench/format, which also writes the messages), and up to ten times that where it is made to be slow.
 * Bound: a job is a bundle that the core admitted.  The thread owns nothing but the job that it is at. */
#ifndef FORMER_H
#define FORMER_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"

struct err;
struct former;
struct mailbox;
struct parts;

struct former_job {
    uint32_t          ticket; /* the poster's own; these three come back in the result */
    const char       *connector; /* id; borrowed until then */
    uint64_t          seq;
    struct format_ask ask;    /* what it points to is borrowed until the result */
};

/* What comes back, one for each job. */
struct former_result {
    uint32_t            ticket;
    const char         *connector;
    uint64_t            seq;
    struct parts       *parts; /* new, for who takes the result; NULL: refused */
    struct format_notes notes; /* of parts */
    enum format_fault   fault; /* of a refusal, and why */
    char                text[240];
};

/* Start the thread (all signals blocked in it).  Results go to `results` (of struct former_result), which is borrowed
 * until former_free.  Returns a new former, or NULL with *err filled. */
struct former *former_start(struct mailbox *results, struct err *err);

/* -1 (ERR_NOMEM): it was not taken. */
int former_post(struct former *f, const struct former_job *job, struct err *err);

/* End the thread: its present job is given up, which takes as long as sorting the keys of one object does at most;
 * neither it nor those behind it get a result that counts.  NULL does nothing. */
void former_free(struct former *f);

#endif
