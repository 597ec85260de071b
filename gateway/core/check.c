/* check.c - the invariants, recounted from the ground: what a simulator asks after its steps. */
#include "machine.h"

static const char *
check_connector(const struct core *k, struct connector *c, uint64_t *held)
{
    uint32_t nacks = 0, posted = 0;
    uint64_t here = 0;

    if (c->used > c->limit)
        return "a connector used more than its credit";
    if (c->first > c->expect || c->next_post < c->first || c->next_post > c->expect)
        return "a connector's sequence marks are out of order";
    for (uint64_t s = c->first; s < c->expect; s++) {
        const struct bundle *b = custody_at(c, s);

        nacks += b->state == B_NACKED;
        posted += b->state == B_POSTED;
        if (b->state == B_RECEIVING && (s + 1 != c->expect || !c->receiving))
            return "half a bundle is not the newest";
        if (b->state == B_WAITING && s < c->next_post)
            return "a bundle waits that nobody would post";
        if (b->state == B_NACKED) {
            *held += b->cost;
            here += b->cost;
        } else if (b->state != B_ACKED && b->state != B_HELD) {
            if (b->slot >= k->n_slots || k->slots[b->slot].seq != s || k->slots[b->slot].connector != c->number)
                return "a bundle and its slot do not agree";
            here += b->cost;
        }
    }
    if (here != c->held)
        return "what a connector has here does not add up";
    if (nacks != c->nacks || posted != c->posted)
        return "a connector's counts of nacks or posted bundles are wrong";
    if (c->first < c->expect && custody_at(c, c->first)->state == B_ACKED)
        return "an answered bundle at the front was not settled";
    return NULL;
}

const char *
core_check(const struct core *k)
{
    uint64_t held = 0, out = 0, idle = 0, used = 0;
    uint32_t connected = 0, wanting = 0;
    const char *wrong;

    for (uint32_t s = 0; s < k->n_slots; s++) {
        used += k->slots[s].used;
        held += k->slots[s].used && !k->slots[s].drained ? k->slots[s].cost : 0;
    }
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        struct connector *c = k->connectors[i];

        wrong = check_connector(k, c, &held);
        if (wrong != NULL)
            return wrong;
        out += c->usable;
        idle += c->idle;
        connected += c->conn != 0;
        wanting += c->want > 0;
        if (c->conn != 0 && table_of(k, c->conn) != i)
            return "a connection and its connector do not agree";
    }
    if (held != k->held || out != k->credit_out || idle != k->idle || used != k->fig.held)
        return "the sums of memory do not agree with what is there";
    if (connected != k->fig.connected || wanting != k->wanting)
        return "the counts of connectors do not agree with what is there";
    /* Nacks that nobody has seen weigh WIRE_COST_MIN each beyond it: CORE_NACKS_MAX of each connector at most. */
    if (held + out + k->fetched > k->cfg.memory_limit + (uint64_t)k->n_connectors * 2 * CORE_NACKS_MAX * WIRE_COST_MIN)
        return "more memory is given out than there is";
    wrong = check_schedule(k);
    if (wrong == NULL)
        wrong = check_spool(k);
    return wrong != NULL ? wrong : check_gates(k);
}
