/* decide.h - one decision: may something new be let in, from these figures?
 *
 * A pure function of what it is given, so that what the journal says of a decision can be done again: the same inputs,
 * the same answer, bit for bit.  Any thread. */
#ifndef DECIDE_H
#define DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#define DECIDE_UNKNOWN UINT64_MAX /* of a level: nobody knows it.  It is never 0 */
#define DECIDE_NONE UINT64_MAX    /* of a limit: there is none */

/* How full something is, and how full it may be: bytes.  Below the limit there is room, at the limit there is none. */
struct decide_level {
    uint64_t upper, limit;
};

struct decide_inputs {
    struct decide_level queue;   /* the connector's, against its threshold */
    struct decide_level group;   /* all queues of its group, against their budget */
    struct decide_level all;     /* all queues, against the broker's budget */
    struct decide_level memory;  /* what the broker uses and what is on its way there, against what keeps it from an
                                  * alarm */
    struct decide_level disk;    /* what must stay free and what is on its way there, against what is free */
    uint32_t resume_ppm;         /* what was closed opens below so many millionths of its limit, so that it does not
                                  * flap */
    uint32_t before;             /* bits of wire_hold: the answer before */
    bool     run_on_stale;       /* what is unknown does not hold */
    bool     first_free;         /* the first run ever: its queue does not hold it, however full */
};

/* Bits of wire_hold: why not; 0: there is room. */
uint32_t decide(const struct decide_inputs *in);

/* The level below which it would open, or at which it closes: what the answer before makes of a limit. */
uint64_t decide_mark(uint64_t limit, uint32_t resume_ppm, bool closed);

#endif
