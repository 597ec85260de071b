/* world.h - a small world in which nothing is real but the two machines: the gateway's core and the connectors'
 * sessions, with a network that delays, repeats, reorders across connections and drops, a broker that crashes,
 * blocks, refuses and forgets to confirm, and both ends crashing.  The same seed gives the same history. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct world;

struct world_figures {
    uint64_t events, pushed, acked, nacked, abandoned, stored, duplicates, gateway_crashes, connector_crashes, cuts,
        broker_losses, takeovers, spooled;
};

/* Run one world from its seed to the end, when faults have stopped and everything must be answered.
 * NULL: all promises held.  Else what was broken, in words (static).  *ret (may be NULL) is what happened;
 * trace: print every event. */
const char *world_run(uint64_t seed, bool trace, struct world_figures *ret);

#endif
