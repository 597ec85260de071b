/* slots.c - what the shell knows a body by.
 *
 * Bound: one for each bundle that was admitted, so memory_limit / WIRE_COST_MIN of them; a slot that was given back
 * is taken again first. */
#include <stdlib.h>

#include "machine.h"

uint32_t
slots_take(struct core *k)
{
    uint32_t s = k->free_slot;

    if (s != NONE) {
        k->free_slot = k->slots[s].next_free;
    } else {
        if (k->n_slots == k->cap_slots) {
            const uint32_t cap = k->cap_slots == 0 ? 256 : k->cap_slots * 2;
            struct slot *fresh = realloc(k->slots, cap * sizeof(*fresh));

            if (fresh == NULL)
                return NONE;
            k->slots = fresh;
            k->cap_slots = cap;
        }
        s = k->n_slots++;
    }
    k->slots[s] = (struct slot){.used = true, .next_free = NONE};
    k->fig.held++;
    return s;
}

void
slots_give(struct core *k, uint32_t s)
{
    struct core_effect e = {.kind = CORE_FREE, .u.slot = s};

    *(k->slots[s].drained ? &k->fetched : &k->held) -= k->slots[s].cost;
    if (k->slots[s].connector != NONE && !k->slots[s].drained)
        k->connectors[k->slots[s].connector]->held -= k->slots[s].cost;
    k->slots[s].used = false;
    k->slots[s].next_free = k->free_slot;
    k->free_slot = s;
    k->fig.held--;
    core_emit(k, &e);
}
