/* drain.h - a process that empties the queue while others fill it, and counts what is missing or double.
 *
 * Without it the broker would page, and the figures would be about its disk.  Bound: a bit for each bundle of a leg. */
#ifndef DRAIN_H
#define DRAIN_H

#include <stddef.h>
#include <stdint.h>

struct drain;
struct err;

/* The first bytes of each body of a bench. */
struct drain_stamp {
    uint32_t leg, connector;
    uint64_t number; /* from 0, below the leg's bundles per connector */
};

enum { DRAIN_BUNDLES_MAX = 8 * 1024 * 1024 }; /* in one leg, of all connectors together */

/* Declare the queue and start. */
struct drain *drain_start(int port, const char *queue, struct err *err);

/* A leg begins: connectors x each bundles of this size are to come. */
void drain_expect(struct drain *d, uint32_t leg, uint32_t connectors, uint64_t each, size_t size);

/* Wait until all came.  -1: *err says how many are lost, double, or not of this leg. */
int drain_check(struct drain *d, struct err *err);

void drain_stop(struct drain *d);

#endif
