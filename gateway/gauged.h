/* gauged.h - the queues that are measured, by a number that stays.
 *
 * Several connectors may have one queue; what they say of it must agree.  As targets, this list only grows.
 * Bound: CORE_QUEUES_MAX.  Thread: the loop only. */
#ifndef GAUGED_H
#define GAUGED_H

#include <stdbool.h>
#include <stdint.h>

struct core_queue;
struct err;
struct gauged;

struct gauged *gauged_new(struct err *err);

/* A new reading of the configuration begins: what was said of queues before is forgotten, their numbers stay. */
void gauged_begin(struct gauged *g);

/* The number of the queue `name` ("": CORE_NO_QUEUE), of which `said` holds; who: the connector that says so, lent
 * until the next gauged_begin.  -1: ERR_NOMEM, ERR_FULL, ERR_CONFIG (another said otherwise since gauged_begin). */
int64_t gauged_intern(struct gauged *g, const char *name, const struct core_queue *said, const char *who,
                      struct err *err);

uint32_t gauged_count(const struct gauged *g);

/* Lent until gauged_free; the list until the next gauged_intern. */
const char *gauged_name(const struct gauged *g, uint32_t number);
const struct core_queue *gauged_list(const struct gauged *g);

/* Note whether counts say nothing of it: it has priorities, a TTL or drop-head.  true: that is news (at first: if it
 * has). */
bool gauged_odd(struct gauged *g, uint32_t number, bool odd);

void gauged_free(struct gauged *g);

#endif
