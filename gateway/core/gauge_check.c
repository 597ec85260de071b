/* gauge_check.c - a gauge recounted from the ground: what a simulator asks after its steps. */
#include "gauge_parts.h"

static bool
same(struct ledger_sum a, struct ledger_sum b)
{
    return a.bytes == b.bytes && a.messages == b.messages;
}

/* Entries that were joined may since count as settled later, so what is kept up can only be less. */
static bool
covers(const struct gauge *g, const struct known *k)
{
    const struct ledger_sum now = ledger_since(&g->ledger, k->cut_us);

    return !k->has || same(k->since, now) || (k->since.bytes <= now.bytes && k->since.messages <= now.messages);
}

const char *
gauge_check(const struct gauge *g)
{
    uint64_t reserved = 0, flying = 0, messages = 0;

    for (uint32_t i = 0; i < g->n_open; i++) {
        const struct open *o = &g->open[i];

        if (i > 0 && o->id <= g->open[i - 1].id)
            return "open bundles are out of order";
        if (o->messages == 0 || o->largest > o->bytes)
            return "an open bundle is empty, or does not add up";
        reserved += o->state == OPEN_RESERVED ? o->bytes : 0;
        flying += o->state == OPEN_RESERVED ? 0 : o->bytes;
        messages += o->state == OPEN_RESERVED ? 0 : o->messages;
    }
    if (reserved != g->reserved || flying != g->flying || messages != g->flying_messages)
        return "the sums of what is open do not agree with what there is";
    if (g->n_open > 0 && g->ledger.cap == 0)
        return "an open bundle has no place in the ledger";
    if (!covers(g, &g->sample) || !covers(g, &g->count))
        return "what came since a sample or a count is more than the ledger knows";
    if (g->lag_us < g->cfg.stats_lag_us || g->lag_us > g->cfg.stats_lag_us * GAUGE_LAG_TIMES)
        return "the lag that is used is out of its bounds";
    if (g->holes != GAUGE_UNKNOWN && g->unacked_max != GAUGE_UNKNOWN && g->holes < g->unacked_max)
        return "fewer messages are thought to be held than consumers may hold";
    return ledger_check(&g->ledger);
}
