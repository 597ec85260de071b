/* crash.h - the steps of a bundle's life at which a test lets the gateway die.  In sluiced itself they do nothing: a
 * program of the tests is linked with others. */
#ifndef CRASH_H
#define CRASH_H

enum crash_step {
    CRASH_RECEIVED,   /* S0: a chunk came in */
    CRASH_ADMITTED,   /* S1: a whole bundle is about to go to the spool */
    CRASH_WRITTEN,    /* S2: it is written there, and not flushed */
    CRASH_FLUSHED,    /* S3: it is flushed, and not answered for */
    CRASH_ANSWERED,   /* S4: the verdict is sent */
    CRASH_PUBLISHED,  /* S5: bundles were handed to a publisher, and are not confirmed */
    CRASH_CONFIRMED,  /* S6: RabbitMQ has one, and nothing of that is written down */
    CRASH_RELEASED,   /* S7: that is written down, and the segment is there still */
    CRASH_REMOVED     /* S8: the segment is gone */
};

/* Any thread. */
void crash_point(enum crash_step step);

#endif
