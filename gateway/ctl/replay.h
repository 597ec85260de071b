/* replay.h - a line of the journal, decided again.
 *
 * Each permit, hold, and gate that closed or opened is written down with the figures that it was made from
 * (store/journal.h); here the same function of the core (core/decide.h) is given the same figures.  No I/O; any
 * thread. */
#ifndef REPLAY_H
#define REPLAY_H

#include <stddef.h>
#include <stdint.h>

struct err;

enum replay {
    REPLAY_SAME,      /* decided again as it was then */
    REPLAY_OTHER,     /* decided otherwise: *err says how */
    REPLAY_NO_FIGURES, /* a line without figures: nothing was measured for it */
    REPLAY_NO_LINE    /* not a line of the journal: *err says why */
};

/* Decide the line again (len bytes of JSON, without its end). */
enum replay replay_line(const char *line, size_t len, struct err *err);

#endif
