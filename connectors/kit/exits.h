/* exits.h - how a connector ends: the exit statuses of every connector here, after sysexits where that has one. */
#ifndef EXITS_H
#define EXITS_H

#include "err.h"

enum exits {
    EXITS_OK = 0,
    EXITS_REFUSED = 1,      /* some bundles were not taken; each is named on stderr */
    EXITS_USAGE = 2,        /* the command line is wrong */
    EXITS_DATA = 65,        /* what was read is malformed (a feed, a state) */
    EXITS_NOINPUT = 66,     /* a file or folder that was named cannot be read */
    EXITS_UNAVAILABLE = 69, /* the feed could not be had */
    EXITS_SYSTEM = 70,      /* no memory, no threads, no sockets */
    EXITS_LATER = 75,       /* the gateway was not reached in time, or a signal came first: run again */
    EXITS_REPLACED = 76,    /* another program took the id, or changed the state meanwhile */
    EXITS_DENIED = 77       /* the gateway refuses this connector */
};

/* The status that a failure to reach or to use the gateway ends with. */
enum exits exits_of(const struct err *err);

#endif
