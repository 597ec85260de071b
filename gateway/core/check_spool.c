/* check_spool.c - what core_check asks of the spool: what is on its way there and back is what a recount says. */
#include "machine.h"

static const char *
check_drain(const struct core *k, const struct connector *c)
{
    const struct drain *d = &c->drain;
    uint32_t n = 0, posted = 0, doomed = 0, last = NONE;
    uint64_t cost = 0;

    for (uint32_t s = d->n == 0 ? NONE : d->head; s != NONE && n <= d->n; s = k->slots[s].newer) {
        const struct slot *slot = &k->slots[s];

        if (!slot->used || !slot->drained || slot->connector != c->number || slot->older != last)
            return "what is read ahead is not in its list";
        if (last != NONE && k->slots[last].pos >= slot->pos)
            return "what is read ahead is out of order";
        if (slot->pos >= d->fetch_pos)
            return "what is read ahead would be read again";
        posted += slot->state == B_POSTED;
        doomed += slot->state == B_SPOOLING || slot->state == B_DEAD;
        cost += slot->cost;
        last = s;
        n++;
    }
    if (n != d->n || posted != d->posted || doomed != d->doomed || cost != d->bytes_here)
        return "what is read ahead does not add up";
    if (d->count < d->n)
        return "more is read ahead than there is in the stream";
    return d->fetching == (d->asked > 0) ? NULL : "a fetch is under way for nothing";
}

static const char *
check_spooling(const struct core *k, struct connector *c)
{
    uint64_t unanswered = 0;
    uint32_t out = 0, live = 0;

    for (uint64_t s = c->first; s < c->expect; s++) {
        const struct bundle *b = custody_at(c, s);

        unanswered += b->state == B_HELD ? b->size : 0;
        if (s < c->spool.next && b->state != B_ACKED && b->state != B_SPOOLING && b->state != B_HELD &&
            b->state != B_NACKED)
            return "a bundle would be left behind by those that go to the spool";
    }
    for (uint32_t s = 0; c->spool.out > 0 && s < k->n_slots; s++) {
        const struct slot *slot = &k->slots[s];

        if (!slot->used || !slot->spooling || slot->spool_of != c->number)
            continue;
        out++;
        live += !slot->dead;
    }
    if (out != c->spool.out || live != c->spool.live)
        return "what is on its way to the spool does not add up";
    return unanswered == c->spool.unanswered ? NULL : "what is in the spool without an answer does not add up";
}

const char *
check_spool(const struct core *k)
{
    uint64_t fetched = 0, asked = 0;
    uint32_t out = 0;

    for (uint32_t s = 0; s < k->n_slots; s++) {
        out += k->slots[s].used && k->slots[s].spooling;
        fetched += k->slots[s].used && k->slots[s].drained ? k->slots[s].cost : 0;
    }
    if (!k->spool)
        return fetched == 0 ? NULL : "something is read ahead without a spool";
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        const char *wrong = check_drain(k, k->connectors[i]);

        if (wrong == NULL)
            wrong = check_spooling(k, k->connectors[i]);
        if (wrong != NULL)
            return wrong;
        out -= k->connectors[i]->spool.out;
        asked += k->connectors[i]->drain.asked;
    }
    if (out != 0 || fetched != k->fetched || asked != k->asked)
        return "the sums of what is read ahead do not agree with what is there";
    return NULL;
}
