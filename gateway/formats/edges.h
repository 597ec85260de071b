/* edges.h - which references were followed, from name to name: a set.  Thread: who has it. */
#ifndef EDGES_H
#define EDGES_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"

struct edges {
    uint64_t *slots; /* from and to; 0: free (nothing refers to itself) */
    uint64_t  n, n_slots; /* a power of two, or 0 */
    uint64_t  seed;  /* nobody knows it */
    struct budget *budget; /* lent */
};

void edges_open(struct edges *e, uint64_t seed, struct budget *budget);
void edges_close(struct edges *e);

/* false: no memory. */
bool edges_add(struct edges *e, uint32_t from, uint32_t to);
bool edges_has(const struct edges *e, uint32_t from, uint32_t to);

#endif
