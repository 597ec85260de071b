/* scheduled.h - the book that tests/system/scheduled keeps of itself, and how it is read.
 *
 * One line for each thing that happened, written before the next thing is done, so that a SIGKILL cuts off nothing:
 *
 *     WALL_US WHO WHAT [RUN|-] [NUMBER]
 *
 * Several programs of an id append to the same book, each with a `who` of its own. */
#ifndef SCHEDULED_H
#define SCHEDULED_H

#include <stddef.h>
#include <stdint.h>

enum {
    SCHEDULED_RUN = 32, /* a run in hex */
    SCHEDULED_SIZE_MOST = 3000
};

enum scheduled_what {
    S_STARTED,
    S_BEGIN,      /* of a run */
    S_PUSH,       /* a bundle: number */
    S_ACKED,      /* its number */
    S_REFUSED,    /* its number */
    S_TRY,        /* a state with this count is handed over, and with it the end of the run */
    S_COMMITTED,  /* so it is on the gateway's disk, both of it */
    S_END,        /* of a run, as told to the library */
    S_RECORDED,   /* and it is on the gateway's disk, by the library's word */
    S_DOUBT,      /* the library said that an end was not taken, or a run is over: what comes next is not recorded */
    S_GONE,       /* the run is over for the gateway; nothing was set */
    S_HELD,       /* Run & Terminate was held */
    S_REPLACED,   /* by another program */
    S_STOPPED,    /* as it was told to; number: bundles that are unanswered */
    S_FAILED,     /* a call of the library; number: its code */
    S_WHATS
};

/* By enum scheduled_what. */
extern const char *const scheduled_says[S_WHATS];

/* The size of a program's bundle of this number, at most SCHEDULED_SIZE_MOST. */
size_t scheduled_size(uint64_t number);

#endif
