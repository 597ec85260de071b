/* fleet.h - a world of schedules: the gateway's core and up to thousands of connectors that ask it when to run, with a
 * network that delays, breaks and goes dead, both sides crashing, rows that are stored late or not at all, reasons
 * that come and go, operators, and a wall clock that jumps.  Custody has a world of its own (world.h).
 *
 * The promises that are checked:
 *  - no run but by a permit, and one permit of a connector at a time;
 *  - no permit while a reason holds it, but `queue` at the first run ever of a period;
 *  - a period's run never begins earlier than a period after the end of the last (unless an operator says so), and
 *    as soon as that, if nothing holds it and it asks; neither the other side's restart nor a jump of the wall clock
 *    changes that;
 *  - every ready is answered; a run that nobody has any more comes to an end; an end that is answered is on disk;
 *  - what is stored is what happened: last_run only of runs that ended;
 *  - when faults and reasons stop, everybody who is due runs.
 * The same seed and script give the same history. */
#ifndef FLEET_H
#define FLEET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "script.h"

enum { FLEET_WAITS = 512 };

struct fleet_figures {
    uint64_t events, permits, runs, failed, lost, adopted, holds, skipped, superseded, replaced, exits;
    uint64_t gateway_crashes, power_cuts, crashes, cuts, forgotten, rows, rows_failed, commits;
    uint64_t simulated_us, connector_us;
    uint64_t waits[FLEET_WAITS]; /* from due and asking to the permit, by fleet_wait_us */
};

/* What a seed says of the size of its world: 99 of 100 have 1 to 20 connectors, the others 500 to 3,000. */
struct fleet_size fleet_size(uint64_t seed);

/* Live through one script.  NULL: all promises held; else what was broken (static).  *ret is added to; trace, where
 * it is not NULL, is told everything that happens. */
const char *fleet_run(uint64_t seed, const struct fleet_size *size, const struct script *script,
                      struct fleet_figures *ret, FILE *trace);

/* The longest wait that is counted in this part of figures.waits. */
int64_t fleet_wait_us(uint32_t part);

#endif
