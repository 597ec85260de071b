/* clock.h - the two clocks.  Waiting uses the monotonic one, people see the wall clock.
 *
 * The core never calls these: it is handed times.  Any thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Microseconds since an arbitrary point; never steps back (CLOCK_MONOTONIC). */
int64_t clock_mono_us(void);

/* Microseconds since 1970-01-01T00:00:00Z; may jump either way (CLOCK_REALTIME). */
int64_t clock_wall_us(void);

#endif
