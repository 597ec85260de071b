/* progress.h - how far a connector is, in words: a line that renews itself on stderr, a last line on stdout.
 *
 * Pure but for the stream it writes to; one thread. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What became of the bundles so far. */
struct tally {
    uint64_t pushed, bytes; /* accepted by the library, and their bodies */
    uint64_t acked;         /* answered with ack, dead letters included */
    uint64_t dead;          /* of those: kept by the gateway as dead letters */
    uint64_t nacked;        /* refused */
    uint64_t left, left_bytes; /* not answered yet */
    uint64_t away;          /* handles without a connection now */
    char     hold[96];      /* why the gateway gives no credit; "" if it does */
};

struct progress {
    FILE   *out;            /* borrowed; NULL: say nothing */
    bool    renew;          /* a terminal: the line is written over */
    bool    open;           /* such a line stands there, unended */
    int64_t start_us, last_us;
    uint64_t last_acked, last_bytes;
};

/* Say something each second if wanted, or if out is a terminal; else nothing. */
void progress_start(struct progress *p, FILE *out, bool wanted, int64_t now_us);

/* A line, if a second has passed since the last one. */
void progress_tick(struct progress *p, const struct tally *t, int64_t now_us);

/* End a line that stands there, so that another message may be written. */
void progress_clear(struct progress *p);

/* The summary: "pushed=1404 acked=1404 nacked=0 dead=0 bytes=..." without a line end, for what comes behind it. */
void progress_sum(const struct tally *t, FILE *out);

/* What came on top since `before` was taken, of the counts; the rest as it is now. */
void tally_since(struct tally *t, const struct tally *before);

#endif
