/* late.h - how late this machine is with everything, because others compute on it too.
 *
 * A bound on how long something takes is a claim about the program.  What the machine adds is measured by a thread that
 * sleeps a millisecond at a time, and is woken later than that: so much more may it take.  On an idle machine that is
 * next to nothing, and the bound is what it says. */
#ifndef LATE_H
#define LATE_H

#include <stdint.h>

struct late;

/* Measure from now on.  Returns a new one, or NULL: then nothing is added. */
struct late *late_start(void);

/* End it and free it.  Returns the microseconds that may be added to a bound.  NULL: 0. */
int64_t late_stop(struct late *l);

#endif
