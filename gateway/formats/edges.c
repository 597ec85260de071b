/* edges.c - which references were followed: a set. */
#include "edges.h"

#include <string.h>

void
edges_open(struct edges *e, uint64_t seed, struct budget *budget)
{
    *e = (struct edges){.seed = seed, .budget = budget};
}

void
edges_close(struct edges *e)
{
    budget_free(e->budget, e->slots, e->n_slots * sizeof(*e->slots));
    e->slots = NULL;
    e->n = e->n_slots = 0;
}

/* Numbers in the order of a text that a stranger wrote: mixed with what he does not know (the constants are those of
 * the finaliser of MurmurHash3). */
static uint64_t
hash(const struct edges *e, uint64_t edge)
{
    uint64_t x = edge ^ e->seed;

    x = (x ^ x >> 33) * 0xff51afd7ed558ccdU;
    x = (x ^ x >> 33 ^ e->seed >> 7) * 0xc4ceb9fe1a85ec53U;
    return x ^ x >> 33;
}

static uint64_t
find(const struct edges *e, uint64_t edge)
{
    uint64_t slot = hash(e, edge) & (e->n_slots - 1);

    while (e->slots[slot] != 0 && e->slots[slot] != edge)
        slot = (slot + 1) & (e->n_slots - 1);
    return slot;
}

static bool
room(struct edges *e)
{
    struct edges wide = *e;

    if (e->n < e->n_slots / 8 * 7)
        return true;
    wide.n_slots = e->n_slots == 0 ? 64 : e->n_slots * 2;
    wide.slots = budget_resize(e->budget, NULL, 0, wide.n_slots * sizeof(*wide.slots));
    if (wide.slots == NULL)
        return false;
    memset(wide.slots, 0, wide.n_slots * sizeof(*wide.slots));
    for (uint64_t i = 0; i < e->n_slots; i++)
        if (e->slots[i] != 0)
            wide.slots[find(&wide, e->slots[i])] = e->slots[i];
    budget_free(e->budget, e->slots, e->n_slots * sizeof(*e->slots));
    *e = wide;
    return true;
}

bool
edges_add(struct edges *e, uint32_t from, uint32_t to)
{
    const uint64_t edge = (uint64_t)from << 32 | to;

    if (!room(e))
        return false;
    const uint64_t slot = find(e, edge);

    e->n += e->slots[slot] == 0;
    e->slots[slot] = edge;
    return true;
}

bool
edges_has(const struct edges *e, uint32_t from, uint32_t to)
{
    const uint64_t edge = (uint64_t)from << 32 | to;

    return e->n > 0 && e->slots[find(e, edge)] == edge;
}
