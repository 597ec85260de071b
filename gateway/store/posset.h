/* posset.h - a set of positions, as ranges: what is released in order takes one range, however much it is.
 *
 * Bound: one range (16 bytes) for each run without a gap.  Pure; no thread of its own. */
#ifndef POSSET_H
#define POSSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pos_range {
    uint64_t from, to; /* to: the first behind it */
};

struct posset {
    struct pos_range *ranges; /* by position, never touching */
    size_t            n, cap;
};

/* Add from to before to.  -1: no memory, and nothing changed. */
int posset_add(struct posset *s, uint64_t from, uint64_t to);

/* Take pos out.  -1: no memory, and nothing changed. */
int posset_remove(struct posset *s, uint64_t pos);

bool posset_has(const struct posset *s, uint64_t pos);

/* The first position from pos on that is not in it. */
uint64_t posset_gap(const struct posset *s, uint64_t pos);

/* How many of from to before to are in it. */
uint64_t posset_count(const struct posset *s, uint64_t from, uint64_t to);

void posset_clear(struct posset *s); /* and free */

#endif
