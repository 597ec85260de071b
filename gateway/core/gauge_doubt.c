/* gauge_doubt.c - what speaks against the newest sample, and what then follows. */
#include "gauge_parts.h"

enum { DEAD_TIMES = 3 };

static unsigned
drifted(struct gauge *g, enum gauge_news what, int64_t bytes)
{
    if (g->drift == 0)
        g->drift_us = g->now_us;
    g->drift |= what;
    g->drift_bytes = bytes;
    g->drift_seen_us = g->now_us;
    return what;
}

static int64_t
most_lag_us(const struct gauge *g)
{
    return g->cfg.stats_lag_us * GAUGE_LAG_TIMES;
}

/* The sample showed the queue as it was before lag: with a fourth to spare, for it may be worse at another time. */
static unsigned
raise_lag(struct gauge *g, int64_t seen_us, uint64_t bytes)
{
    int64_t lag_us = seen_us + seen_us / 4;

    if (lag_us <= g->lag_us)
        lag_us = g->lag_us + 1;
    g->lag_us = lag_us < most_lag_us(g) ? lag_us : most_lag_us(g);
    g->lag_broken++;
    g->why = GAUGE_LAGGING;
    g->valid_from_us = g->now_us + g->lag_us;
    gauge_recut(g);
    return drifted(g, GAUGE_N_LAG, (int64_t)bytes);
}

static unsigned
foreign(struct gauge *g, uint64_t bytes)
{
    g->foreign_bytes += bytes;
    g->distrust_us = g->now_us + GAUGE_CALM_US;
    g->count.has = false;
    g->before = GAUGE_UNKNOWN;
    return drifted(g, GAUGE_N_FOREIGN, (int64_t)bytes);
}

static uint64_t
beyond(uint64_t seen, uint64_t possible)
{
    return seen != GAUGE_UNKNOWN && possible != GAUGE_UNKNOWN && seen > possible ? seen - possible : 0;
}

/* So much more is there than the sample, and what was settled after it, can explain. */
static struct ledger_sum
unexplained(const struct gauge *g, struct ledger_sum since, uint64_t bytes, uint64_t messages)
{
    const uint64_t had = gauge_sample_messages(g);
    const uint64_t most = had == GAUGE_UNKNOWN ? had : had + since.messages + g->flying_messages;

    return (struct ledger_sum){beyond(bytes, g->sample.bytes + since.bytes + g->flying), beyond(messages, most)};
}

/* Would a sample that was made earlier than lag allows explain it?  *ret_us: when it was made at the latest. */
static bool
came_late(const struct gauge *g, int64_t asked_us, struct ledger_sum over, int64_t *ret_us)
{
    return (over.bytes > 0 || over.messages > 0) && g->lag_us < most_lag_us(g) &&
           ledger_explains(&g->ledger, asked_us - g->lag_us - 1, asked_us - most_lag_us(g), over, ret_us);
}

unsigned
doubt_against(struct gauge *g, uint64_t bytes, uint64_t messages)
{
    struct ledger_sum over, since;
    int64_t from_us;

    if (!g->sample.has || g->anchor_us < g->floor_us)
        return 0;
    over = unexplained(g, g->sample.since, bytes, messages);
    if (came_late(g, g->anchor_us, over, &from_us))
        return raise_lag(g, g->anchor_us - from_us, over.bytes);
    if (over.bytes > 0 || over.messages > 0)
        return foreign(g, over.bytes);
    /* One that repeated itself was not taken for new, so the bound held; but its last repetition should have shown
     * it. */
    since = ledger_since(&g->ledger, g->asked_us - g->lag_us - 1);
    over = unexplained(g, since, bytes, messages);
    return came_late(g, g->asked_us, over, &from_us) ? raise_lag(g, g->asked_us - from_us, over.bytes) : 0;
}

/* Without its work nobody can say more of an empty queue that stays empty; counts do. */
static bool
stays_empty(const struct gauge *g)
{
    return g->sample.bytes == 0 && g->work == GAUGE_UNKNOWN;
}

unsigned
doubt_repeated(struct gauge *g, int64_t asked_us)
{
    const int64_t shown_us = asked_us - g->lag_us; /* all that was settled by then is in it, if lag is true */
    /* These numbers may be so much older than when they were seen first: what was settled within that, and is not in
     * them, would have made others by now, if statistics go on. */
    const int64_t made_us = g->first_us - g->lag_us;
    const bool changes = ledger_any(&g->ledger, made_us, shown_us);

    g->asked_us = asked_us;
    if (!changes || !ledger_any(&g->ledger, asked_us - most_lag_us(g), shown_us)) {
        g->anchor_us = asked_us;
        gauge_recut(g);
        pace_point(g);
        return 0;
    }
    if (stays_empty(g) || asked_us - g->first_us <= DEAD_TIMES * g->lag_us || (g->drift & GAUGE_N_DEAD) != 0)
        return 0;
    return drifted(g, GAUGE_N_DEAD, -(int64_t)ledger_since(&g->ledger, g->first_us).bytes);
}

/* What consumers hold, at most, beyond what a count shows.  It is as much as they may hold, or statistics that stand
 * still would be believed for ever. */
static uint64_t
hidden(const struct gauge *g, uint64_t consumers)
{
    if (stays_empty(g))
        return 0;
    return gauge_counts(g, consumers) ? g->holes : GAUGE_UNKNOWN;
}

void
doubt_cleared(struct gauge *g, const struct gauge_count *c)
{
    const uint64_t had = gauge_sample_messages(g), held = hidden(g, c->consumers);

    if (!g->sample.has || g->anchor_us == g->asked_us || c->asked_us < g->asked_us || had == GAUGE_UNKNOWN ||
        held == GAUGE_UNKNOWN ||
        c->ready + held > had + ledger_since(&g->ledger, g->asked_us - g->lag_us - 1).messages + g->flying_messages)
        return;
    g->anchor_us = g->asked_us;
    g->drift &= ~(unsigned)GAUGE_N_DEAD;
    gauge_recut(g);
    pace_point(g);
}

unsigned
doubt_fell(struct gauge *g, uint64_t bytes, int64_t asked_us)
{
    const bool nobody = g->consumers == 0 || (g->consumers == GAUGE_UNKNOWN && g->count_consumers == 0);
    const uint64_t had = g->sample.bytes + ledger_since(&g->ledger, pace_made_us(g)).bytes;
    const uint64_t gone = had - gauge_min(bytes, had);
    const int64_t within_us = asked_us - g->first_us + g->lag_us / 2;
    double rate;

    if (g->anchor_us < g->floor_us || bytes >= g->sample.bytes)
        return 0;
    if (!nobody && (!pace_rate(g, &rate) || gone < had / 4 || (double)gone < 4 * rate * (double)within_us / 1e6))
        return 0;
    pace_forget(g);
    return drifted(g, GAUGE_N_FELL, -(int64_t)gone);
}
